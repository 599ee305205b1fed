#!/usr/bin/env bash
# Restarts a cluster one node after the other without losing availability: before each node the others are up, caught up in all groups and led as they
# should be. Ends, and touches nothing more, when a node does not come back.
#   scripts/rolling_restart.sh lock_node1.env lock_node2.env lock_node3.env      nodes of this machine, by their env files
#   scripts/rolling_restart.sh --compose                                         node1..node3 of docker/docker-compose.yml
#   scripts/rolling_restart.sh --compose node_lock_1 node_lock_2 node_lock_3     other services of it
#   TLS=1 ENV_FILE=.env.production scripts/rolling_restart.sh --compose          with what scripts/run_cluster.sh was given; COMPOSE_FILE counts, too
#   scripts/rolling_restart.sh -- ssh-restart                                    any command; TRIVET_NODE names the node (TRIVET_URL: whom to ask)
# WAIT=300 gives each node five minutes to catch up instead of two. Kubernetes: docs/operations.md, "Rolling restart".
set -euo pipefail
script="$(cd "$(dirname "$0")" && pwd)/$(basename "$0")"
root="$(dirname "$(dirname "$script")")"
trivet="$root/packages/cli/bundle/main.js"
wait_seconds="${WAIT:-120}"

fail() {
  printf 'error: %s\n  Next: %s\n' "$1" "$2" >&2
  exit "$3"
}

# Reads an env file as the node itself reads it, and sets s_NODE_ID, s_DATA_DIR and so on. Fails with what is wrong in it.
read_settings() {
  local printed
  printed="$(node -- "$trivet" config print --json --env-file "$1")" || return 1
  eval "$(printf '%s' "$printed" | node -e 'let text = ""; process.stdin.on("data", (part) => (text += part)).on("end", () => {
    const wanted = new Set(["NODE_ID", "DATA_DIR", "LOG_DIR", "HTTP_HOST", "HTTP_PORT", "SHUTDOWN_TIMEOUT_MS", "TLS_MODE", "CERT_FILE", "CERT_PATH"]);
    const quoted = (value) => "\x27" + String(value ?? "").replaceAll("\x27", "\x27\\\x27\x27") + "\x27";
    for (const { name, value } of JSON.parse(text).settings) if (wanted.has(name)) console.log(`s_${name}=${quoted(value)}`);
  })')"
}

# Where this machine reaches the node whose settings were read.
url_of_settings() {
  local host="$s_HTTP_HOST" scheme=http
  case "$host" in 0.0.0.0 | :: | "") host=127.0.0.1 ;; esac
  case "$s_TLS_MODE-$s_CERT_FILE$s_CERT_PATH" in off-* | -) ;; *) scheme=https ;; esac
  printf '%s://%s:%s' "$scheme" "$host" "$s_HTTP_PORT"
}

# The command line of a process; empty = there is none.
line_of() {
  if [ -r "/proc/$1/cmdline" ]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -p "$1" -o args= 2>/dev/null || true; fi
}

# Stops and starts the node TRIVET_NODE of this machine. Arguments: NODE=FILE of every node.
restart_process() {
  local file="" pid="" folder="$PWD" limit logs pair
  for pair in "$@"; do [ "${pair%%=*}" = "$TRIVET_NODE" ] && file="${pair#*=}"; done
  [ -n "$file" ] || fail "None of the env files has NODE_ID=$TRIVET_NODE." "name the file of every node, or leave the node out with ONLY" 78
  # With settings that cannot be used it would be stopped and not start again.
  read_settings "$file" || fail "$TRIVET_NODE was not stopped: it could not start again with $file." "correct the value" 78
  if [ -s "$s_DATA_DIR/lock" ]; then
    pid="$(node -p 'const { pid, host } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")); host === require("os").hostname() ? pid : ""' "$s_DATA_DIR/lock")"
  fi
  # The lock file outlives its process, and ids are used again.
  case " $(line_of "${pid:-0}") " in *" serve "*) ;; *) fail "$TRIVET_NODE does not run on this machine ($s_DATA_DIR/lock)." "start it, or restart it where it runs" 69 ;; esac
  [ -e "/proc/$pid/cwd" ] && folder="$(readlink "/proc/$pid/cwd")"
  limit=$((s_SHUTDOWN_TIMEOUT_MS / 1000 + 10))
  case "$s_LOG_DIR" in "" | off) logs=/dev/null ;; *) logs="$s_LOG_DIR/$TRIVET_NODE.out" ;; esac
  kill -TERM "$pid"
  local until=$((SECONDS + limit))
  while [ -n "$(line_of "$pid")" ]; do
    [ "$SECONDS" -lt "$until" ] || fail "$TRIVET_NODE (process $pid) does not stop within $limit s." "look at its log; it was not killed" 69
    sleep 0.1
  done
  # Outlives this script and its terminal; what it says goes to its own log files, and the first lines of a start that fails to $logs.
  (cd "$folder" && exec nohup node --initial-old-space-size=128 --max-semi-space-size=8 -- "$trivet" serve --env-file "$file" </dev/null >>"$logs" 2>&1) &
  disown
}

compose() {
  local program=(docker compose)
  docker compose version >/dev/null 2>&1 || program=(docker-compose)
  (cd "$root/docker" && exec "${program[@]}" "${compose_arguments[@]}" "$@")
}

# A variable of Compose, from the environment or the env file.
compose_setting() {
  local value="${!1:-}"
  if [ -z "$value" ] && [ -f "$env_file" ]; then
    value="$(sed -n "s/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}$1=//p" "$env_file" | tail -n 1 | tr -d '\r"'"'" | sed 's/[[:space:]]*$//')"
  fi
  printf '%s' "$value"
}

# The cluster is recreated as it was started: the arguments of scripts/run_cluster.sh (ENV_FILE, TLS), or the files that COMPOSE_FILE names.
# Sets compose_arguments and scheme, and exports what Compose and the CLI read.
read_compose() {
  local certificates
  compose_arguments=()
  scheme=http
  env_file="${ENV_FILE:-.env}"
  case "$env_file" in /*) ;; *) env_file="$root/$env_file" ;; esac
  if [ -f "$env_file" ]; then
    compose_arguments+=(--env-file "$env_file")
  elif [ -n "${ENV_FILE:-}" ]; then
    fail "$ENV_FILE does not exist." "name the file that the cluster was started with" 78
  else
    env_file="$root/docker/.env"
  fi
  COMPOSE_FILE="$(compose_setting COMPOSE_FILE)"
  if [ "${TLS:-0}" = 1 ]; then
    compose_arguments+=(-f docker-compose.yml -f docker-compose.tls.yml)
    scheme=https
  elif [ -z "$COMPOSE_FILE" ]; then
    compose_arguments+=(-f docker-compose.yml)
  else
    case "$COMPOSE_FILE" in *docker-compose.tls.yml*) scheme=https ;; esac
  fi
  if [ -n "$COMPOSE_FILE" ]; then export COMPOSE_FILE; else unset COMPOSE_FILE; fi
  [ "$scheme" = https ] || return 0
  certificates="$(compose_setting CERTS_DIR)"
  case "${certificates:=../certs}" in /*) ;; *) certificates="$root/docker/$certificates" ;; esac
  export TRIVET_CA_FILE="${TRIVET_CA_FILE:-$certificates/ca.crt}"
}

# `node1=http://127.0.0.1:8001` (https with TLS): where this machine reaches a service.
published() {
  local port address
  for port in 8000 8001 8002 8003 8004; do
    address="$(compose port "$1" "$port" 2>/dev/null | tail -n 1)" || continue
    case "$address" in *:[1-9]*) printf '%s=%s://127.0.0.1:%s' "$1" "$scheme" "${address##*:}" && return ;; esac
  done
  fail "The service $1 publishes no port." "docker compose ps; is it running?" 69
}

join() { local IFS=,; printf '%s' "$*"; }

case "${1:-}" in
  --restart-process) shift && restart_process "$@" && exit ;;
  --restart-service) read_compose && compose up -d --no-deps --force-recreate "$TRIVET_NODE" && exit ;;
  "" | -h | --help) sed -n '2,10p' "$script" && exit 64 ;;
esac
[ -f "$trivet" ] || fail "Trivet is not built here." "npm run build" 69

arguments=(--wait "$wait_seconds")
[ -n "${ONLY:-}" ] && arguments+=(--only "$ONLY")
case "$1" in
  --)
    shift
    command=("$@")
    ;;
  --compose)
    shift
    read_compose
    [ $# -gt 0 ] || set -- node1 node2 node3
    places=()
    for service in "$@"; do places+=("$(published "$service")"); done
    TRIVET_URL="$(join "${places[@]#*=}")"
    arguments+=(--at "$(join "${places[@]}")")
    command=(bash "$script" --restart-service)
    ;;
  *)
    urls=()
    files=()
    for file in "$@"; do
      [ -f "$file" ] || fail "$file does not exist." "scripts/rolling_restart.sh --help" 78
      read_settings "$file" || fail "Nothing was restarted: $file cannot be used." "correct the value" 78
      urls+=("$(url_of_settings)")
      files+=("$s_NODE_ID=$(cd "$(dirname "$file")" && pwd)/$(basename "$file")")
    done
    TRIVET_URL="${TRIVET_URL:-$(join "${urls[@]}")}"
    command=(bash "$script" --restart-process "${files[@]}")
    ;;
esac
export TRIVET_URL
exec node -- "$trivet" member restart "${arguments[@]}" -- "${command[@]}"
