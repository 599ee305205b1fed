import type { ClientFrame, ServerFrame } from "@trivet/wire";

export const clientFrameSamples: { readonly [T in ClientFrame["type"]]: readonly Extract<ClientFrame, { type: T }>[] } = {
  hello: [{ type: "hello", protocol: 1, caller: "c1", label: "host/123", session: 300 }],
  commands: [{ type: "commands", frame: new Uint8Array([1, 2, 3]) }],
  "keep-alive": [{ type: "keep-alive", batch: 4, sessions: [300, 2 ** 40] }],
  ping: [{ type: "ping", nonce: 128 }],
  "shard-commands": [{ type: "shard-commands", group: 200, frame: new Uint8Array([1, 2, 3]) }],
  "resolve-queue": [
    { type: "resolve-queue", request: 300, name: "orders", create: true },
    { type: "resolve-queue", request: 1, name: "é", create: false },
  ],
  "await-queue": [{ type: "await-queue", request: 300, name: "orders", waitMs: 60_000 }],
  "watch-queue": [
    { type: "watch-queue", queue: 300, group: "billing", consumer: "host/1", on: true },
    { type: "watch-queue", queue: 1, group: "g", consumer: "c", on: false },
  ],
  "consumer-begun": [
    { type: "consumer-begun", queue: 300, group: "billing", consumer: "host/1", begun: { messages: 300, partitions: [0, 2, 1023] } },
    { type: "consumer-begun", queue: 1, group: "g", consumer: "c", begun: { messages: 0, partitions: [] } },
  ],
  "to-homes": [
    {
      type: "to-homes",
      program: "p1",
      messages: [
        { group: 3, message: { type: "renew", term: 4, incarnation: 300, request: 2, processed: 1 } },
        { group: 200, message: { type: "fetch", term: 1, incarnation: 1, line: "1\u0000k", txn: 9, confirmed: true } },
      ],
    },
    {
      type: "to-homes",
      program: "p1",
      messages: [{ group: 3, message: { type: "read", term: 4, incarnation: 300, line: "1\u0000k", txn: 9 } }],
    },
  ],
  "resolve-namespace": [{ type: "resolve-namespace", request: 300, name: "é" }],
  "load-cached": [
    { type: "load-cached", request: 2, name: "items", key: "é", how: "wait", timeoutMs: 500 },
    { type: "load-cached", request: 3, name: "items", key: "k", how: "claim", timeoutMs: 500 },
  ],
  "invalidate-cache": [{ type: "invalidate-cache", request: 1, name: "items", tag: "t", timeoutMs: 10_000 }],
  traced: [
    {
      type: "traced",
      traces: [
        { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", flags: 1, state: "vendor=1" },
        { traceId: "00000000000000000000000000000001", spanId: "00000000000000ff", flags: 1, state: "" },
      ],
      frame: { type: "shard-commands", group: 200, frame: new Uint8Array([1, 2, 3]) },
    },
  ],
};

const known = { request: 300, namespace: 2, version: 3, shards: 8, refusal: "none", detail: "" } as const;
const resolved = { type: "namespace-resolved", ...known } as const;

export const serverFrameSamples: { readonly [T in ServerFrame["type"]]: readonly Extract<ServerFrame, { type: T }>[] } = {
  welcome: [
    {
      type: "welcome",
      protocol: 1,
      cluster: "c0ffee",
      node: "node1",
      leader: "node2",
      leaderUrl: "http://127.0.0.1:8002",
      term: 3,
      groupTime: 1_790_000_000_000,
      callerWindow: 1024,
      maxFrameBytes: 1_048_576,
      maxCommandsPerFrame: 1024,
      queueDefaults: {},
    },
    {
      type: "welcome",
      protocol: 3,
      cluster: "c0ffee",
      node: "node1",
      leader: "node2",
      leaderUrl: "http://127.0.0.1:8002",
      term: 3,
      groupTime: 1_790_000_000_000,
      callerWindow: 1024,
      maxFrameBytes: 1_048_576,
      maxCommandsPerFrame: 1024,
      queueDefaults: { partitions: 8, visibilityMs: 30_000, maxDeliveries: 5, maxMessages: 1_000_000 },
    },
  ],
  results: [
    {
      type: "results",
      caller: "c1",
      results: [
        { sequence: 1000, result: { type: "done" } },
        { sequence: 1001, result: { type: "cancelled" } },
        { sequence: 990, result: { type: "session-lost", session: 5 } },
      ],
    },
  ],
  "keep-alive-answer": [{ type: "keep-alive-answer", batch: 4, groupTime: 1_790_000_000_000, alive: [300], lost: [5, 6] }],
  refused: [
    { type: "refused", caller: "c1", firstSequence: 1000, count: 64, code: "no_leader", retryAfterMs: 200, detail: "election" },
    { type: "refused", caller: "c1", firstSequence: 1, count: 1, code: "no_quorum", retryAfterMs: 0, detail: "" },
    { type: "refused", caller: "c1", firstSequence: 1, count: 1, code: "overloaded", retryAfterMs: 0, detail: "" },
    { type: "refused", caller: "c1", firstSequence: 1, count: 1, code: "stopping", retryAfterMs: 0, detail: "" },
    { type: "refused", caller: "c1", firstSequence: 1, count: 1, code: "storage", retryAfterMs: 0, detail: "" },
    { type: "refused", caller: "c1", firstSequence: 1, count: 1, code: "forbidden", retryAfterMs: 0, detail: "" },
    { type: "refused", caller: "c1", firstSequence: 1, count: 1, code: "removed", retryAfterMs: 0, detail: "" },
    { type: "refused", caller: "c1", firstSequence: 1, count: 1, code: "redis_unavailable", retryAfterMs: 0, detail: "" },
  ],
  "leader-changed": [{ type: "leader-changed", leader: "node2", leaderUrl: "http://127.0.0.1:8002", term: 4 }],
  "session-event": [
    { type: "session-event", session: 300, event: "expired" },
    { type: "session-event", session: 300, event: "closed" },
  ],
  closing: [
    { type: "closing", code: "protocol", detail: "speaks 1 to 1" },
    { type: "closing", code: "malformed", detail: "" },
    { type: "closing", code: "stopping", detail: "" },
    { type: "closing", code: "overloaded", detail: "" },
    { type: "closing", code: "unauthorized", detail: "" },
    { type: "closing", code: "idle", detail: "" },
  ],
  pong: [{ type: "pong", nonce: 128, groupTime: 1_790_000_000_000 }],
  "shard-results": [
    {
      type: "shard-results",
      group: 200,
      caller: "c1",
      results: [
        { sequence: 1000, bytes: new Uint8Array([1, 2]) },
        { sequence: 990, bytes: new Uint8Array(0) },
      ],
    },
  ],
  "shard-refused": [
    {
      type: "shard-refused",
      group: 7,
      caller: "c1",
      firstSequence: 1000,
      count: 64,
      code: "no_leader",
      retryAfterMs: 200,
      detail: "election",
    },
  ],
  "queue-resolved": [
    {
      type: "queue-resolved",
      request: 300,
      queue: 5,
      version: 9,
      partitions: 1024,
      shards: 16,
      backend: "embedded",
      refusal: "none",
      detail: "",
    },
    { type: "queue-resolved", request: 1, queue: 1, version: 1, partitions: 1, shards: 1, backend: "redis", refusal: "none", detail: "" },
    { type: "queue-resolved", request: 1, queue: 1, version: 1, partitions: 1, shards: 1, backend: "memory", refusal: "none", detail: "" },
    ...(["unknown", "invalid", "too-many", "unavailable"] as const).map((refusal) => ({
      type: "queue-resolved" as const,
      request: 2,
      queue: 0,
      version: 0,
      partitions: 0,
      shards: 0,
      backend: "embedded" as const,
      refusal,
      detail: "why",
    })),
  ],
  "queue-ready": [
    { type: "queue-ready", queue: 5, partition: 0, group: "billing" },
    { type: "queue-ready", queue: 5, partition: -1, group: "billing" },
  ],
  "to-holders": [
    {
      type: "to-holders",
      messages: [
        { group: 3, message: { type: "renewed", term: 4, incarnation: 300, request: 2, sequence: 1 } },
        { group: 200, message: { type: "share", term: 1, incarnation: 1, sequence: 2, line: "1\u0000k" } },
      ],
    },
  ],
  "namespace-resolved": [
    { ...resolved, name: "é", mode: "ttl", staleMs: 500, compressOver: 0, hasOrigin: false, revalidateMs: 0 },
    { ...resolved, name: "n", mode: "write-through", staleMs: 0, compressOver: 1_024, hasOrigin: true, revalidateMs: 0 },
    { ...resolved, name: "r", mode: "strict", staleMs: 0, compressOver: 0, hasOrigin: true, revalidateMs: 300 },
  ],
  "cache-loaded": [
    { type: "cache-loaded", request: 2, refusal: "origin-unavailable", detail: "away" },
    { type: "cache-loaded", request: 3, refusal: "yours", detail: "" },
  ],
  "cache-invalidated": [{ type: "cache-invalidated", request: 1, shards: 8, refusal: "outcome-unknown", detail: "request 1" }],
};
