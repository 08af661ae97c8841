#!/usr/bin/env bash
# The main job, from nothing: builds Troupe, trains a byte-level GPT on real text in four pipeline stages, trains it
# again on one thread without a pipeline, and compares the weights bit for bit. Leaves its files in build/demo/.
set -euo pipefail
cd "$(dirname "$0")/.."

work=build/demo
troupe=build/release/troupe

heading() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[ -t 1 ] || heading() { printf '\n== %s ==\n' "$1"; }
# Shows the command, then runs it. Through a pipe the program writes its progress as plain lines.
run() {
  printf '$'
  for word in "$@"; do
    case $word in *' '*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac
  done
  printf '\n'
  "$@" 2>&1 | cat
}

heading "Setting up and building"
scripts/setup.sh
scripts/build.sh release troupe
"$troupe" --version

heading "The text: Debian's license texts and the headers of the actor framework"
rm -rf "$work"
mkdir -p "$work"
# Regular files only, so that no link brings a text twice; shuffled alike each time, so that the held-out end of the
# corpus is made of the same kinds of text as the rest; indentation squeezed, so that there is more to learn than blanks.
find /usr/share/common-licenses /usr/include/caf -type f | LC_ALL=C sort |
  shuf --random-source=/usr/share/common-licenses/GPL-3 | tr '\n' '\0' | xargs -0 cat | tr -s ' ' > "$work/corpus.txt"
printf '%s: %s bytes; a byte is a token, the last tenth is held out for validation\n' \
  "$work/corpus.txt" "$(wc -c < "$work/corpus.txt")"

heading "The schedule: one forward, one backward in turn (1F1B)"
run "$troupe" schedule 1f1b --stages 4 --microbatches 8

spec=(--data "$work/corpus.txt"
      --layers 4 --width 128 --heads 4 --seq 64 --microbatches 8 --microbatch-size 4
      --steps 400 --lr 3e-3 --warmup-steps 20 --decay-steps 400 --min-lr 3e-4 --validation-every 100)

heading "Training in four stages, an actor each"
run "$troupe" train "${spec[@]}" --stages 4 --schedule 1f1b \
  --checkpoint "$work/run" --report "$work/pipeline.json" --trace "$work/trace.json"
cores=$(nproc)
if [ "$cores" -lt 4 ]; then
  printf 'Four ranks share %s cores here, so at least %s %% of their time must be idle; the bubble counts that too.\n' \
    "$cores" $((100 - 25 * cores))
fi

heading "The same run on one thread: plain loops, no stages, no actors"
run "$troupe" train "${spec[@]}" --schedule reference --report "$work/reference.json"

heading "Are they equal?"
# The lines of a report that tell what the run computed: two hashes, and all losses with every digit.
result() { sed -n -E '/"(weights|optimizer)_sha256":/p; /"losses": \[/,/\]/p' "$work/$1.json"; }
hash_of() { sed -n -E 's/^ *"weights_sha256": "([0-9a-f]{64})",?$/\1/p' "$work/$1.json"; }
printf 'four stages  %s\none thread   %s\n' "$(hash_of pipeline)" "$(hash_of reference)"
if [ -z "$(hash_of pipeline)" ] || [ "$(result pipeline)" != "$(result reference)" ]; then
  echo "NO: the two runs differ. That is a bug in Troupe." >&2
  exit 1
fi
echo "Yes: weights, optimizer state and the loss of every step are equal, bit for bit."

heading "What it has learnt"
run "$troupe" generate --checkpoint "$work/run" --prompt "namespace caf {" --tokens 300 --temperature 0.6

heading "Where to look next"
cat <<TEXT
what ran when       $work/trace.json: four tracks in https://ui.perfetto.dev
the report          $work/pipeline.json: docs/report.md explains it
the checkpoint      $troupe inspect $work/run checks its hashes; docs/checkpoint.md
go on training      $troupe train --resume $work/run --steps 800 --stages 2
TEXT
