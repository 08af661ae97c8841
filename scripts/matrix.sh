#!/usr/bin/env bash
# Trains a small model through every schedule over many numbers of ranks, chunks and microbatches, with and without
# recomputation, static and reactive, and compares all bits with the reference. Takes some minutes.
#   scripts/matrix.sh [BUILD_DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
[ $# -gt 0 ] || scripts/build.sh release troupe_actor_tests
exec "$build/troupe_actor_tests" "[matrix]"
