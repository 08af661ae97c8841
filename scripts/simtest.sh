#!/usr/bin/env bash
# Simulates trainings under the faults that seeds draw, on all cores; docs/simulation.md says what is checked.
#   scripts/simtest.sh [--seeds A..B] [--jobs N] [--keep-going]     100000 seeds of each kind unless said otherwise
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release troupe_simtest >&2
build/release/troupe_simtest --kind process --seeds 1..100000 "$@"
build/release/troupe_simtest --kind network --seeds 1..100000 "$@"
