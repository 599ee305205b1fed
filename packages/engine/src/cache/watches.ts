import type { GroupId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Clock } from "../ports/clock.ts";
import type { ValueChange } from "../shards/worker-protocol.ts";
import type { CacheChange, CacheFailure, CacheWatch } from "./cache-api.ts";
import { notMember } from "./cache-writes.ts";
import { rememberedChanges } from "./limits.ts";

export interface WatchesOwner {
  readonly clock: Clock;
  newName(): string;
  /** Shards of the cluster, and whether this node has a replica of each. */
  shards(): number;
  isHere(group: GroupId): boolean;
  namespaceNumbered(namespace: number): string | null;
  /** Was it made so lately that this node's group 0 does not know of it? */
  isUnheard(namespace: number): boolean;
}

/** What happened in one shard since this node began to follow it, the latest of it. */
class ShardRing {
  /** A position below it is older than what is known. */
  floor = 0;
  /** Changes up to it were remembered here once. */
  dropped = 0;
  last = 0;
  private changes: ValueChange[] = [];

  add(change: ValueChange): void {
    // Of what was skipped nothing is known but that it ended before this one.
    if (this.floor === Number.POSITIVE_INFINITY) this.floor = change.version - 1;
    this.changes.push(change);
    this.last = change.version;
    if (this.changes.length <= 2 * rememberedChanges) return;
    this.dropped = mutant("cache-watch-gap-untold") ? 0 : (this.changes[rememberedChanges - 1]?.version ?? 0);
    this.floor = this.dropped;
    this.changes = this.changes.slice(rememberedChanges);
  }

  since(version: number): readonly ValueChange[] {
    return this.changes.filter((change) => change.version > version);
  }

  /** What was skipped is not known. */
  skip(): void {
    this.changes = [];
    this.floor = Number.POSITIVE_INFINITY;
  }
}

interface Watching {
  readonly request: CacheWatch;
  readonly listener: { changed(change: CacheChange): void; ended(why: CacheFailure): void };
  /** By shard: up to which version it was told. */
  readonly seen: Map<GroupId, number>;
  /** It was told of the past; until then what comes is told with that. */
  started: boolean;
}

/** Who watches values here (rule M10): told after apply, in the order of each shard. A position is of this run of the program. */
export class Watches {
  private readonly owner: WatchesOwner;
  private readonly rings = new Map<GroupId, ShardRing>();
  private readonly watching = new Set<Watching>();
  private run: string | null = null;
  /** Shards where something happened in a namespace that this node has not heard of yet. */
  private readonly ahead = new Map<GroupId, number>();

  constructor(owner: WatchesOwner) {
    this.owner = owner;
  }

  applied(group: GroupId, changes: readonly ValueChange[]): void {
    if (changes.length === 0) return;
    const ring = this.ring(group);
    for (const change of changes) {
      ring.add(change);
      if (this.owner.isUnheard(change.namespace)) this.ahead.set(group, Math.max(change.namespace, this.ahead.get(group) ?? 0));
    }
    const isAhead = this.ahead.has(group);
    for (const watching of this.watching) {
      if (!watching.started) continue;
      if (isAhead) this.catchUp(watching, group);
      else for (const change of changes) this.tell(watching, group, change);
    }
  }

  /** Time has passed: perhaps group 0 has told of what was ahead of it. */
  tick(): void {
    for (const [group, namespace] of this.ahead) {
      if (this.owner.isUnheard(namespace)) continue;
      this.ahead.delete(group);
      for (const watching of this.watching) if (watching.started) this.catchUp(watching, group);
    }
  }

  /** What happened in a namespace that is not known here yet waits for that, and so does what came after it. */
  private catchUp(watching: Watching, group: GroupId): void {
    const ring = this.ring(group);
    const seen = watching.seen.get(group) ?? 0;
    if (seen < ring.dropped) return this.end(watching, { type: "position-gone" });
    for (const change of ring.since(seen)) {
      if (this.owner.isUnheard(change.namespace)) return;
      this.tell(watching, group, change);
    }
  }

  /** A snapshot took the place of what this node had. */
  skipped(group: GroupId): void {
    this.ring(group).skip();
    for (const watching of this.watching) this.end(watching, { type: "position-gone" });
  }

  watch(request: CacheWatch, listener: Watching["listener"]): () => void {
    const watching: Watching = { request, listener, seen: new Map(), started: false };
    this.watching.add(watching);
    this.owner.clock.defer(() => this.begin(watching));
    return () => this.watching.delete(watching);
  }

  stop(): void {
    const detail = "this node is stopping";
    for (const watching of this.watching) this.end(watching, { type: "unavailable", code: "stopping", retryAfterMs: 100, detail });
  }

  private begin(watching: Watching): void {
    if (!this.watching.has(watching)) return;
    const shards = this.owner.shards();
    if (shards === 0) return this.end(watching, notMember);
    for (let shard = 1; shard <= shards; shard++) {
      if (this.owner.isHere(shard as GroupId)) continue;
      const detail = `this node has no replica of shard ${shard}: watch through a node that has one of every shard`;
      return this.end(watching, { type: "unavailable", code: "no_leader", retryAfterMs: 1000, detail });
    }
    const { from } = watching.request;
    const positions = from === null ? null : this.parse(from);
    if (from !== null && positions === null) return this.end(watching, { type: "position-gone" });
    watching.started = true;
    for (let shard = 1; shard <= shards; shard++) {
      const group = shard as GroupId;
      const ring = this.ring(group);
      const position = positions === null ? ring.last : (positions[shard - 1] ?? 0);
      if (positions !== null && position < ring.floor) return this.end(watching, { type: "position-gone" });
      watching.seen.set(group, position);
    }
    if (positions === null) return;
    for (const group of watching.seen.keys()) this.catchUp(watching, group);
  }

  private tell(watching: Watching, group: GroupId, change: ValueChange): void {
    if (!this.watching.has(watching) || change.version <= (watching.seen.get(group) ?? 0)) return;
    watching.seen.set(group, change.version);
    const { namespace: name, prefix } = watching.request;
    if (this.owner.namespaceNumbered(change.namespace) !== name) return;
    if (change.key !== null && !change.key.startsWith(prefix)) return;
    const { change: what, key, tag, version } = change;
    const position = this.positionOf(watching);
    watching.listener.changed({ type: "changed", namespace: name, key, tag, change: what, version, position });
  }

  private end(watching: Watching, why: CacheFailure): void {
    if (this.watching.delete(watching)) watching.listener.ended(why);
  }

  private positionOf({ seen }: Watching): string {
    this.run ??= this.owner.newName();
    return `${this.run}.${[...seen.values()].join(".")}`;
  }

  private parse(position: string): readonly number[] | null {
    const [run, ...versions] = position.split(".");
    const numbers = versions.map(Number);
    return run === this.run && numbers.every((number) => Number.isSafeInteger(number) && number >= 0) ? numbers : null;
  }

  private ring(group: GroupId): ShardRing {
    let ring = this.rings.get(group);
    if (ring === undefined) this.rings.set(group, (ring = new ShardRing()));
    return ring;
  }
}
