#!/usr/bin/env bash
# Does a run take as long as the simulator says? Every schedule, as real actors and messages with emulated passes.
#
# For each schedule, p ranks and m microbatches: the makespan of a step (first action's start to last one's end, median over steps) beside the
# simulator's for the same times, the two bubbles, and the runtime's own time: how long after its rank and its input were there an action begins, mean
# over a step's actions, median over steps. That is taken from runs with jitter=0.3, since with equal times the ranks' passes all end at the same moment, as
# p machines could bear and one cannot; and with passes of 0.2 ms a rank, as a core that slept for milliseconds finds its caches cold, which costs up to twice
# the time in naive, where nobody else runs meanwhile (the column "after sleep": the same with the passes of the first run). How late the timer is counts as a
# pass's time, not the runtime's.
# All of a rank's F take as long as its I and its W, 6 ms a microbatch; a schedule with v stages a rank gets a v-th for each stage.
#
# Steps of the asynchronous schedules run into one another and have no makespan: their row has the time by which each further step lengthens a run,
# the measured one from the bubble, and no time of the runtime.
#
# Exits with 1 if a makespan is off by more than 3 %, or the runtime takes more than 10 us an action. A busy machine disturbs: each is tried up to 3 times.
# Usage: benchmarks/bubble.sh [--quick] [--csv FILE] [--steps FILE] [SCHEDULE...]      (--quick: 4 ranks, 8 microbatches; FILE: build/bubble.csv)
# --steps also writes the measured step times in the form that scripts/schedule_gallery.sh takes from benchmarks/schedule_steps.csv.
set -euo pipefail
sizes="4:8 4:32 8:8 8:32" steps=12 csv="" step_file="" only=()
while (($# > 0)); do
  case $1 in
    --quick) sizes="4:8" steps=6 ;;
    --csv) csv=$(realpath "$2") && shift ;;
    --steps) step_file=$(realpath "$2") && shift ;;
    *) only+=("$1") ;;
  esac
  shift
done
# shellcheck source=benchmarks/emulation.bash
source "$(dirname "$0")/emulation.bash"
csv=${csv:-build/bubble.csv}
rank_ms=6 short_ms=0.2 most_off=3 most_us=10 tries=3

# One row: sets the measured and the simulated figures of a schedule.
measure() {
  local schedule=$1 p=$2 m=$3 stages=$4
  local cost few=$((m > 8 ? (steps + 1) / 2 : steps))
  cost=$(times "$rank_ms" $((stages / p)))
  [[ $schedule == naive ]] && few=3
  if [[ $schedule == pipedream* ]]; then
    simulate "$schedule" "$p" "$m" "$cost"
    emulate "$schedule" "$p" "$m" "$stages" "$cost" "$few" --clip 0
    predicted=$(simulated_field seconds) predicted_bubble=0 bubble=$(report_field bubble_fraction) runtime=0 after_sleep=0
    measured=$(awk -v s="$predicted" -v b="$bubble" 'BEGIN { print s / (1 - b) }') # stages take equally long: no bubble is predicted
    return
  fi
  simulate "$schedule" "$p" "$m" "$cost"
  emulate "$schedule" "$p" "$m" "$stages" "$cost" "$few"
  measured=$(report_field span_seconds) bubble=$(report_field bubble_fraction)
  predicted=$(simulated_field makespan) predicted_bubble=$(simulated_field bubble_fraction)
  emulate "$schedule" "$p" "$m" "$stages" "$cost,jitter=0.3" "$few"
  after_sleep=$(report_field runtime_seconds_per_action)
  emulate "$schedule" "$p" "$m" "$stages" "$(times "$short_ms" $((stages / p))),jitter=0.3" 20
  runtime=$(report_field runtime_seconds_per_action)
}
within_limits() {
  awk -v a="$measured" -v b="$predicted" -v r="$runtime" -v off="$most_off" -v us="$most_us" \
    'BEGIN { d = a / b - 1; exit !(d < off / 100 && d > -off / 100 && r * 1e6 <= us) }'
}

echo "| Schedule | p | m | Step, ms | Simulated, ms | Off | Bubble | Simulated | Runtime, us an action | After sleep |"
echo "|---|---|---|---|---|---|---|---|---|---|"
echo "schedule,ranks,microbatches,step_ms,predicted_ms,bubble,predicted_bubble,runtime_us_per_action" > "$csv"
bad=0
((${#only[@]} > 0)) || mapfile -t only < <("$troupe" schedule --list | grep -vx auto)
for size in $sizes; do
  for schedule in "${only[@]}"; do
    p=${size%:*} m=${size#*:}
    if ! stages=$(planned "$schedule" "$p" "$m" stages 2> "$scratch/why.txt"); then
      echo "| \`$schedule\` | $p | $m | left out: $(sed 's/^troupe: //' "$scratch/why.txt") | | | | | | |"
      continue
    fi
    for ((try = 1; try <= tries; ++try)); do
      measure "$schedule" "$p" "$m" "$stages"
      within_limits && break
    done
    mark=""
    if ((try > tries)); then
      mark=" **over**" bad=1
    fi
    awk -v p="$p" -v m="$m" -v a="$measured" -v b="$predicted" -v x="$bubble" -v y="$predicted_bubble" -v r="$runtime" -v s="$after_sleep" -v name="$schedule" -v mark="$mark" -v csv="$csv" 'BEGIN {
      printf "| `%s` | %d | %d | %.1f | %.1f | %+.2f %% | %.1f %% | %.1f %% | %.1f%s | %.1f |\n", name, p, m, 1e3 * a, 1e3 * b, 100 * (a / b - 1), 100 * x, 100 * y, 1e6 * r, mark, 1e6 * s
      printf "%s,%d,%d,%.3f,%.3f,%.5f,%.5f,%.2f\n", name, p, m, 1e3 * a, 1e3 * b, x, y, 1e6 * r >> csv
    }'
  done
done
if [[ -n $step_file ]]; then
  awk -F, 'NR == 1 { print "schedule,Measured step in ms: p = 4 and m = 8; p = 8 and m = 32"; next }
    { if (!($1 in seen)) names[++n] = $1; seen[$1] = 1; if ($2 == 4 && $3 == 8) small[$1] = $4; if ($2 == 8 && $3 == 32) large[$1] = $4 }
    END { for (i = 1; i <= n; ++i) printf "%s,%s; %s\n", names[i], small[names[i]] ? sprintf("%.1f", small[names[i]]) : "-", large[names[i]] ? sprintf("%.1f", large[names[i]]) : "-" }' \
    "$csv" > "$step_file"
fi
((bad == 0)) || echo "FAILED: a step is off by more than $most_off %, or the runtime takes more than $most_us us an action" >&2
exit "$bad"
