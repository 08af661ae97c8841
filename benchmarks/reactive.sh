#!/usr/bin/env bash
# Does it help a rank to run a later action of its list while the next one's input is late?
#
# Emulated passes of 6 ms a rank whose times vary by up to a share (jitter), the same draws for both modes; static and reactive dispatch run in turns, with another
# seed each time. Prints the median makespan of a step over all rounds, and the ratio (below 1: reactive is faster).
# Usage: benchmarks/reactive.sh [--quick] [SCHEDULE...]
set -euo pipefail
rounds=3 jitters="0 0.3 0.6" only=()
for argument in "$@"; do
  [[ $argument == --quick ]] && rounds=2 jitters="0.3" || only+=("$argument")
done
# shellcheck source=benchmarks/emulation.bash
source "$(dirname "$0")/emulation.bash"
((${#only[@]} > 0)) || only=(gpipe 1f1b interleaved-1f1b interleaved-zb zb-h1 zb-h2 zb-v v-half dualpipev hanayo)
p=4 m=16 steps=6 rank_ms=6

median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

echo "p = $p, m = $m, median of $rounds rounds of $steps steps"
echo
echo "| Schedule | Jitter | Static, ms | Reactive, ms | Reactive / static |"
echo "|---|---|---|---|---|"
for jitter in $jitters; do
  for schedule in "${only[@]}"; do
    stages=$(planned "$schedule" "$p" "$m" stages)
    : > "$scratch/static.txt" && : > "$scratch/reactive.txt"
    for ((round = 1; round <= rounds; ++round)); do
      for mode in static reactive; do
        emulate "$schedule" "$p" "$m" "$stages" "$(times "$rank_ms" $((stages / p))),jitter=$jitter" "$steps" --seed "$round" --dispatch "$mode"
        report_field span_seconds >> "$scratch/$mode.txt"
      done
    done
    awk -v name="$schedule" -v jitter="$jitter" -v a="$(median < "$scratch/static.txt")" -v b="$(median < "$scratch/reactive.txt")" \
      'BEGIN { printf "| `%s` | %s | %.1f | %.1f | %.3f |\n", name, jitter, 1e3 * a, 1e3 * b, b / a }'
  done
done
