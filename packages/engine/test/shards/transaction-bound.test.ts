import { expect } from "vitest";
import { bufferedBytes } from "../../src/stores/limits.ts";
import type { WorkerEntry } from "../../src/shards/worker-protocol.ts";
import { guard } from "../hosts/guard.ts";
import { applyRequest, commandEntry, WorkerRig } from "./store-rig.ts";
import { definition, message } from "./support.ts";

const bodyBytes = 4_096;

/** What one entry brings: the messages whose time has come, of which it takes 256 at most, each beside its place. */
const oneEntryBytes = 256 * 2 * (bodyBytes + 512);

guard("shard-batch-unbounded", "what is in memory of a store stays near its bound, whatever one batch of small entries does", () => {
  const rig = WorkerRig.opened();
  let index = 0;
  const entry = (groupTime: number, command: Parameters<typeof commandEntry>[1]): WorkerEntry => commandEntry(++index, command, groupTime);
  rig.ask(applyRequest([entry(1_000, { type: "configure-queue", queue: 1, definition })]));
  const messages = Array.from({ length: 100 }, () => message("x".repeat(bodyBytes), { dueAt: 1_000_000 }));
  for (let batch = 0; batch < 60; batch++)
    rig.ask(applyRequest([entry(1_000, { type: "produce", queue: 1, partition: 0, version: 1, messages, ifFence: null })]));
  rig.ask({ type: "flush", group: 1 });
  // Their moment has come: entries of a few bytes, gathered while the worker was busy.
  const { written } = rig.problems;
  written.length = 0;
  expect(rig.ask(applyRequest(Array.from({ length: 24 }, () => entry(1_000_001, null))))).toMatchObject({ type: "applied" });
  rig.ask({ type: "flush", group: 1 });
  expect(written.length).toBeGreaterThan(1);
  expect(Math.max(...written)).toBeLessThan(bufferedBytes + oneEntryBytes);
});
