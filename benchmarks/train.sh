#!/usr/bin/env bash
# Training throughput as a share of the machine's floating-point peak.
#
# Trains the reference model (GPT, 4 layers, width 256, 4 heads, sequences of 128, 8 microbatches of 4, fp32) with one stage a core, and measures the
# FMA peak of the same cores before and after, in the same run: machines are shared and noisy, so only the ratio is worth quoting.
# Then the same with a worker process for each stage, on the same cores, in turn with the run in one process: the ratio of their tokens/s.
# Usage: benchmarks/train.sh [STAGES] [STEPS] [further flags of troupe train]
set -euo pipefail
cd "$(dirname "$0")/.."
stages=${1:-$(nproc)}
steps=${2:-40}
shift $(($# < 2 ? $# : 2))

scripts/build.sh release troupe troupe_fma_peak > /dev/null
build=build/release
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
find /usr/share/common-licenses -type f | LC_ALL=C sort | xargs cat > "$scratch/corpus.txt"

peak() { "$build/troupe_fma_peak" --threads "$stages" | grep -oE '[0-9]+(\.[0-9]+)?' | tail -1; }
field() { grep -oE "\"$1\": *[0-9.e+-]+" "$scratch/report.json" | head -1 | grep -oE '[0-9.e+-]+$'; }

train() { # train STEPS [flags]
  local count=$1
  shift
  "$build/troupe" train --data "$scratch/corpus.txt" --layers 4 --width 256 --heads 4 --seq 128 --microbatch-size 4 --microbatches 8 \
    --stages "$stages" --schedule 1f1b --steps "$count" --quiet --report "$scratch/report.json" "$@" > /dev/null
}

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

echo "machine         $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $stages of $(nproc) cores"
awk -v before="$before" -v after="$after" -v flops="$(field model_flops_per_second)" -v tokens="$(field tokens_per_second)" \
    -v bubble="$(field bubble_fraction)" 'BEGIN {
  peak = before > after ? before : after
  printf "FMA peak        %.0f GFLOP/s (before %.0f, after %.0f)\n", peak, before, after
  printf "tokens/s        %.0f\n", tokens
  printf "model           %.0f GFLOP/s\n", flops / 1e9
  printf "share of peak   %.1f %%\n", 100 * flops / 1e9 / peak
  printf "bubble          %.1f %%\n", 100 * bubble
}'
sort -g "$scratch/ratios" | awk '{ r[NR] = $1 } END {
  printf "in %s processes  %.1f %% of the tokens/s in one (median of %d pairs of runs, %.1f to %.1f)\n", processes, r[int((NR + 1) / 2)], NR, r[1], r[NR]
}' processes="$stages"
