import { describe, expect, test } from "vitest";
import { Bench, acquire, release } from "../system/support.ts";

describe("granting", () => {
  test("an exclusive lock has one holder, and the next in line is granted when it is released", () => {
    const bench = new Bench();
    const a = { session: bench.open(), owner: "a" };
    const b = { session: bench.open(), owner: "b" };
    const fence = bench.take("x", "exclusive", a);
    expect(bench.ask(acquire("x", "exclusive", b))).toEqual({
      type: "busy",
      waited: false,
      name: "x",
      holders: [{ owner: "a", session: 1, mode: "exclusive", fence }],
      waiters: 0,
    });
    const waiting = bench.wait(acquire("x", "exclusive", b, { waitMs: 1000 }));
    expect(bench.ask(release("x", fence, a))).toEqual({ type: "released", fence, remaining: 0, grantedTo: ["b"] });
    expect(bench.answerOf(waiting)).toEqual({ type: "granted", fence: fence + 1, owner: "b", mode: "exclusive", depth: 1, more: [] });
    expect(bench.holders("x")).toEqual(["b"]);
  });

  test("a waiting writer blocks later readers; consecutive readers are granted together", () => {
    const bench = new Bench();
    const session = bench.open();
    const fence = bench.take("x", "shared", { session, owner: "r0" });
    const writer = bench.wait(acquire("x", "exclusive", { session, owner: "w" }, { waitMs: 1000 }));
    const readers = ["r1", "r2"].map((owner) => bench.wait(acquire("x", "shared", { session, owner }, { waitMs: 1000 })));
    bench.ask(release("x", fence, { session, owner: "r0" }));
    expect(bench.holders("x")).toEqual(["w"]);
    const granted = bench.answerOf(writer);
    expect(granted?.type).toBe("granted");
    bench.ask(release("x", 0, { session, owner: "w" }));
    expect(readers.map((reader) => bench.answerOf(reader)?.type)).toEqual(["granted", "granted"]);
    expect(bench.holders("x")).toEqual(["r1", "r2"]);
  });

  test("a free name costs nothing", () => {
    const bench = new Bench();
    const session = bench.open();
    const fence = bench.take("x", "exclusive", { session, owner: "a" });
    expect(bench.state.lockCount()).toBe(1);
    bench.ask(release("x", fence, { session, owner: "a" }));
    expect(bench.state.lockCount()).toBe(0);
    expect(bench.state.lock("x").status).toBe("available");
  });
});
