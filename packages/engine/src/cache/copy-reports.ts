import { type GroupId, groupId, isLeased, type LineState, readableCopy } from "@trivet/core";
import type { LineName } from "@trivet/wire";
import { decodeBase64, encodeBase64 } from "../base/base64.ts";
import type { NodeCache } from "../node/node-cache.ts";
import type { NodeHost } from "../node/node-host.ts";
import { readReplica } from "../shards/shard-reads.ts";
import { type CacheEntry, type CopyTransition, type CopyView, type Explained } from "./cache-api.ts";
import { entryOf } from "./entries.ts";
import { describe } from "./home-description.ts";
import { copiesTimeoutMs, explainedTransitions, reportedCopies } from "./limits.ts";
import { keyOfLine, shardOfLine } from "./lines.ts";

/** A copy that a node may read at the moment of the report, under a lease. */
export interface ReportedCopy {
  readonly line: LineName;
  readonly state: LineState;
  readonly version: number;
}
export interface CopiesPage {
  readonly copies: readonly ReportedCopy[];
  readonly next: number | null;
}
/** What a home says of a line. */
export type Directory = Pick<
  Explained,
  "behind" | "directory" | "home" | "owner" | "phase" | "queued" | "sharers" | "tags" | "term" | "ttlMs" | "version" | "waitingFor"
>;
type NodeView = Omit<CopyView, "node">;

/** Questions between nodes about what they hold; in JSON, as they are rare. Null = not in time, or nothing is known there. */
export const reportMethods = { copies: "cache-copies", view: "cache-view", directory: "cache-directory", copy: "cache-copy" } as const;

/** What this node says of its own, and asks of others. */
export class CopyReports {
  private readonly host: NodeHost;
  private readonly cache: NodeCache;

  constructor(host: NodeHost, cache: NodeCache) {
    this.host = host;
    this.cache = cache;
  }

  /** True = the question was one of these. */
  onCall(method: string, body: unknown, answer: (reply: unknown) => void): boolean {
    const asked = body as { readonly line: string; readonly lines: readonly string[]; readonly from: number };
    switch (method) {
      case reportMethods.copies:
        answer(this.copiesHere(asked.from));
        return true;
      case reportMethods.view:
        answer(this.viewHere(asked.line));
        return true;
      case reportMethods.directory:
        this.directoriesHere(asked.lines, answer);
        return true;
      case reportMethods.copy:
        answer(this.copyHere(asked.line));
        return true;
      default:
        return false;
    }
  }

  /** All members but this node; the registry also knows some that were removed, or are not in yet. */
  others(): readonly string[] {
    const { learners, outgoing, voters } = this.host.system?.raft.membership ?? { learners: [], outgoing: [], voters: [] };
    return [...new Set<string>([...voters, ...outgoing, ...learners])].filter((node) => node !== this.host.config.node);
  }

  copiesOf(node: string, from: number, done: (page: CopiesPage | null) => void): void {
    this.ask(node, reportMethods.copies, { from }, () => this.copiesHere(from), done);
  }

  viewOf(node: string, line: LineName, done: (view: NodeView | null) => void): void {
    this.ask(node, reportMethods.view, { line }, () => this.viewHere(line), done);
  }

  copyOf(node: string, line: LineName, done: (entry: CacheEntry | null) => void): void {
    this.ask<Copied>(
      node,
      reportMethods.copy,
      { line },
      () => this.copyHere(line),
      (copied) => {
        if (copied === null) return done(null);
        const { record, state, value } = copied;
        const bytes = value === null ? null : decodeBase64(value);
        done(entryOf(keyOfLine(line)[1], { ...record, value: bytes }, state, "peer"));
      },
    );
  }

  /** Of lines of one shard, from its home; null = nobody could be asked. */
  directoryOf(group: GroupId, lines: readonly LineName[], done: (directories: readonly Directory[] | null) => void): void {
    const leader = this.host.shards?.entry(group)?.leader() ?? null;
    if (leader === null) return this.host.ports.clock.defer(() => done(null));
    if (leader === this.host.config.node) return this.directoriesHere(lines, done);
    return this.host.calls.call(
      leader,
      reportMethods.directory,
      { lines },
      // A node of a version before write-behind says nothing of it.
      (reply) =>
        done((reply as readonly Directory[] | null)?.map((directory) => ({ ...directory, behind: directory.behind ?? null })) ?? null),
      copiesTimeoutMs,
    );
  }

  private ask<T>(node: string, method: string, body: unknown, here: () => T | null, done: (reply: T | null) => void): void {
    if (node === this.host.config.node) return this.host.ports.clock.defer(() => done(here()));
    const peer = this.host.hub.connected().find((other) => other === node);
    if (peer === undefined) return this.host.ports.clock.defer(() => done(null));
    return this.host.calls.call(peer, method, body, (reply) => done(reply as T | null), copiesTimeoutMs);
  }

  private copiesHere(from: number): CopiesPage {
    const { clock } = this.host.ports;
    const copies: ReportedCopy[] = [];
    let place = 0;
    for (const { holder, line } of this.cache.copies.all()) {
      if (place++ < from) continue;
      if (copies.length >= reportedCopies) return { copies, next: place - 1 };
      const copy = readableCopy(holder, line, clock.now(), clock.wallNow());
      // In the mode `ttl` a copy is as stale as it may be: there is nothing to hold it to.
      if (copy === undefined || copy.timed) continue;
      copies.push({ line: line.name, state: line.state, version: copy.record.version });
    }
    return { copies, next: null };
  }

  private viewHere(name: LineName): NodeView {
    const { clock } = this.host.ports;
    const [namespace, key] = keyOfLine(name);
    const holder = this.cache.holder(groupId(shardOfLine(name, this.host.shards?.count ?? 1)));
    const line = holder?.state.lines.get(name);
    const kept = this.cache.copies.find(namespace, key);
    const transitions: readonly CopyTransition[] = this.cache.transitions.of(name, explainedTransitions);
    const { leasedAt = null, timing } = holder?.state ?? {};
    const isLive = holder !== null && isLeased(holder.state, clock.now(), clock.wallNow());
    const leaseLeftMs =
      !isLive || leasedAt === null || timing === undefined ? 0 : Math.max(0, timing.leaseMs - (clock.now() - leasedAt.steady));
    const ageMs = kept === undefined ? 0 : clock.now() - kept.keptAt;
    return { state: line?.state ?? "I", version: line?.copy?.record.version ?? 0, leaseLeftMs, ageMs, transitions };
  }

  private copyHere(name: LineName): Copied | null {
    const { clock } = this.host.ports;
    const found = this.cache.copies.find(...keyOfLine(name));
    const copy = found === undefined ? undefined : readableCopy(found.holder, found.line, clock.now(), clock.wallNow());
    if (found === undefined || copy === undefined) return null;
    const { value, ...record } = copy.record;
    return { record, value: value === null ? null : encodeBase64(value), state: found.line.state };
  }

  private directoriesHere(lines: readonly LineName[], done: (directories: readonly Directory[] | null) => void): void {
    const { shards } = this.host;
    const [first] = lines;
    if (shards === null || first === undefined) return this.host.ports.clock.defer(() => done(null));
    const group = groupId(shardOfLine(first, shards.count));
    shards.replica(group)?.home.wake();
    const request = { type: "cache-read", group, keys: lines.map(keyOfLine), now: this.host.groupTime.now(), queued: true } as const;
    return readReplica(shards, group, request, copiesTimeoutMs, (reply) => {
      const home = shards.replica(group)?.home;
      if (reply?.type !== "cache-values" || home === undefined || !home.isHome) return done(null);
      const { config, groupTime, ports } = this.host;
      const here = { node: config.node, now: ports.clock.now(), groupTime: groupTime.now() };
      done(lines.map((line, place) => describe(home.state, line, here, reply.values[place])));
    });
  }
}

interface Copied {
  readonly record: Omit<Parameters<typeof entryOf>[1], "value">;
  readonly value: string | null;
  readonly state: LineState;
}
