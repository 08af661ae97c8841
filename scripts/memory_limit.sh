#!/usr/bin/env bash
# Trains a model that does not fit a memory limit in one process, by four workers and a coordinator that are each held to that same limit
# (RLIMIT_DATA), with checkpoints through the coordinator and a resume; compares the weights with those of one process without a limit.
# Without snapshots for restarts, of which each process keeps up to two of each rank that it hosts and of as many others (docs/faults.md).
# Prints the most memory that each process had resident (VmHWM). Fails when anything does not happen as it says.
# Usage: scripts/memory_limit.sh [TROUPE] [WIDTH] [LIMIT_MIB]. Without TROUPE it builds one.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || scripts/build.sh release troupe > /dev/null
troupe=$(realpath "${1:-build/release/troupe}")
width=${2:-512}
limit_mib=${3:-512}
layers=16
every=600 # seconds for any one run

# What a process may have writable counts, whether it is touched or not: threads' stacks in full, and what glibc's arenas have claimed.
# So stacks are made smaller, and threads share one arena. Weights and stash are mappings of their own.
export MALLOC_ARENA_MAX=1 OMP_NUM_THREADS=1
limited() { # limited COMMAND...: in place of this shell
  ulimit -s 1024
  ulimit -d $((limit_mib * 1024))
  exec "$@"
}

scratch=$(mktemp -d)
workers=()
clean_up() {
  for process in "${workers[@]}"; do kill "$process" 2> /dev/null || true; done
  wait
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() {
  echo "scripts/memory_limit.sh: $1" >&2
  exit 1
}

resident() { awk '/^VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status" 2> /dev/null; }
# watched COMMAND...: runs it under the limit and leaves the most that it had resident in `most`. An exited process tells no more, so it is asked
# all along. Its own exit code is this function's.
watched() {
  (limited timeout --foreground "$every" "$@") > "$scratch/out" 2> "$scratch/err" &
  local parent=$! child='' seen
  most=0
  while kill -0 "$parent" 2> /dev/null; do
    child=${child:-$(cat "/proc/$parent/task/$parent/children" 2> /dev/null || true)}
    seen=$(resident "${child% }" || true)
    most=${seen:-$most}
    sleep 0.05
  done
  wait "$parent"
}
hash_of() { sed -n -E 's/^ *"weights_sha256": "([0-9a-f]{64})",?$/\1/p' "$scratch/$1.json"; }

find /usr/share/common-licenses -type f | LC_ALL=C sort | xargs cat > "$scratch/corpus.txt"
spec=(--data "$scratch/corpus.txt" --layers "$layers" --width "$width" --heads 8 --seq 32 --microbatches 8 --microbatch-size 1 --snapshot-every 0 --quiet)
echo "limit            $limit_mib MiB of writable memory for each process"
awk -v c="$width" -v l="$layers" 'BEGIN { n = 12 * c * c * l; printf "model            %.1f million parameters; with gradients and optimizer state %.0f MiB\n", n / 1e6, n * 16 / 2 ^ 20 }'

if watched "$troupe" train "${spec[@]}" --steps 1 --stages 4; then
  fail "found a model that fits into one process, expected one that does not; give a larger WIDTH or a smaller LIMIT_MIB"
fi
grep -qiE 'memory|bad_alloc' "$scratch/err" || fail "one process failed otherwise than for lack of memory: $(cat "$scratch/err")"
echo "one process      cannot: $(tail -1 "$scratch/err")"

for number in 1 2 3 4; do
  (limited "$troupe" worker --listen 127.0.0.1:0 --quiet) > "$scratch/worker$number" &
  workers+=($!)
done
addresses=
for number in 1 2 3 4; do
  until grep -q listening "$scratch/worker$number"; do
    kill -0 "${workers[$number - 1]}" 2> /dev/null || fail "worker $number did not start"
    sleep 0.05
  done
  addresses+=${addresses:+,}$(sed 's/listening on //' "$scratch/worker$number")
done

over_workers() { # over_workers NAME [flags]: prints what each process had resident at most, so far
  local name=$1
  shift
  watched "$troupe" train "$@" --workers "$addresses" --checkpoint-via coordinator --report "$scratch/$name.json" \
    --stages 4 --quiet || fail "$name: $(cat "$scratch/err")"
  printf '%-16s coordinator %s MiB, workers' "$name" "$most"
  for process in "${workers[@]}"; do printf ' %s' "$(resident "$process")"; done
  echo ' MiB'
}
over_workers trained "${spec[@]}" --steps 2 --checkpoint "$scratch/run" --checkpoint-every 1
over_workers resumed --resume "$scratch/run" --steps 3 --schedule zb-h1

timeout "$every" "$troupe" train "${spec[@]}" --steps 3 --stages 4 --report "$scratch/whole.json" > /dev/null
printf 'five processes   %s\none, no limit    %s\n' "$(hash_of resumed)" "$(hash_of whole)"
if [ -z "$(hash_of whole)" ] || [ "$(hash_of resumed)" != "$(hash_of whole)" ]; then
  fail "the two runs differ, which is a bug in Troupe"
fi
echo "Equal, bit for bit."
