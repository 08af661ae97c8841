#!/usr/bin/env bash
# Installs every Debian package that Troupe needs to build, test and demonstrate itself. Run it as often as you like:
# it asks the package manager for nothing when all is there. As root it installs directly, otherwise through sudo.
set -euo pipefail

packages=(
  g++ cmake ninja-build                      # the build
  clang-format clang-tidy                    # the house style, checked
  libcaf-dev libssl-dev libisal-dev          # the actors; SHA-256 and TLS; CRC32C
  libdnnl-dev libeigen3-dev librandom123-dev # GEMM, array expressions, counter-based random numbers
  protobuf-compiler libprotobuf-dev          # the run spec, the manifest, the wire
  libcli11-dev libfmt-dev nlohmann-json3-dev # command line, text, JSON
  catch2 libbenchmark-dev                    # tests and benchmarks
)

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: not root and no sudo; install these packages first: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
