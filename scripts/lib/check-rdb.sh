#!/usr/bin/env bash
# Is this file a whole snapshot of Redis? Says why not, and ends with 1.
set -euo pipefail
file="$1"
[ -s "$file" ] || { echo "$file is empty" >&2 && exit 1; }
[ "$(head -c 5 "$file")" = REDIS ] || { echo "$file does not begin as a snapshot of Redis does" >&2 && exit 1; }
if command -v redis-check-rdb >/dev/null; then
  # Reads all of it, with its checksum.
  said="$(redis-check-rdb "$file" 2>&1)" || { printf '%s\n' "$said" | tail -n 5 >&2 && exit 1; }
fi
if [ -f "$file.sha256" ]; then
  wanted="$(cut -d ' ' -f 1 <"$file.sha256")"
  is="$(if command -v sha256sum >/dev/null; then sha256sum "$file"; else shasum -a 256 "$file"; fi | cut -d ' ' -f 1)"
  [ "$is" = "$wanted" ] || { echo "$file is not what was saved: its SHA-256 is $is, and $file.sha256 says $wanted" >&2 && exit 1; }
fi
