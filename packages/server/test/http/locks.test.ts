import type { SystemEvent } from "@trivet/core";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, until, type Server } from "./harness.ts";

let host: NodeHost;
let server: Server;
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api);
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
const post = (path: string, body: unknown, headers?: Record<string, string>) => server.call("POST", path, body, headers);

describe("acquire and release", () => {
  test("a free lock is granted with a fence, a lease and the leader", async () => {
    const answer = await post("/v1/locks/a1/acquire", { owner: "alice", ttl_ms: 5_000 });
    expect(answer).toMatchObject({
      status: 200,
      json: {
        granted: true,
        name: "a1",
        mode: "exclusive",
        owner: "alice",
        session_id: null,
        depth: 1,
        expires_in_ms: 5_000,
        leader: "node1",
      },
    });
    expect(answer.json.fence).toMatch(/^[1-9][0-9]*$/);
    expect(answer.json.request_id).not.toBe("");
  });

  test("a held lock is 423 with its holders, and nothing stays queued", async () => {
    const granted = await post("/v1/locks/a2/acquire", { owner: "alice", ttl_ms: 5_000 });
    const refused = await post("/v1/locks/a2/acquire", { owner: "bob" });
    expect(refused).toMatchObject({
      status: 423,
      json: { code: "locked", retryable: true, waiters: 0, holders: [{ owner: "alice", mode: "exclusive", fence: granted.json.fence }] },
    });
    expect(refused.json.holders?.[0]?.expires_in_ms).toBeGreaterThan(0);
    expect((await server.call("GET", "/v1/locks/a2")).json).toMatchObject({ waiters: [] });
  });

  test("release by fence alone, by owner, and by both", async () => {
    for (const body of [
      (fence: string) => ({ fence }),
      () => ({ owner: "alice" }),
      (fence: string) => ({ owner: "alice", fence: Number(fence) }),
    ]) {
      const { json } = await post("/v1/locks/a3/acquire", { owner: "alice" });
      expect(await post("/v1/locks/a3/release", body(String(json.fence)))).toMatchObject({
        status: 200,
        json: { released: true, fence: json.fence, remaining: 0, granted_to: [] },
      });
    }
  });

  test("a release without handle is 400, of a free lock 404, of another's 403, with an old fence 412", async () => {
    expect(await post("/v1/locks/a4/release", {})).toMatchObject({ status: 400, json: { field: "fence" } });
    expect(await post("/v1/locks/a4/release", { owner: "alice" })).toMatchObject({ status: 404, json: { code: "lock_not_found" } });
    const first = await post("/v1/locks/a4/acquire", { owner: "alice" });
    expect(await post("/v1/locks/a4/release", { owner: "bob" })).toMatchObject({
      status: 403,
      json: { code: "not_holder", holders: [{ owner: "alice" }] },
    });
    await post("/v1/locks/a4/release", { owner: "alice" });
    await post("/v1/locks/a4/acquire", { owner: "alice" });
    expect(await post("/v1/locks/a4/release", { owner: "alice", fence: first.json.fence })).toMatchObject({
      status: 412,
      json: { code: "stale_fence" },
    });
    expect((await server.call("GET", "/v1/locks/a4")).json).toMatchObject({ status: "held" });
  });

  test("a waiting acquire is granted when the holder releases, in order", async () => {
    await post("/v1/locks/a5/acquire", { owner: "alice" });
    const bob = post("/v1/locks/a5/acquire", { owner: "bob", wait_ms: 5_000 });
    await until(async () => ((await server.call("GET", "/v1/locks/a5")).json as unknown as { waiters: unknown[] }).waiters.length === 1);
    const waiting = await server.call("GET", "/v1/locks/a5");
    expect(waiting.json).toMatchObject({ waiters: [{ position: 1, owner: "bob", wait_ms: 5_000 }] });
    expect((await post("/v1/locks/a5/release", { owner: "alice" })).json).toMatchObject({ granted_to: ["bob"] });
    expect(await bob).toMatchObject({ status: 200, json: { owner: "bob" } });
  });

  test("a wait that runs out is 423 and says so", async () => {
    await post("/v1/locks/a6/acquire", { owner: "alice" });
    expect(await post("/v1/locks/a6/acquire", { owner: "bob", wait_ms: 20 })).toMatchObject({
      status: 423,
      json: { detail: expect.stringContaining("within the wait") },
    });
  });

  test("a wait that is cancelled is 409, and cancelling nothing is 404", async () => {
    await post("/v1/locks/a7/acquire", { owner: "alice" });
    const bob = post("/v1/locks/a7/acquire", { owner: "bob", wait_ms: 10_000 });
    await until(async () => (await post("/v1/locks/a7/cancel", { owner: "bob" })).status === 200);
    expect(await bob).toMatchObject({ status: 409, json: { code: "cancelled" } });
    expect(await post("/v1/locks/a7/cancel", { owner: "bob" })).toMatchObject({ status: 404, json: { code: "wait_not_found" } });
    expect(await post("/v1/locks/a7/cancel", {})).toMatchObject({ status: 400, json: { field: "owner" } });
  });

  test("two owners in a cycle: one gets 409 with the cycle, the graph remembers it", async () => {
    await post("/v1/locks/d1/acquire", { owner: "alice" });
    await post("/v1/locks/d2/acquire", { owner: "bob" });
    const alice = post("/v1/locks/d2/acquire", { owner: "alice", wait_ms: 10_000 });
    await until(async () => ((await server.call("GET", "/v1/locks/d2")).json as unknown as { waiters: unknown[] }).waiters.length === 1);
    expect((await server.call("GET", "/v1/lock-graph")).json).toMatchObject({
      edges: [{ waiter: "alice", holder: "bob", name: "d2", kind: "hard" }],
      cycles: [],
    });
    const bob = await post("/v1/locks/d1/acquire", { owner: "bob", wait_ms: 10_000 });
    expect(bob).toMatchObject({
      status: 409,
      json: {
        code: "deadlock",
        cycle: expect.arrayContaining([expect.objectContaining({ owner: "bob", waits_for: "d1", held_by: "alice" })]),
      },
    });
    expect((await server.call("GET", "/v1/lock-graph")).json).toMatchObject({
      last_resolutions: expect.arrayContaining([expect.objectContaining({ victim: "bob", name: "d1" })]),
    });
    await post("/v1/locks/d2/release", { owner: "bob" });
    expect((await alice).status).toBe(200);
  });

  test("who holds the lock that it asks for is told so, and how to count it twice", async () => {
    await post("/v1/locks/own1/acquire", { owner: "alice" });
    for (const [wait, code] of [
      [{}, "locked"],
      [{ wait_ms: 10_000 }, "deadlock"],
    ] as const) {
      const again = await post("/v1/locks/own1/acquire", { owner: "alice", ...wait });
      expect(again.json).toMatchObject({
        code,
        detail: expect.stringMatching(/You already hold it.*owner alice/),
        next: expect.stringContaining("reentrant: true"),
      });
    }
    const other = await post("/v1/locks/own1/acquire", { owner: "bob" });
    expect(other.json).toMatchObject({ code: "locked", detail: expect.stringContaining("by others") });
    for (const owner of ["alice", "bob"]) await post("/v1/locks/own2/acquire", { owner, mode: "shared" });
    const both = await post("/v1/locks/own2/acquire", { owner: "alice" });
    expect(both.json).toMatchObject({ code: "locked", detail: expect.stringContaining("by others") });
  });

  test("shared holders share, re-entry counts only when asked", async () => {
    expect((await post("/v1/locks/s1/acquire", { owner: "a", mode: "shared" })).status).toBe(200);
    expect((await post("/v1/locks/s1/acquire", { owner: "b", mode: "shared" })).status).toBe(200);
    expect((await post("/v1/locks/s1/acquire", { owner: "c" })).status).toBe(423);
    await post("/v1/locks/r1/acquire", { owner: "a" });
    expect((await post("/v1/locks/r1/acquire", { owner: "a" })).status).toBe(423);
    expect((await post("/v1/locks/r1/acquire", { owner: "a", reentrant: true })).json).toMatchObject({ depth: 2 });
    expect((await post("/v1/locks/r1/release", { owner: "a" })).json).toMatchObject({ remaining: 1 });
  });

  test("a semaphore: the first fixes its size, another size is 409", async () => {
    expect((await post("/v1/locks/sem/acquire", { owner: "a", permits: 1, of: 2 })).json).toMatchObject({ mode: "permit" });
    expect((await post("/v1/locks/sem/acquire", { owner: "b", permits: 1, of: 2 })).status).toBe(200);
    expect((await post("/v1/locks/sem/acquire", { owner: "c", permits: 1, of: 2 })).status).toBe(423);
    expect(await post("/v1/locks/sem/acquire", { owner: "c", permits: 1, of: 3 })).toMatchObject({
      status: 409,
      json: { code: "conflict", reason: "semaphore-size" },
    });
    expect(await post("/v1/locks/sem/acquire", { owner: "c" })).toMatchObject({ status: 409, json: { reason: "lock-kind" } });
    expect(await post("/v1/locks/sem/acquire", { owner: "c", of: 3 })).toMatchObject({ status: 400, json: { field: "permits" } });
    expect(await post("/v1/locks/sem/acquire", { owner: "c", permits: 1, of: 2, mode: "shared" })).toMatchObject({
      status: 400,
      json: { field: "mode" },
    });
  });

  test("upgrade and downgrade: a fresh fence up, the same down", async () => {
    const shared = await post("/v1/locks/u1/acquire", { owner: "a", mode: "shared" });
    const up = await post("/v1/locks/u1/upgrade", { fence: shared.json.fence, owner: "a" });
    expect(up).toMatchObject({ status: 200, json: { mode: "exclusive" } });
    expect(Number(up.json.fence)).toBeGreaterThan(Number(shared.json.fence));
    expect(await post("/v1/locks/u1/downgrade", { fence: up.json.fence })).toMatchObject({
      status: 200,
      json: { mode: "shared", fence: up.json.fence },
    });
    expect(await post("/v1/locks/u1/upgrade", { fence: shared.json.fence, owner: "a" })).toMatchObject({ status: 412 });
    expect((await post("/v1/locks/u1/upgrade", { owner: "a" })).json).toMatchObject({ field: "fence" });
  });

  test("renew extends the lease, changes its length, and says when it is lost", async () => {
    const { json } = await post("/v1/locks/n1/acquire", { owner: "a", ttl_ms: 2_000 });
    expect(await post("/v1/locks/n1/renew", { fence: json.fence })).toMatchObject({
      status: 200,
      json: { renewed: true, expires_in_ms: 2_000 },
    });
    expect(await post("/v1/locks/n1/renew", { fence: json.fence, ttl_ms: 9_000 })).toMatchObject({
      status: 200,
      json: { expires_in_ms: 9_000 },
    });
    await post("/v1/locks/n1/release", { owner: "a" });
    expect(await post("/v1/locks/n1/renew", { fence: json.fence })).toMatchObject({
      status: 412,
      json: { code: "lock_lost", fence: json.fence },
    });
    expect(await post("/v1/locks/n1/renew", { fence: json.fence, ttl_ms: 99_000_000 })).toMatchObject({
      status: 400,
      json: { field: "ttl_ms" },
    });
    expect(await post("/v1/locks/n1/renew", { fence: json.fence, ttl_ms: 4_000_000 })).toMatchObject({
      status: 400,
      json: { expected: expect.stringContaining("LOCK_MAX_TTL_MS") },
    });
  });

  test("force-release robs the holder and needs a reason", async () => {
    const { json } = await post("/v1/locks/f1/acquire", { owner: "a" });
    const events: SystemEvent[] = [];
    const stop = host.api.watch((event) => void events.push(event));
    expect(await post("/v1/locks/f1/force-release", {})).toMatchObject({ status: 400, json: { field: "reason" } });
    expect(await post("/v1/locks/f1/force-release", { reason: "the process hangs" })).toMatchObject({
      status: 200,
      json: { released: true },
    });
    stop();
    expect(events.find((event) => event.type === "lock-released")).toMatchObject({
      cause: "forced",
      forced: { principal: "anonymous", reason: "the process hangs" },
    });
    expect((await post("/v1/fences/check", { name: "f1", fence: json.fence })).json).toMatchObject({ valid: false });
    expect(await post("/v1/locks/f1/force-release", { reason: "again" })).toMatchObject({ status: 404 });
  });

  test("an expired lease frees the lock for the next in line", async () => {
    await post("/v1/locks/x1/acquire", { owner: "a", ttl_ms: 100 });
    expect(await post("/v1/locks/x1/acquire", { owner: "b", wait_ms: 5_000 })).toMatchObject({ status: 200, json: { owner: "b" } });
  });

  test("an acquire needs an owner or a session under /v1", async () => {
    expect(await post("/v1/locks/o1/acquire", {})).toMatchObject({ status: 400, json: { field: "owner" } });
  });
});

describe("several locks at once", () => {
  test("all or nothing, both ways", async () => {
    const granted = await post("/v1/lock-sets/acquire", { owner: "a", locks: [{ name: "m1" }, { name: "m2", mode: "shared" }] });
    expect(granted).toMatchObject({
      status: 200,
      json: {
        granted: true,
        owner: "a",
        locks: [
          { name: "m1", mode: "exclusive" },
          { name: "m2", mode: "shared" },
        ],
      },
    });
    expect(await post("/v1/lock-sets/acquire", { owner: "b", locks: [{ name: "m3" }, { name: "m1" }] })).toMatchObject({ status: 423 });
    expect((await server.call("GET", "/v1/locks/m3")).json).toMatchObject({ status: "available" });
    const locks = (granted.json as unknown as { locks: { name: string; fence: string }[] }).locks.map(({ name, fence }) => ({
      name,
      fence,
    }));
    expect(
      (await post("/v1/lock-sets/release", { owner: "a", locks: [...locks, { name: "m9", fence: "1" }] })).status,
    ).toBeGreaterThanOrEqual(400);
    expect((await server.call("GET", "/v1/locks/m1")).json).toMatchObject({ status: "held" });
    expect(await post("/v1/lock-sets/release", { locks })).toMatchObject({ status: 200, json: { names: ["m1", "m2"] } });
    expect((await server.call("GET", "/v1/locks/m2")).json).toMatchObject({ status: "available" });
  });
  test.each([
    [{ owner: "a", locks: [] }, "locks"],
    [{ owner: "a", locks: [{ name: "x" }, { name: "x" }] }, "locks[1].name"],
    [{ owner: "a", locks: [{ name: "x", mode: "wild" }] }, "locks[0].mode"],
    [{ owner: "a", locks: [{ name: "" }] }, "locks[0].name"],
    [{ owner: "a", locks: [{ nam: "x" }] }, "locks[0].name"],
    [{ locks: [{ name: "x" }] }, "owner"],
  ])("%o is refused for %s", async (body, field) => {
    expect(await post("/v1/lock-sets/acquire", body)).toMatchObject({ status: 400, json: { field } });
  });
});

describe("sessions", () => {
  test("open, keep alive, hold, look at, close: its locks are free afterwards", async () => {
    const opened = await post("/v1/sessions", { ttl_ms: 5_000, label: "test" });
    expect(opened).toMatchObject({ status: 201, json: { ttl_ms: 5_000, lock_delay_ms: 0 } });
    const { session_id: id } = opened.json as unknown as { session_id: string };
    expect(opened.headers["location"]).toBe(`/v1/sessions/${id}`);
    expect(await post("/v1/locks/ses/acquire", { session_id: id })).toMatchObject({
      status: 200,
      json: { session_id: id, owner: "default", expires_in_ms: null },
    });
    expect(await server.call("PUT", `/v1/sessions/${id}/keepalive`)).toMatchObject({
      status: 200,
      json: { session_id: id, ttl_ms: 5_000 },
    });
    expect(await server.call("GET", `/v1/sessions/${id}`)).toMatchObject({ status: 200, json: { label: "test", locks: 1, waiters: 0 } });
    expect((await server.call("GET", "/v1/sessions")).json).toMatchObject({
      sessions: expect.arrayContaining([expect.objectContaining({ session_id: id })]),
    });
    expect(await server.call("DELETE", `/v1/sessions/${id}`)).toMatchObject({ status: 200, json: { closed: true } });
    expect((await server.call("GET", "/v1/locks/ses")).json).toMatchObject({ status: "available" });
  });
  test("a session that is gone is 404 everywhere", async () => {
    for (const id of ["999999", "9007199254740993"]) {
      expect(await server.call("PUT", `/v1/sessions/${id}/keepalive`)).toMatchObject({ status: 404, json: { code: "session_not_found" } });
      expect(await server.call("GET", `/v1/sessions/${id}`)).toMatchObject({ status: 404 });
      expect(await server.call("DELETE", `/v1/sessions/${id}`)).toMatchObject({ status: 404 });
    }
    expect(await post("/v1/locks/ses2/acquire", { session_id: 999_999 })).toMatchObject({
      status: 404,
      json: { code: "session_not_found" },
    });
    expect(await post("/v1/locks/ses2/acquire", { session_id: "9007199254740993" })).toMatchObject({
      status: 400,
      json: { field: "session_id" },
    });
  });
  test("an empty body opens a session with the defaults", async () => {
    expect(await server.call("POST", "/v1/sessions")).toMatchObject({ status: 201, json: { ttl_ms: 15_000 } });
  });
});

describe("idempotency (rule X2)", () => {
  test("the same key and body take effect once and answer the same", async () => {
    const headers = { "idempotency-key": "k-1" };
    const first = await post("/v1/locks/i1/acquire", { owner: "a" }, headers);
    const again = await post("/v1/locks/i1/acquire", { owner: "a" }, headers);
    expect(again.json.fence).toBe(first.json.fence);
    expect(again.status).toBe(200);
  });
  test("another body under the same key is 422", async () => {
    const headers = { "idempotency-key": "k-2" };
    await post("/v1/locks/i2/acquire", { owner: "a" }, headers);
    expect(await post("/v1/locks/i2/acquire", { owner: "b" }, headers)).toMatchObject({
      status: 422,
      json: { code: "idempotency_key_reused" },
    });
    expect(await post("/v1/locks/i3/acquire", { owner: "a" }, headers)).toMatchObject({ status: 422 });
  });
  test("keys of other routes are other callers", async () => {
    const headers = { "idempotency-key": "k-3" };
    expect((await post("/v1/locks/i4/acquire", { owner: "a" }, headers)).status).toBe(200);
    expect((await post("/v1/locks/i4/release", { owner: "a" }, headers)).status).toBe(200);
  });
  test("request_id in the body is the same key, and a body in another order the same body", async () => {
    const first = await post("/v1/locks/i5/acquire", { owner: "a", ttl_ms: 9_000, request_id: "k-4" });
    const again = await post("/v1/locks/i5/acquire", { ttl_ms: 9_000, owner: "a" }, { "idempotency-key": "k-4" });
    expect(again.json.fence).toBe(first.json.fence);
    expect(await post("/v1/locks/i5/acquire", { owner: "a", request_id: "k-5" }, { "idempotency-key": "k-6" })).toMatchObject({
      status: 400,
      json: { field: "request_id" },
    });
  });
  test("the outcome of a call can be asked for later (rule X3)", async () => {
    const { json } = await post("/v1/locks/i6/acquire", { owner: "a" });
    expect(await server.call("GET", `/v1/requests/${json.request_id}`)).toMatchObject({
      status: 200,
      json: { status: "executed", result: { type: "granted", fence: json.fence } },
    });
    expect(await server.call("GET", "/v1/requests/nonsense")).toMatchObject({ status: 404, json: { code: "request_not_found" } });
  });
});

describe("lists", () => {
  test("pages by prefix with an opaque cursor, names of any kind", async () => {
    const names = ["p/1", "p/2:é", "p/3 %2F", "p/__proto__"];
    for (const name of names) await post(`/v1/locks/${encodeURIComponent(name)}/acquire`, { owner: "a" });
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const page: { json: unknown } = await server.call(
        "GET",
        `/v1/locks?prefix=${encodeURIComponent("p/")}&limit=3${cursor === null ? "" : `&cursor=${cursor}`}`,
      );
      const json = page.json as { locks: { name: string }[]; next_cursor: string | null };
      found.push(...json.locks.map((lock) => lock.name));
      cursor = json.next_cursor;
    } while (cursor !== null);
    expect(found.sort()).toEqual(names.sort());
    expect((await server.call("GET", "/v1/locks?limit=0")).json).toMatchObject({ code: "bad_request", field: "limit" });
    expect((await server.call("GET", "/v1/locks?cursor=_w")).json).toMatchObject({ code: "bad_request", field: "cursor" });
  });
  test("stale reads answer from this node", async () => {
    expect((await server.call("GET", "/v1/locks?consistency=stale")).status).toBe(200);
    expect((await server.call("GET", "/v1/locks/zz?consistency=stale")).json).toMatchObject({ status: "available" });
    expect((await server.call("GET", "/v1/lock-graph?consistency=stale")).status).toBe(200);
  });
});

test("a release with a fence that was never granted is told as such", async () => {
  const { json } = await post("/v1/locks/never/acquire", { owner: "a" });
  const high = String(Number(json.fence) + 1_000_000);
  const answer = await post("/v1/locks/never/release", { owner: "a", fence: high });
  expect(answer).toMatchObject({
    status: 412,
    json: { code: "stale_fence", fence: high, next: expect.stringContaining("your own acquire") },
  });
  expect(answer.json.detail).toContain(`Fence ${high} is not the fence of the present grant of lock never: it was never granted.`);
  expect((await server.call("GET", "/v1/locks/never")).json).not.toHaveProperty("of");
});
