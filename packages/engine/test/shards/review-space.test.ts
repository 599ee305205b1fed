import { IoError, MemoryClock, MemoryOrderedStores } from "@trivet/engine";
import type { OrderedStore, OrderedStores } from "@trivet/engine";
import { CommandFrameBuilder, encodeEntryPayload, type ShardCommand } from "@trivet/wire";
import { definition, message } from "./support.ts";
import { expect, test } from "vitest";
import { ShardWorker } from "../../src/shards/shard-worker.ts";
import type { WorkerReply } from "../../src/shards/worker-protocol.ts";

/** Stores whose writes fail for want of space when `full` says so. */
function rig(full: (write: number) => boolean) {
  const clock = new MemoryClock();
  const inner = new MemoryOrderedStores(clock.view());
  let writes = 0;
  const wrapped = (store: OrderedStore): OrderedStore =>
    new Proxy(store, {
      get: (target, property) => {
        if (property === "write") {
          return (change: never) => {
            if (full(++writes)) throw new IoError("no-space", "write", "g1-0");
            return target.write(change);
          };
        }
        const value = target[property as keyof OrderedStore] as unknown;
        return typeof value === "function" ? (value as () => unknown).bind(target) : value;
      },
    });
  const stores: OrderedStores = {
    open: (name, done) => inner.open(name, (error, store) => (store === undefined ? done(error, undefined) : done(null, wrapped(store)))),
    list: (done) => inner.list(done),
    remove: (name, done) => inner.remove(name, done),
  };
  const worker = new ShardWorker(stores, { buffer: { maxBytes: 0 } });
  const ask = (request: Parameters<ShardWorker["handle"]>[0]): WorkerReply => {
    const told: WorkerReply[] = [];
    worker.handle(request, (reply) => told.push(reply));
    for (let step = 0; step < 100 && told.length === 0; step++) clock.advance(1);
    if (told[0] === undefined) throw new Error("no answer");
    return told[0];
  };
  ask({ type: "open", group: 1 });
  return ask;
}
function entry(index: number) {
  const builder = new CommandFrameBuilder();
  builder.begin(`caller-${index}`, "", 10_000, 0, 1);
  builder.add({ type: "raise-fence", lock: "l", fence: index });
  return { index, term: 1, kind: "command" as const, payload: encodeEntryPayload(1_000 + index, [builder.finish()]) };
}
function own(index: number, caller: string, command: ShardCommand) {
  const builder = new CommandFrameBuilder();
  builder.begin(caller, "", caller === "" ? 0 : 10_000, 0, 1);
  builder.add(command);
  return { index, term: 1, kind: "command" as const, payload: encodeEntryPayload(1_000, [builder.finish()]) };
}
const apply = (from: number, to: number) => ({
  type: "apply" as const,
  attended: 0,
  group: 1,
  routed: [],
  unrouted: [],
  entries: Array.from({ length: to - from + 1 }, (_, at) => entry(from + at)),
});

test("a batch behind one that found no space does not go first", () => {
  const ask = rig((write) => write === 1);
  expect(ask(apply(1, 2))).toMatchObject({ type: "failed", cause: "no-space" });
  expect(ask(apply(3, 4))).toMatchObject({ type: "failed", cause: "no-space" });
  expect(ask(apply(1, 2))).toMatchObject({ type: "applied" });
  expect(ask(apply(3, 4))).toMatchObject({ type: "applied" });
});

test("what a batch that found no space had committed already is not applied again", () => {
  // At a multiple of 256 a state hash is wanted: the batch is two transactions.
  const ask = rig((write) => write === 2);
  const asked = {
    type: "apply" as const,
    attended: 0,
    group: 1,
    routed: [],
    unrouted: [],
    entries: [
      own(1, "caller", { type: "produce", queue: 1, partition: 0, version: 1, messages: [message("a")], ifFence: null }),
      ...Array.from({ length: 254 }, (_, at) => own(at + 2, "", { type: "fence-floor", fence: 1 })),
      own(256, "", { type: "configure-queue", queue: 1, definition }),
      own(257, "", { type: "fence-floor", fence: 1 }),
    ],
  };
  expect(ask(asked)).toMatchObject({ type: "failed", cause: "no-space" });
  expect(ask(asked)).toMatchObject({ type: "applied" });
  // On every other replica the produce came before its definition, and did nothing.
  expect(ask({ type: "query", group: 1, query: { type: "stats", queue: 1, partition: 0 } })).toMatchObject({
    reply: { stats: { produced: 0 } },
  });
});

const produceOne: ShardCommand = { type: "produce", queue: 1, partition: 0, version: 1, messages: [message("a")], ifFence: null };
const frame = (sequence: number, acked: number) => {
  const builder = new CommandFrameBuilder();
  builder.begin("lane", "", 10_000, acked, sequence);
  builder.add(produceOne);
  return builder.finish();
};
const payload = (index: number, bytes: Uint8Array) => ({
  index,
  term: 1,
  kind: "command" as const,
  payload: encodeEntryPayload(1_000, [bytes]),
});

test("a copy of a produce that came before its definition is not executed beside the call that was made again for it (rule X1)", () => {
  const ask = rig(() => false);
  const answers: number[] = [];
  const run = (entries: readonly ReturnType<typeof payload>[]): void => {
    const reply = ask({ type: "apply", attended: 0, group: 1, routed: ["lane"], unrouted: [], entries });
    if (reply.type === "applied") answers.push(...reply.answers.map(({ sequence }) => sequence));
  };
  // Refused as not configured; its entry node makes the call again, as the next sequence of the lane.
  run([payload(1, frame(1, 0))]);
  run([own(2, "", { type: "configure-queue", queue: 1, definition })]);
  // The same frame was sent to a second leader.
  run([payload(3, frame(1, 0))]);
  run([payload(4, frame(2, 1))]);
  expect(ask({ type: "query", group: 1, query: { type: "stats", queue: 1, partition: 0 } })).toMatchObject({
    reply: { stats: { produced: 1 } },
  });
});
