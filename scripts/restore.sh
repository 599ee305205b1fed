#!/usr/bin/env bash
# Brings back what scripts/backup.sh saved. Stop the nodes that keep queues in this Redis first: what they did since the backup is gone afterwards.
#   scripts/restore.sh FILE --compose                          the service `redis` of docker/docker-compose.yml
#   scripts/restore.sh FILE --dir /var/lib/redis               a Redis that is stopped; --dir is its data folder (CONFIG GET dir)
#   STOP='systemctl stop redis' START='systemctl start redis' scripts/restore.sh FILE --dir /var/lib/redis
# Copying dump.rdb into a running Redis loses the backup twice (B-02): when it stops it writes its present memory over the file, and with appendonly on it
# starts from its append-only files and ignores the dump. So: stop, set the old files aside, load the dump without append-only files, have new ones
# written from it, start. What was there is kept in before-restore-… of the data folder.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"

fail() {
  printf 'error: %s\n  Next: %s\n' "$1" "$2" >&2
  exit "$3"
}

compose() {
  if docker compose version >/dev/null 2>&1; then docker compose -f "$root/docker/docker-compose.yml" "$@"; else docker-compose -f "$root/docker/docker-compose.yml" "$@"; fi
}

file="${1:-}"
[ -n "$file" ] && [ "${file#-}" = "$file" ] || { sed -n '2,5p' "$0" && exit 64; }
shift
[ -f "$file" ] || fail "$file does not exist." "ls backup/" 66
bash "$root/scripts/lib/check-rdb.sh" "$file" || fail "$file cannot be restored; nothing was changed." "take another backup" 65

case "${1:-}" in
  --compose)
    compose stop redis
    # In a container with the data of the service and the tools of its image.
    tar -C "$(dirname "$file")" -cf - "$(basename "$file")" -C "$root/scripts/lib" load-rdb.sh |
      compose run --rm --no-deps -T --entrypoint sh redis -c "cd /tmp && tar -xf - && sh load-rdb.sh /tmp/$(basename "$file") /data" ||
      fail "The backup was not loaded; the data of before is in place." "look at the lines above, then: docker compose start redis" 74
    compose start redis
    ;;
  --dir)
    dir="${2:-}"
    [ -d "$dir" ] || fail "$dir is no folder." "redis-cli CONFIG GET dir" 66
    command -v redis-server >/dev/null || fail "There is no redis-server here, which is needed to load the backup." "install redis-server, or use --compose" 69
    [ -z "${STOP:-}" ] || bash -c "$STOP"
    sh "$root/scripts/lib/load-rdb.sh" "$file" "$dir" || fail "The backup was not loaded; the data of before is in place." "look at the lines above, then start Redis" 74
    [ -z "${START:-}" ] || bash -c "$START"
    ;;
  *) sed -n '2,5p' "$0" && exit 64 ;;
esac
printf 'Restored %s.\n' "$file" >&2
