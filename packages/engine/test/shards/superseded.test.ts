import { expect } from "vitest";
import type { WorkerReply } from "../../src/shards/worker-protocol.ts";
import { guard } from "../hosts/guard.ts";
import { applyRequest, entries, MachineRig, WorkerRig } from "./store-rig.ts";

/** The state behind so many entries, in one chunk. */
function chunkAt(index: number): Uint8Array {
  const source = WorkerRig.opened();
  source.ask(applyRequest(entries(1, index)));
  source.ask({ type: "cut", group: 1, cut: 1, index });
  const reply = source.ask({ type: "cut-next", group: 1, cut: 1, maxBytes: 1_000_000 });
  if (reply.type !== "chunk" || reply.chunk === null) throw new Error(reply.type);
  return reply.chunk;
}

/** Loads it; what the worker says to its end. */
function loaded(rig: WorkerRig, index: number): WorkerReply {
  const load = rig.load(index);
  rig.ask({ type: "load-chunk", group: 1, load, chunk: chunkAt(index) });
  return rig.ask({ type: "load-end", group: 1, load });
}

guard(
  "shard-asks-any-state",
  "entries that wait for space are not applied to the state that takes the place of the one they were for (rules W5, W7)",
  () => {
    const bench = new MachineRig(1);
    const { rig } = bench;
    bench.apply(1, 20);
    bench.settle();
    rig.problems.full = true;
    bench.apply(21, 63);
    bench.settle();
    rig.problems.full = false;
    // The state was in doubt, and the leader's of index 47 is there before the time has come to try again.
    expect(loaded(rig, 47)).toMatchObject({ type: "opened", mark: { index: 47 } });
    bench.retry();
    // The host goes on behind 47: a snapshot begun now would be taken for one of that index.
    rig.ask({ type: "close", group: 1, remove: false });
    expect(rig.ask({ type: "open", group: 1 })).toMatchObject({ type: "opened", mark: { index: 47 } });
  },
);

guard("shard-load-mixed", "the pieces of a snapshot do not get into the one that is loaded after it (rule W5)", () => {
  const rig = WorkerRig.opened();
  const chunk = chunkAt(20);
  const first = rig.load(20);
  const second = rig.load(10);
  expect(rig.ask({ type: "load-chunk", group: 1, load: first, chunk })).toMatchObject({ type: "failed", cause: "superseded" });
  expect(rig.ask({ type: "load-end", group: 1, load: first })).toMatchObject({ type: "failed", cause: "superseded" });
  rig.ask({ type: "load-abort", group: 1, load: first });
  expect(rig.ask({ type: "load-chunk", group: 1, load: second, chunk: chunkAt(10) })).toEqual({ type: "done" });
  expect(rig.ask({ type: "load-end", group: 1, load: second })).toMatchObject({ type: "opened", mark: { index: 10 } });
  expect(rig.stores.names).toEqual(["g1-10"]);
});
