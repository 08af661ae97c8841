#!/usr/bin/env bash
# Prints a table of all schedules in Markdown: bubble and peak stash as simulated where F, I and W take equally long,
# the weights that all ranks hold together in copies of the model, and a column of measured step times if there is a file of them.
#   scripts/schedule_table.sh [BUILD_DIR] [MEASURED.csv]
# MEASURED.csv has a line NAME,TEXT for each schedule that was measured, such as "zb-v,41.3 ms"; a first line that
# begins with "schedule," names the column instead.
set -euo pipefail
cd "$(dirname "$0")/.."

troupe=${1:-build/release}/troupe
measured=${2-}
notes=$(mktemp) # what the program says besides, shown when it fails
trap '[ $? -eq 0 ] || cat "$notes" >&2; rm -f "$notes"' EXIT

# Copies for passes in both directions, or versions by rank of the first size.
weights_of() {
  case $1 in
  dualpipe | chimera) echo '2 copies' ;;
  *)
    "$troupe" schedule "$1" --stages 4 --microbatches 8 --check 2> "$notes" |
      sed -n -E '/^weights  *(1 )*1$/s/.*/1/p; s/^weights  */versions: /p'
    ;;
  esac
}

# "27.3 % | 4": bubble and peak in microbatches of whole ranks. Of an asynchronous schedule the bubble of a further step.
simulated() { # name, ranks, microbatches
  "$troupe" schedule "$1" --compare "$1" --stages "$2" --microbatches "$3" 2> "$notes" |
    sed -n -E '1s/^.*, bubble ([0-9.]+ %), peak stash ([^ ]+) microbatch(es)?(; each further step [^ ]+, bubble ([0-9.]+ %))?$/\1|\2|\5/p' |
    awk -F'|' '{ print ($3 == "" ? $1 : $3) " | " $2 }'
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
