#!/bin/sh
# Puts a snapshot into the data folder of a stopped Redis: load-rdb.sh FILE FOLDER. Runs in the image of Redis too, so plain sh.
# DBFILENAME, APPENDFILENAME and APPENDDIRNAME name other files than Redis' own defaults.
set -eu
file="$1"
dir="$2"
dump="${DBFILENAME:-dump.rdb}"
append="${APPENDFILENAME:-appendonly.aof}"
append_dir="${APPENDDIRNAME:-appendonlydir}"
aside="$dir/before-restore-$(date -u +%Y%m%dT%H%M%SZ)"
work="$(mktemp -d)"
socket="$work/redis.sock"
server=""

# Redis takes no lock on its folder. Its files are open while it runs, where that can be seen.
for held in /proc/[0-9]*/cwd; do
  [ "$(readlink "$held" 2>/dev/null)" = "$(cd "$dir" && pwd -P)" ] || continue
  process="${held%/cwd}"
  case "$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)" in
    *redis-server*) echo "a redis-server (process ${process#/proc/}) still uses $dir: stop it first; nothing was changed" >&2 && exit 1 ;;
  esac
done

put_back() {
  [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true
  rm -rf "$work"
  [ "$1" -eq 0 ] && return
  rm -rf "${dir:?}/$dump" "$dir/$append_dir" "$dir/$append"
  [ ! -d "$aside" ] || for old in "$aside"/*; do [ ! -e "$old" ] || mv "$old" "$dir/"; done
  rmdir "$aside" 2>/dev/null || true
}
trap 'put_back $?' EXIT

mkdir "$aside"
for old in "$dump" "$append_dir" "$append"; do [ ! -e "$dir/$old" ] || mv "$dir/$old" "$aside/"; done
cp "$file" "$dir/$dump"

# Without append-only files it reads the dump; told to keep some now, it writes them from what it has read.
redis-server --port 0 --unixsocket "$socket" --dir "$dir" --dbfilename "$dump" --appendonly no --save "" --appendfilename "$append" \
  --appenddirname "$append_dir" --daemonize no >"$work/log" 2>&1 &
server=$!
told() { redis-cli -s "$socket" "$@" 2>&1 | tr -d '\r'; }
waiting=0
until [ "$(told PING)" = PONG ]; do
  kill -0 "$server" 2>/dev/null || { echo "redis-server could not load $file:" >&2 && tail -n 5 "$work/log" >&2 && exit 1; }
  waiting=$((waiting + 1))
  [ "$waiting" -lt 6000 ] || { echo "redis-server has not loaded $file within ten minutes" >&2 && exit 1; }
  sleep 0.1
done
keys="$(told DBSIZE)"
[ "$(told CONFIG SET appendonly yes)" = OK ] || { echo "no append-only files could be begun" >&2 && exit 1; }
persistence() { told INFO persistence | sed -n "s/^$1://p"; }
while [ "$(persistence aof_rewrite_in_progress)$(persistence aof_rewrite_scheduled)" != 00 ]; do
  kill -0 "$server" 2>/dev/null || { tail -n 5 "$work/log" >&2 && exit 1; }
  sleep 0.1
done
[ "$(persistence aof_last_bgrewrite_status)" = ok ] || { echo "the append-only files could not be written:" >&2 && tail -n 5 "$work/log" >&2 && exit 1; }
told SHUTDOWN NOSAVE >/dev/null || true
wait "$server" || true
server=""
# Whoever runs this may be another user than Redis.
owner="$(stat -c %u:%g "$dir" 2>/dev/null || stat -f %u:%g "$dir")"
for new in "$dump" "$append_dir" "$append"; do [ ! -e "$dir/$new" ] || chown -R "$owner" "$dir/$new" 2>/dev/null || true; done
rmdir "$aside" 2>/dev/null || true
echo "Loaded $keys keys into $dir." >&2
