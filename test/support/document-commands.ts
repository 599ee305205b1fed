import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { repository } from "./processes.ts";

/** Every curl command of the source documents, to the letter. S2 and S3 have none that names a whole address, S1 none at all. */
export const s0 = {
  greetings: ["curl http://localhost:8001/", "curl http://localhost:8002/", "curl http://localhost:8003/"],
  acquire: 'curl -X POST "http://localhost:8001/lock/test-lock?lock_type=exclusive"',
  lock: "curl http://localhost:8001/lock/test-lock",
  release: "curl -X DELETE http://localhost:8001/lock/test-lock",
  produce: `curl -X POST http://localhost:8001/queue/test-queue \\
  -H "Content-Type: application/json" \\
  -d '{"data": "Hello World"}'`,
  consume: "curl http://localhost:8001/queue/test-queue",
  read: "curl http://localhost:8001/cache/item:123",
  write: `curl -X POST http://localhost:8001/cache/item:999 \\
  -H "Content-Type: application/json" \\
  -d '{"data": "New cached value"}'`,
  readAgain: "curl http://localhost:8001/cache/item:999",
  metrics: "curl http://localhost:8001/metrics",
  locks: "curl http://localhost:8001/locks",
} as const;

export const s4 = {
  health: ["curl http://localhost:8001/health", "curl http://localhost:8002/health", "curl http://localhost:8003/health"],
  metrics: "curl http://localhost:8001/metrics",
  prometheus: "curl http://localhost:8001/metrics?format=prometheus",
  cacheState: "curl http://localhost:8001/cache/state",
  leader: ["curl http://localhost:8001/raft/leader", "curl http://localhost:8002/raft/leader", "curl http://localhost:8003/raft/leader"],
  waitFor: "curl http://localhost:8001/locks/wait_for",
} as const;

export const knownCurls: ReadonlySet<string> = new Set([...Object.values(s0), ...Object.values(s4)].flat());

/** The documents themselves, where they lie beside the checkout. */
const folder = join(repository, "..", "shared", "reference", "originals");
export const hasOriginals: boolean = existsSync(folder);

/** Their texts in the order S0 to S4. */
export function originals(): readonly string[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith(".txt"))
    .toSorted();
  return names.map((name) => readFileSync(join(folder, name), "utf8"));
}

/** The curl commands of one document in its order, continued lines included: those of its code blocks, and those within a sentence. */
export function curlsOf(text: string): readonly string[] {
  const pattern = /^[ \t]*(curl (?:[^\n]*\\\n)*[^\n]*)$|`(curl [^`\n]*:\/\/[^`\n]*)`/gm;
  return [...text.matchAll(pattern)].map((match) => (match[1] ?? match[2] ?? "").trimEnd());
}

/** How each document starts, watches and scales its containers, to the letter; lines that start with spaces there do not here. */
export const composeLines = {
  s0: {
    up: "cd docker\ndocker-compose up -d",
    ps: "docker-compose ps",
    leader: 'docker-compose logs | grep "LEADER"',
    again: "docker-compose down\ndocker-compose up -d",
    downWithData: "docker-compose down -v",
  },
  s1: {
    build: "docker-compose -f docker/docker-compose.yml build --no-cache",
    up: "docker-compose -f docker/docker-compose.yml up -d",
    logs: "docker-compose -f docker/docker-compose.yml logs node_lock_1",
    down: "docker-compose -f docker/docker-compose.yml down",
    scale: "docker-compose -f docker/docker-compose.yml up -d --scale node_queue_scalable=3",
  },
  s2: { up: "docker compose down && docker compose up --build --force-recreate -d" },
  s3: {
    up: "docker compose -f docker/docker-compose.yml --env-file .env up --build -d",
    ps: "docker compose -f docker/docker-compose.yml ps",
  },
  s4: {
    up: "cp env.example .env\n\n# Start cluster\nbash scripts/run_cluster.sh",
    logs: "docker compose -f docker/docker-compose.yml logs -f node1",
    restart: "docker compose -f docker/docker-compose.yml restart node1",
    restartRedis: "docker compose -f docker/docker-compose.yml restart redis",
    tail: ["tail -f logs/node1.log", "tail -f logs/node1_structured.log"],
  },
} as const;

/** What S0 has its readers paste to add a fourth node. */
export const s0NodeFour = {
  env: `PORT=8004
NODE_ID=node4
ALL_NODES=http://node1:8001,http://node2:8002,http://node3:8003,http://node4:8004
REDIS_HOST=redis
REDIS_PORT=6379
`,
  service: `  node4:
    build:
      context: ..
      dockerfile: docker/Dockerfile.node
    env_file:
      - ../.env.node4
    ports:
      - "8004:8004"
    depends_on:
      redis:
        condition: service_healthy
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8004/"]
      interval: 10s
      timeout: 5s
      retries: 3
      start_period: 10s
    restart: unless-stopped
`,
} as const;

/** S0's example of a password for Redis: a line of the service in the Compose file, and one of the nodes' env files. */
export const s0Password = { command: "command: redis-server --requirepass mypassword", env: "REDIS_PASSWORD=mypassword" } as const;

/** S2's own lines for an authority and a certificate of a node, with what follows `openssl`; `/certs` is the folder. */
export const s2Openssl: readonly string[] = [
  "genpkey -algorithm RSA -out /certs/ca.key",
  'req -new -x509 -key /certs/ca.key -out /certs/ca.crt -days 365 -subj "/CN=MyLocalCA/O=DistributedSystem/C=ID"',
  "genpkey -algorithm RSA -out /certs/$env:NODE_NAME.key",
  'req -new -key /certs/$env:NODE_NAME.key -out /certs/$env:NODE_NAME.csr -subj "/CN=$env:NODE_NAME/O=DistributedSystem/C=ID"',
  "x509 -req -in /certs/$env:NODE_NAME.csr -CA /certs/ca.crt -CAkey /certs/ca.key -CAcreateserial -out /certs/$env:NODE_NAME.crt -days 365",
];

/** S4's line for load, and S3's. */
export const loadLines = {
  s3: "python -m locust -f benchmarks/load_test_scenarios.py",
  s4: "locust -f benchmarks/load_test_scenarios.py --host=http://localhost:8001 --users=50 --spawn-rate=5 --run-time=5m --headless",
} as const;
