#!/usr/bin/env bash
# Configures and builds one preset: build.sh PRESET [TARGET...]. Silent but for warnings, errors and every tenth step of
# the build (all of them, on one line, when standard output is a terminal).
set -euo pipefail
cd "$(dirname "$0")/.."

preset=$1
shift
configured=$(cmake --preset "$preset") || { echo "$configured"; exit 1; }

build=(cmake --build --preset "$preset")
[ $# -eq 0 ] || build+=(--target "$@")
export NINJA_STATUS="[%f/%t] "
if [ -t 1 ]; then
  "${build[@]}"
else
  # Lines that are not steps, such as a compiler's complaints, all pass.
  "${build[@]}" | sed -u -E '/^\[[0-9]+\/[0-9]+\]/{/^\[[1-9][0-9]*0\/|^\[([0-9]+)\/\1\]/!d}'
fi
