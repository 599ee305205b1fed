import type {
  CacheApi,
  CacheCallOptions,
  CacheDeleted,
  CacheEntry,
  CacheFailure,
  CachePut,
  CacheWritten,
  Explained,
  NodeHostConfig,
  Verified,
} from "@trivet/engine";
import { groupId, nodeId } from "@trivet/core";
import { cacheShardOf, decodeUtf8, encodeUtf8 } from "@trivet/wire";
import { type Cluster, Told } from "../hosts/cluster.ts";
import { Shards } from "./support.ts";

const patient: CacheCallOptions = { timeoutMs: 10_000 };

/** A cluster that caches, asked as its programs do. */
export class Caches extends Shards {
  constructor(size = 3, overrides: Partial<NodeHostConfig> = {}, spansOf?: Cluster["spansOf"]) {
    super(size, overrides, undefined, spansOf);
    this.untilLed();
  }

  service(node: string): CacheApi {
    return this.cluster.member(node).host.cache;
  }

  beginGet(node: string, key: string, timeoutMs = 10_000): Told<CacheEntry | CacheFailure> {
    const told = new Told<CacheEntry | CacheFailure>();
    this.service(node).get("default", key, "linearizable", timeoutMs, told.hear);
    return told;
  }

  beginPut(node: string, key: string, value: string | null, overrides: Partial<CachePut> = {}): Told<CacheWritten | CacheFailure> {
    const told = new Told<CacheWritten | CacheFailure>();
    const condition = { type: "always" } as const;
    const request = { namespace: "default", key, value: value === null ? null : encodeUtf8(value), tags: [], ttlMs: 0, condition };
    this.service(node).put({ ...request, token: null, ifFence: null, ...overrides }, { timeoutMs: 10_000 }, told.hear);
    return told;
  }

  answer<T>(told: Told<T>, what = "answer"): T {
    this.cluster.until(what, () => told.value !== null, 30_000);
    if (told.value === null) throw new Error("no answer");
    return told.value;
  }

  get(node: string, key: string): string | null {
    const entry = this.entry(node, key);
    return entry.value === null ? null : decodeUtf8(entry.value);
  }

  entry(node: string, key: string): CacheEntry {
    const entry = this.answer(this.beginGet(node, key), `get of ${key} at ${node}`);
    if (entry.type !== "entry") throw new Error(JSON.stringify(entry));
    return entry;
  }

  put(node: string, key: string, value: string | null, overrides: Partial<CachePut> = {}): CacheWritten {
    const written = this.answer(this.beginPut(node, key, value, overrides), `put of ${key} at ${node}`);
    if (written.type !== "written") throw new Error(JSON.stringify(written));
    return written;
  }

  delete(node: string, key: string): CacheDeleted {
    const told = new Told<CacheDeleted | CacheFailure>();
    const request = { namespace: "default", key, condition: { type: "always" }, ifFence: null } as const;
    this.service(node).delete(request, { timeoutMs: 10_000 }, told.hear);
    const deleted = this.answer(told, `delete of ${key} at ${node}`);
    if (deleted.type !== "deleted") throw new Error(JSON.stringify(deleted));
    return deleted;
  }

  /** Reads until each node has a copy: the first read of a shard goes without a lease. */
  warm(key: string, ...nodes: readonly string[]): void {
    for (const node of nodes.length > 0 ? nodes : this.cluster.members.keys()) {
      for (let reads = 0; this.entry(node, key).source !== "cache"; reads++)
        if (reads > 5) throw new Error(`${node} keeps no copy of ${key}`);
    }
  }

  peek(node: string, key: string): string | undefined {
    const value = this.service(node).peek("default", key)?.value;
    return value === undefined || value === null ? undefined : decodeUtf8(value);
  }

  beginIncrement(node: string, key: string, by: number, options = patient): Told<CacheWritten | CacheFailure> {
    const told = new Told<CacheWritten | CacheFailure>();
    this.service(node).increment({ namespace: "default", key, by, ttlMs: 0, ifFence: null }, options, told.hear);
    return told;
  }

  increment(node: string, key: string, by: number, options = patient): CacheWritten {
    const written = this.answer(this.beginIncrement(node, key, by, options));
    if (written.type !== "written") throw new Error(JSON.stringify(written));
    return written;
  }

  invalidate(node: string, tag: string | null): unknown {
    const told = new Told<unknown>();
    this.service(node).invalidate("default", tag, patient, told.hear);
    return this.answer(told);
  }

  dropCopies(node: string, key: string): void {
    const told = new Told<unknown>();
    this.service(node).dropCopies("default", key, 10_000, told.hear);
    this.answer(told);
  }

  explain(node: string, key: string): Explained {
    const told = new Told<Explained | CacheFailure>();
    this.service(node).explain("default", key, 10_000, told.hear);
    const explained = this.answer(told);
    if (explained.type !== "explained") throw new Error(JSON.stringify(explained));
    return explained;
  }

  verify(node: string): Verified {
    const told = new Told<Verified | CacheFailure>();
    this.service(node).verify(10_000, told.hear);
    const verified = this.answer(told);
    if (verified.type !== "verified") throw new Error(JSON.stringify(verified));
    return verified;
  }

  homeOf(key: string): string {
    const home = this.leaders()[cacheShardOf(1, key, 4) - 1];
    if (home === null || home === undefined) throw new Error(`no home of ${key}`);
    return home;
  }

  beginMove(key: string, to: string): void {
    const home = this.cluster.member(this.homeOf(key));
    home.host.shards?.replica(groupId(cacheShardOf(1, key, 4)))?.handOver(nodeId(to));
  }

  moveHome(key: string, to: string): void {
    this.beginMove(key, to);
    this.cluster.until(`${to} is the home of ${key}`, () => this.leaders()[cacheShardOf(1, key, 4) - 1] === to);
  }

  /** What this node's replica has stored, however late it is; undefined = it does not say. */
  storedIn(node: string, key: string): string | null | undefined {
    const told = new Told<CacheEntry | CacheFailure>();
    this.service(node).get("default", key, "stale", 10_000, told.hear);
    const entry = this.answer(told);
    if (entry.type !== "entry") return undefined;
    return entry.value === null ? null : decodeUtf8(entry.value);
  }

  /** Nothing comes from or to the node. */
  cut(node: string): void {
    const { url } = this.cluster.member(node);
    this.cluster.network.options = { fate: ({ from, to }) => ({ delaysMs: from === url || to === url ? [] : [0.2] }) };
  }

  heal(): void {
    this.cluster.network.options = { fate: () => ({ delaysMs: [0.2] }) };
    this.cluster.network.retransmit();
  }
}
