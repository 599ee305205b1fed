import { groupId } from "@trivet/core";
import { type CacheEntry, type CacheFailure, MemoryPacking, type NamespaceSettings } from "@trivet/engine";
import {
  cacheShardOf,
  CodecError,
  decodeUtf8,
  encodeSingleCommandFrame,
  encodeUtf8,
  type HomeMessage,
  limits,
  lineName,
} from "@trivet/wire";
import { describe, expect, test } from "vitest";
import type { ReadValue } from "../../src/shards/worker-protocol.ts";
import { Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";
import { OutsideStore } from "./outside-store.ts";

const nodes = ["n1", "n2", "n3"] as const;
const long = `${"a".repeat(300)}b`;
/** Longer by runs of one, as the memory twin packs. */
const mixed = "ab".repeat(100);
const packing = new MemoryPacking();

/** A cluster whose namespace `default` has its values compressed. */
class Packed extends Caches {
  readonly outside: OutsideStore = new OutsideStore((delayMs, run) => this.cluster.clock.schedule(delayMs, run));

  constructor(settings: Partial<NamespaceSettings> = {}) {
    super();
    this.cluster.cacheOrigins.redis = this.outside;
    const told = new Told<unknown>();
    const wanted = { compressOver: 100, ...settings };
    this.service("n1").defineNamespace("default", wanted, "ensure", { timeoutMs: 10_000 }, told.hear);
    expect(this.answer(told)).toMatchObject({ type: "defined", namespace: { settings: wanted } });
    for (const node of nodes) this.cluster.until("the setting", () => this.service(node) !== undefined && this.knows(node));
  }

  private knows(node: string): boolean {
    return this.cluster.member(node).host.machine?.namespaceByNumber(1)?.settings.compressOver !== 0;
  }

  /** As it lies in the store of the key's home. */
  stored(key: string): ReadValue["record"] {
    const group = groupId(cacheShardOf(1, key, 4));
    const told = new Told<ReadValue["record"]>();
    const request = { type: "cache-read", group, keys: [[1, key]], now: 0 } as const;
    this.cluster
      .member(this.homeOf(key))
      .host.shards?.replica(group)
      ?.machine.ask(request, (reply) => {
        if (reply.type === "cache-values" && reply.values[0] !== undefined) told.hear(reply.values[0].record);
      });
    return this.answer(told);
  }

  fetched(node: string, key: string): string | null {
    const told = new Told<(CacheEntry & { readonly node: string }) | CacheFailure | { readonly type: "no-copy" }>();
    this.service(node).fetchCopy("default", key, null, 10_000, told.hear);
    const found = this.answer(told);
    if (found.type !== "entry" || found.value === null) throw new Error(JSON.stringify(found));
    return decodeUtf8(found.value);
  }
}

describe("values of a namespace that has them compressed", () => {
  guard("packing-told-packed", "are stored compressed, and whoever reads them by whatever way gets what was written", () => {
    const packed = new Packed();
    packed.put("n1", "k", long);
    expect(packed.stored("k")).toMatchObject({ packing: "brotli" });
    expect(packed.stored("k").value?.length).toBeLessThan(20);
    for (const node of nodes) {
      expect(packed.get(node, "k")).toBe(long);
      expect(packed.storedIn(node, "k")).toBe(long);
    }
    packed.warm("k");
    for (const node of nodes) expect(packed.peek(node, "k")).toBe(long);
    expect(packed.fetched("n1", "k")).toBe(long);
    // A copy is kept as it is read, and counts as much.
    expect(packed.service("n1").statistics().bytes).toBeGreaterThan(long.length);
    expect(packed.verify("n2").ok).toBe(true);
  });

  guard("packing-keeps-what-grows", "are not, where they are short, or would not be smaller", () => {
    const packed = new Packed({ compressOver: 1 });
    for (const [key, value] of [
      ["short", "a".repeat(64)],
      ["mixed", mixed],
    ] as const) {
      packed.put("n2", key, value);
      expect(packed.stored(key).packing).toBeUndefined();
      expect(packed.get("n3", key)).toBe(value);
    }
    packed.put("n2", "longer", "a".repeat(65));
    expect(packed.stored("longer").packing).toBe("brotli");
  });

  test("numbers are counted with, and versions compared, as without", () => {
    const packed = new Packed({ compressOver: 1 });
    packed.put("n1", "n", "41");
    expect(packed.increment("n2", "n", 1)).toMatchObject({ number: 42 });
    const { version } = packed.put("n1", "k", long);
    expect(packed.put("n3", "k", `${long}c`, { condition: { type: "version", version } }).version).toBeGreaterThan(version);
    expect(packed.get("n2", "k")).toBe(`${long}c`);
    expect(packed.answer(packed.beginIncrement("n1", "k", 1))).toMatchObject({ type: "not-a-number" });
  });

  test("stay as they are stored when the setting changes: each says how it is compressed", () => {
    const packed = new Packed();
    packed.put("n1", "before", long);
    const told = new Told<unknown>();
    packed.service("n2").defineNamespace("default", { compressOver: 0 }, "update", { timeoutMs: 10_000 }, told.hear);
    packed.answer(told);
    packed.put("n2", "after", long);
    expect([packed.stored("before").packing, packed.stored("after").packing]).toEqual(["brotli", undefined]);
    for (const key of ["before", "after"]) expect(packed.get("n3", key)).toBe(long);
  });

  guard("behind-written-packed", "come to an origin, and from one, as they are", () => {
    const packed = new Packed({ origin: "redis", write: "behind" });
    packed.outside.isAway = true;
    packed.put("n1", "k", long);
    const told = new Told<unknown>();
    packed.service("n2").invalidate("default", null, { timeoutMs: 10_000 }, told.hear);
    packed.answer(told);
    // Nothing is stored, and the origin is away: what waits for it is the answer.
    expect(packed.get("n3", "k")).toBe(long);
    packed.outside.isAway = false;
    packed.cluster.until("the origin has it", () => packed.outside.value("k") !== undefined, 60_000);
    expect(packed.outside.value("k")).toBe(long);
    packed.outside.rows.set("loaded", { value: long, stamp: "" });
    expect(packed.get("n1", "loaded")).toBe(long);
    expect(packed.stored("loaded").packing).toBe("brotli");
  });
});

/** What a program says and hears through one node. */
class Program {
  readonly heard: HomeMessage[] = [];
  private readonly packed: Packed;
  private readonly key: string;

  constructor(packed: Packed, key: string, unpacks: boolean) {
    this.packed = packed;
    this.key = key;
    packed.cluster.member("n1").host.caching.programs.attach("p1", (_group, message) => void this.heard.push(message), unpacks);
  }

  private say(message: object): void {
    const group = groupId(cacheShardOf(1, this.key, 4));
    const term = this.packed.cluster.member(this.packed.homeOf(this.key)).host.shards?.replica(group)?.group.raft.term ?? 0;
    const whole = { term, incarnation: 1, line: lineName("1", this.key), txn: 1, ...message };
    this.packed.cluster.member("n1").host.caching.programs.toHome("p1", group, whole as never);
  }

  read(): HomeMessage & { readonly type: "data" } {
    this.say({ type: "fetch", confirmed: false });
    this.packed.cluster.until("an answer", () => this.heard.some(({ type }) => type === "data"));
    return this.heard.find((message) => message.type === "data") as HomeMessage & { readonly type: "data" };
  }

  write(value: Uint8Array): void {
    const notAfter = this.packed.cluster.member("n1").host.groupTime.now() + 10_000;
    const of = { namespace: 1, version: 1, key: this.key, tags: [], ttlMs: 0, token: null, ifFence: null } as const;
    const put = { type: "cache-put", ...of, condition: { type: "always" }, value, packing: "brotli" } as const;
    this.say({ type: "write", keep: false, command: encodeSingleCommandFrame("caller", "", notAfter, put) });
  }
}

describe("a program", () => {
  test.each([true, false])("gets values compressed, or not where it does not know of that: %s", (unpacks) => {
    const packed = new Packed();
    packed.put("n2", "k", long);
    const { record } = new Program(packed, "k", unpacks).read();
    const value = record.value ?? new Uint8Array(0);
    const plain = record.packing === undefined ? value : packing.unpack(value, record.packing, 1_000);
    expect(record.packing).toBe(unpacks ? "brotli" : undefined);
    expect(plain).toEqual(encodeUtf8(long));
  });

  test("writes values that it has compressed itself", () => {
    const packed = new Packed();
    packed.put("n1", "k", "1");
    new Program(packed, "k", true).write(packing.pack(encodeUtf8(long)));
    packed.cluster.until("it is written", () => packed.get("n3", "k") === long);
    expect(packed.get("n2", "k")).toBe(long);
    expect(packed.stored("k").packing).toBe("brotli");
  });

  guard("packing-taken-unread", "stores nothing that cannot be unpacked, and nothing that comes to more than a value may have", () => {
    const packed = new Packed();
    const program = new Program(packed, "k", true);
    const bomb = packing.pack(new Uint8Array(limits.maxBodyBytes + 1));
    expect(bomb.length).toBeLessThan(10_000);
    for (const value of [Uint8Array.of(1), bomb]) expect(() => program.write(value)).toThrow(CodecError);
  });

  guard("packing-unbounded", "is not believed about how much its few bytes come to", () => {
    const packed = new Packed();
    const bomb = packing.pack(new Uint8Array(limits.maxBodyBytes + 1));
    expect(() => new Program(packed, "k", true).write(bomb)).toThrow(CodecError);
  });
});
