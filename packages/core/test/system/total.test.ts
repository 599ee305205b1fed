import { Prng, SystemState, describeSystem } from "@trivet/core";
import { type Result, ByteWriter, encodeCommand, encodeEntryPayload } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { checkSystem } from "../../src/invariants/locks.ts";
import { nobody } from "../../src/system/ledger.ts";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench, acquire, frameOf } from "./support.ts";

/** The snapshot of a state, in small chunks. */
function drained(state: SystemState): readonly Uint8Array[] {
  const cursor = state.beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(64); chunk !== null; chunk = cursor.next(64)) chunks.push(chunk);
  return chunks;
}

describe("apply is total", () => {
  test("bytes that are no entry change nothing and throw nothing", () => {
    const random = new Prng(1);
    const bench = new Bench();
    const session = bench.open();
    bench.take("x", "exclusive", { session, owner: "a" });
    bench.wait(acquire("x", "shared", { session, owner: "b" }, { waitMs: 1000 }));
    const before = describeSystem(bench.state);
    for (let i = 0; i < 3000; i++) {
      const payload = Uint8Array.from({ length: random.below(60) }, () => random.below(256));
      // A first byte that says "entry" with readable lengths would be one.
      if (payload[0] === 1) payload[0] = 2;
      bench.raw(payload);
    }
    expect(describeSystem(bench.state)).toEqual(before);
  });

  test("an entry whose frames do not add up changes nothing, not even group time", () => {
    const bench = new Bench();
    bench.open();
    const before = describeSystem(bench.state);
    const good = frameOf("c2", 1, [{ type: "nothing" }], { notAfter: 9_000_000 });
    const payload = encodeEntryPayload(2_000_000, [good]);
    bench.raw(payload.subarray(0, payload.length - 1));
    expect(describeSystem(bench.state)).toEqual(before);
  });

  test("a frame that is no frame is passed over; the others of its entry count", () => {
    const bench = new Bench();
    const frame = frameOf("c2", 1, [{ type: "nothing" }], { notAfter: bench.now + 1000 });
    bench.entry(Uint8Array.from([9, 9, 9]), frame);
    expect(bench.answers.get("c2/1")).toEqual({ type: "done" });
  });

  test("an undecodable command answers malformed, changes nothing else, and stays answered so", () => {
    const bench = new Bench();
    const whole = frameOf("c2", 1, [{ type: "nothing" }, { type: "close-session", session: 1 }], { notAfter: bench.now + 1000 });
    const bad = whole.slice();
    // The last byte is the session's id: 0x80 never ends a number.
    bad[bad.length - 1] = 0x80;
    bench.entry(bad);
    expect(bench.answers.get("c2/1")).toEqual({ type: "done" });
    expect(bench.answers.get("c2/2")?.type).toBe("malformed");
    expect((bench.state.lookup("c2", 2) as Result).type).toBe("malformed");
  });

  test("damaged entries of real traffic never throw and leave a sound state", () => {
    const random = new Prng(5);
    const state = new SystemState();
    const writer = new ByteWriter();
    let index = 0;
    for (let i = 0; i < 4000; i++) {
      writer.reset();
      const session = random.below(4);
      encodeCommand(writer, acquire(`k${random.below(3)}`, random.pick(["shared", "exclusive"]), { session, owner: "o" }, { waitMs: 100 }));
      const frame = frameOf(
        `c${random.below(3)}`,
        1 + random.below(2000),
        [
          { type: "open-session", ttlMs: 1000, lockDelayMs: 5, principal: "p", label: "" },
          acquire(`k${random.below(3)}`, "exclusive", { session, owner: `o${random.below(3)}` }, { waitMs: 100 }),
        ],
        { notAfter: i + 1000 },
      );
      const payload = encodeEntryPayload(i, [frame]);
      const flips = random.below(4);
      for (let j = 0; j < flips; j++) payload[random.below(payload.length)] = random.below(256);
      state.applyEntry(payload, ++index, nobody);
      if (i % 20 === 0) checkSystem(state);
    }
    expect(state.lockCount()).toBeGreaterThan(0);
  });

  test("group time never goes back", () => {
    const bench = new Bench();
    bench.now = 5_000_000;
    bench.open();
    bench.now = 4_000_000;
    bench.entry(frameOf("c2", 1, [{ type: "nothing" }], { notAfter: 6_000_000 }));
    expect(bench.state.groupTime).toBe(5_000_000);
  });

  test("an entry applied twice or out of order is a bug and stops the node", () => {
    const state = new SystemState();
    const payload = encodeEntryPayload(1, []);
    state.applyEntry(payload, 7, nobody);
    expect(() => state.applyEntry(payload, 7, nobody)).toThrow("applied-in-order");
    expect(() => state.applyEntry(payload, 6, nobody)).toThrow("applied-in-order");
  });

  test("nobody but a leader's own frame may say that time is over", () => {
    const bench = new Bench();
    const session = bench.open();
    expect(bench.ask({ type: "expire", kind: "session", id: session }).type).toBe("malformed");
    expect(bench.state.sessionCount()).toBe(1);
    bench.expire("session", session);
    expect(bench.state.sessionCount()).toBe(0);
  });

  test("the node registry sets, replaces and forgets nodes, and only a leader writes it", () => {
    const bench = new Bench({ nodes: 2 });
    const node = { node: "n1", storage: "s1", url: "http://a", roles: "lock", voter: true };
    expect(bench.ask({ type: "set-node", ...node }).type).toBe("malformed");
    expect(bench.state.nodes()).toEqual([]);
    bench.propose({ type: "set-node", ...node });
    const hash = bench.state.stateHash();
    bench.propose({ type: "set-node", ...node, url: "http://b" });
    expect(bench.state.nodes()).toEqual([{ ...node, url: "http://b", replaceable: false, draining: false }]);
    expect(bench.state.stateHash()).not.toBe(hash);
    bench.propose({ type: "set-node", ...node, node: "n0" });
    bench.propose({ type: "set-node", ...node, node: "n9" });
    expect(bench.state.nodes().map((each) => each.node)).toEqual(["n0", "n1"]);
    expect(bench.ask({ type: "forget-node", node: "n1" }).type).toBe("malformed");
    bench.propose({ type: "forget-node", node: "n1" });
    bench.propose({ type: "forget-node", node: "n1" });
    expect(bench.state.nodes().map((each) => each.node)).toEqual(["n0"]);
  });

  test("a disk is given up by name, once, in a snapshot too, and only by a leader", () => {
    const bench = new Bench();
    const node = { node: "n1", storage: "s1", url: "http://a", roles: "lock", voter: true };
    const replaceable = (): readonly string[] =>
      bench.state
        .nodes()
        .filter((each) => each.replaceable)
        .map((each) => `${each.node} ${each.storage}`);
    bench.propose({ type: "set-node", ...node });
    expect(bench.ask({ type: "replace-node", node: "n1", storage: "s1" }).type).toBe("malformed");
    // A late copy of an approval that speaks of another disk.
    bench.propose({ type: "replace-node", node: "n1", storage: "s0" });
    bench.propose({ type: "replace-node", node: "n9", storage: "s1" });
    expect(replaceable()).toEqual([]);
    const hash = bench.state.stateHash();
    bench.propose({ type: "replace-node", node: "n1", storage: "s1" });
    expect(bench.state.stateHash()).not.toBe(hash);
    expect(replaceable()).toEqual(["n1 s1"]);
    // A new address is no new disk.
    bench.propose({ type: "set-node", ...node, url: "http://b" });
    expect(replaceable()).toEqual(["n1 s1"]);
    expect(restoreSystem(drained(bench.state)).nodes()).toEqual(bench.state.nodes());
    bench.propose({ type: "set-node", ...node, storage: "s2" });
    bench.propose({ type: "replace-node", node: "n1", storage: "s1" });
    expect(replaceable()).toEqual([]);
  });
});
