#!/usr/bin/env bash
# Three hosts in one machine: network namespaces with addresses of their own, joined by a bridge. Makes certificates for all, starts a
# worker on two hosts, trains four ranks from the third over TLS, and compares the weights with those of the reference trainer.
# docs/distribution.md says the same for real machines. Needs root. Leaves nothing behind, also when it is interrupted.
# Usage: examples/namespaces.sh [TROUPE]. Exit code 77: cannot run here, which is said on stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

troupe=$(realpath "${1:-build/release/troupe}")
limit=120 # seconds for each run; it takes a few

cannot() { echo "examples/namespaces.sh: found $1, expected $2" >&2; exit 77; }
[ "$(id -u)" -eq 0 ] || cannot "user $(id -un)" "root, as it makes network namespaces"
command -v ip > /dev/null || cannot "no command ip" "iproute2"

# Names that no other run of this script has, short enough for an interface (15 characters).
tag=tr$$
scratch=$(mktemp -d)
workers=()
clean_up() {
  trap '' INT TERM # once begun, to the end
  for process in "${workers[@]}"; do kill "$process" 2> /dev/null || true; done
  for process in "${workers[@]}"; do wait "$process" 2> /dev/null || true; done
  for host in 1 2 3; do ip netns delete "$tag-$host" 2> /dev/null || true; done
  ip link delete "${tag}b" 2> /dev/null || true
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The switch, and three hosts with a cable to it each.
ip link add "${tag}b" type bridge 2> "$scratch/why" || cannot "no bridge ($(cat "$scratch/why"))" "a kernel that lets root make one"
ip link set "${tag}b" up
for host in 1 2 3; do
  ip netns add "$tag-$host"
  ip link add "${tag}p$host" type veth peer name eth0 netns "$tag-$host"
  ip link set "${tag}p$host" master "${tag}b" up
  ip -n "$tag-$host" address add "10.77.0.$host/24" dev eth0
  ip -n "$tag-$host" link set eth0 up
done

"$troupe" certs "$scratch/job" --hosts 10.77.0.1,10.77.0.2,10.77.0.3 > /dev/null
find /usr/share/common-licenses -type f | LC_ALL=C sort | xargs cat > "$scratch/corpus.txt"

for host in 2 3; do
  ip netns exec "$tag-$host" "$troupe" worker --listen "10.77.0.$host:7001" --tls "$scratch/job/10.77.0.$host" &
  workers+=($!)
done

spec=(--data "$scratch/corpus.txt" --layers 4 --width 64 --heads 4 --seq 32 --microbatches 8 --microbatch-size 2 --steps 5 --quiet)
echo "10.77.0.1 trains four ranks on 10.77.0.2 and 10.77.0.3"
timeout "$limit" ip netns exec "$tag-1" "$troupe" train "${spec[@]}" --stages 4 --workers 10.77.0.2:7001,10.77.0.3:7001 --tls "$scratch/job/10.77.0.1" \
  --report "$scratch/hosts.json" > /dev/null
timeout "$limit" "$troupe" train "${spec[@]}" --schedule reference --report "$scratch/reference.json" > /dev/null

hash_of() { sed -n -E 's/^ *"weights_sha256": "([0-9a-f]{64})",?$/\1/p' "$scratch/$1.json"; }
nodes() { grep -oE '"node": "[^"]*"' "$scratch/hosts.json" | cut -d'"' -f4 | xargs; }
printf 'ranks ran on  %s\nthree hosts   %s\none thread    %s\n' "$(nodes)" "$(hash_of hosts)" "$(hash_of reference)"
if [ -z "$(hash_of hosts)" ] || [ "$(hash_of hosts)" != "$(hash_of reference)" ]; then
  echo "NO: the two runs differ. That is a bug in Troupe." >&2
  exit 1
fi
echo "Equal, bit for bit."
