import { SystemState, describeSystem } from "@trivet/core";
import { describe, expect, test } from "vitest";
import { checkSystem } from "../../src/invariants/locks.ts";
import { nobody } from "../../src/system/ledger.ts";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench, acquire } from "./support.ts";
import { Traffic, cut, recut } from "./traffic.ts";

describe("replicas", () => {
  test("the same log gives the same state, the same answers and the same hash", () => {
    for (let seed = 1; seed <= 15; seed++) {
      const traffic = new Traffic(seed);
      const one = new SystemState();
      const other = new SystemState();
      const said: [string[], string[]] = [[], []];
      const sinks = said.map((lines) => ({
        answer: (...args: unknown[]) => void lines.push(JSON.stringify(args)),
        changed: (event: unknown) => void lines.push(JSON.stringify(event)),
      }));
      for (let index = 1; index <= 400; index++) {
        const payload = traffic.entry(one);
        one.applyEntry(payload, index, sinks[0] as (typeof sinks)[number]);
        other.applyEntry(payload, index, sinks[1] as (typeof sinks)[number]);
        expect(other.stateHash()).toBe(one.stateHash());
      }
      expect(said[1]).toEqual(said[0]);
      expect(describeSystem(other)).toEqual(describeSystem(one));
    }
  });

  test("a snapshot shows the state at its begin, whatever is applied while it is cut; the restored replica goes on alike", () => {
    let interleaved = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const traffic = new Traffic(1000 + seed);
      const { random } = traffic;
      const state = new SystemState();
      let index = 0;
      const apply = (): Uint8Array => {
        const payload = traffic.entry(state);
        state.applyEntry(payload, ++index, nobody);
        return payload;
      };
      for (let i = random.below(300); i > 0; i--) apply();
      const atBegin = describeSystem(state);
      const hashAtBegin = state.stateHash();
      const since: [Uint8Array, number][] = [];
      const chunks = cut(state.beginSnapshot(), random, () => {
        since.push([apply(), index]);
        interleaved++;
      });
      const restored = restoreSystem(recut(chunks, random));
      expect(describeSystem(restored)).toEqual(atBegin);
      expect(restored.stateHash()).toBe(hashAtBegin);
      checkSystem(restored);
      for (const [payload, at] of since) restored.applyEntry(payload, at, nobody);
      for (let i = 0; i < 100; i++) {
        const payload = apply();
        restored.applyEntry(payload, index, nobody);
      }
      expect(describeSystem(restored)).toEqual(describeSystem(state));
      expect(restored.stateHash()).toBe(state.stateHash());
    }
    expect(interleaved).toBeGreaterThan(1000);
  });

  test("a restored replica ends a session in the same order as the others: by fence, not as it was loaded", () => {
    const bench = new Bench();
    const session = bench.open();
    const other = bench.open();
    for (let i = 0; i < 50; i++) {
      bench.take(`k${i}`, "exclusive", { session, owner: "a" });
      bench.wait(acquire(`k${i}`, "exclusive", { session: other, owner: `w${i}` }, { waitMs: 1000 }));
    }
    const cursor = bench.state.beginSnapshot();
    const chunks: Uint8Array[] = [];
    for (let chunk = cursor.next(64); chunk !== null; chunk = cursor.next(64)) chunks.push(chunk);
    const restored = restoreSystem(chunks);
    for (const state of [bench.state, restored]) state.applyCommand({ type: "expire", kind: "session", id: session }, "", 0, nobody);
    expect(describeSystem(restored)).toEqual(describeSystem(bench.state));
  });

  test("an aborted snapshot leaves nothing behind, and a new one may begin", () => {
    const bench = new Bench();
    const session = bench.open();
    bench.take("x", "exclusive", { session, owner: "a" });
    const cursor = bench.state.beginSnapshot();
    expect(() => bench.state.beginSnapshot()).toThrow("one-snapshot-at-a-time");
    cursor.next(10);
    cursor.abort();
    expect(cursor.next(10)).toBeNull();
    bench.take("y", "exclusive", { session, owner: "a" });
    const chunks: Uint8Array[] = [];
    const again = bench.state.beginSnapshot();
    for (let chunk = again.next(100); chunk !== null; chunk = again.next(100)) chunks.push(chunk);
    expect(describeSystem(restoreSystem(chunks))).toEqual(describeSystem(bench.state));
  });

  test("a snapshot of version 1, from before there were queues, loads with the hash it has", () => {
    const written =
      "550101a08d06904e904ea08d06904effff0340d08603a0c21ec0cf2480b899298008000001000000010101000000103562303336323438616163353231636301" +
      "026e3102733108687474703a2f2f61046c6f636b01000a02010170016c904e00000d030178010161020001010000000107";
    const state = restoreSystem([new Uint8Array(Buffer.from(written, "hex"))]);
    checkSystem(state);
    expect(state.stateHash()).toBe("5b036248aac521cc");
    expect(state.lock("x").holders.map(({ fence, owner }) => [fence, owner])).toEqual([[1, "a"]]);
    expect(state.nodes()).toMatchObject([{ node: "n1", storage: "s1", voter: true, replaceable: false, draining: false }]);
    expect([state.queueCount(), state.lastQueue(), state.placement()]).toEqual([0, 0, null]);
    expect(state.ledger.limits.queues).toBe(10_000);
  });

  test("a damaged snapshot is refused, never loaded as something else", () => {
    const traffic = new Traffic(77);
    const state = new SystemState();
    for (let index = 1; index <= 150; index++) state.applyEntry(traffic.entry(state), index, nobody);
    const cursor = state.beginSnapshot();
    const chunks: Uint8Array[] = [];
    for (let chunk = cursor.next(1 << 20); chunk !== null; chunk = cursor.next(1 << 20)) chunks.push(chunk);
    const whole = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
    const original = describeSystem(state);
    let refused = 0;
    for (let i = 0; i < 400; i++) {
      const bad = whole.slice();
      const place = traffic.random.below(bad.length);
      bad[place] = (bad[place] as number) ^ (1 << traffic.random.below(8));
      try {
        // A flip in a text nobody hashes may pass; then only that text may differ.
        const loaded = describeSystem(restoreSystem([bad]));
        expect(loaded.filter((line, at) => line !== original[at]).length).toBeLessThanOrEqual(2);
      } catch (error) {
        if (!(error instanceof Error) || !("code" in error) || error.code !== "malformed") throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(250);
    expect(() => restoreSystem([whole.subarray(0, whole.length - 1)])).toThrow("ends early");
    expect(() => restoreSystem([])).toThrow("ends early");
    expect(() => restoreSystem([whole, whole])).toThrow("goes on");
  });
});
