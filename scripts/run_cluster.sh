#!/usr/bin/env bash
# Builds the image, starts the cluster of docker/docker-compose.yml, waits until it has a leader, and shows the health of 8001-8003 (S4).
#   cp env.example .env && bash scripts/run_cluster.sh
#   ENV_FILE=.env.production bash scripts/run_cluster.sh
#   TLS=1 bash scripts/run_cluster.sh                       over HTTPS, with certificates that it makes in certs/ where there are none
set -euo pipefail
cd "$(dirname "$0")/.."
deadline="${START_TIMEOUT:-120}"

fail() {
  printf 'error: %s\n  Next: %s\n' "$1" "$2" >&2
  exit "$3"
}

if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v docker-compose >/dev/null 2>&1; then
  compose=(docker-compose)
else
  fail "There is no Docker Compose here." "install Docker with Compose, or start without containers: npm start" 69
fi
docker info >/dev/null 2>&1 || fail "The Docker engine does not answer." "start it, or start without containers: npm start" 69

arguments=(-f docker/docker-compose.yml)
scheme=http
trust=()
if [ "${TLS:-0}" = 1 ]; then
  scripts/gen_certs.sh --compose
  arguments+=(-f docker/docker-compose.tls.yml)
  scheme=https
  trust=(--cacert certs/ca.crt)
fi
file="${ENV_FILE:-.env}"
if [ -f "$file" ]; then
  arguments+=(--env-file "$PWD/$file")
  # The older docker-compose looks beside its file only: later commands of a person are to mean the same cluster.
  if [ "$file" = .env ] && { [ -L docker/.env ] || [ ! -e docker/.env ]; }; then ln -sfn ../.env docker/.env; fi
elif [ -n "${ENV_FILE:-}" ]; then
  fail "$file does not exist." "cp env.example $file" 78
fi

# The nodes write here as a user of their own, whoever made the folder.
mkdir -p logs
chmod a+rwx logs 2>/dev/null || echo "warning: logs/ belongs to somebody else; if it cannot be written the nodes log to stdout only" >&2

"${compose[@]}" "${arguments[@]}" up -d --build

health() { curl -s --max-time 2 ${trust[@]+"${trust[@]}"} "$scheme://localhost:$1/health" || true; }
well() { for port in 8001 8002 8003; do health "$port" | grep -q '"status": *"ok"' || return 1; done; }
until well; do
  if [ "$SECONDS" -gt "$deadline" ]; then
    "${compose[@]}" "${arguments[@]}" ps >&2
    fail "The cluster has no leader after $deadline s." "${compose[*]} ${arguments[*]} logs" 69
  fi
  sleep 1
done
for port in 8001 8002 8003; do printf '%s  %s\n' "$port" "$(health "$port")"; done
