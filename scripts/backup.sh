#!/usr/bin/env bash
# Saves what a Redis holds (queues with QUEUE_BACKEND=redis) into a file, while it runs. Nodes with embedded storage do not need this.
#   scripts/backup.sh                       from REDIS_URL, or REDIS_HOST and REDIS_PORT, into backup/
#   scripts/backup.sh /mnt/backups          into another folder
#   scripts/backup.sh --compose [FOLDER]    from the service `redis` of docker/docker-compose.yml
# The password comes from REDIS_PASSWORD or REDISCLI_AUTH, never from a flag. The last line on stdout is the file. scripts/restore.sh brings it back.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
umask 077

fail() {
  printf 'error: %s\n  Next: %s\n' "$1" "$2" >&2
  exit "$3"
}

compose() {
  if docker compose version >/dev/null 2>&1; then docker compose -f "$root/docker/docker-compose.yml" "$@"; else docker-compose -f "$root/docker/docker-compose.yml" "$@"; fi
}

if [ "${1:-}" = --compose ]; then
  shift
  # The password that this shell has, or else the one in the container's own environment: that has none where the password stands in `command:` alone, as
  # S0 writes it. It goes by the input, where no list of processes shows it.
  inside='IFS= read -r given || true; given="${given:-${REDIS_PASSWORD:-}}"; [ -z "$given" ] || export REDISCLI_AUTH="$given"; exec redis-cli "$@"'
  redis() { printf '%s\n' "${REDISCLI_AUTH:-${REDIS_PASSWORD:-}}" | compose exec -T redis sh -c "$inside" redis-cli "$@"; }
else
  command -v redis-cli >/dev/null || fail "There is no redis-cli here." "install redis-tools, or use --compose" 69
  [ -z "${REDIS_PASSWORD:-}" ] || export REDISCLI_AUTH="${REDISCLI_AUTH:-$REDIS_PASSWORD}"
  place=(-h "${REDIS_HOST:-127.0.0.1}" -p "${REDIS_PORT:-6379}")
  [ -z "${REDIS_URL:-}" ] || place=(-u "$REDIS_URL")
  redis() { redis-cli --no-auth-warning "${place[@]}" "$@"; }
fi
folder="${1:-backup}"

# redis-cli says on stdout what went wrong, and ends with 0.
said="$(redis PING 2>&1)" || true
case "$said" in
  PONG*) ;;
  *NOAUTH* | *WRONGPASS*) fail "Redis wants another password: $said" "set REDIS_PASSWORD" 77 ;;
  *) fail "Redis does not answer: $said" "start it, or set REDIS_HOST and REDIS_PORT, or REDIS_URL" 69 ;;
esac
replication="$(redis INFO replication | tr -d '\r')"
case "$replication" in
  *master_link_status:down*) fail "This Redis is a replica that has lost its primary: what it holds may be old." "take the backup from the primary" 69 ;;
esac

mkdir -p "$folder" || fail "$folder cannot be made." "name another folder" 74
file="$folder/redis-$(date -u +%Y%m%dT%H%M%SZ).rdb"
[ ! -e "$file" ] || fail "$file exists already." "wait a second" 74
part="$file.part"
trap 'rm -f "$part"' EXIT
# A snapshot as of this moment, as a replica would get it: the server needs no room on its disk and no access to the folder is needed.
redis --rdb - >"$part" 2>"$part.said" || fail "Redis sent no snapshot: $(cat "$part.said"; rm -f "$part.said")" "look at its log (memory for the fork, the rights of the user)" 69
rm -f "$part.said"
bash "$root/scripts/lib/check-rdb.sh" "$part" || fail "What came is not a whole snapshot; no file was kept." "run it again; look at the log of Redis" 74
sync "$part" 2>/dev/null || sync
mv "$part" "$file"
(cd "$folder" && if command -v sha256sum >/dev/null; then sha256sum "${file##*/}"; else shasum -a 256 "${file##*/}"; fi >"${file##*/}.sha256")
printf 'Saved %s bytes; bring them back with: scripts/restore.sh %s\n' "$(wc -c <"$file" | tr -d ' ')" "$file" >&2
printf '%s\n' "$file"
