import { describe, expect, test } from "vitest";
import { compareNames } from "../../src/system/names.ts";
import { Bench, acquire, acquireSet, release, upgrade } from "./support.ts";

describe("views", () => {
  test("names are listed in the order of their UTF-8 bytes, page by page", () => {
    const bench = new Bench();
    const session = bench.open();
    const names = ["a", "a/b", "ab", "b", "\u{1F600}", "\uffee", "é", "z", ...Array.from({ length: 40 }, (_, i) => `p/${i}`)];
    for (const name of names) bench.take(name, "exclusive", { session, owner: "o" });
    const encoder = new TextEncoder();
    const byBytes = (a: string, b: string): number => Buffer.compare(encoder.encode(a), encoder.encode(b));
    const expected = [...names].sort(byBytes);
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const page: { readonly locks: readonly { readonly name: string }[]; readonly next: string | null } = bench.state.locks("", cursor, 7);
      seen.push(...page.locks.map((lock) => lock.name));
      expect(page.locks.length).toBeLessThanOrEqual(7);
      cursor = page.next;
    }
    expect(seen).toEqual(expected);
    expect(bench.state.locks("p/", "", 100).locks.map((lock) => lock.name)).toEqual(expected.filter((name) => name.startsWith("p/")));
    for (const a of names) for (const b of names) expect(Math.sign(compareNames(a, b))).toBe(Math.sign(byBytes(a, b)));
  });

  test("a lock shows holders and waiters in order; delayed and available are told apart", () => {
    const bench = new Bench();
    const session = bench.open(300);
    const fence = bench.take("x", "shared", { session, owner: "a" });
    bench.wait(acquire("x", "exclusive", { owner: "b" }, { waitMs: 70, ttlMs: 900 }));
    expect(bench.state.lock("x")).toMatchObject({
      name: "x",
      status: "held",
      of: 0,
      holders: [{ owner: "a", principal: "p", session, mode: "shared", fence, depth: 1, anonymous: false, ttlMs: 0, since: bench.now }],
      waiters: [{ owner: "b", principal: "p", session: 0, mode: "exclusive", waitMs: 70, since: bench.now, caller: "c" }],
    });
    expect(bench.state.isHeld("x", fence)).toBe(true);
    expect(bench.state.isHeld("x", fence + 1)).toBe(false);
    bench.expire("session", session);
    expect(bench.state.lock("x").status).toBe("delayed");
    expect(bench.state.lock("nothing").status).toBe("available");
    expect(bench.state.isHeld("x", fence)).toBe(false);
  });

  test("sessions are listed by id, page by page", () => {
    const bench = new Bench();
    const ids = Array.from({ length: 70 }, () => bench.open(5));
    const first = bench.state.sessions(0, 50);
    expect(first.sessions.map((each) => each.session)).toEqual(ids.slice(0, 50));
    const rest = bench.state.sessions(first.next ?? 0, 50);
    expect(rest.sessions.map((each) => each.session)).toEqual(ids.slice(50));
    expect(rest.next).toBeNull();
    expect(bench.state.session(ids[0] ?? 0)).toEqual({
      session: 1,
      principal: "p",
      label: "test",
      ttlMs: 10_000,
      lockDelayMs: 5,
      locks: 0,
      waiters: 0,
      openedAt: bench.now,
    });
    expect(bench.state.session(999)).toBeNull();
  });

  test("the wait-for graph names who waits for whom, for which lock, and whether for a holder or in line", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("x", "exclusive", { session, owner: "a" });
    bench.wait(acquire("x", "shared", { session, owner: "b" }, { waitMs: 1000 }));
    bench.wait(acquire("x", "exclusive", { session, owner: "c" }, { waitMs: 1000 }));
    const since = bench.now;
    expect(bench.state.waitEdges(10)).toEqual([
      { waiter: "b", holder: "a", name: "x", mode: "shared", kind: "hard", since },
      { waiter: "c", holder: "a", name: "x", mode: "exclusive", kind: "hard", since },
      { waiter: "c", holder: "b", name: "x", mode: "exclusive", kind: "order", since },
    ]);
    expect(bench.state.waitEdges(2)).toHaveLength(2);
  });

  test("the last deadlocks are remembered with their cycle, and no more than the last 64", () => {
    const bench = new Bench();
    const session = bench.open();
    const a = { session, owner: "a" };
    const b = { session, owner: "b" };
    bench.take("x", "exclusive", a);
    bench.take("y", "exclusive", b);
    bench.wait(acquire("y", "exclusive", a, { waitMs: 1000 }));
    for (let i = 0; i < 70; i++) {
      bench.now += 1;
      expect(bench.ask(acquire("x", "exclusive", b, { waitMs: 1000 })).type).toBe("deadlock");
    }
    const resolutions = bench.state.lastResolutions();
    expect(resolutions).toHaveLength(64);
    expect(resolutions.at(-1)).toEqual({
      at: bench.now,
      victim: "b",
      name: "x",
      cycle: [
        { owner: "b", waitsFor: "x", mode: "exclusive", heldBy: "a" },
        { owner: "a", waitsFor: "y", mode: "exclusive", heldBy: "b" },
      ],
    });
  });

  test("events tell grants, waits, releases with their cause, and sessions, in order", () => {
    const bench = new Bench();
    const session = bench.open();
    const fence = bench.take("x", "exclusive", { session, owner: "a" });
    bench.wait(acquire("x", "shared", { session, owner: "b" }, { waitMs: 1000 }));
    bench.ask({ type: "force-release", principal: "op", name: "x", fence: 0, reason: "stuck" });
    bench.ask({ type: "close-session", session });
    expect(bench.events).toEqual([
      { type: "session-opened", session },
      { type: "lock-granted", name: "x", owner: "a", session, mode: "exclusive", fence },
      { type: "lock-waiting", name: "x", owner: "b", session, mode: "shared" },
      { type: "lock-released", name: "x", owner: "a", session, fence, cause: "forced", forced: { principal: "op", reason: "stuck" } },
      { type: "lock-granted", name: "x", owner: "b", session, mode: "shared", fence: fence + 1 },
      { type: "lock-released", name: "x", owner: "b", session, fence: fence + 1, cause: "session-closed" },
      { type: "session-ended", session, cause: "closed" },
    ]);
  });
});

describe("timers", () => {
  test("a new leader is told every live timer in full; a follower none", () => {
    const bench = new Bench();
    const session = bench.open(400);
    const dying = bench.open(400);
    bench.take("x", "exclusive", { session, owner: "a" });
    bench.take("d", "exclusive", { session: dying, owner: "a" });
    const lease = bench.take("y", "exclusive", { owner: "b" });
    bench.wait(acquire("x", "exclusive", { session, owner: "w" }, { waitMs: 250 }));
    bench.expire("session", dying);
    const running = bench.timers.list();
    expect(running).toEqual([`grant ${lease} 5000`, "lock-delay 1 400", `session ${session} 10000`, "wait 1 250"]);
    bench.state.setTimerSink(null);
    bench.timers.running.clear();
    bench.ask({ type: "open-session", ttlMs: 10_000, lockDelayMs: 0, principal: "p", label: "" });
    expect(bench.timers.list()).toEqual([]);
    bench.state.setTimerSink(bench.timers);
    expect(bench.timers.list()).toEqual([...running, "session 3 10000"].sort());
  });

  test("every timer is cleared when what it ends is over", () => {
    const bench = new Bench();
    const session = bench.open(100);
    const a = { session, owner: "a" };
    const fence = bench.take("x", "shared", { owner: "b" });
    bench.wait(
      acquireSet(
        [
          { name: "x", mode: "exclusive" },
          { name: "y", mode: "shared" },
        ],
        a,
        { waitMs: 1000 },
      ),
    );
    bench.ask(release("x", fence, { owner: "b" }));
    expect(bench.timers.list()).toEqual([`session ${session} 10000`]);
    const other = bench.take("z", "shared", { owner: "b" });
    const upgraded = bench.ask(upgrade("z", other, { owner: "b" }, "exclusive"));
    expect(upgraded.type === "granted" && bench.timers.list()).toEqual([
      `grant ${upgraded.type === "granted" ? upgraded.fence : 0} 5000`,
      `session ${session} 10000`,
    ]);
    bench.expire("session", session);
    expect(bench.timers.running.size).toBe(3);
    bench.expire("lock-delay", 1);
    bench.expire("lock-delay", 2);
    bench.ask(release("z", 0, { owner: "b" }));
    expect(bench.timers.list()).toEqual([]);
  });
});
