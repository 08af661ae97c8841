#!/usr/bin/env bash
# Trains with its checkpoints on a file system of 1 MiB, which has room for two of them: in one process, and over workers that write their
# parts themselves or send them. Shows that the run goes on, says so, has the weights of a run without checkpoints, leaves the last whole
# checkpoint in place and nothing else, that this one can be resumed, that checkpoints go on when there is room again, and that a trace that
# does not fit costs the run nothing else.
# Needs root, as it mounts a tmpfs; only this script sees it. Leaves nothing behind. Fails when anything does not happen as it says.
# Usage: scripts/full_disk.sh [TROUPE]. Without TROUPE it builds one. Exit code 77: cannot run here, which is said on stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

cannot() { echo "scripts/full_disk.sh: found $1, expected $2" >&2; exit 77; }
[ "$(id -u)" -eq 0 ] || cannot "user $(id -un)" "root, as it mounts a file system"
if [ "${FULL_DISK_INSIDE:-}" != yes ]; then
  unshare --mount true 2> /dev/null || cannot "no mount namespace" "a kernel that lets root make one, and util-linux"
  [ $# -gt 0 ] || scripts/build.sh release troupe > /dev/null
  FULL_DISK_INSIDE=yes exec unshare --mount --propagation private "$0" "$(realpath "${1:-build/release/troupe}")"
fi

troupe=$1
every=120 # seconds for any one run; it takes a few
scratch=$(mktemp -d)
clean_up() {
  [ -z "${run:-}" ] || kill "$run" 2> /dev/null || true
  wait
  umount "$scratch/disk" 2> /dev/null || true
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() {
  echo "scripts/full_disk.sh: $1" >&2
  exit 1
}
mkdir "$scratch/disk"
mount -t tmpfs -o size=1m troupe "$scratch/disk" 2> "$scratch/why" || cannot "no tmpfs ($(cat "$scratch/why"))" "root that may mount one"

for number in $(seq 100); do echo "$number: all the men and women merely players"; done > "$scratch/text"
spec=(--data "$scratch/text" --layers 2 --width 24 --heads 2 --seq 8 --microbatches 4 --microbatch-size 1 --stages 4 --quiet)
hash_of() { sed -n -E 's/^weights_sha256  ([0-9a-f]{64})$/\1/p' "$scratch/$1.out"; }
# train NAME [flags]: leaves NAME.out and NAME.err; the exit code is in `code`.
train() {
  local name=$1
  shift
  code=0
  timeout --foreground "$every" "$troupe" train "$@" > "$scratch/$name.out" 2> "$scratch/$name.err" || code=$?
}
expect_generations() { # expect_generations NAME...
  local found
  found=$(find "$scratch/disk/run" -mindepth 1 -maxdepth 1 ! -name decisions.log -printf '%f\n' | LC_ALL=C sort | tr '\n' ' ')
  [ "$found" = "$* " ] || fail "found $found in the checkpoint directory, expected $*"
  "$troupe" inspect "$scratch/disk/run" > "$scratch/inspected" || fail "found a checkpoint that is not whole: $(cat "$scratch/inspected")"
}
expect_same() { # expect_same NAME: its weights are those of the run without checkpoints
  if [ -z "$(hash_of whole)" ] || [ "$(hash_of "$1")" != "$(hash_of whole)" ]; then
    fail "$1: found other weights than without checkpoints"
  fi
}

train whole "${spec[@]}" --steps 6
[ "$code" -eq 0 ] || fail "a run without checkpoints: $(cat "$scratch/whole.err")"

for how in "" "--spawn 2 --checkpoint-via shared" "--spawn 2 --checkpoint-via coordinator"; do
  rm -rf "$scratch/disk/run"
  # shellcheck disable=SC2086 # words
  train full "${spec[@]}" --steps 6 --checkpoint "$scratch/disk/run" --checkpoint-every 1 $how
  [ "$code" -eq 3 ] || fail "found exit code $code, expected 3: $(cat "$scratch/full.err")"
  expect_same full
  for step in 3 4 5; do
    grep -qE "^checkpoint after step $step failed: .*: No space left on device; the one after step 2 stays; going on$" "$scratch/full.err" ||
      fail "found no line on step $step, expected one: $(cat "$scratch/full.err")"
  done
  [ "$(tail -1 "$scratch/full.err" | grep -cE '^troupe: checkpoint after step 6 failed: .*: No space left on device; the one after step 2 stays$')" -eq 1 ] ||
    fail "found another last line than on step 6: $(tail -1 "$scratch/full.err")"
  expect_generations step-00000001 step-00000002
  train resumed --resume "$scratch/disk/run" --checkpoint "$scratch/elsewhere" --quiet
  rm -rf "$scratch/elsewhere"
  [ "$code" -eq 0 ] || fail "the checkpoint that stayed cannot be resumed: $(cat "$scratch/resumed.err")"
  expect_same resumed
  echo "full disk        ${how:-one process}: went on without four checkpoints, same weights, and resumed from the second"
done

# A trace that does not fit, and two files after it for which little is left.
rm -rf "$scratch/disk/run"
train untraced "${spec[@]}" --steps 400
train traced "${spec[@]}" --steps 400 --trace "$scratch/disk/trace.json" --report "$scratch/disk/report.json" --timeline "$scratch/disk/timeline.svg"
[ "$code" -eq 3 ] || fail "found exit code $code, expected 3: $(cat "$scratch/traced.err")"
if [ -z "$(hash_of traced)" ] || [ "$(hash_of traced)" != "$(hash_of untraced)" ]; then
  fail "found other weights than without a trace"
fi
for line in "^warning: $scratch/disk/trace.json: cannot write: No space left on device; the trace ends here, the run goes on$" \
  "^troupe: $scratch/disk/trace.json: cannot write: No space left on device$"; do
  [ "$(grep -c "$line" "$scratch/traced.err")" -eq 1 ] || fail "found no line, or more, like '$line': $(cat "$scratch/traced.err")"
done
[ "$(tail -c 3 "$scratch/disk/trace.json")" = "$(printf '\n]\n')" ] || fail "found a trace without an end"
rm "$scratch/disk/"*
echo "full disk        a trace that does not fit ends there, whole, and the run goes on: same weights"

# Room for one checkpoint at first, and for two when the user has noticed.
rm -rf "$scratch/disk/run"
head -c 400K /dev/zero > "$scratch/disk/ballast"
timeout --foreground "$every" "$troupe" train "${spec[@]}" --steps 1000000000 --checkpoint "$scratch/disk/run" --checkpoint-every 5 \
  > "$scratch/freed.out" 2> "$scratch/freed.err" &
run=$!
until_there() { # until_there WHAT COMMAND...
  local what=$1
  shift
  until "$@" > /dev/null 2>&1; do
    kill -0 "$run" 2> /dev/null || fail "the run ended before $what: $(cat "$scratch/freed.err")"
    sleep 0.02
  done
}
until_there "a checkpoint failed" grep -q 'No space left on device; the one after step 5 stays; going on' "$scratch/freed.err"
"$troupe" inspect "$scratch/disk/run" > "$scratch/inspected" || fail "the checkpoint that stays is not whole: $(cat "$scratch/inspected")"
rm "$scratch/disk/ballast"
two_generations() { [ "$(find "$scratch/disk/run" -maxdepth 1 -name 'step-*' | wc -l)" -eq 2 ]; }
until_there "a second checkpoint was there" two_generations
kill -INT "$(cat "/proc/$run/task/$run/children")"
wait "$run" || true
run=
"$troupe" inspect "$scratch/disk/run" > "$scratch/inspected" || fail "found a checkpoint that is not whole: $(cat "$scratch/inspected")"
echo "room again       the next checkpoint is $(sed -n 's/^checkpoint  *//p' "$scratch/freed.out" | xargs basename)"
