import type { Command } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { Bench, acquire, acquireSet, actor, frameOf, release } from "../system/support.ts";

const wait = { waitMs: 1000 };

describe("semaphores", () => {
  test("n permits, one per request, in order", () => {
    const bench = new Bench();
    for (const owner of ["a", "b"]) bench.take("s", "permit", { owner }, 2);
    expect(bench.ask(acquire("s", "permit", { owner: "c" }, { of: 2 })).type).toBe("busy");
    const waiting = ["c", "d"].map((owner) => bench.wait(acquire("s", "permit", { owner }, { ...wait, of: 2 })));
    bench.ask(release("s", 0, { owner: "b" }));
    expect(waiting.map((request) => bench.answerOf(request)?.type)).toEqual(["granted", undefined]);
    expect(bench.state.lock("s")).toMatchObject({ of: 2 });
  });

  test("the first permit fixes the size until the name is free again", () => {
    const bench = new Bench();
    bench.take("s", "permit", { owner: "a" }, 2);
    expect(bench.ask(acquire("s", "permit", { owner: "b" }, { of: 3 }))).toMatchObject({ type: "conflict", reason: "semaphore-size" });
    expect(bench.ask(acquire("s", "shared", { owner: "b" }))).toMatchObject({ type: "conflict", reason: "lock-kind" });
    bench.take("x", "shared", { owner: "a" });
    expect(bench.ask(acquire("x", "permit", { owner: "b" }, { of: 3 }))).toMatchObject({ type: "conflict", reason: "lock-kind" });
    bench.ask(release("s", 0, { owner: "a" }));
    bench.take("s", "permit", { owner: "b" }, 3);
    expect(bench.state.lock("s").of).toBe(3);
  });
});

describe("sets", () => {
  const xy = [
    { name: "x", mode: "exclusive" },
    { name: "y", mode: "shared" },
  ] as const;

  test("are granted only when every key is, with a fence for each, and hold nothing before", () => {
    const bench = new Bench();
    const session = bench.open();
    const fence = bench.take("y", "exclusive", { session, owner: "b" });
    expect(bench.ask(acquireSet(xy, { session, owner: "a" }))).toMatchObject({ type: "busy", name: "y" });
    const set = bench.wait(acquireSet(xy, { session, owner: "a" }, wait));
    expect(bench.holders("x")).toEqual([]);
    // The free key keeps its place in line.
    const behind = bench.wait(acquire("x", "exclusive", { session, owner: "c" }, wait));
    bench.ask(release("y", fence, { session, owner: "b" }));
    expect(bench.answerOf(set)).toEqual({
      type: "granted",
      fence: fence + 1,
      owner: "a",
      mode: "exclusive",
      depth: 1,
      more: [{ name: "y", fence: fence + 2, mode: "shared" }],
    });
    expect(bench.answerOf(behind)).toBeNull();
  });

  test("a set that leaves a line lets those behind it forward, in every line", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("y", "exclusive", { session, owner: "b" });
    bench.wait(acquireSet(xy, { session, owner: "a" }, wait));
    const behind = bench.wait(acquire("x", "exclusive", { session, owner: "c" }, wait));
    bench.ask({ type: "cancel", actor: actor({ session, owner: "a" }), name: "y", caller: "", sequence: 0 });
    expect(bench.answerOf(behind)?.type).toBe("granted");
  });

  test("re-entry inside a set: a key held already is ready at once, even with others in line for it", () => {
    const bench = new Bench();
    const session = bench.open();
    const a = { session, owner: "a" };
    const fence = bench.take("x", "exclusive", a);
    const other = bench.take("y", "exclusive", { session, owner: "b" });
    bench.wait(acquire("x", "exclusive", { session, owner: "w" }, wait));
    const set = bench.wait(acquireSet(xy, a, { ...wait, reentrant: true }));
    bench.ask(release("y", other, { session, owner: "b" }));
    expect(bench.answerOf(set)).toMatchObject({ type: "granted", fence, depth: 2, more: [{ name: "y" }] });
    expect(bench.ask(acquireSet([...xy, { name: "z", mode: "shared" }], a, { reentrant: true }))).toMatchObject({ fence, depth: 3 });
  });

  test("a set with a semaphore, with a name twice or with too many keys is refused", () => {
    const bench = new Bench({ keysPerRequest: 2 });
    const a = { owner: "a" };
    const permit = { name: "s", mode: "permit", of: 2 } as const;
    expect(bench.ask(acquireSet([xy[0], permit], a))).toMatchObject({ type: "conflict", reason: "lock-kind" });
    expect(bench.ask(acquireSet([xy[0], xy[0]], a)).type).toBe("malformed");
    expect(bench.ask(acquireSet([...xy, { name: "z", mode: "shared" }], a))).toEqual({ type: "quota", limit: "keys-per-request", max: 2 });
    bench.take("s", "permit", a, 2);
    expect(bench.ask(acquireSet([{ name: "s", mode: "shared" }, xy[0]], a))).toMatchObject({ type: "conflict", reason: "lock-kind" });
    expect(bench.state.lockCount()).toBe(1);
  });

  test("release of a set is all or nothing", () => {
    const bench = new Bench();
    const a = { session: bench.open(), owner: "a" };
    const x = bench.take("x", "exclusive", a);
    const y = bench.take("y", "exclusive", a);
    const set = (...locks: { name: string; fence: number }[]) => ({ type: "release-set", actor: actor(a), locks }) as const;
    expect(bench.ask(set({ name: "x", fence: x }, { name: "y", fence: y + 1 }))).toMatchObject({ type: "stale-fence", name: "y" });
    expect(bench.ask(set({ name: "x", fence: x }, { name: "z", fence: 9 }))).toMatchObject({ type: "not-held", name: "z" });
    expect(bench.ask(set({ name: "x", fence: x }, { name: "x", fence: x })).type).toBe("malformed");
    expect(bench.holders("x")).toEqual(["a"]);
    expect(bench.ask(set({ name: "x", fence: x }, { name: "y", fence: y })).type).toBe("released");
    expect(bench.state.lockCount()).toBe(0);
  });
});

describe("waiting", () => {
  test("an owner waits at most once for a name", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("x", "exclusive", { session, owner: "a" });
    bench.wait(acquire("x", "shared", { session, owner: "b" }, wait));
    const twice = bench.ask(acquire("x", "shared", { session, owner: "b" }, wait));
    expect(twice).toMatchObject({ type: "conflict", reason: "already-waiting" });
    const keys = [
      { name: "y", mode: "shared" },
      { name: "x", mode: "shared" },
    ] as const;
    expect(bench.ask(acquireSet(keys, { session, owner: "b" }, wait))).toMatchObject({ type: "conflict", reason: "already-waiting" });
    expect(bench.state.lockCount()).toBe(1);
  });

  test("cancel by request: the request is answered cancelled, the canceller done; once granted, not-found", () => {
    const bench = new Bench();
    const session = bench.open();
    const fence = bench.take("x", "exclusive", { session, owner: "a" });
    const request = bench.wait(acquire("x", "shared", { session, owner: "b" }, wait));
    expect(bench.ask(cancel(request))).toEqual({ type: "done" });
    expect(bench.answerOf(request)).toEqual({ type: "cancelled" });
    expect(bench.waiters("x")).toEqual([]);
    const later = bench.wait(acquire("x", "shared", { session, owner: "b" }, wait));
    bench.ask(release("x", fence, { session, owner: "a" }));
    expect(bench.ask(cancel(later))).toEqual({ type: "not-found", what: "wait" });
    expect(bench.holders("x")).toEqual(["b"]);
    expect(bench.ask({ ...cancel(1), caller: "", name: "x" })).toEqual({ type: "not-found", what: "wait" });
  });

  test("a cancel that overtakes its request answers it in advance: it is never granted to nobody", () => {
    const bench = new Bench();
    const session = bench.open();
    const ahead = { ...cancel(1), caller: "n" };
    expect(bench.ask(ahead)).toEqual({ type: "done" });
    const frame = frameOf("n", 1, [acquire("x", "exclusive", { session, owner: "b" }, wait)], {
      notAfter: bench.now + 1000,
      fingerprint: "body",
    });
    bench.entry(frame);
    expect(bench.answers.get("n/1")).toEqual({ type: "cancelled" });
    expect(bench.holders("x")).toEqual([]);
    expect(bench.ask(ahead)).toEqual({ type: "not-found", what: "wait" });
  });

  test("a set lease runs from now, for grants without session only", () => {
    const bench = new Bench();
    const fence = bench.take("x", "exclusive", { owner: "a" });
    const held = bench.take("y", "exclusive", { session: bench.open(), owner: "a" });
    expect(bench.ask(setLease("x", fence, 77))).toEqual({ type: "done" });
    expect(bench.timers.running.get(`grant ${fence}`)).toBe(77);
    expect(bench.state.lock("x").holders[0]?.ttlMs).toBe(77);
    expect(bench.ask(setLease("x", fence, 0)).type).toBe("malformed");
    expect(bench.ask(setLease("x", fence + 9, 5)).type).toBe("stale-fence");
    expect(bench.ask(setLease("y", held, 5, 1))).toMatchObject({ type: "conflict", reason: "lock-kind" });
  });

  test("a lock without session needs a ttl", () => {
    const bench = new Bench();
    expect(bench.ask(acquire("x", "shared", { owner: "a" }, { ttlMs: 0 })).type).toBe("malformed");
    expect(bench.state.sessionTable.principals.size).toBe(0);
  });
});

describe("anonymous locks (S0)", () => {
  test("each acquire is its own owner; a release frees the oldest anonymous hold and never a named one", () => {
    const bench = new Bench();
    const one = bench.ask(acquire("x", "shared", {}, { anonymous: true }));
    const two = bench.ask(acquire("x", "shared", {}, { anonymous: true }));
    bench.take("x", "shared", { owner: "named" });
    expect([one, two].map((result) => result.type === "granted" && result.owner)).toEqual(["anon-1", "anon-2"]);
    expect(bench.ask(release("x", 0, {}, true))).toMatchObject({ type: "released", fence: 1 });
    expect(bench.holders("x")).toEqual(["anon-2", "named"]);
    expect(bench.ask(release("x", 0, { principal: "stranger" }, true)).type).toBe("not-held");
    expect(bench.ask(release("x", 0, {}, true))).toMatchObject({ type: "released", fence: 2 });
    expect(bench.ask(release("x", 0, {}, true))).toMatchObject({ type: "not-held", holders: [{ owner: "named" }] });
    expect(bench.holders("x")).toEqual(["named"]);
  });

  test("may wait beside others of its kind, and is released by its given name too", () => {
    const bench = new Bench();
    bench.take("x", "exclusive", { owner: "a" });
    const waiting = [1, 2].map(() => bench.wait(acquire("x", "shared", {}, { ...wait, anonymous: true })));
    bench.ask(release("x", 0, { owner: "a" }));
    expect(waiting.map((request) => bench.answerOf(request)?.type)).toEqual(["granted", "granted"]);
    expect(bench.ask(release("x", 0, { owner: "anon-2" })).type).toBe("released");
    expect(bench.holders("x")).toEqual(["anon-1"]);
  });
});

describe("force-release", () => {
  test("ends every hold of the name, or the one of a fence, whatever the depth; then the line moves", () => {
    const bench = new Bench();
    const session = bench.open();
    const a = bench.take("x", "shared", { session, owner: "a" });
    bench.ask(acquire("x", "shared", { session, owner: "a" }, { reentrant: true }));
    const b = bench.take("x", "shared", { session, owner: "b" });
    expect(bench.ask(force(99))).toEqual({ type: "not-found", what: "lock" });
    const writer = bench.wait(acquire("x", "exclusive", { session, owner: "w" }, wait));
    expect(bench.ask(force(a))).toEqual({ type: "released", fence: a, remaining: 0, grantedTo: [] });
    expect(bench.holders("x")).toEqual(["b"]);
    expect(bench.ask(force(0))).toEqual({ type: "released", fence: b, remaining: 0, grantedTo: ["w"] });
    expect(bench.answerOf(writer)?.type).toBe("granted");
    expect(bench.ask({ ...force(0), name: "free" })).toEqual({ type: "not-found", what: "lock" });
  });

  test("is involuntary: the session's lock_delay applies", () => {
    const bench = new Bench();
    bench.take("x", "exclusive", { session: bench.open(500), owner: "a" });
    bench.ask({ type: "force-release", principal: "op", name: "x", fence: 0, reason: "" });
    expect(bench.state.lock("x").status).toBe("delayed");
  });
});

function cancel(sequence: number): Extract<Command, { type: "cancel" }> {
  return { type: "cancel", actor: actor({}), name: "", caller: "c", sequence };
}

function setLease(name: string, fence: number, ttlMs: number, session = 0): Command {
  return { type: "set-lease", actor: actor({ session, owner: "a" }), name, fence, ttlMs };
}

function force(fence: number): Extract<Command, { type: "force-release" }> {
  return { type: "force-release", principal: "op", name: "x", fence, reason: "stuck" };
}
