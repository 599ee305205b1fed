import { type Entry, groupId, logIndex, term } from "@trivet/core";
import { MemoryClock, MemoryOrderedStores, ShardWorker } from "@trivet/engine";
import { CommandFrameBuilder, encodeEntryPayload } from "@trivet/wire";
import { expect, test } from "vitest";
import { type Opened, ShardMachine } from "../../src/shards/shard-machine.ts";
import type { ApplyWorker, WorkerReply } from "../../src/shards/worker-protocol.ts";

const group = groupId(1);

/** A replica's machine over a worker that says hashes only where it must, as in a node. */
function replica(clock: MemoryClock): { readonly machine: ShardMachine; apply(index: number): void } {
  const worker = new ShardWorker(new MemoryOrderedStores(clock.view()));
  const later: ApplyWorker = {
    call: (request, done) => clock.defer(() => worker.handle(request, (reply) => clock.defer(() => done(reply)))),
    stop: (done) => worker.stop(done),
  };
  let opened: WorkerReply | null = null;
  later.call({ type: "open", group }, (reply) => {
    opened = reply;
  });
  clock.runUntilIdle();
  const machine = new ShardMachine(later, group, opened as unknown as Opened, {
    told: () => undefined,
    attendedNow: () => 0,
    takeRoutes: () => ({ routed: [], unrouted: [] }),
    failed: (failure) => {
      throw new Error(failure.detail);
    },
    retryLater: (run) => run(),
  });
  return { machine, apply: (index) => machine.apply([entry(index)], {} as never, () => undefined) };
}

function entry(index: number): Entry {
  const builder = new CommandFrameBuilder();
  builder.begin("", "", 0, 0, 1);
  builder.add({ type: "fence-floor", fence: index });
  return { index: logIndex(index), term: term(1), kind: "command", payload: encodeEntryPayload(1_000 + index, [builder.finish()]) };
}

test("a shard's hash is asked for when it is wanted, and is that of the latest entry or none", () => {
  const clock = new MemoryClock();
  const [one, two] = [replica(clock), replica(clock)];
  for (let index = 1; index <= 3; index++) for (const each of [one, two]) each.apply(index);
  clock.runUntilIdle();
  expect(one.machine.stateHash()).toBeNull();
  // Another entry comes before the answer: what is on its way speaks of the state of before.
  one.apply(4);
  clock.runUntilIdle();
  expect(one.machine.stateHash()).toBeNull();
  clock.runUntilIdle();
  const hash = one.machine.stateHash();
  expect(hash).toMatch(/^[0-9a-f]{16}$/);
  two.machine.stateHash();
  clock.runUntilIdle();
  expect(two.machine.stateHash()).not.toBe(hash);
  two.apply(4);
  clock.runUntilIdle();
  expect(two.machine.stateHash()).toBeNull();
  clock.runUntilIdle();
  expect(two.machine.stateHash()).toBe(hash);
});
