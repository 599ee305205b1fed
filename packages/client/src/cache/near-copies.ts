import {
  type Bounds,
  createPolicy,
  type EvictionPolicy,
  isEvictable,
  type Line,
  makeRoom,
  type PolicyName,
  type Resident,
} from "@trivet/core/holder";
import { avalanche, hashText, utf8Length } from "@trivet/wire";
import type { CacheEntry } from "./cache-entry.ts";
import type { NearHolder } from "./near-holder.ts";

/** A copy that this process keeps. */
export interface Kept {
  readonly key: string;
  readonly line: Line;
  readonly holder: NearHolder;
  resident: Resident<Kept> | null;
  /** What a hit tells, made at the first one by `codec`. */
  entry: CacheEntry<unknown> | null;
  codec: unknown;
}

/** Beside the value: the line, its place in tables, what the policy keeps of it. */
const copyOverhead = 256;

/** Hits that the policy hears of together: what one of them costs is mostly waiting for memory, and those of many overlap. */
const hitsTogether = 64;

/** The copies of one namespace, bounded in entries and bytes. */
export class NearCopies {
  private readonly policy: EvictionPolicy<Kept>;
  private readonly byKey = new Map<string, Kept>();
  /** In their order. Before anything comes or goes the policy has heard of them, so that it decides as if it had been told at once. */
  private readonly hits: (Resident<Kept> | null)[] = Array.from({ length: hitsTogether }, () => null);
  private hitCount = 0;

  constructor(policy: PolicyName, bounds: Bounds) {
    this.policy = createPolicy(policy, bounds, Math.floor(Math.random() * 2 ** 32));
  }

  get entries(): number {
    return this.policy.entries;
  }
  get bytes(): number {
    return this.policy.bytes;
  }

  find(key: string): Kept | undefined {
    return this.byKey.get(key);
  }

  /**
   * From its first hit on a copy is kept under the text that its reader has: what was cut out of the line's name takes three times as long to compare, and
   * the same text again is found without being compared at all.
   */
  readAs(key: string, kept: Kept): void {
    this.byKey.delete(key);
    this.byKey.set(key, kept);
  }

  hit({ resident }: Kept): void {
    if (resident === null) return;
    this.hits[this.hitCount++] = resident;
    if (this.hitCount === hitsTogether) this.recordHits();
  }

  /** A copy came. In the same turn some may have to go, perhaps this one. */
  kept(holder: NearHolder, line: Line, key: string): void {
    this.forget(key, "dropped");
    if (line.copy === null) return;
    const kept: Kept = { key, line, holder, resident: null, entry: null, codec: null };
    this.byKey.set(key, kept);
    this.recordHits();
    kept.resident = this.policy.admit(kept, avalanche(hashText(line.name)), weightOf(line));
    if (kept.resident === null) return this.evict(kept);
    const mayEvict = (other: Kept): boolean => isEvictable(other.holder.state, other.line.name);
    const evict = (other: Kept): void => {
      other.resident = null;
      this.evict(other);
    };
    if (!makeRoom(this.policy, mayEvict, evict)) this.evict(kept);
  }

  /** A copy is no more. */
  dropped(key: string): void {
    this.forget(key, "dropped");
  }

  /** All of them are given up. */
  clear(): void {
    for (const kept of this.byKey.values()) this.evict(kept);
  }

  /** Its home is told (rule M9). */
  private evict(kept: Kept): void {
    this.forget(kept.key, "evicted");
    if (isEvictable(kept.holder.state, kept.line.name)) kept.holder.evict(kept.line.name);
  }

  private recordHits(): void {
    const { hitCount, hits } = this;
    for (let place = 0; place < hitCount; place++) {
      const resident = hits[place];
      hits[place] = null;
      if (resident != null) this.policy.recordHit(resident);
    }
    this.hitCount = 0;
  }

  private forget(key: string, why: "evicted" | "dropped"): void {
    const kept = this.byKey.get(key);
    if (kept === undefined) return;
    this.recordHits();
    this.byKey.delete(key);
    if (kept.resident !== null) this.policy.remove(kept.resident, why);
    kept.resident = null;
  }
}

function weightOf({ copy, name }: Line): number {
  const record = copy?.record;
  const tags = record?.tags.reduce((sum, tag) => sum + utf8Length(tag), 0) ?? 0;
  return copyOverhead + 2 * name.length + tags + (record?.value?.length ?? 0);
}
