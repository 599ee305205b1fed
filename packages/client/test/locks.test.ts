import { DeadlockError, type Lock, LockLostError, LockedError, OutcomeUnknownError } from "@trivet/client";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { cluster, connected, failure, until } from "./support.ts";

describe("acquire and release", () => {
  test("a lock has a growing fence and is free after its release", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const first = await locks.acquire("a");
    expect(first).toMatchObject({ name: "a", mode: "exclusive", depth: 1, isHeld: true });
    first.assertHeld();
    await first.release();
    await first.release();
    expect(first.isHeld).toBe(false);
    expect(() => first.assertHeld()).toThrow(LockLostError);
    expect(first.signal.aborted).toBe(false);
    await using second = await locks.acquire("a");
    expect(typeof second.fence).toBe("bigint");
    expect(second.fence > first.fence).toBe(true);
    expect(inspect(first)).toMatch(/^Lock \{ "a" exclusive fence \d+, owner "\w+", session \d+, released \}$/);
    expect(inspect(second)).toMatch(/held \}$/);
    expect(inspect(second.session)).toMatch(/^Session \{ \d+, alive for \d+ of \d+ ms \}$/);
    expect(fake.executed.filter((command) => command.type === "release")).toHaveLength(1);
    expect(
      fake.executed.filter((command) => command.type === "open-session"),
      "one session for all",
    ).toHaveLength(1);
  });

  test("a held lock is refused at once, or granted when it is this one's turn", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const held = await locks.acquire("a");
    const error = await failure(locks.acquire("a"));
    expect(error).toBeInstanceOf(LockedError);
    expect(error).toMatchObject({ code: "locked", retryable: true, holders: [{ mode: "exclusive", fence: held.fence }] });
    expect(String(error)).toMatch(/held by owner "[^"]+"$/);
    const waiting = locks.acquire("a", { waitMs: 60_000 });
    await until(() => fake.waitersOf("a") === 1, "in line");
    await held.release();
    await using granted = await waiting;
    expect(granted.fence > held.fence).toBe(true);
  });

  test("what the wire cannot carry is refused by the name of its field", async () => {
    const trivet = await connected(await cluster());
    const { locks } = trivet;
    const long = "x".repeat(513);
    for (const [call, field] of [
      [locks.acquire(""), "name"],
      [locks.acquire(long), "name"],
      [locks.acquire("a", { waitMs: -1 }), "waitMs"],
      [locks.acquire("a", { waitMs: Number.NaN }), "waitMs"],
      [locks.acquire("a", { owner: long }), "owner"],
      [locks.acquire("a", { of: -1 }), "of"],
      [locks.acquireAll([]), "keys"],
      [locks.acquireAll([{ name: "a" }, { name: "" }]), "keys[1].name"],
      [trivet.openSession({ ttlMs: 0.5 }), "ttlMs"],
    ] as const) {
      const error = await failure(call);
      expect(error).toMatchObject({ code: "bad_request", details: { field } });
      expect(String(error)).toContain(`${field}: expected`);
    }
    const held = await locks.acquire("a", { mode: "shared" });
    expect(await failure(held.upgrade("exclusive", { waitMs: -1 }))).toMatchObject({ details: { field: "waitMs" } });
  });

  test("several keys are taken and given back together", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const both = await locks.acquireAll([{ name: "a" }, { name: "b", mode: "shared" }]);
    expect(both.keys.map(({ name, mode }) => [name, mode])).toEqual([
      ["a", "exclusive"],
      ["b", "shared"],
    ]);
    expect(await failure(both.upgrade("exclusive"))).toMatchObject({ code: "bad_request" });
    await both.release();
    expect([fake.holderOf("a"), fake.holderOf("b")]).toEqual([null, null]);
  });

  test("a permit asks for its semaphore, an upgrade brings a new fence, a downgrade keeps it", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    await using lock = await locks.acquire("pool", { of: 3 });
    expect(fake.executed.at(-1)).toMatchObject({ keys: [{ name: "pool", mode: "permit", of: 3 }] });
    const { fence } = lock;
    await lock.upgrade("exclusive");
    expect(lock.mode).toBe("exclusive");
    expect(lock.fence > fence).toBe(true);
    const upgraded = lock.fence;
    await lock.downgrade("shared");
    expect([lock.mode, lock.fence]).toEqual(["shared", upgraded]);
  });

  test("an upgraded lock is released by its new fence", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const lock = await locks.acquire("a", { mode: "update" });
    await lock.upgrade("exclusive");
    await lock.release();
    expect(fake.executed.at(-1)).toMatchObject({ type: "release", fence: Number(lock.fence) });
  });
});

describe("with", () => {
  test("the lock is held while the work runs, and not after", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const answer = await locks.with("a", {}, (lock) => {
      lock.assertHeld();
      return fake.holderOf("a");
    });
    expect(answer).not.toBeNull();
    expect(fake.holderOf("a")).toBeNull();
  });

  test("it is released when the work fails, and the work's error is told", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const work = locks.with("a", {}, () => Promise.reject(new Error("of the work")));
    expect(await failure(work)).toMatchObject({ message: "of the work" });
    expect(fake.holderOf("a")).toBeNull();
  });

  test("work that outlives its lease fails", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const work = locks.with("a", {}, async (lock) => {
      lock.session.end("test");
      expect(lock.signal.aborted).toBe(true);
    });
    expect(await failure(work)).toBeInstanceOf(LockLostError);
  });

  test("calls inside act for the same owner, calls beside it for another", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    await locks.with("a", {}, async (outer) => {
      const error = await failure(locks.acquire("a", { waitMs: 1_000 }));
      expect(error, "the owner would wait for itself").toBeInstanceOf(DeadlockError);
      await locks.with("b", {}, (inner) => expect(inner.owner).toBe(outer.owner));
    });
    const [one, other] = await Promise.all([locks.acquire("c"), locks.acquire("d")]);
    expect(one.owner).not.toBe(other.owner);
    expect(one.session).toBe(other.session);
    await Promise.all([one.release(), other.release()]);
  });
});

describe("a wait that is given up", () => {
  test("an aborted wait rejects at once and leaves the line", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    await using held = await locks.acquire("a");
    const controller = new AbortController();
    const waiting = failure(locks.acquire("a", { waitMs: 60_000 }, { signal: controller.signal }));
    await until(() => fake.waitersOf("a") === 1, "in line");
    controller.abort(new Error("changed my mind"));
    expect(await waiting).toMatchObject({ message: "changed my mind" });
    await until(() => fake.waitersOf("a") === 0, "out of the line");
    held.assertHeld();
    expect(await failure(locks.acquire("b", {}, { signal: controller.signal }))).toMatchObject({ message: "changed my mind" });
    expect(fake.holderOf("b")).toBeNull();
  });

  test("a wait that is aborted before it is sent takes nothing", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    await using session = await connection.openSession();
    const controller = new AbortController();
    const waiting = failure(connection.locks.acquire("a", { waitMs: 60_000, session }, { signal: controller.signal }));
    controller.abort(new Error("at once"));
    expect(await waiting).toMatchObject({ message: "at once" });
    await until(() => connection.openCommands === 0, "everything is answered");
    expect(fake.holderOf("a")).toBeNull();
  });

  test("a grant that comes after the deadline is given back", async () => {
    const fake = await cluster();
    const connection = await connected(fake, { commandTimeoutMs: 500 });
    const { locks } = connection;
    const session = await locks.session();
    fake.node(0).policies.push("swallow");
    expect(await failure(locks.acquire("a", { session }))).toBeInstanceOf(OutcomeUnknownError);
    expect(fake.holderOf("a")).not.toBeNull();
    fake.node(0).cutConnections();
    await until(() => fake.holderOf("a") === null, "given back");
    await until(() => connection.openCommands === 0, "everything is answered");
    await using again = await locks.acquire("a");
    again.assertHeld();
  });

  test("a release without an answer goes on in the background", async () => {
    const fake = await cluster();
    const connection = await connected(fake, { commandTimeoutMs: 600 });
    const lock = await connection.locks.acquire("a");
    const node = fake.node(0);
    // Asks for a pause beyond the deadline: no sending is under way when it passes.
    node.policy = { refuse: "no_leader", retryAfterMs: 60_000 };
    expect(await failure(lock.release())).toMatchObject({ code: "no_leader" });
    expect(fake.holderOf("a")).not.toBeNull();
    node.policy = "answer";
    await until(() => fake.holderOf("a") === null, "released");
  });
});

describe("a lock that is lost", () => {
  test("its signal aborts and its work is told", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake, { sessionTtlMs: 2_000 });
    const lock = await locks.acquire("a");
    expect(lock.signal.aborted).toBe(false);
    fake.expire(lock.session.id);
    await until(() => lock.signal.aborted, "told by a keepalive");
    expect(lock.signal.reason).toBeInstanceOf(LockLostError);
    expect(() => lock.assertHeld()).toThrow(LockLostError);
    expect(await failure(lock.release())).toMatchObject({ code: "lock_lost" });
    // The next lock gets a session of its own.
    await using next = await locks.acquire("a");
    expect(next.session).not.toBe(lock.session);
  });

  test("a session that the cluster has forgotten is replaced without anybody noticing", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const session = await locks.session();
    fake.expire(session.id);
    await using lock = await locks.acquire("a");
    expect(lock.session).not.toBe(session);
    expect(session.isAlive).toBe(false);
    expect(await failure(locks.acquire("b", { session }))).toMatchObject({ code: "session_not_found" });
  });

  test("a release of what the cluster had ended is a lost lock", async () => {
    const fake = await cluster();
    const { locks } = await connected(fake);
    const lock: Lock = await locks.acquire("a");
    fake.locks.clear();
    expect(await failure(lock.release())).toBeInstanceOf(LockLostError);
    expect(lock.signal.aborted).toBe(true);
  });
});
