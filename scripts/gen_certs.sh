#!/usr/bin/env bash
# The certificates of S2 by one command, in certs/ (CERT_PATH): ca.key, ca.crt, and NAME.key, NAME.csr, NAME.crt of each node.
#   scripts/gen_certs.sh                                       the seven nodes of S2
#   scripts/gen_certs.sh --compose                             the nodes of docker/docker-compose.yml, readable by the containers' user
#   scripts/gen_certs.sh node1 node2 node3 --host my-host      others, with further names they are reached by
# What is there and good is kept. Needs no openssl; it is `trivet cert init` and `trivet cert issue`.
set -euo pipefail
exec node "$(dirname "${BASH_SOURCE[0]}")/gen-certs.mjs" "$@"
