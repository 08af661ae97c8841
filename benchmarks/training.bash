# Shared by the benchmarks that train the reference model: sourced, not run, after `stages` is set. Builds the programs and makes a scratch directory.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
scripts/build.sh release troupe troupe_fma_peak > /dev/null
build=build/release
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
find /usr/share/common-licenses -type f | LC_ALL=C sort | xargs cat > "$scratch/corpus.txt"

# train STEPS [flags]: GPT, 4 layers, width 256, 4 heads, sequences of 128, 8 microbatches of 4, fp32, one stage a core.
train() {
  local count=$1
  shift
  "$build/troupe" train --data "$scratch/corpus.txt" --layers 4 --width 256 --heads 4 --seq 128 --microbatch-size 4 --microbatches 8 \
    --stages "$stages" --schedule 1f1b --steps "$count" --quiet --report "$scratch/report.json" "$@" > /dev/null
}

# field NAME: of the last run's report.
field() { grep -oE "\"$1\": *[0-9.e+-]+" "$scratch/report.json" | head -1 | grep -oE '[0-9.e+-]+$'; }

# median_of FILE FORMAT: FORMAT is given the median, the number, the least and the greatest of the numbers in FILE.
median_of() {
  sort -g "$1" | awk -v format="$2" '{ r[NR] = $1 } END { printf format "\n", r[int((NR + 1) / 2)], NR, r[1], r[NR] }'
}

machine() { echo "$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $stages of $(nproc) cores"; }
