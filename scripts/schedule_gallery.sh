#!/usr/bin/env bash
# Draws every schedule of `troupe schedule --list` into docs/pictures/schedules/ and writes what docs/schedules.md says
# about the pictures, between its markers. A second run changes nothing.
#   scripts/schedule_gallery.sh [BUILD_DIR]           draw and write
#   scripts/schedule_gallery.sh --check [BUILD_DIR]   only tell whether that would change anything
set -euo pipefail
cd "$(dirname "$0")/.."

check=
if [ "${1-}" = --check ]; then
  check=yes
  shift
fi
build=${1:-build/release}
troupe=$build/troupe
page=docs/schedules.md
pictures=docs/pictures/schedules
measured=benchmarks/schedule_steps.csv # read by schedule_table.sh, if it is there

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Flags that show a schedule's idea in a picture that fits a page.
flags_of() {
  case $1 in
  naive) echo --stages 4 --microbatches 2 ;;
  gpipe) echo --stages 4 --microbatches 4 ;;
  interleaved-1f1b | interleaved-zb | looped-bfs | zb-v | v-half) echo --stages 3 --microbatches 6 ;;
  dualpipev) echo --stages 3 --microbatches 7 ;;
  auto) echo --stages 3 --microbatches 4 --chunks 2 --cost f=1/1/2,i=1/1/2,w=1/1/2 ;;
  pipedream*) echo --stages 3 --microbatches 3 ;;
  v-min) echo --stages 4 --microbatches 5 ;;
  hanayo) echo --stages 4 --microbatches 4 ;;
  compare) echo --compare zb-h1,zb-v --stages 4 --microbatches 8 ;;
  *) echo --stages 4 --microbatches 8 ;;
  esac
}

# The command line that draws a picture, as a reader would type it.
command_of() {
  local name=$1
  [ "$name" = compare ] && name=1f1b
  echo "troupe schedule $name $(flags_of "$1") --format svg"
}

draw() {
  local command
  command=$(command_of "$1")
  # shellcheck disable=SC2086 # the flags are words
  "$troupe" ${command#troupe } --output "$work/pictures/$1.svg" 2> "$work/notes" || { cat "$work/notes" >&2; return 1; }
}

# Markdown that shows a picture, with the command below it.
entry() {
  local text="The schedule $1, drawn"
  [ "$1" = compare ] && text='Schedules at one scale'
  # shellcheck disable=SC2016 # the backquotes are Markdown's
  printf '![%s](pictures/schedules/%s.svg)\n\n`%s`\n' "$text" "$1" "$(command_of "$1")"
}

mapfile -t names < <("$troupe" schedule --list)
[ ${#names[@]} -gt 0 ] || { echo "schedule_gallery.sh: $troupe lists no schedules" >&2; exit 1; }
mkdir "$work/pictures" "$work/parts"
for name in "${names[@]}" compare; do
  draw "$name"
  entry "$name" > "$work/parts/picture: $name"
done
table=("$build")
[ ! -f "$measured" ] || table+=("$measured")
scripts/schedule_table.sh "${table[@]}" > "$work/parts/table"
# Schedules that the page has no marker for yet.
for name in "${names[@]}"; do
  grep -qxF "<!-- picture: $name -->" "$page" || { printf '**%s**\n\n' "$name"; entry "$name"; echo; }
done > "$work/parts/other pictures"

# Each marker is kept, and all up to the next <!-- end --> is replaced by the part of the marker's name.
awk -v parts="$work/parts/" '
  skipping && $0 != "<!-- end -->" { next }
  { skipping = 0; print }
  /^<!-- .* -->$/ && $0 != "<!-- end -->" {
    name = substr($0, 6, length($0) - 9)
    while ((got = (getline line < (parts name))) > 0) print line
    if (got < 0) { print "schedule_gallery.sh: unknown marker: " name > "/dev/stderr"; exit 1 }
    skipping = 1
  }' "$page" > "$work/page"

if [ -n "$check" ]; then
  diff -r "$work/pictures" "$pictures" > "$work/changes" && diff "$page" "$work/page" > "$work/changes" && exit 0
  head -c 2000 "$work/changes"
  echo "$page or $pictures differ from what $troupe draws; scripts/schedule_gallery.sh brings them up to date" >&2
  exit 1
fi
mkdir -p "$pictures"
rm -f "$pictures"/*.svg
cp "$work/pictures"/*.svg "$pictures"
cmp -s "$work/page" "$page" || cp "$work/page" "$page"
printf '%s pictures in %s, the largest of %s bytes\n' "$((${#names[@]} + 1))" "$pictures" \
  "$(wc -c "$pictures"/*.svg | sort -n | tail -n 2 | head -n 1 | awk '{print $1}')"
