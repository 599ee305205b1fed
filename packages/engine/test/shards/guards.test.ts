import { encodeMembershipPayload, groupId, logIndex, nodeId, Prng, term } from "@trivet/core";
import {
  type IoError,
  IoError as StorageError,
  MemoryClock,
  MemoryOrderedStores,
  type OrderedStore,
  type OrderedStores,
} from "@trivet/engine";
import { CommandFrameBuilder, encodeEntryPayload, type ShardCommand } from "@trivet/wire";
import { describe, expect, test } from "vitest";

import { LeaseClock } from "../../src/shards/lease-clock.ts";
import { ShardWorker } from "../../src/shards/shard-worker.ts";
import type { WorkerEntry, WorkerReply, WorkerRequest } from "../../src/shards/worker-protocol.ts";
import { guard } from "../hosts/guard.ts";
import { loadNumber } from "./store-rig.ts";
import { consumption, definition, message } from "./support.ts";

const group = 1;
/** What is applied is in the store at once, and each answer tells the hash. */
const unbuffered = { buffer: { maxBytes: 0 }, hashes: true };

/** An apply worker over stores in memory, one life after the other. */
class Bench {
  readonly clock = new MemoryClock();
  readonly stores = new MemoryOrderedStores(this.clock);
  private worker: ShardWorker;
  private readonly over: (stores: OrderedStores) => OrderedStores;

  constructor(over: (stores: OrderedStores) => OrderedStores = (stores) => stores) {
    this.over = over;
    this.worker = new ShardWorker(over(this.stores), unbuffered);
    this.ask({ type: "open", group });
  }

  ask(request: WorkerRequest): WorkerReply {
    let reply: WorkerReply | null = null;
    this.worker.handle(request, (given) => {
      reply = given;
    });
    this.clock.runUntilIdle();
    if (reply === null) throw new Error(`no answer to ${request.type}`);
    return reply;
  }

  apply(...entries: readonly WorkerEntry[]): WorkerReply {
    return this.applyAt(0, ...entries);
  }

  applyAt(attended: number, ...entries: readonly WorkerEntry[]): WorkerReply {
    return this.ask({ type: "apply", group, entries, attended, routed: [], unrouted: [] });
  }

  /** Takes the state over from itself, as from a snapshot of `index`. */
  reload(index: number): void {
    this.ask({ type: "cut", group, cut: 1, index });
    const reply = this.ask({ type: "cut-next", group, cut: 1, maxBytes: 1_000_000 });
    if (reply.type !== "chunk" || reply.chunk === null) throw new Error("no chunk");
    this.ask({ type: "cut-end", group, cut: 1 });
    const load = loadNumber(this.ask({ type: "load", group, index }));
    this.ask({ type: "load-chunk", group, load, chunk: reply.chunk });
    expect(this.ask({ type: "load-end", group, load })).toMatchObject({ type: "opened" });
  }

  /** Another process. */
  reopen(): WorkerReply {
    this.worker = new ShardWorker(this.over(this.stores), unbuffered);
    return this.ask({ type: "open", group });
  }

  /** Where the state stands after another start. */
  restart(crash: Prng | null): Extract<WorkerReply, { readonly type: "opened" }> {
    if (crash === null) this.stores.endProcess();
    else this.stores.crash(crash);
    const reply = this.reopen();
    if (reply.type !== "opened") throw new Error(JSON.stringify(reply));
    return reply;
  }
}

function entry(index: number, command: ShardCommand): WorkerEntry {
  const builder = new CommandFrameBuilder();
  builder.begin("", "", 0, 0, 1);
  builder.add(command);
  return { index: logIndex(index), term: term(1), kind: "command", payload: encodeEntryPayload(index, [builder.finish()]) };
}
const configure = entry(1, { type: "configure-queue", queue: 1, definition });
const produce = (index: number): WorkerEntry =>
  entry(index, { type: "produce", queue: 1, partition: 0, version: 1, messages: [message(`m${index}`)], ifFence: null });
const consume = (index: number): WorkerEntry => entry(index, consumption(1));

const hashOf = (reply: WorkerReply): string => {
  if (reply.type !== "applied" || reply.hash === null) throw new Error(JSON.stringify(reply));
  return reply.hash;
};

/** Every so many-th transaction finds no space. */
function filling(every: number): (stores: OrderedStores) => OrderedStores {
  let writes = 0;
  const wrap = (store: OrderedStore): OrderedStore =>
    Object.assign(Object.create(store) as OrderedStore, {
      write: (change: Parameters<OrderedStore["write"]>[0]): unknown => {
        writes += 1;
        return store.write((view) => {
          const result = change(view);
          if (writes % every === 0) throw new StorageError("no-space", "write", "test");
          return result;
        });
      },
    });
  return (stores) => ({
    open: (name, done) => stores.open(name, (error: IoError | null, store) => done(error, store === undefined ? undefined : wrap(store))),
    list: (done) => stores.list(done),
    remove: (name, done) => stores.remove(name, done),
  });
}

describe("a shard's state and how far it stands in the log", () => {
  guard("shard-mark-apart", "are one: a power loss leaves both of the same moment", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new Bench();
      const hashes = new Map([[0, bench.restart(null).hash]]);
      for (const one of [configure, produce(2), produce(3), produce(4)]) hashes.set(one.index, hashOf(bench.apply(one)));
      const { hash, mark } = bench.restart(new Prng(seed));
      expect(hash).toBe(hashes.get(mark.index));
    }
  });

  guard("shard-incomplete-load-used", "do not count while a snapshot is being loaded: a crash leaves what was before", () => {
    const bench = new Bench();
    bench.apply(configure, produce(2));
    bench.ask({ type: "cut", group, cut: 1, index: 2 });
    const chunk = bench.ask({ type: "cut-next", group, cut: 1, maxBytes: 1_000_000 });
    if (chunk.type !== "chunk" || chunk.chunk === null) throw new Error("no chunk");
    bench.apply(produce(3));
    const load = loadNumber(bench.ask({ type: "load", group, index: 9 }));
    bench.ask({ type: "load-chunk", group, load, chunk: chunk.chunk });
    expect(bench.restart(null).mark.index).toBe(3);
  });

  guard("shard-load-not-flushed", "are on disk before the state of before goes", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const bench = new Bench();
      bench.apply(configure, produce(2), produce(3));
      bench.ask({ type: "cut", group, cut: 1, index: 3 });
      const chunk = bench.ask({ type: "cut-next", group, cut: 1, maxBytes: 1_000_000 });
      if (chunk.type !== "chunk" || chunk.chunk === null) throw new Error("no chunk");
      const load = loadNumber(bench.ask({ type: "load", group, index: 3 }));
      bench.ask({ type: "load-chunk", group, load, chunk: chunk.chunk });
      expect(bench.ask({ type: "load-end", group, load })).toMatchObject({ type: "opened", mark: { index: 3 } });
      expect(bench.restart(new Prng(seed)).mark.index).toBe(3);
    }
  });
});

test("a store whose damage shows only when its state is looked at can be removed and filled again", () => {
  const bench = new Bench();
  bench.apply(configure, produce(2));
  bench.stores.endProcess();
  // The group time: not read before the state machine is.
  expect(bench.stores.flipBit("g1-0", Uint8Array.of(1, 1, 0), 3)).toBe(true);
  expect(bench.reopen()).toMatchObject({ type: "failed", cause: "damaged" });
  expect(bench.ask({ type: "close", group, remove: true })).toMatchObject({ type: "done" });
  expect(bench.ask({ type: "open", group })).toMatchObject({ type: "opened", mark: { index: 0 } });
});

test("a state that is fetched again takes the place of one of the same index", () => {
  const bench = new Bench();
  bench.apply(configure, produce(2), produce(3));
  const wanted = bench.restart(null).hash;
  for (let round = 0; round < 3; round++) {
    bench.reload(3);
    expect(bench.restart(null)).toMatchObject({ hash: wanted, mark: { index: 3 } });
  }
});

guard("shard-w7-store-overwritten", "a store is never filled over the one in use", () => {
  const bench = new Bench();
  bench.apply(configure, produce(2), produce(3));
  for (let round = 0; round < 2; round++) {
    bench.reload(3);
    expect(bench.restart(new Prng(1)).mark.index).toBe(3);
  }
});

describe("a store without space", () => {
  const entries = [configure, ...Array.from({ length: 9 }, (_, at) => produce(at + 2))];
  const whole = (): string => hashOf(new Bench().apply(...entries));

  guard("shard-overtakes-full-store", "keeps those waiting that come after what it could not take", () => {
    const bench = new Bench(filling(3));
    let waiting = [...entries];
    for (let round = 0; waiting.length > 0 && round < 40; round++) {
      waiting = waiting.filter((one) => bench.apply(one).type !== "applied");
    }
    expect(waiting).toEqual([]);
    expect(hashOf(bench.apply())).toBe(whole());
  });

  guard("shard-retry-applied-twice", "takes what is given to it again from where it stopped", () => {
    const bench = new Bench(filling(2));
    // A state hash is wanted in the middle, so the request is two transactions, of which the second fails.
    const many = [configure, ...Array.from({ length: 400 }, (_, at) => produce(at + 2))];
    let reply = bench.apply(...many);
    expect(reply).toMatchObject({ type: "failed", cause: "no-space" });
    for (let round = 0; reply.type !== "applied" && round < 10; round++) reply = bench.apply(...many);
    expect(hashOf(reply)).toBe(hashOf(new Bench().apply(...many)));
  });
});

describe("leases of messages", () => {
  guard("shard-leases-not-restarted", "are timed by a new leader, in full", () => {
    const bench = new Bench();
    bench.apply(configure, produce(2), consume(3));
    bench.ask({ type: "lead", group, leads: true });
    expect(bench.ask({ type: "due", group, attended: 500, most: 10 })).toMatchObject({ leases: [] });
    expect(bench.ask({ type: "due", group, attended: 2_000, most: 10 })).toMatchObject({ leases: [{ queue: 1, group: "g" }] });
  });

  guard("shard-lease-from-last-look", "count from their hand-out, however long nobody looked for leases to end", () => {
    const bench = new Bench();
    bench.apply(configure, produce(2));
    bench.ask({ type: "lead", group, leads: true });
    bench.ask({ type: "due", group, attended: 10, most: 10 });
    bench.applyAt(5_000, consume(3));
    expect(bench.ask({ type: "due", group, attended: 5_900, most: 10 })).toMatchObject({ leases: [] });
    expect(bench.ask({ type: "due", group, attended: 6_100, most: 10 })).toMatchObject({ leases: [{ queue: 1, group: "g" }] });
  });

  guard("shard-lease-by-group-name", "of a group made again are not ended with those of the one before", () => {
    const leases = new LeaseClock();
    const lease = { queue: 1, partition: 0, group: "g", sequence: 1, acquired: 1, extended: 0 };
    leases.leased({ ...lease, incarnation: 1 }, 10_000);
    leases.leased({ ...lease, incarnation: 2 }, 10_000);
    leases.ended({ ...lease, incarnation: 1 });
    leases.advance(11_000);
    expect(leases.takeDue(10)).toMatchObject([{ receipt: { incarnation: 2 } }]);
  });

  guard("shard-lease-no-clock-margin", "last longer than a holder whose clock is slow believes", () => {
    const leases = new LeaseClock();
    leases.leased({ queue: 1, partition: 0, group: "g", incarnation: 1, sequence: 1, acquired: 1, extended: 0 }, 10_000);
    leases.advance(10_050);
    expect(leases.takeDue(10)).toEqual([]);
    leases.advance(11_000);
    expect(leases.takeDue(10)).toHaveLength(1);
  });
});

test("the configuration a store was left with is that of its log", () => {
  const bench = new Bench();
  const voters = [nodeId("a"), nodeId("b")];
  const payload = encodeMembershipPayload({ voters, outgoing: [], learners: [], learnersNext: [], autoLeave: false });
  bench.apply(configure, { index: logIndex(2), term: term(3), kind: "config", payload });
  const { mark } = bench.restart(null);
  expect(mark).toMatchObject({ index: 2, term: 3, membershipIndex: 2, membership: payload });
  expect(groupId(group)).toBe(1);
});
