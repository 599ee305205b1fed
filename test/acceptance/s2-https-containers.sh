#!/usr/bin/env bash
# S2 from the beginning to the end, in containers: certificates by one command, the document's lines to start and stop, HTTPS on its ports without -k,
# Prometheus with every node as a target over TLS, renewed certificates taken while everything runs.
#   bash test/acceptance/s2-https-containers.sh
# Needs a Docker engine with the base images on it (nothing is pulled); without one it says so and ends with 77.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

skip() {
  echo "SKIPPED s2-https-containers: $1" >&2
  exit 77
}
docker info >/dev/null 2>&1 || skip "no Docker engine answers here"
for base in node:24-bookworm-slim redis:7-alpine prom/prometheus:latest; do
  docker image inspect "$base" >/dev/null 2>&1 || skip "the image $base is not on the engine"
done
if ! docker compose version >/dev/null 2>&1; then
  command -v docker-compose >/dev/null 2>&1 || skip "there is no Docker Compose"
  # The lines below are the document's; the older program goes by another name.
  docker() {
    if [ "$1" = compose ]; then
      shift
      command docker-compose "$@"
    else
      command docker "$@"
    fi
  }
fi

# Names and an address of its own: other clusters of this machine go on undisturbed.
export COMPOSE_PROJECT_NAME="trivet-s2-$$"
image="trivet-s2-$$"
address=127.0.0.77
folder="$(mktemp -d)"
export CURL_HOME="$folder"
nodes=()
for role in lock queue cache; do for number in 1 2 3; do nodes+=("node_${role}_$number"); done; done

finish() {
  local code=$?
  [ "$code" -eq 0 ] || (cd "$folder/docker" && docker compose logs --tail 20) >&2 || true
  (cd "$folder/docker" && docker compose --profile split --profile monitoring down --volumes --remove-orphans) >/dev/null 2>&1 || true
  docker image rm "$image" >/dev/null 2>&1 || true
  rm -rf "$folder"
  [ "$code" -eq 0 ] && echo "s2-https-containers: passed"
  exit "$code"
}
trap finish EXIT

fail() {
  echo "FAILED s2-https-containers: $1" >&2
  exit 1
}
# until_true WHAT SECONDS COMMAND…: waits for a condition.
until_true() {
  local what="$1" end=$((SECONDS + $2))
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "waited for $what"
    sleep 1
  done
}
ask() { curl --silent --show-error --fail-with-body "$@"; }
# expect WHAT PATTERN COMMAND…: the output of the command has the pattern in it.
expect() {
  local what="$1" pattern="$2" said
  shift 2
  said="$("$@" 2>&1)" || fail "$what: $said"
  grep -qE "$pattern" <<<"$said" || fail "$what: expected $pattern, got: $said"
  echo "ok: $what"
}
refused() {
  local what="$1"
  shift
  if "$@" >/dev/null 2>&1; then fail "$what: it was answered"; fi
  echo "ok: $what"
}

cp -r "$root/docker" "$root/.env.node1" "$root/.env.node2" "$root/.env.node3" "$root/.env.example" "$folder/"
mkdir -p "$folder/benchmarks" "$folder/logs" "$folder/access"
chmod a+rwx "$folder" "$folder/logs"
cp "$root/benchmarks/load_test_scenarios.py" "$folder/benchmarks/"
cd "$folder"

# 1. Setup: .env, and the certificates by one command in place of the document's sixteen.
cp .env.example .env
cat >.env <<SETTINGS
INTERNAL_PORT=8000
SHARED_MAC_KEY=mysecretpresharedkey123456
COMPOSE_FILE=docker-compose.yml:docker-compose.tls.yml:here.yml
COMPOSE_PROFILES=split
CLUSTER_REPLICAS=0
PUBLISH_ADDRESS=$address
SETTINGS
ln -sfn ../.env docker/.env
{
  echo "services:"
  for name in node1 node2 node3 node_scalable node_queue_scalable "${nodes[@]}"; do printf '  %s:\n    image: %s\n' "$name" "$image"; done
  printf '  redis:\n    container_name: %s-redis\nnetworks:\n  default:\n    name: %s\n' "$COMPOSE_PROJECT_NAME" "$COMPOSE_PROJECT_NAME"
} >docker/here.yml
# curl trusts the authority, and finds the ports of the document at the address above; its lines stay as they are.
printf 'cacert = "%s/certs/ca.crt"\nconnect-to = "localhost::%s:"\nmax-time = 20\n' "$folder" "$address" >.curlrc
"$root/scripts/gen_certs.sh" --compose
for name in node1 "${nodes[@]}"; do [ -f "certs/$name.crt" ] || fail "certs/$name.crt was not made"; done
if [ "$(id -u)" -eq 0 ]; then
  [ "$(stat -c %u certs/node_lock_1.key)" = 1000 ] || fail "the containers' user cannot read its key"
  [ "$(stat -c %u certs/ca.key)" = 0 ] || fail "the containers' user could read the authority's key"
fi

# 2. Start. Built once for all services; the document builds in the same line.
docker build --quiet --tag "$image" --file "$root/docker/Dockerfile.node" "$root"
cd docker/
docker compose down && docker compose up --force-recreate -d
healthy() {
  local count
  count="$(docker ps --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --format '{{.Names}} {{.Status}}' | grep node_ | grep -c '(healthy)')" || true
  [ "$count" -eq 9 ]
}
until_true "nine nodes that are healthy by their own check over HTTPS" 300 healthy
echo "ok: nine nodes are healthy"

# 4. The system runs: HTTPS on the document's ports, without -k.
cd "$folder"
for port in 8001 8002 8003 9101 10001 10002 10003; do
  expect "https://localhost:$port" '"status": ?"ok"' ask "https://localhost:$port/health"
done
json=(-H "Content-Type: application/json")
expect "a lock through one node" . ask -X POST "https://localhost:8001/lock/s2?lock_type=exclusive"
expect "is seen through another" '"held"' ask https://localhost:8002/lock/s2
expect "and released through a third" . ask -X DELETE https://localhost:8003/lock/s2
expect "a group" . ask -X POST https://localhost:9101/queue/create-group "${json[@]}" -d '{"queue_name": "jobs"}'
expect "a message" . ask -X POST https://localhost:9101/queue/produce "${json[@]}" -d '{"queue_name": "jobs", "message": {"task": 1}}'
expect "is consumed" '"task": ?1' ask -X POST https://localhost:9101/queue/consume "${json[@]}" -d '{"queue_name": "jobs", "consumer_id": "w"}'
expect "a cached value" . ask -X POST https://localhost:10001/cache/k "${json[@]}" -d '{"data": 7}'
expect "is read through another node" '"data": ?7' ask https://localhost:10003/cache/k
expect "plain HTTP is told what is wanted" https_required curl --silent http://localhost:8001/health
refused "without the authority nobody is trusted" curl --silent --cacert /dev/null https://localhost:8001/health

# Monitoring: every node of this topology is a target, and none is down.
(cd docker && docker compose --profile split --profile monitoring up -d --no-deps prometheus)
all_up() {
  local said
  said="$(curl --silent http://localhost:9090/api/v1/targets)" || return 1
  [ "$(grep -o '"health":"up"' <<<"$said" | wc -l)" -eq 10 ] && [ "$(grep -o '"health":"[a-z]*"' <<<"$said" | wc -l)" -eq 10 ] || return 1
  for name in "${nodes[@]}"; do grep -q "https://$name:8000/v1/metrics" <<<"$said" || return 1; done
}
until_true "nine nodes and Prometheus itself as targets that are up" 120 all_up
echo "ok: Prometheus has every node over TLS, and none is down"

# A certificate that is renewed is taken by the running container.
serial() { openssl s_client -connect "$address:8001" -CAfile certs/ca.crt </dev/null 2>/dev/null | openssl x509 -noout -serial; }
before="$(serial)"
"$root/scripts/gen_certs.sh" node_lock_1 --compose --renew
renewed() { [ "$(serial)" != "$before" ]; }
until_true "the new certificate" 60 renewed
echo "ok: a renewed certificate is in use"

# 3. Stop.
cd docker/
docker compose --profile split --profile monitoring down
[ -z "$(docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")" ] || fail "something was left"
