import { describeSystem, levelRaisedBy, type SystemState } from "@trivet/core";
import { CommandFrameBuilder, encodeEntryPayload, levelBeforeLevels, newestLevel, type Command, type Result } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench } from "./support.ts";

const raise = (level: number): Command => ({ type: "raise-level", level });
const define: Command = { type: "define-namespace", name: "users", mode: "ensure", settings: {}, principal: "" };
const tell = (bench: Bench, command: Command, caller = ""): Result | number => bench.state.applyCommand(command, caller, 1, bench);

function restored(state: SystemState): SystemState {
  const cursor = state.beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(64); chunk !== null; chunk = cursor.next(64)) chunks.push(chunk);
  return restoreSystem(chunks);
}

function frame(caller: string, ...commands: readonly Command[]): Uint8Array {
  const builder = new CommandFrameBuilder();
  builder.begin(caller, "", 1e15, 0, 1);
  for (const command of commands) builder.add(command);
  return builder.finish();
}

describe("the feature level of a cluster", () => {
  test("of which the log says nothing, is that of the versions before levels; its hash and its snapshots are theirs", () => {
    const bench = new Bench();
    expect(bench.state.features.level).toBe(levelBeforeLevels);
    expect(bench.state.features.told).toBeNull();
    expect(restored(bench.state).features.told).toBeNull();
    expect(tell(bench, define)).toMatchObject({ type: "namespace-defined" });
  });

  test("is part of the state: told, hashed, and kept by a snapshot", () => {
    const bench = new Bench();
    const before = bench.state.stateHash();
    expect(tell(bench, raise(newestLevel))).toEqual({ type: "done" });
    expect(bench.events).toEqual([{ type: "level-raised", level: newestLevel }]);
    expect(bench.state.stateHash()).not.toBe(before);
    const copy = restored(bench.state);
    expect(copy.features.told).toBe(newestLevel);
    expect(copy.stateHash()).toBe(bench.state.stateHash());
    expect(describeSystem(copy)).toEqual(describeSystem(bench.state));
  });

  test("only rises", () => {
    const bench = new Bench();
    tell(bench, raise(3));
    tell(bench, raise(2));
    expect(bench.state.features.told).toBe(3);
    expect(tell(bench, raise(0))).toMatchObject({ type: "malformed" });
  });

  test("is the leader's to raise", () => {
    const bench = new Bench();
    expect(tell(bench, raise(3), "a client")).toMatchObject({ type: "malformed" });
    expect(bench.state.features.told).toBeNull();
  });

  test("covers what is executed: a newer command is malformed on every replica, and changes nothing", () => {
    const bench = new Bench();
    tell(bench, raise(1));
    const hash = bench.state.stateHash();
    expect(tell(bench, define, "a client")).toEqual({ type: "malformed", detail: "this needs feature level 2, and the cluster is at 1" });
    expect(bench.state.stateHash()).toBe(hash);
    tell(bench, raise(2));
    expect(tell(bench, define, "a client")).toMatchObject({ type: "namespace-defined" });
  });

  test("covers fields that came with it, also where they say what would be so without them", () => {
    for (const settings of [{ write: "here" as const }, { maxBehind: 0 }, { revalidateMs: 0 }]) {
      const bench = new Bench();
      tell(bench, raise(2));
      expect(tell(bench, { ...define, settings }, "a client")).toMatchObject({ type: "malformed" });
      tell(bench, raise(3));
      expect(tell(bench, { ...define, settings }, "a client")).toMatchObject({ type: "namespace-defined" });
    }
  });

  test("covers the compression of values, which came after that", () => {
    const bench = new Bench();
    const settings = { compressOver: 0 };
    tell(bench, raise(3));
    expect(tell(bench, { ...define, settings }, "a client")).toMatchObject({ type: "malformed" });
    tell(bench, raise(4));
    expect(tell(bench, { ...define, settings }, "a client")).toMatchObject({ type: "namespace-defined" });
  });

  test("is read out of an entry before it is applied, beside whatever else stands there", () => {
    const others = frame("a client", define, raise(9));
    const own = frame("", { type: "nothing" }, raise(2), raise(4), { type: "nothing" });
    expect(levelRaisedBy(encodeEntryPayload(1, [others, own, frame("", raise(3))]))).toBe(4);
    expect(levelRaisedBy(encodeEntryPayload(1, [others]))).toBe(0);
    expect(levelRaisedBy(encodeEntryPayload(1, []))).toBe(0);
    // As apply: a frame or a command that is none is passed over, and so is all of an entry that is none.
    expect(levelRaisedBy(encodeEntryPayload(1, [new Uint8Array([99]), own]))).toBe(4);
    const unknown = frame("", { type: "nothing" }, raise(5));
    // The number of the first command, before the length, the number and the level of the second.
    unknown[unknown.length - 4] = 200;
    expect(levelRaisedBy(encodeEntryPayload(1, [unknown]))).toBe(5);
    expect(levelRaisedBy(new Uint8Array([99, 1, 2, 3]))).toBe(0);
    expect(levelRaisedBy(new Uint8Array(0))).toBe(0);
  });
});
