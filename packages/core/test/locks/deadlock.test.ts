import type { Result } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { Bench, type Who, acquire, acquireSet, release, upgrade } from "../system/support.ts";

const wait = { waitMs: 1000 };

/** Flows of the first session. */
function flows(a: string, b: string, c = ""): readonly [Who, Who, Who] {
  return [
    { session: 1, owner: a },
    { session: 1, owner: b },
    { session: 1, owner: c },
  ];
}

function cycleOf(result: Result | null): string[] {
  if (result?.type !== "deadlock") throw new Error(`no deadlock: ${JSON.stringify(result)}`);
  return result.cycle.map((step) => `${step.owner} wants ${step.waitsFor} of ${step.heldBy}`);
}

describe("deadlock detection (K3)", () => {
  test("two owners in a cycle: the younger waiter is refused with the cycle, the holder keeps its lock", () => {
    const bench = new Bench();
    const session = bench.open();
    const [a, b] = [
      { session, owner: "a" },
      { session, owner: "b" },
    ];
    bench.take("x", "exclusive", a);
    bench.take("y", "exclusive", b);
    const first = bench.wait(acquire("y", "exclusive", a, wait));
    expect(cycleOf(bench.ask(acquire("x", "exclusive", b, wait)))).toEqual(["b wants x of a", "a wants y of b"]);
    expect(bench.answerOf(first)).toBeNull();
    expect(bench.holders("y")).toEqual(["b"]);
    bench.ask(release("y", 0, b));
    expect(bench.answerOf(first)?.type).toBe("granted");
  });

  test("owners are flows, not sessions: two flows of one session that wait for each other's lock in turn are no deadlock", () => {
    const bench = new Bench();
    const session = bench.open();
    const other = bench.open();
    bench.take("x", "exclusive", { session, owner: "1" });
    bench.take("y", "exclusive", { session: other, owner: "1" });
    bench.wait(acquire("y", "exclusive", { session, owner: "2" }, wait));
    bench.wait(acquire("x", "exclusive", { session: other, owner: "2" }, wait));
    expect(bench.state.lastResolutions()).toEqual([]);
  });

  test("callers without session are found in a deadlock by principal and owner", () => {
    const bench = new Bench();
    bench.take("x", "exclusive", { owner: "a" });
    bench.take("y", "exclusive", { owner: "b" });
    bench.wait(acquire("y", "exclusive", { owner: "a" }, wait));
    bench.wait(acquire("x", "exclusive", { owner: "b", principal: "q" }, wait));
    expect(cycleOf(bench.ask(acquire("x", "exclusive", { owner: "b" }, wait)))).toHaveLength(3);
  });

  test("an owner that asks again for what it holds, without re-entry, waits for itself: told at once", () => {
    const bench = new Bench();
    const a = { session: bench.open(), owner: "a" };
    bench.take("x", "exclusive", a);
    expect(cycleOf(bench.ask(acquire("x", "shared", a, wait)))).toEqual(["a wants x of a"]);
  });

  test("an owner that is willing to wait 0 is told busy, never deadlock", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("x", "exclusive", { session, owner: "a" });
    bench.take("y", "exclusive", { session, owner: "b" });
    bench.wait(acquire("y", "exclusive", { session, owner: "a" }, wait));
    expect(bench.ask(acquire("x", "exclusive", { session, owner: "b" })).type).toBe("busy");
  });

  test("a cycle through the order of the line is a deadlock although no holder is in it", () => {
    const bench = new Bench();
    bench.open();
    const [r, w, v] = flows("r", "w", "v");
    // r reads x; w waits to write it; v holds y and would read x beside r, but must stay behind w; w's other flow needs nothing.
    bench.take("x", "shared", r);
    bench.take("y", "exclusive", v);
    bench.wait(acquire("x", "exclusive", w, wait));
    bench.wait(acquire("y", "exclusive", r, wait));
    expect(cycleOf(bench.ask(acquire("x", "shared", v, wait)))).toEqual(["v wants x of w", "w wants x of r", "r wants y of v"]);
  });

  test("readers in line behind each other are no deadlock when they will stand together", () => {
    const bench = new Bench();
    bench.open();
    const [h, a, b] = flows("h", "a", "b");
    bench.take("x", "exclusive", h);
    bench.take("y", "exclusive", b);
    bench.wait(acquire("x", "shared", a, wait));
    // a also waits for y of b; b waits for x behind a, but beside it: once h lets go both read x, and b lets go of y.
    bench.wait(acquire("y", "exclusive", a, wait));
    bench.wait(acquire("x", "shared", b, wait));
    expect(bench.state.lastResolutions()).toEqual([]);
    bench.ask(release("x", 0, h));
    expect(bench.holders("x")).toEqual(["a", "b"]);
  });

  test("several waits of one owner all count: a deadlock through any of them is found", () => {
    const bench = new Bench();
    bench.open();
    const [a, b, c] = flows("a", "b", "c");
    bench.take("x", "exclusive", a);
    bench.take("y", "exclusive", b);
    bench.take("z", "exclusive", c);
    bench.wait(acquire("z", "exclusive", a, wait));
    bench.wait(acquire("y", "exclusive", a, wait));
    expect(cycleOf(bench.ask(acquire("x", "exclusive", b, wait)))).toEqual(["b wants x of a", "a wants y of b"]);
  });

  test("an upgrade that makes others wait for it can close a cycle that it is not in: the youngest waiter of the cycle goes", () => {
    const bench = new Bench();
    bench.open();
    const [r, h, y] = flows("r", "h", "y");
    const fence = bench.take("x", "shared", r);
    bench.take("x", "update", h);
    bench.take("k", "exclusive", y);
    const waiter = bench.wait(acquire("x", "update", y, wait));
    const other = bench.wait(acquire("k", "exclusive", r, wait));
    const upgrading = bench.wait(upgrade("x", fence, r, "exclusive", 1000));
    expect(cycleOf(bench.answerOf(other))).toEqual(["r wants k of y", "y wants x of r"]);
    expect(bench.answerOf(waiter)).toBeNull();
    bench.ask(release("x", 0, h));
    expect(bench.answerOf(upgrading)?.type).toBe("granted");
  });

  test("an upgrade granted at once that closes two cycles breaks both", () => {
    const bench = new Bench();
    const session = bench.open();
    const b = { session, owner: "b" };
    const fence = bench.take("k", "update", b);
    bench.take("q", "exclusive", { session, owner: "o" });
    for (const owner of ["v", "w"]) {
      bench.take(`m${owner}`, "exclusive", { session, owner });
      const keys = [
        { name: "k", mode: "shared" },
        { name: "q", mode: "shared" },
      ] as const;
      bench.wait(acquireSet(keys, { session, owner }, wait));
    }
    const own = ["v", "w"].map((owner) => bench.wait(acquire(`m${owner}`, "exclusive", b, wait)));
    // Nobody but b holds k, so b is granted at once; v and w now wait for b, which waits for both.
    expect(bench.ask(upgrade("k", fence, b, "exclusive", 1000)).type).toBe("granted");
    expect(own.map((request) => bench.answerOf(request)?.type)).toEqual(["deadlock", "deadlock"]);
    expect(bench.waiters("k")).toEqual(["v", "w"]);
  });

  test("a semaphore waits for any of its permits: a cycle through one of them is no deadlock", () => {
    const bench = new Bench();
    bench.open();
    const [a, b, c] = flows("a", "b", "c");
    bench.take("s", "permit", a, 2);
    bench.take("s", "permit", c, 2);
    bench.take("y", "exclusive", b);
    bench.wait(acquire("y", "exclusive", a, wait));
    // b waits for a permit: a cannot give its own before b lets go of y, but c can.
    const permit = bench.wait(acquire("s", "permit", b, { ...wait, of: 2 }));
    expect(bench.state.lastResolutions()).toEqual([]);
    bench.ask(release("s", 0, c));
    expect(bench.answerOf(permit)?.type).toBe("granted");
  });

  test("a semaphore all of whose permits are held by owners that wait for each other is a deadlock", () => {
    const bench = new Bench();
    bench.open();
    const [a, b, c] = flows("a", "b", "c");
    bench.take("s", "permit", a, 2);
    bench.take("s", "permit", c, 2);
    bench.take("y", "exclusive", b);
    bench.take("z", "exclusive", b);
    bench.wait(acquire("y", "exclusive", a, wait));
    bench.wait(acquire("z", "exclusive", c, wait));
    const cycle = cycleOf(bench.ask(acquire("s", "permit", b, { ...wait, of: 2 })));
    expect(cycle).toEqual(["b wants s of a", "a wants y of b"]);
    expect(bench.holders("s")).toEqual(["a", "c"]);
  });

  test("sets of one shot never deadlock with each other, whatever the order of their keys", () => {
    const bench = new Bench();
    const session = bench.open();
    const keys = ["x", "y", "z"].map((name) => ({ name, mode: "exclusive" as const }));
    bench.ask(acquireSet(keys, { session, owner: "0" }));
    const waiting = [1, 2, 3, 4].map((i) =>
      bench.wait(acquireSet([...keys.slice(i % 3), ...keys.slice(0, i % 3)], { session, owner: `${i}` }, wait)),
    );
    for (let i = 0; i < 4; i++) {
      const holder = bench.holders("x")[0] ?? "";
      for (const name of ["x", "y", "z"]) bench.ask(release(name, 0, { session, owner: holder }));
    }
    expect(waiting.map((request) => bench.answerOf(request)?.type)).toEqual(["granted", "granted", "granted", "granted"]);
    expect(bench.state.lastResolutions()).toEqual([]);
  });

  test("a set that loses a covering hold waits in line like others, and a cycle that this closes is broken", () => {
    const bench = new Bench();
    const session = bench.open();
    const [a, b] = flows("a", "b");
    const fence = bench.take("x", "exclusive", a);
    bench.take("y", "exclusive", { session, owner: "o" });
    bench.take("z", "exclusive", a);
    bench.wait(acquire("x", "exclusive", b, wait));
    const set = bench.wait(
      acquireSet(
        [
          { name: "x", mode: "exclusive" },
          { name: "y", mode: "shared" },
        ],
        a,
        { ...wait, reentrant: true },
      ),
    );
    expect(bench.ask(release("x", fence, a))).toMatchObject({ type: "released", grantedTo: ["b"] });
    expect(bench.answerOf(set)).toBeNull();
    // Now b holds x, which a's set wants: b asking for a's z closes the cycle.
    expect(cycleOf(bench.ask(acquire("z", "exclusive", b, wait)))).toEqual(["b wants z of a", "a wants x of b"]);
  });

  test("a release that takes a set's cover away can close a cycle by itself", () => {
    const bench = new Bench();
    bench.open();
    const [a, c, o] = flows("a", "c", "o");
    const fence = bench.take("x", "exclusive", a);
    bench.take("z", "exclusive", a);
    bench.take("y", "exclusive", o);
    bench.wait(acquire("x", "exclusive", c, wait));
    bench.wait(acquire("z", "exclusive", c, wait));
    const keys = [
      { name: "x", mode: "exclusive" },
      { name: "y", mode: "shared" },
    ] as const;
    const set = bench.wait(acquireSet(keys, a, { ...wait, reentrant: true }));
    bench.ask(release("x", fence, a));
    expect(cycleOf(bench.answerOf(set))).toEqual(["a wants x of c", "c wants z of a"]);
    expect(bench.holders("x")).toEqual(["c"]);
  });

  test("a search beyond its replicated bound refuses the request instead of leaving it unsearched", () => {
    const bench = new Bench({ deadlockSearchEdges: 20 });
    const session = bench.open();
    bench.take("hot", "exclusive", { session, owner: "h" });
    bench.take("x", "exclusive", { session, owner: "a" });
    for (let i = 0; i < 30; i++) bench.wait(acquire("hot", "exclusive", { session, owner: `w${i}` }, wait));
    bench.wait(acquire("x", "exclusive", { session, owner: "b" }, wait));
    const refused = bench.ask(acquire("hot", "exclusive", { session, owner: "a" }, wait));
    expect(refused).toEqual({ type: "quota", limit: "deadlock-search-edges", max: 20 });
    expect(bench.state.lock("hot").waiters).toHaveLength(30);
    expect(bench.ask(acquire("hot", "exclusive", { session, owner: "a" })).type).toBe("busy");
  });

  test("those who hold nothing that anybody wants join a long line without any search", () => {
    const bench = new Bench({ deadlockSearchEdges: 2 });
    bench.checked = false;
    const session = bench.open();
    bench.take("hot", "exclusive", { session, owner: "h" });
    for (let i = 0; i < 200; i++) bench.wait(acquire("hot", "exclusive", { session, owner: `w${i}` }, wait));
    expect(bench.state.waiterCount()).toBe(200);
  });
});
