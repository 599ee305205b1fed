import { groupId, nothingRecorded } from "@trivet/core";
import { MemoryClock, MemoryCrypto, MemoryFiles, MemoryPacking, MemoryRandom, MemoryTelemetry, noSpans } from "@trivet/engine";
import {
  cacheShardOf,
  CodecError,
  CommandFrameBuilder,
  encodeSingleCommandFrame,
  featureLevels,
  FrameCursor,
  type HomeMessage,
  newestLevel,
  type ShardCommand,
} from "@trivet/wire";
import { describe, expect } from "vitest";
import { HomeHost, type HomeHostOwner } from "../../src/cache/home-host.ts";
import { nextLife } from "../../src/cache/lives.ts";
import { WriteBehind } from "../../src/cache/write-behind.ts";
import { Traces } from "../../src/base/traces.ts";
import type { WorkerReply } from "../../src/shards/worker-protocol.ts";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";

const nodes = ["n1", "n2", "n3"] as const;
const line = "1\u0000a";

/** A home without a cluster: what it asks is answered when the test says so. */
class Home {
  readonly clock = new MemoryClock(1_000);
  readonly sent: HomeMessage[] = [];
  readonly proposed: Uint8Array[] = [];
  readonly rounds: ((ready: boolean) => void)[] = [];
  value: { readonly record: typeof nothingRecorded; readonly isDue: boolean } = { record: nothingRecorded, isDue: false };
  level: number = newestLevel;
  readonly behind: WriteBehind = new WriteBehind(groupId(1), {
    node: "n1",
    clock: this.clock,
    telemetry: new MemoryTelemetry(),
    origins: {},
    packing: new MemoryPacking(),
    groupTime: () => this.clock.now(),
    namespace: () => null,
    ask: () => {},
    propose: () => {},
  });
  readonly host: HomeHost;

  constructor() {
    const group = { reads: { barrier: (_ms: number, done: (ready: boolean) => void) => void this.rounds.push(done) } };
    this.host = new HomeHost(groupId(1), this.behind, {
      clock: this.clock,
      traces: new Traces(noSpans),
      newName: () => "home",
      groupTime: () => this.clock.now(),
      group: () => group as unknown as ReturnType<HomeHostOwner["group"]>,
      ask: (request, done) => {
        const reply: WorkerReply =
          request.type === "cache-home"
            ? { type: "cache-home", holders: [], marker: null }
            : request.type === "cache-read"
              ? { type: "cache-values", values: request.keys.map(() => this.value) }
              : { type: "cache-due", values: [], nextAt: 0 };
        this.clock.defer(() => done(reply));
      },
      admits: (level) => level <= this.level,
      enqueue: (frame) => this.proposed.push(frame) > 0,
      send: (_to, message) => void this.sent.push(message),
      markDirty: () => {},
    });
    this.host.lead(2, 1);
    this.host.wake();
    this.turn();
  }

  turn(): void {
    this.clock.runUntilIdle();
    this.host.pump();
    this.clock.runUntilIdle();
  }

  read(): void {
    this.host.receive("n2", { type: "fetch", term: 2, incarnation: 1, line, txn: 1, confirmed: true });
    this.turn();
  }

  get answered(): boolean {
    return this.sent.some(({ type }) => type === "data");
  }
}

function typeIn(frame: Uint8Array): string {
  const cursor = new FrameCursor();
  cursor.open(frame);
  cursor.next();
  return cursor.decodeShard().type;
}

describe("a home", () => {
  guard("cache-home-unconfirmed", "answers a read without a lease only after a quorum round", () => {
    const home = new Home();
    home.read();
    expect(home.answered).toBe(false);
    home.rounds.shift()?.(false);
    home.turn();
    expect(home.answered).toBe(false);
    home.rounds.shift()?.(true);
    home.turn();
    expect(home.answered).toBe(true);
  });

  guard("cache-home-tells-due", "ends a value past its time before anybody is told of it", () => {
    const home = new Home();
    home.value = { record: { ...nothingRecorded, version: 3, ttlMs: 1 }, isDue: true };
    home.read();
    home.rounds.shift()?.(true);
    home.turn();
    expect(home.answered).toBe(false);
    expect(home.proposed).toHaveLength(1);
    // Until it has ended there is nothing to ask a quorum.
    expect(home.rounds).toHaveLength(0);
  });

  guard("cache-home-takes-own-frames", "takes no command of a holder that only a leader may say", () => {
    const home = new Home();
    const command: ShardCommand = { type: "cache-expire", values: [{ namespace: 1, key: "a", version: 1 }] };
    const builder = new CommandFrameBuilder();
    builder.begin("", "", 0, 0, 1);
    builder.add(command);
    const write = { type: "write", term: 2, incarnation: 1, line, txn: 1, keep: false } as const;
    expect(() => home.host.receive("n2", { ...write, command: builder.finish() })).toThrow(CodecError);
    home.host.receive("n2", { ...write, command: encodeSingleCommandFrame("caller", "", 10_000, command) });
    home.turn();
    expect(home.proposed).toHaveLength(1);
  });

  guard("cache-home-level-not-asked", "keeps its own commands back until the cluster knows them, and takes none that are newer", () => {
    const home = new Home();
    home.level = featureLevels.cache;
    let applied = 0;
    home.host.proposeAside({ type: "cache-flushed", values: [{ namespace: 1, key: "a", version: 1 }] }, () => applied++);
    home.turn();
    home.host.tick(home.clock.now());
    expect(home.proposed).toHaveLength(0);
    const put = { type: "cache-put", namespace: 1, version: 1, key: "a", tags: [], ttlMs: 0, token: null, ifFence: null } as const;
    const packed = { ...put, value: new Uint8Array(2), packing: "brotli", condition: { type: "always" } } as const;
    const write = { type: "write", term: 2, incarnation: 1, line, txn: 1, keep: false } as const;
    home.host.receive("n2", { ...write, command: encodeSingleCommandFrame("caller", "", 10_000, packed) });
    home.turn();
    expect(home.proposed).toHaveLength(0);
    home.level = newestLevel;
    home.host.tick(home.clock.now());
    // The one that it had kept; the other was as good as lost, and is sent again.
    expect(home.proposed.map((frame) => typeIn(frame))).toEqual(["cache-flushed"]);
    home.host.receive("n2", { ...write, txn: 2, command: encodeSingleCommandFrame("caller", "", 10_000, packed) });
    home.turn();
    expect(home.proposed.map((frame) => typeIn(frame))).toEqual(["cache-flushed", "cache-put"]);
    expect(applied).toBe(0);
  });

  guard("cache-w7-doubtful-home", "tells nobody what a state in doubt has stored", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    // Under a lease a read asks for no quorum round.
    caches.warm("a");
    caches.dropCopies("n1", "a");
    const home = caches.homeOf("a");
    const group = caches.cluster.member(home).host.shards?.replica(groupId(cacheShardOf(1, "a", 4)))?.group;
    if (group === undefined) throw new Error("no home");
    group.stateDoubted = true;
    const told = caches.beginGet(nodes.find((node) => node !== home) ?? "n1", "a");
    caches.cluster.run(200);
    expect(told.value).toBeNull();
  });

  guard("cache-home-never-ends-values", "ends values that nobody reads", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1", { ttlMs: 100 });
    caches.cluster.run(5_000);
    expect(caches.storedIn("n2", "a")).toBeNull();
  });

  guard("cache-transfer-with-leases", "that is moved on purpose leaves nothing for the next to wait for", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const [next, dead] = nodes.filter((node) => node !== caches.homeOf("a")) as [string, string];
    caches.cluster.kill(dead);
    caches.put(next, "a", "2");
    caches.moveHome("a", next);
    const begun = caches.cluster.clock.now();
    caches.put(next, "a", "3");
    expect(caches.cluster.clock.now() - begun).toBeLessThan(200);
  });

  guard("cache-home-stays-closed", "grants copies again after a move that came to nothing", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    caches.beginMove("a", "n9");
    caches.cluster.run(2_000);
    caches.warm("a");
  });
});

describe("a node", () => {
  guard("cache-copies-unbounded", "keeps no more copies than it may", () => {
    const caches = new Caches(1, { cache: { maxEntries: 10, maxBytes: 1_000_000, policy: "lru" } });
    for (let at = 0; at < 30; at++) caches.put("n1", `k${at}`, "v");
    for (let at = 0; at < 30; at++) caches.warm(`k${at}`);
    expect(caches.service("n1").statistics().entries).toBe(10);
  });

  guard("cache-node-leaves-silently", "that stops in good order is waited for by nobody", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const [leaving, other] = nodes.filter((node) => node !== caches.homeOf("a")) as [string, string];
    let stopped = false;
    caches.cluster.member(leaving).host.stop(() => (stopped = true));
    caches.cluster.until("it has stopped", () => stopped);
    const begun = caches.cluster.clock.now();
    caches.put(other, "a", "2");
    expect(caches.cluster.clock.now() - begun).toBeLessThan(100);
  });

  guard("cache-life-repeated", "begins a new life with every start, also when its clock was set back", () => {
    const clock = new MemoryClock(0, 1_000_000_000);
    const files = new MemoryFiles(clock);
    const lives: number[] = [];
    for (let start = 0; start < 3; start++) {
      const ports = {
        clock: {
          now: () => 0,
          wallNow: () => 1_000_000_000 - start * 5_000,
          defer: clock.defer.bind(clock),
          schedule: clock.schedule.bind(clock),
        },
        crypto: new MemoryCrypto(),
        files,
        packing: new MemoryPacking(),
        random: new MemoryRandom(1),
        telemetry: new MemoryTelemetry(),
        transport: { dial: () => {}, onAccept: () => {} },
      };
      nextLife(ports, (_error, first) => lives.push(first));
      clock.runUntilIdle();
    }
    expect(lives).toHaveLength(3);
    expect(lives[1]).toBeGreaterThan(lives[0] ?? 0);
    expect(lives[2]).toBeGreaterThan(lives[1] ?? 0);
  });

  guard("cache-late-calls-kept", "forgets calls that were not answered in time, with their values", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    const node = nodes.find((name) => name !== caches.homeOf("a")) ?? "n1";
    caches.warm("a", node);
    caches.cut(node);
    const put = { namespace: "default", key: "a", value: new Uint8Array(1000), tags: [], ttlMs: 0, token: null, ifFence: null } as const;
    let open = 2;
    caches.service(node).put({ ...put, condition: { type: "always" } }, { timeoutMs: 500 }, () => open--);
    caches.service(node).get("default", "b", "linearizable", 500, () => open--);
    caches.cluster.until("both are given up", () => open === 0);
    const holders = [...caches.cluster.member(node).host.caching.all()].map(([, { state }]) => state);
    const isEmpty = (): boolean => holders.every(({ lines, pending }) => lines.size + pending.size === 0);
    caches.cluster.until("nothing is left of them", isEmpty, 5_000);
    expect(isEmpty()).toBe(true);
  });
});
