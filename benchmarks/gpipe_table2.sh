#!/usr/bin/env bash
# GPipe's table 2 (arXiv 1811.06965) with our schedules: throughput of K ranks and M microbatches over that of gpipe with K = 2, M = 1.
#
# Passes are emulated: the whole model's F, I and W take 1.03 s each for the whole batch, cut evenly over K ranks and M microbatches (and over a rank's
# stages), so that the shortest pass takes 2 ms. The paper's figures are those of its 48-layer transformer; it measured a machine
# where one microbatch alone ran less efficiently, so some of its cells are above what any schedule of gpipe's form can reach (K M / (M + K - 1)).
# A cell below the paper's is marked with (<); a dash: the schedule does not exist for these sizes.
# Usage: benchmarks/gpipe_table2.sh [SCHEDULE...]
set -euo pipefail
# shellcheck source=benchmarks/emulation.bash
source "$(dirname "$0")/emulation.bash"
(($# > 0)) && schedules=("$@") || schedules=(gpipe 1f1b interleaved-1f1b zb-h1 zb-h2 zb-v dualpipev interleaved-zb auto)
whole_ms=1032 steps=2
declare -A paper=([2:1]=1 [4:1]=1.07 [8:1]=1.3 [2:4]=1.7 [4:4]=3.2 [8:4]=4.8 [2:32]=1.8 [4:32]=3.4 [8:32]=6.3)
declare -A best=()
sizes="2:1 4:1 8:1 2:4 4:4 8:4 2:32 4:32 8:32"

# seconds SCHEDULE K M: of a step; fails where the schedule cannot be. What auto finds is run from a file; it may stash all microbatches, as gpipe does.
seconds() {
  local schedule=$1 k=$2 m=$3 stages
  if [[ $schedule == auto ]]; then
    schedule=$scratch/auto.csv
    "$troupe" schedule auto --stages "$k" --microbatches "$m" --memory-limit "$m" --format csv --output "$schedule" 2> /dev/null
  fi
  stages=$(planned "$schedule" "$k" "$m" stages 2> /dev/null) || return 1
  emulate "$schedule" "$k" "$m" "$stages" "$(times "$(awk -v t="$whole_ms" -v n=$((k * m)) 'BEGIN { print t / n }')" $((stages / k)))" "$steps"
  report_field span_seconds
}

# cell SPEEDUP SIZE
cell() { awk -v s="$1" -v paper="${paper[$2]}" 'BEGIN { printf " %.2f%s |", s, s < paper - 0.005 ? " (<)" : "" }'; }

base=$(seconds gpipe 2 1)
echo "| | M=1: K=2 | K=4 | K=8 | M=4: K=2 | K=4 | K=8 | M=32: K=2 | K=4 | K=8 |"
echo "|---|---|---|---|---|---|---|---|---|---|"
printf "| paper |"
for size in $sizes; do printf " %s |" "${paper[$size]}"; done
echo
for schedule in "${schedules[@]}"; do
  printf "| \`%s\` |" "$schedule"
  for size in $sizes; do
    if taken=$(seconds "$schedule" "${size%:*}" "${size#*:}"); then
      speedup=$(awk -v a="$base" -v b="$taken" 'BEGIN { print a / b }')
      best[$size]=$(awk -v a="${best[$size]:-0}" -v b="$speedup" 'BEGIN { print (a > b ? a : b) }')
      cell "$speedup" "$size"
    else
      printf " - |"
    fi
  done
  echo
done
printf "| best of these |"
for size in $sizes; do cell "${best[$size]}" "$size"; done
echo
