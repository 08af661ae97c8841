#!/usr/bin/env bash
# Prints a table of all schedules in Markdown: bubble and peak stash as simulated where F, I and W take equally long,
# weights in copies of the model, and a column of measured step times if there is a file of them.
#   scripts/schedule_table.sh [BUILD_DIR] [MEASURED.csv]
# MEASURED.csv has a line NAME,TEXT for each schedule that was measured, such as "zb-v,41.3 ms"; a first line that
# begins with "schedule," names the column instead.
set -euo pipefail
cd "$(dirname "$0")/.."

troupe=${1:-build/release}/troupe
measured=${2-}

# Copies of the weights that the ranks hold together, in those of the model.
weights_of() {
  case $1 in
  dualpipe | chimera) echo 2 ;;
  pipedream) echo 'p - r versions on rank r' ;;
  pipedream-2bw) echo '2 versions' ;;
  *) echo 1 ;;
  esac
}

# "27.3 % | 4": bubble and peak in microbatches of whole ranks.
simulated() { # name, ranks, microbatches
  "$troupe" schedule "$1" --compare "$1" --stages "$2" --microbatches "$3" |
    sed -n -E '1s/^.*: makespan [^,]*, bubble ([0-9.]+ %), peak stash ([^ ]+) .*$/\1 | \2/p'
}

# The measured times' cell in the row of this name, "$2" where they have none; nothing without a file of them.
measured_cell() {
  [ -n "$measured" ] || return 0
  local text
  text=$(awk -F, -v name="$1" '$1 == name { print substr($0, length(name) + 2); exit }' "$measured")
  echo " ${text:-$2} |"
}

echo "| Schedule | Bubble, p = 4, m = 8 | Peak | Bubble, p = 8, m = 32 | Peak | Weights |$(measured_cell schedule Step)"
echo "|---|---|---|---|---|---|${measured:+---|}"
"$troupe" schedule --list | while read -r name; do
  small=$(simulated "$name" 4 8)
  large=$(simulated "$name" 8 32)
  echo "| \`$name\` | $small | $large | $(weights_of "$name") |$(measured_cell "$name" -)"
done
