#!/usr/bin/env bash
# The house style: clang-format over every tracked source and header, then clang-tidy over every source with the release
# build's compile commands; headers are checked where they are included. lint.sh FILE... looks at these files only.
# Prints each finding and then one line; fails when there is a finding, or when a tool fails.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(git ls-files '*.cpp' '*.hpp')
fi
sources=()
for file in "${files[@]}"; do
  case $file in *.cpp) sources+=("$file") ;; esac
done

log=$(mktemp)
commands=$(mktemp -d)
trap 'rm -rf "$log" "$commands"' EXIT
failed=0

printf '%s\0' "${files[@]}" | xargs -0 clang-format --dry-run -Werror 2>&1 | tee "$log" || failed=1

if [ ${#sources[@]} -gt 0 ]; then
  # Writes the compile commands, and the headers that protoc makes.
  built=$(scripts/build.sh release troupe_proto 2>&1) || { printf "%s\n" "$built"; exit 1; }
  # Without precompiled headers, which are the compiler's own and would hide an include that is missing.
  sed -E 's/ -Winvalid-pch -include [^ ]+cmake_pch\.hxx//' build/release/compile_commands.json > "$commands/compile_commands.json"
  # Each file's findings are printed in one piece, although several run at a time; stderr holds only counts, unless
  # clang-tidy itself fails.
  check='found=$(clang-tidy --quiet -p "$3" "$1" 2>"$2.$$") && status=0 || status=$?
         [ -z "$found" ] || printf "%s\n" "$found"
         [ $status -eq 0 ] || grep -vE "^[0-9]+ warnings?( and [0-9]+ errors?)? (generated|treated)|^Error while processing|^Found compiler error" "$2.$$"
         rm -f "$2.$$"
         exit $status'
  printf '%s\0' "${sources[@]}" | xargs -0 -P "$(nproc)" -I{} bash -c "$check" lint {} "$log" "$commands" | tee -a "$log" || failed=1
fi

findings=$(grep -E '^[^ ]+:[0-9]+:[0-9]+: (error|warning): |^error: ' "$log" | sort -u | wc -l || true)
echo "lint: format of ${#files[@]} files, clang-tidy of ${#sources[@]} sources: $findings findings"
[ $failed -eq 0 ] && [ "$findings" -eq 0 ]
