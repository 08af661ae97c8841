#!/usr/bin/env bash
# Kills worker processes of real runs over TLS at random moments, one, two or all at once, and in some runs the
# coordinator, again and again, which another one then follows; compares each run with the reference. Prints p50 and p99 of the times to notice and to go on.
#   scripts/kill_workers.sh [--kills N] [--seed S]     200 kills unless said otherwise
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release troupe troupe_kill_workers >&2
exec build/release/troupe_kill_workers "$@"
