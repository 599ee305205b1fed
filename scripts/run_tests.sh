#!/usr/bin/env bash
# The tests by the names that S4 gives them; every suite ends with one line `N passed, N failed`.
#   bash scripts/run_tests.sh                 all tests (comprehensive)
#   bash scripts/run_tests.sh lock_manager    one suite
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'END'
bash scripts/run_tests.sh [SUITE]

  comprehensive   everything that `npm test` runs (default)
  api_endpoints   every path of the API with its statuses and fields, those of the source documents too
  lock_manager    locks, sessions, deadlocks
  queue           queues
  cache           the cache and its eviction
  unit            tests without a cluster of processes
  integration     tests with real processes
  performance     short runs of the benchmarks and a load test against a cluster of its own
END
}

suite="${1:-comprehensive}"
[ $# -le 1 ] || { usage >&2; exit 64; }
case "$suite" in
  -h | --help) usage ;;
  comprehensive) exec node scripts/test.mjs ;;
  api_endpoints) exec node scripts/test.mjs contract packages/server/test/http packages/contract/test ;;
  lock_manager) exec node scripts/test.mjs packages/core/test/locks packages/core/test/sessions packages/server/test/http/locks packages/client/test/locks ;;
  queue) exec node scripts/test.mjs packages/core/test/queues packages/engine/test/queues packages/server/test/http/queue packages/client/test/queues ;;
  cache) exec node scripts/test.mjs packages/core/test/coherence packages/core/test/eviction packages/engine/test/cache packages/engine/test/shards/cache packages/server/test/http/cache packages/client/test/cache ;;
  unit) exec node scripts/test.mjs unit conformance model contract ;;
  integration) exec node scripts/test.mjs e2e ;;
  performance) exec node scripts/performance.mjs ;;
  *)
    printf 'error: there is no suite %s.\n\n' "$suite" >&2
    usage >&2
    exit 64
    ;;
esac
