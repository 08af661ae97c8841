#!/usr/bin/env bash
# How fast two processes talk: round trip of an empty message and tensors of 256 KiB to 64 MiB, through plain sockets, through the links of a
# distributed run, and through links over TLS, in turn within one run, on loopback. Medians; both processes share the machine's cores.
# Usage: benchmarks/wire.sh
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build.sh release troupe troupe_wire_pair > /dev/null
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
build/release/troupe certs "$scratch/job" --hosts 127.0.0.1 > /dev/null
echo "machine: $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores"
build/release/troupe_wire_pair "$scratch/job/127.0.0.1"
