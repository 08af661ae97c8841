# Shared by the benchmarks that emulate: sourced, not run. Builds the program and makes a scratch directory.
#
# An emulated pass takes a stated time and computes nothing (docs/schedules.md, "Emulated passes"), so each rank has a machine of its own, on
# however few cores this one has.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
scripts/build.sh release troupe > /dev/null
troupe=build/release/troupe
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
head -c 100000 /dev/zero | tr '\0' 'x' > "$scratch/corpus.txt" # is cut into tokens, which nobody looks at

# Names of all schedules that close a step before the next one begins.
schedule_names() {
  "$troupe" schedule --help | sed -n '/^Schedules:/,/^ *$/s/^  \([a-z0-9-]\{1,\}\) .*/\1/p' | grep -vxE 'pipedream(-2bw)?|2bw'
}

# planned SCHEDULE P M FIELD [flags]: a line of what the checker prints. Fails, with the reason on stderr, where a rule excludes the sizes.
planned() {
  local schedule=$1 p=$2 m=$3 name=$4
  shift 4
  "$troupe" schedule "$schedule" --stages "$p" --microbatches "$m" --check "$@" > "$scratch/check.txt" || return 1
  sed -n "s/^$name  *//p" "$scratch/check.txt"
}

# times RANK_MS CHUNKS: F, I and W of one stage, when those of a whole rank take RANK_MS each.
times() { awk -v ms="$1" -v v="$2" 'BEGIN { t = sprintf("%.6gms", ms / v); print "f=" t ",i=" t ",w=" t }'; }

# emulate SCHEDULE P M STAGES TIMES STEPS [flags]: runs it; report_field reads the report.
emulate() {
  local schedule=$1 p=$2 m=$3 stages=$4 times=$5 steps=$6
  shift 6
  "$troupe" train --data "$scratch/corpus.txt" --schedule "$schedule" --stages "$p" --microbatches "$m" --emulate "$times" --steps "$steps" \
    --layers $((stages > 3 ? stages - 2 : 1)) --width 8 --heads 1 --seq 8 --microbatch-size 1 --quiet --report "$scratch/report.json" "$@" > /dev/null
}
number_in() { grep -oE "\"$2\": *[0-9.e+-]+" "$1" | head -1 | grep -oE '[0-9.e+-]+$'; }
report_field() { number_in "$scratch/report.json" "$1"; }

# simulate SCHEDULE P M TIMES [flags]: the simulator's opinion; simulated_field reads it.
simulate() {
  local schedule=$1 p=$2 m=$3 times=$4
  shift 4
  "$troupe" schedule "$schedule" --stages "$p" --microbatches "$m" --cost "$times" --format json "$@" > "$scratch/simulated.json"
}
simulated_field() { number_in "$scratch/simulated.json" "$1"; }
