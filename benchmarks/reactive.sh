#!/usr/bin/env bash
# Does it help a rank to run a later action of its list while the next one's input is late?
#
# Emulated passes of 3 ms a rank whose times vary: by up to a share (jitter), or now and then by a factor (slow); the same draws for every mode. Static dispatch, reactive
# dispatch within the list's own peaks, and reactive dispatch with room for twice as many microbatches as ranks (--memory-limit) run in turns, with another seed each
# round. Prints the median makespan of a step over all rounds, and the ratios to static (below 1: faster).
# Usage: benchmarks/reactive.sh [--quick] [SCHEDULE...]
set -euo pipefail
p=4 m=16 steps=10 rank_ms=3 room=8
rounds=3 kinds="jitter=0 jitter=0.3 jitter=0.6 jitter=0.3,slow=0.05x5" only=()
for argument in "$@"; do
  [[ $argument == --quick ]] && rounds=1 kinds="jitter=0.3,slow=0.05x5" || only+=("$argument")
done
# shellcheck source=benchmarks/emulation.bash
source "$(dirname "$0")/emulation.bash"
((${#only[@]} > 0)) || only=(gpipe 1f1b interleaved-1f1b interleaved-zb zb-h1 zb-h2 zb-v v-half dualpipev hanayo)
declare -A flags=([static]="--dispatch static" [reactive]="--dispatch reactive" [roomy]="--dispatch reactive --memory-limit $room")

median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

echo "p = $p, m = $m, median of $rounds rounds of $steps steps; with room: $room microbatches a rank, or the list's own peak where that is more"
echo
echo "| Schedule | Times | Static, ms | Reactive | With room |"
echo "|---|---|---|---|---|"
for kind in $kinds; do
  for schedule in "${only[@]}"; do
    stages=$(planned "$schedule" "$p" "$m" stages)
    flags[roomy]="--dispatch reactive --memory-limit $room"
    [[ $schedule == gpipe ]] && flags[roomy]="--dispatch reactive --memory-limit $m" # its own peak
    rm -f "$scratch"/*.spans
    for ((round = 1; round <= rounds; ++round)); do
      for mode in static reactive roomy; do
        # shellcheck disable=SC2086 # flags are words
        emulate "$schedule" "$p" "$m" "$stages" "$(times "$rank_ms" $((stages / p))),$kind" "$steps" --seed "$round" ${flags[$mode]}
        report_field span_seconds >> "$scratch/$mode.spans"
      done
    done
    awk -v name="$schedule" -v kind="$kind" -v a="$(median < "$scratch/static.spans")" -v b="$(median < "$scratch/reactive.spans")" \
      -v c="$(median < "$scratch/roomy.spans")" 'BEGIN { printf "| `%s` | `%s` | %.1f | %.3f | %.3f |\n", name, kind, 1e3 * a, b / a, c / a }'
  done
done
