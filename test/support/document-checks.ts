import { expect } from "vitest";
import { s0, s4 } from "./document-commands.ts";
import { textOf, type Json } from "./http.ts";
import type { runVerbatim } from "./shell.ts";
import { ready, waitFor } from "./wait.ts";

/**
 * What the source documents tell their readers to try, and what has to come of it. The commands have the documents' addresses; `curl` knows
 * where the nodes of the test are. The same checks run against processes and against containers.
 */
export type Curl = (command: string) => ReturnType<typeof runVerbatim>;

export function postJson(curl: Curl, url: string, body: Json): ReturnType<Curl> {
  return curl(`curl -X POST ${url} -H "Content-Type: application/json" -d '${JSON.stringify(body)}'`);
}

/** Where a node says that it is, by the index of the node. */
export interface Place {
  readonly port: number;
  readonly url: string;
}

export async function greetings(curl: Curl, places: readonly Place[]): Promise<void> {
  for (const [index, command] of s0.greetings.entries()) {
    const { status, body } = await curl(command);
    expect(status).toBe(200);
    expect(body["message"]).toBe(`Hello from Node node${index + 1}`);
    expect(body["port"]).toBe(places[index]?.port);
    expect(body["peers"]).toEqual(places.filter((_, other) => other !== index).map(({ url }) => url));
  }
}

export async function locksOfS0(curl: Curl): Promise<void> {
  const taken = await curl(s0.acquire);
  expect(taken.status, taken.text).toBe(200);
  expect(taken.body).toMatchObject({ lock_name: "test-lock", lock_type: "exclusive" });
  expect(taken.body["owner"]).toMatch(/^anon-/);

  const held = await curl(s0.lock);
  expect(held.status).toBe(200);
  expect(held.body).toMatchObject({ lock_name: "test-lock", status: "held", owners: [taken.body["owner"]] });

  expect((await curl(s0.acquire)).status).toBe(423);

  const released = await curl(s0.release);
  expect(released.status).toBe(200);
  expect((await curl("curl http://localhost:8002/lock/test-lock")).body).toMatchObject({ status: "available" });
}

export async function metricsAndLocksOfS0(curl: Curl): Promise<void> {
  const metrics = await curl(s0.metrics);
  expect(metrics.status).toBe(200);
  expect(metrics.body).toMatchObject({
    cache_hits: expect.any(Number),
    cache_misses: expect.any(Number),
    cache_stats: { size: expect.any(Number), maxsize: expect.any(Number), states: expect.any(Object) },
  });
  const locks = await curl(s0.locks);
  expect(locks.status).toBe(200);
  expect(locks.body["locks"]).toEqual({});
}

export async function healthOfS4(curl: Curl): Promise<void> {
  const leaders = new Set<unknown>();
  for (const [index, command] of s4.health.entries()) {
    const health = await curl(command);
    expect(health.status).toBe(200);
    expect(health.body).toMatchObject({ status: "ok", node_id: `node${index + 1}` });
    const leader = await curl(s4.leader[index] ?? "");
    expect(leader.status).toBe(200);
    leaders.add(JSON.stringify([leader.body["leader"], leader.body["term"]]));
  }
  expect(leaders.size).toBe(1);
}

export async function monitoringOfS4(curl: Curl): Promise<void> {
  expect((await curl(s4.metrics)).status).toBe(200);
  const prometheus = await curl(s4.prometheus);
  expect(prometheus.status).toBe(200);
  expect(prometheus.text).toMatch(/^# TYPE \w*raft_term gauge$/m);
  expect((await curl(s4.waitFor)).body).toMatchObject({ edges: [], cycles: [] });
}

export async function locksOfS4(curl: Curl): Promise<void> {
  const post = (path: string, body: Json): ReturnType<Curl> => postJson(curl, `http://localhost:8002${path}`, body);
  const taken = await post("/locks/acquire", { resource: "r1", owner: "a", mode: "exclusive" });
  expect(taken.status, taken.text).toBe(200);
  expect(taken.body).toMatchObject({ success: true });
  expect((await post("/locks/acquire", { resource: "r1", owner: "b", mode: "exclusive" })).status).toBe(423);
  expect((await post("/locks/release", { resource: "r1", owner: "b" })).status).toBe(403);
  expect((await post("/locks/release", { resource: "r1", owner: "a" })).body).toMatchObject({ success: true });
}

export async function raftOfS4(curl: Curl): Promise<void> {
  const post = (path: string, body: Json): ReturnType<Curl> => postJson(curl, `http://localhost:8002${path}`, body);
  const { term, leader } = (await curl("curl http://localhost:8001/raft/leader")).body;
  expect((await post("/raft/heartbeat", { leader: leader ?? null, term: term ?? 0 })).status).toBe(200);
  expect((await post("/raft/heartbeat", { leader: "nobody", term: 999_999 })).status).toBe(409);
  expect((await post("/raft/append", { type: "acquire", resource: "r2", owner: "a", mode: "exclusive" })).status).toBe(200);
  const log = await curl(`curl "http://localhost:8002/raft/log?start=-2&end=-1"`);
  expect(JSON.stringify(log.body["log"])).toContain("r2");
  expect((await post("/raft/append", { type: "release", resource: "r2", owner: "a" })).status).toBe(200);
}

/** Two owners that wait for each other: the second is told at once, with the cycle, and the first gets what it waited for. */
export async function deadlock(curl: Curl): Promise<void> {
  const acquire = (port: number, resource: string, owner: string, timeout: number): ReturnType<Curl> =>
    postJson(curl, `http://localhost:${port}/locks/acquire`, { resource, owner, mode: "exclusive", timeout });
  expect((await acquire(8001, "left", "alice", 0)).status).toBe(200);
  expect((await acquire(8002, "right", "bob", 0)).status).toBe(200);
  const waiting = acquire(8003, "right", "alice", 60);
  await waitFor("alice to wait for bob", async () => {
    const { body } = await curl("curl http://localhost:8002/locks/wait_for");
    return JSON.stringify(body["edges"]) === '[["alice","bob"]]' ? ready(true) : JSON.stringify(body);
  });
  const refused = await acquire(8001, "left", "bob", 60);
  expect(refused.status).toBe(409);
  expect(refused.body).toMatchObject({ code: "deadlock", success: false });
  expect(refused.body["cycle"]).toHaveLength(2);
  expect(refused.body["cycle"]).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ owner: "bob", waits_for: "left", held_by: "alice" }),
      expect.objectContaining({ owner: "alice", waits_for: "right", held_by: "bob" }),
    ]),
  );
  const locks = await curl("curl http://localhost:8003/locks");
  expect(locks.body["locks"]).toMatchObject({ left: { owners: ["alice"] }, right: { owners: ["bob"] } });
  const graph = (await curl("curl http://localhost:8003/locks/wait_for")).body;
  expect(graph["edges"]).toEqual([["alice", "bob"]]);
  expect(graph["last_resolutions"]).toEqual(expect.arrayContaining([expect.objectContaining({ victim: "bob" })]));
  const release = (resource: string, owner: string): ReturnType<Curl> =>
    postJson(curl, "http://localhost:8002/locks/release", { resource, owner });
  expect((await release("right", "bob")).status).toBe(200);
  expect((await waiting).status).toBe(200);
  for (const resource of ["left", "right"]) expect((await release(resource, "alice")).status).toBe(200);
}

/** `ack`: what the storage of queues promises when it acknowledges. */
export async function queueOfS0(curl: Curl, ack: string): Promise<void> {
  const produced = await curl(s0.produce);
  expect(produced.status, produced.text).toBe(200);
  expect(produced.body).toMatchObject({ status: "ok", queue: "test-queue", message: { data: "Hello World" }, ack });
  const consumed = await curl(s0.consume);
  expect(consumed.status, consumed.text).toBe(200);
  expect(consumed.body).toMatchObject({ status: "ok", message: { data: "Hello World" }, message_id: produced.body["message_id"] });
  const acked = await postJson(curl, "http://localhost:8003/queue/ack", { ack_token: textOf(consumed.body["ack_token"]) });
  expect(acked.body, acked.text).toMatchObject({ success: true, acked: 1 });
}

export async function queueThroughEveryNode(curl: Curl): Promise<void> {
  for (const index of [0, 1, 2]) {
    const [to, from, last] = [0, 1, 2].map((step) => 8001 + ((index + step) % 3));
    await postJson(curl, `http://localhost:${to}/queue/round`, { n: index });
    const taken = await curl(`curl "http://localhost:${from}/queue/round?ack=auto"`);
    expect(taken, taken.text).toMatchObject({ status: 200, body: { message: { n: index }, ack_token: null } });
    const empty = await curl(`curl http://localhost:${last}/queue/round`);
    expect(empty.status, empty.text).toBe(404);
    expect(empty.body).toMatchObject({ code: "queue_empty", detail: "Queue is empty" });
  }
}

export async function queueOfS4(curl: Curl): Promise<void> {
  const produced = await postJson(curl, "http://localhost:8001/queue/produce", { topic: "orders", message: { order: 7 } });
  expect(produced, produced.text).toMatchObject({ status: 200, body: { success: true, status: "ok", topic: "orders" } });
  const consumed = await postJson(curl, "http://localhost:8003/queue/consume", { topic: "orders" });
  expect(consumed, consumed.text).toMatchObject({
    status: 200,
    body: { success: true, message: { order: 7 }, message_id: produced.body["message_id"] },
  });
  for (const port of [8001, 8002, 8003]) {
    const empty = await postJson(curl, `http://localhost:${port}/queue/consume`, { topic: "orders" });
    expect(empty, empty.text).toMatchObject({ status: 200, body: { message: null, message_id: null, ack_token: null } });
  }
  const token = textOf(consumed.body["ack_token"]);
  expect(await postJson(curl, "http://localhost:8002/queue/ack", { ack_token: token })).toMatchObject({ status: 200, body: { acked: 1 } });
  // A second ack, through another node: the lease is over.
  expect(await postJson(curl, "http://localhost:8001/queue/ack", { ack_token: token })).toMatchObject({
    status: 409,
    body: { code: "receipt_stale" },
  });
}

export async function cacheOfS0(curl: Curl): Promise<void> {
  const first = await curl(s0.read);
  expect(first, first.text).toMatchObject({ status: 200, body: { key: "item:123", data: { id: 123 } } });
  expect(["database", "cache"]).toContain(first.body["source"]);
  expect(["M", "E", "S", "I"]).toContain(first.body["cache_state"]);
  const written = await curl(s0.write);
  expect(written, written.text).toMatchObject({ status: 200, body: { status: "ok", key: "item:999", new_data: "New cached value" } });
  const again = await curl(s0.readAgain);
  expect(again, again.text).toMatchObject({ status: 200, body: { data: "New cached value", version: written.body["version"] } });
}

export async function repeatedReadIsAHit(curl: Curl, maxsize: number): Promise<void> {
  await waitFor("a hit", async () => {
    const { body } = await curl(s0.readAgain);
    return body["source"] === "cache" ? ready(true) : JSON.stringify(body);
  });
  const before = await curl(s0.metrics);
  expect(before.body).toMatchObject({ cache_stats: { size: expect.any(Number), maxsize, states: expect.any(Object) } });
  expect(Number(before.body["cache_hits"])).toBeGreaterThan(0);
  // A node that has written all that was read of it so far has missed nothing yet.
  await curl(s0.readAgain.replace(/\/cache\/\S+/, "/cache/never:seen"));
  const after = await curl(s0.metrics);
  expect(Number(after.body["cache_misses"])).toBeGreaterThan(Number(before.body["cache_misses"]));
}

export async function nextReadFindsTheWrite(curl: Curl): Promise<void> {
  for (let round = 0; round < 12; round++) {
    const written = await postJson(curl, `http://localhost:${8001 + (round % 3)}/cache/item:999`, { data: round });
    expect(written.status, written.text).toBe(200);
    for (const port of [8001, 8002, 8003]) {
      const { body, text } = await curl(`curl http://localhost:${port}/cache/item:999`);
      expect(body["data"], text).toBe(round);
    }
  }
}

export async function cacheOfS4(curl: Curl): Promise<void> {
  const put = await postJson(curl, "http://localhost:8001/cache/put", { key: "user:1", value: { name: "Ana" } });
  expect(put, put.text).toMatchObject({ status: 200, body: { success: true } });
  const read = await curl("curl http://localhost:8002/cache/get?key=user:1");
  expect(read, read.text).toMatchObject({ status: 200, body: { success: true, value: { name: "Ana" } } });
  const peer = await waitFor("a copy of another node", async () => {
    await curl("curl http://localhost:8002/cache/get?key=user:1");
    const fetched = await curl("curl http://localhost:8003/cache/fetch?key=user:1");
    return fetched.body["value"] === null ? fetched.text : ready(fetched);
  });
  expect(peer.body).toMatchObject({ value: { name: "Ana" }, source: "peer", state: expect.stringMatching(/^[MES]$/) });
  expect((await curl("curl http://localhost:8001/cache/get?key=nothing")).body).toMatchObject({ success: true, value: null });
  const dropped = await postJson(curl, "http://localhost:8003/cache/invalidate", { key: "user:1" });
  expect(dropped, dropped.text).toMatchObject({ status: 200, body: { success: true } });
  expect((await curl("curl http://localhost:8002/cache/get?key=user:1")).body).toMatchObject({ value: { name: "Ana" } });
}

export async function cacheStateOfS4(curl: Curl, capacity: number): Promise<void> {
  await curl(s0.readAgain);
  const state = await curl(s4.cacheState);
  expect(state, state.text).toMatchObject({
    status: 200,
    body: {
      cache_state: expect.any(Object),
      metrics: {
        hits: expect.any(Number),
        misses: expect.any(Number),
        invalidations_sent: expect.any(Number),
        invalidations_received: expect.any(Number),
        state_transitions: expect.any(Number),
      },
      capacity_used: expect.any(Number),
      capacity_total: capacity,
    },
  });
  expect(Object.keys(state.body["cache_state"] as Json)).toContain("item:999");
  const verified = await curl("curl http://localhost:8003/v1/cache-verify");
  expect(verified, verified.text).toMatchObject({ status: 200, body: { ok: true, violations: [] } });
  expect(Number(verified.body["keys_checked"])).toBeGreaterThan(0);
}
