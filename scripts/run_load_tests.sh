#!/usr/bin/env bash
# S4's load tests against a running cluster: general, lock-stress, cache-coherence, queue-throughput, three-nodes, demo. Each leaves an HTML report.
#   bash scripts/run_load_tests.sh
#   HOST=http://localhost:8001 RUN_TIME=10s bash scripts/run_load_tests.sh lock-stress
set -euo pipefail
exec node "$(dirname "${BASH_SOURCE[0]}")/load-tests.mjs" "$@"
