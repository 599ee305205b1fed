import { describe, expect, test } from "vitest";
import { Bench, acquire, downgrade, release, upgrade } from "../system/support.ts";

const wait = { waitMs: 1000 };

describe("modes", () => {
  test("update stands beside readers but not beside another update; exclusive stands alone", () => {
    const allowed: Record<string, boolean> = {};
    for (const held of ["shared", "update", "exclusive"] as const) {
      for (const asked of ["shared", "update", "exclusive"] as const) {
        const bench = new Bench();
        bench.take("x", held, { owner: "a" });
        allowed[`${held} ${asked}`] = bench.ask(acquire("x", asked, { owner: "b" })).type === "granted";
      }
    }
    expect(Object.keys(allowed).filter((pair) => allowed[pair])).toEqual(["shared shared", "shared update", "update shared"]);
  });

  test("strict FIFO: nobody overtakes, even who could stand beside the holders", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("x", "shared", { session, owner: "r" });
    bench.wait(acquire("x", "exclusive", { session, owner: "w" }, wait));
    expect(bench.ask(acquire("x", "shared", { session, owner: "late" }))).toMatchObject({ type: "busy", waiters: 1 });
  });

  test("strict FIFO: a release that is not enough for the head of the line is enough for nobody", () => {
    const bench = new Bench();
    const session = bench.open();
    for (const owner of ["r1", "r2"]) bench.take("x", "shared", { session, owner });
    for (const [owner, mode] of [
      ["w", "exclusive"],
      ["r3", "shared"],
    ] as const) {
      bench.wait(acquire("x", mode, { session, owner }, wait));
    }
    expect(bench.ask(release("x", 0, { session, owner: "r1" }))).toMatchObject({ type: "released", grantedTo: [] });
    expect(bench.waiters("x")).toEqual(["w", "r3"]);
  });

  test("a wait that ends lets those behind it come forward", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("x", "shared", { session, owner: "r" });
    const writer = bench.wait(acquire("x", "exclusive", { session, owner: "w" }, wait));
    const reader = bench.wait(acquire("x", "shared", { session, owner: "late" }, wait));
    bench.expire("wait", 1);
    expect(bench.answerOf(writer)).toMatchObject({ type: "busy", waited: true, name: "x", waiters: 1 });
    expect(bench.answerOf(reader)?.type).toBe("granted");
  });
});

describe("fences (K1)", () => {
  test("rise by one with every grant, whatever the name; kept on re-entry and downgrade, fresh on upgrade", () => {
    const bench = new Bench();
    const a = { session: bench.open(), owner: "a" };
    const fence = bench.take("x", "shared", a);
    expect(bench.take("y", "exclusive", a)).toBe(fence + 1);
    expect(bench.ask(acquire("x", "shared", a, { reentrant: true }))).toMatchObject({ type: "granted", fence, depth: 2 });
    expect(bench.ask(upgrade("x", fence, a, "exclusive"))).toMatchObject({
      type: "granted",
      fence: fence + 2,
      mode: "exclusive",
      depth: 2,
    });
    expect(bench.ask(downgrade("x", fence + 2, a, "update"))).toMatchObject({ type: "granted", fence: fence + 2, mode: "update" });
    expect(bench.state.lastFence).toBe(fence + 2);
    bench.ask(release("y", 0, a));
    expect(bench.take("y", "exclusive", a)).toBe(fence + 3);
  });

  test("a late release with an old fence changes nothing", () => {
    const bench = new Bench();
    const session = bench.open();
    const a = { session, owner: "a" };
    const b = { session, owner: "b" };
    const old = bench.take("x", "exclusive", a);
    bench.ask(release("x", old, a));
    expect(bench.ask(release("x", old, a))).toEqual({ type: "not-held", name: "x", holders: [] });
    const fence = bench.take("x", "exclusive", b);
    const holders = [{ owner: "b", session, mode: "exclusive", fence }];
    expect(bench.ask(release("x", old, a))).toEqual({ type: "not-held", name: "x", holders });
    bench.ask(release("x", fence, b));
    const again = bench.take("x", "exclusive", a);
    expect(bench.ask(release("x", old, a))).toEqual({ type: "stale-fence", name: "x", fence: old });
    expect(bench.ask(release("x", again, b))).toMatchObject({ type: "not-held" });
    expect(bench.holders("x")).toEqual(["a"]);
  });

  test("a lease that ran out ends that very grant and never a newer one (W-27)", () => {
    const bench = new Bench();
    const old = bench.take("x", "exclusive", { owner: "a" });
    bench.ask(release("x", old, { owner: "a" }));
    const fence = bench.take("x", "exclusive", { owner: "b" });
    bench.expire("grant", old);
    expect(bench.state.isHeld("x", fence)).toBe(true);
    bench.expire("grant", fence);
    expect(bench.state.isHeld("x", fence)).toBe(false);
    expect(bench.events.at(-1)).toMatchObject({ type: "lock-released", cause: "expired" });
  });

  test("a grant of a session has no lease of its own that could run out", () => {
    const bench = new Bench();
    const fence = bench.take("x", "exclusive", { session: bench.open(), owner: "a" });
    bench.expire("grant", fence);
    expect(bench.state.isHeld("x", fence)).toBe(true);
  });
});

describe("re-entry", () => {
  test("only when asked, by the same owner of the same session; each release takes one level", () => {
    const bench = new Bench();
    const session = bench.open();
    const a = { session, owner: "a" };
    const fence = bench.take("x", "exclusive", a);
    expect(bench.ask(acquire("x", "exclusive", a)).type).toBe("busy");
    expect(bench.ask(acquire("x", "exclusive", { session, owner: "b" }, { reentrant: true })).type).toBe("busy");
    expect(bench.ask(acquire("x", "exclusive", { owner: "a" }, { reentrant: true })).type).toBe("busy");
    expect(bench.ask(acquire("x", "shared", a, { reentrant: true }))).toMatchObject({ fence, mode: "exclusive", depth: 2 });
    expect(bench.ask(release("x", fence, a))).toEqual({ type: "released", fence, remaining: 1, grantedTo: [] });
    expect(bench.holders("x")).toEqual(["a"]);
    expect(bench.ask(release("x", fence, a))).toEqual({ type: "released", fence, remaining: 0, grantedTo: [] });
    expect(bench.holders("x")).toEqual([]);
  });

  test("passes those in line: whoever holds need not wait for those who wait for it", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("x", "shared", { session, owner: "a" });
    bench.wait(acquire("x", "exclusive", { session, owner: "w" }, wait));
    expect(bench.ask(acquire("x", "shared", { session, owner: "a" }, { reentrant: true })).type).toBe("granted");
  });

  test("a stronger mode is an upgrade, not a re-entry; the depth is bounded", () => {
    const bench = new Bench({ reentryDepth: 2 });
    const a = { session: bench.open(), owner: "a" };
    bench.take("x", "shared", a);
    const again = acquire("x", "shared", a, { reentrant: true });
    expect(bench.ask(acquire("x", "exclusive", a, { reentrant: true }))).toMatchObject({ type: "conflict", reason: "mode" });
    expect(bench.ask(again).type).toBe("granted");
    expect(bench.ask(again)).toEqual({ type: "quota", limit: "reentry-depth", max: 2 });
  });

  test("a lease without session starts anew and is never shortened", () => {
    const bench = new Bench();
    const fence = bench.take("x", "exclusive", { owner: "a" });
    bench.ask(acquire("x", "exclusive", { owner: "a" }, { reentrant: true, ttlMs: 10 }));
    expect(bench.timers.list()).toEqual([`grant ${fence} 5000`]);
    bench.ask(acquire("x", "exclusive", { owner: "a" }, { reentrant: true, ttlMs: 9000 }));
    expect(bench.timers.list()).toEqual([`grant ${fence} 9000`]);
  });
});

describe("upgrade and downgrade", () => {
  test("an upgrader goes before everybody in line", () => {
    const bench = new Bench();
    const session = bench.open();
    const fence = bench.take("x", "shared", { session, owner: "a" });
    bench.take("x", "shared", { session, owner: "b" });
    bench.wait(acquire("x", "exclusive", { session, owner: "w" }, wait));
    const upgrading = bench.wait(upgrade("x", fence, { session, owner: "a" }, "exclusive", 1000));
    expect(bench.waiters("x")).toEqual(["a", "w"]);
    bench.ask(release("x", 0, { session, owner: "b" }));
    expect(bench.answerOf(upgrading)).toMatchObject({ type: "granted", mode: "exclusive" });
    expect(bench.state.lock("x").holders).toMatchObject([{ owner: "a", mode: "exclusive" }]);
  });

  test("a second upgrader is a deadlock, told at once, willing to wait or not", () => {
    for (const waitMs of [0, 1000]) {
      const bench = new Bench();
      const session = bench.open();
      const first = bench.take("x", "shared", { session, owner: "a" });
      const second = bench.take("x", "shared", { session, owner: "b" });
      const upgrading = bench.wait(upgrade("x", first, { session, owner: "a" }, "exclusive", 1000));
      expect(bench.ask(upgrade("x", second, { session, owner: "b" }, "exclusive", waitMs))).toEqual({
        type: "deadlock",
        cycle: [
          { owner: "b", waitsFor: "x", mode: "exclusive", heldBy: "a" },
          { owner: "a", waitsFor: "x", mode: "exclusive", heldBy: "b" },
        ],
      });
      bench.ask(release("x", second, { session, owner: "b" }));
      expect(bench.answerOf(upgrading)?.type).toBe("granted");
    }
  });

  test("not granted at once and not willing to wait: busy, and the hold stays as it was", () => {
    const bench = new Bench();
    const fence = bench.take("x", "shared", { owner: "a" });
    bench.take("x", "shared", { owner: "b" });
    expect(bench.ask(upgrade("x", fence, { owner: "a" }, "exclusive")).type).toBe("busy");
    expect(bench.state.isHeld("x", fence)).toBe(true);
  });

  test("an upgrade whose hold goes away is answered not-held", () => {
    const bench = new Bench();
    const fence = bench.take("x", "shared", { owner: "a" });
    bench.take("x", "shared", { owner: "b" });
    const upgrading = bench.wait(upgrade("x", fence, { owner: "a" }, "exclusive", 1000));
    bench.expire("grant", fence);
    expect(bench.answerOf(upgrading)).toMatchObject({ type: "not-held", name: "x" });
    expect(bench.waiters("x")).toEqual([]);
  });

  test("what cannot be upgraded or downgraded is a conflict and changes nothing", () => {
    const bench = new Bench();
    const permit = bench.take("s", "permit", { owner: "a" }, 2);
    const fence = bench.take("x", "update", { owner: "a" });
    const reason = (command: Parameters<Bench["ask"]>[0]): unknown => {
      const result = bench.ask(command);
      return result.type === "conflict" ? result.reason : result.type;
    };
    expect(reason(upgrade("s", permit, { owner: "a" }, "exclusive"))).toBe("not-upgradable");
    expect(reason(upgrade("x", fence, { owner: "a" }, "permit"))).toBe("not-upgradable");
    expect(reason(upgrade("x", fence, { owner: "a" }, "update"))).toBe("mode");
    expect(reason(downgrade("x", fence, { owner: "a" }, "update"))).toBe("mode");
    expect(reason(downgrade("x", fence, { owner: "a" }, "exclusive"))).toBe("mode");
    expect(reason(downgrade("s", permit, { owner: "a" }, "shared"))).toBe("mode");
    expect(reason(upgrade("x", fence + 1, { owner: "a" }, "exclusive"))).toBe("stale-fence");
    expect(reason(upgrade("x", fence, { owner: "b" }, "exclusive"))).toBe("not-held");
    bench.take("x", "shared", { owner: "r" });
    bench.wait(upgrade("x", fence, { owner: "a" }, "exclusive", 1000));
    expect(reason(upgrade("x", fence, { owner: "a" }, "exclusive", 1000))).toBe("already-waiting");
    expect(reason(downgrade("x", fence, { owner: "a" }, "shared"))).toBe("already-waiting");
  });

  test("a downgrade wakes those who now fit beside it", () => {
    const bench = new Bench();
    const fence = bench.take("x", "exclusive", { owner: "a" });
    const reader = bench.wait(acquire("x", "shared", { owner: "b" }, wait));
    bench.ask(downgrade("x", fence, { owner: "a" }, "shared"));
    expect(bench.answerOf(reader)?.type).toBe("granted");
    expect(bench.holders("x")).toEqual(["a", "b"]);
  });
});
