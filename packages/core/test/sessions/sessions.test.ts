import { describe, expect, test } from "vitest";
import { Bench, acquire, acquireSet, release } from "../system/support.ts";

describe("sessions", () => {
  test("ids are never reused", () => {
    const bench = new Bench();
    const first = bench.open();
    bench.ask({ type: "close-session", session: first });
    expect(bench.open()).toBe(first + 1);
    bench.expire("session", first);
    expect(bench.state.sessionCount()).toBe(1);
  });

  test("the end of a session releases all its holds and removes all its waits in one step", () => {
    const bench = new Bench();
    const dying = bench.open();
    const other = bench.open();
    for (const name of ["x", "y", "z"]) bench.take(name, "exclusive", { session: dying, owner: "a" });
    bench.take("w", "exclusive", { session: other, owner: "b" });
    const ends = bench.wait(acquire("w", "exclusive", { session: dying, owner: "a2" }, { waitMs: 1000 }));
    const gains = ["x", "y"].map((name) => bench.wait(acquire(name, "exclusive", { session: other, owner: name }, { waitMs: 1000 })));
    bench.expire("session", dying);
    expect(bench.answerOf(ends)).toEqual({ type: "session-lost", session: dying });
    expect(gains.map((request) => bench.answerOf(request)?.type)).toEqual(["granted", "granted"]);
    expect(bench.holders("x")).toEqual(["x"]);
    expect(bench.waiters("w")).toEqual([]);
    expect(bench.state.lock("z").status).toBe("available");
    expect(bench.state.session(dying)).toBeNull();
  });

  test("lock_delay keeps the locks of an expired session closed until its timer ends, by id", () => {
    const bench = new Bench();
    const dying = bench.open(500);
    const other = bench.open();
    bench.take("x", "exclusive", { session: dying, owner: "a" });
    const waiting = bench.wait(acquire("x", "exclusive", { session: other, owner: "b" }, { waitMs: 1000 }));
    bench.expire("session", dying);
    expect(bench.answerOf(waiting)).toBeNull();
    expect(bench.state.lock("x").status).toBe("delayed");
    expect(bench.ask(acquire("x", "shared", { session: other, owner: "c" }))).toMatchObject({ type: "busy", holders: [], waiters: 1 });
    bench.expire("lock-delay", 99);
    expect(bench.answerOf(waiting)).toBeNull();
    bench.expire("lock-delay", 1);
    expect(bench.answerOf(waiting)?.type).toBe("granted");
  });

  test("lock_delay keeps out only what the lost hold kept out", () => {
    const bench = new Bench();
    const dying = bench.open(500);
    const other = bench.open();
    bench.take("x", "shared", { session: dying, owner: "a" });
    bench.take("s", "permit", { session: dying, owner: "a" }, 2);
    bench.expire("session", dying);
    bench.take("x", "shared", { session: other, owner: "b" });
    bench.take("s", "permit", { session: other, owner: "b" }, 2);
    expect(bench.ask(acquire("s", "permit", { session: other, owner: "c" }, { of: 2 })).type).toBe("busy");
    expect(bench.ask(acquire("x", "exclusive", { session: other, owner: "c" })).type).toBe("busy");
  });

  test("a voluntary close delays nothing", () => {
    const bench = new Bench();
    const closing = bench.open(500);
    bench.take("x", "exclusive", { session: closing, owner: "a" });
    expect(bench.ask({ type: "close-session", session: closing })).toEqual({ type: "done" });
    expect(bench.state.lock("x").status).toBe("available");
    expect(bench.ask({ type: "close-session", session: closing })).toEqual({ type: "not-found", what: "session" });
  });

  test("nothing can be done in a session that is over, or in another principal's", () => {
    const bench = new Bench();
    const session = bench.open(0, "alice");
    const fence = bench.take("x", "exclusive", { session, owner: "a", principal: "alice" });
    const stranger = { session, owner: "a", principal: "bob" };
    const lost = { type: "session-lost", session };
    expect(bench.ask(acquire("y", "exclusive", stranger))).toEqual(lost);
    expect(bench.ask(release("x", fence, stranger))).toEqual(lost);
    expect(bench.holders("x")).toEqual(["a"]);
    bench.expire("session", session);
    expect(bench.ask(acquire("y", "exclusive", { session, owner: "a", principal: "alice" }))).toEqual(lost);
    expect(bench.ask(release("x", fence, { session, owner: "a", principal: "alice" }))).toEqual(lost);
  });

  test("a session holds and waits for no more than its quota; keys of a waiting set count from the start", () => {
    const bench = new Bench({ locksPerSession: 3, waitersPerSession: 1 });
    const session = bench.open();
    const other = bench.open();
    bench.take("x", "exclusive", { session: other, owner: "o" });
    bench.take("a", "exclusive", { session, owner: "1" });
    const pair = [
      { name: "b", mode: "shared" },
      { name: "x", mode: "shared" },
    ] as const;
    bench.wait(acquireSet(pair, { session, owner: "2" }, { waitMs: 1000 }));
    expect(bench.ask(acquire("c", "exclusive", { session, owner: "3" }))).toEqual({ type: "quota", limit: "locks-per-session", max: 3 });
    bench.ask(release("a", 0, { session, owner: "1" }));
    expect(bench.ask(acquire("x", "exclusive", { session, owner: "3" }, { waitMs: 1000 }))).toEqual({
      type: "quota",
      limit: "waiters-per-session",
      max: 1,
    });
    bench.take("c", "exclusive", { session, owner: "3" });
    bench.ask(release("x", 0, { session: other, owner: "o" }));
    expect(bench.state.session(session)).toMatchObject({ locks: 3, waiters: 0 });
  });

  test("a principal without session has quotas of its own", () => {
    const bench = new Bench({ locksPerPrincipal: 1, waitersPerPrincipal: 0 });
    bench.take("x", "exclusive", { owner: "a" });
    expect(bench.ask(acquire("y", "exclusive", { owner: "b" }))).toEqual({ type: "quota", limit: "locks-per-principal", max: 1 });
    expect(bench.ask(acquire("y", "exclusive", { owner: "b", principal: "q" })).type).toBe("granted");
    const waiting = acquire("x", "exclusive", { owner: "c", principal: "r" }, { waitMs: 10 });
    expect(bench.ask(waiting)).toEqual({ type: "quota", limit: "waiters-per-principal", max: 0 });
    expect(bench.state.sessionTable.principals.has("r")).toBe(false);
  });

  test("the number of sessions is bounded, and a session needs a ttl", () => {
    const bench = new Bench({ sessions: 1 });
    bench.open();
    const open = { type: "open-session", ttlMs: 10, lockDelayMs: 0, principal: "p", label: "" } as const;
    expect(bench.ask(open)).toEqual({ type: "quota", limit: "sessions", max: 1 });
    expect(new Bench().ask({ ...open, ttlMs: 0 }).type).toBe("malformed");
  });

  test("counters of a state that founds a new cluster begin above the old ones (W9)", () => {
    const bench = new Bench();
    const session = bench.open();
    const floor = 2 ** 40;
    bench.state.raiseCounters({ fence: floor, session: floor, wait: floor, delay: floor, anonymous: floor });
    expect(bench.take("x", "exclusive", { session, owner: "a" })).toBe(floor + 1);
    expect(bench.open()).toBe(floor + 1);
    bench.state.raiseCounters({ fence: 5, session: 5, wait: 5, delay: 5, anonymous: 5 });
    expect(bench.take("y", "exclusive", { session, owner: "a" })).toBe(floor + 2);
  });
});
