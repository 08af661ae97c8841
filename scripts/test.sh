#!/usr/bin/env bash
# All tests, from nothing: installs what is missing, runs the actor tests under the sanitizers, then builds the release
# and runs everything through CTest. TROUPE_TEST_SANITIZERS=0 leaves the sanitizers out.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh

if [ "${TROUPE_TEST_SANITIZERS:-1}" != 0 ]; then
  for preset in dev tsan; do
    printf '\n== actor tests, preset %s ==\n' "$preset"
    scripts/build.sh "$preset" troupe_actor_tests
    ctest --preset "$preset" -R '^actors:'
  done
fi

printf '\n== all tests, preset release ==\n'
# Half the time of a build from nothing; it changes nothing of the program.
configured=$(cmake --preset release -DTROUPE_QUICK_BUILD=ON) || { echo "$configured"; exit 1; }
scripts/build.sh release
ctest --preset release
