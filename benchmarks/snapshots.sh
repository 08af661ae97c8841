#!/usr/bin/env bash
# What readiness for a loss costs while none comes: snapshots after every step, outboxes and the decision log.
#
# Trains the reference model with and without (--snapshot-every 0), the two taking turns, in one process and with a worker process for each stage,
# then with a checkpoint directory, which adds the decision log (a record a step, fsync before the decision is sent). The ratio of their tokens/s is
# taken of runs that follow one another: the machine may be slower in the next pair.
# Usage: benchmarks/snapshots.sh [PAIRS] [STEPS]
set -euo pipefail
pairs=${1:-9}
steps=${2:-16}
stages=$(nproc)
. "$(dirname "$0")/training.bash"

rate() { # rate [flags]: tokens/s
  rm -rf "$scratch/run"
  train "$steps" "$@"
  field tokens_per_second
}

# compare NAME "FLAGS WITHOUT" "FLAGS WITH"
compare() {
  local without with
  : > "$scratch/ratios"
  for pair in $(seq "$pairs"); do
    if ((pair % 2)); then
      without=$(rate $2)
      with=$(rate $3)
    else
      with=$(rate $3)
      without=$(rate $2)
    fi
    awk -v with="$with" -v without="$without" 'BEGIN { print 100 * (without / with - 1) }' >> "$scratch/ratios"
  done
  median_of "$scratch/ratios" "$(printf '%-44s' "$1") %+.1f %% time a token (median of %d pairs, %+.1f to %+.1f)"
}

echo "machine  $(machine)"
compare "one process: snapshots and outboxes" "--snapshot-every 0" ""
compare "one process: decision log besides" "" "--checkpoint $scratch/run"
compare "$stages workers: snapshots and outboxes" "--spawn $stages --snapshot-every 0" "--spawn $stages"
