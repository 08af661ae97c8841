#!/usr/bin/env bash
# Training throughput as a share of the machine's floating-point peak.
#
# Trains the reference model (GPT, 4 layers, width 256, 4 heads, sequences of 128, 8 microbatches of 4, fp32) with one stage a core, and measures the
# FMA peak of the same cores before and after, in the same run: machines are shared and noisy, so only the ratio is worth quoting.
# Then the same with a worker process for each stage, on the same cores, in turn with the run in one process: the ratio of their tokens/s.
# Usage: benchmarks/train.sh [STAGES] [STEPS] [further flags of troupe train]
set -euo pipefail
stages=${1:-$(nproc)}
steps=${2:-40}
shift $(($# < 2 ? $# : 2))
. "$(dirname "$0")/training.bash"

peak() { "$build/troupe_fma_peak" --threads "$stages" | grep -oE '[0-9]+(\.[0-9]+)?' | tail -1; }

# Each pair of runs that follow one another gives a ratio: the machine may be slower in the next one.
: > "$scratch/ratios"
for _ in 1 2 3 4 5 6 7; do
  train $((steps / 2 + 3)) "$@"
  together=$(field tokens_per_second)
  train $((steps / 2 + 3)) --spawn "$stages" "$@"
  awk -v apart="$(field tokens_per_second)" -v together="$together" 'BEGIN { print 100 * apart / together }' >> "$scratch/ratios"
done

before=$(peak)
train "$steps" "$@"
after=$(peak)

echo "machine         $(machine)"
awk -v before="$before" -v after="$after" -v flops="$(field model_flops_per_second)" -v tokens="$(field tokens_per_second)" \
    -v bubble="$(field bubble_fraction)" 'BEGIN {
  peak = before > after ? before : after
  printf "FMA peak        %.0f GFLOP/s (before %.0f, after %.0f)\n", peak, before, after
  printf "tokens/s        %.0f\n", tokens
  printf "model           %.0f GFLOP/s\n", flops / 1e9
  printf "share of peak   %.1f %%\n", 100 * flops / 1e9 / peak
  printf "bubble          %.1f %%\n", 100 * bubble
}'
median_of "$scratch/ratios" "in $stages processes  %.1f %% of the tokens/s in one (median of %d pairs of runs, %.1f to %.1f)"
