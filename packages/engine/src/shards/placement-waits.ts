import type { NodeId } from "@trivet/core";
import type { Telemetry } from "../ports/telemetry.ts";
import { waitsToldEveryMs, waitToldAfterMs } from "./limits.ts";

/** A shard that is not where the map wants it, why not, and what a person can do. */
export interface ShardWait {
  readonly shard: number;
  readonly why: string;
  readonly next: string;
}
interface Begun {
  readonly wait: ShardWait;
  readonly since: number;
  readonly level: "info" | "warn";
  told: boolean;
}

/**
 * What the leaders of shards wait for on the way to the map. Each says it in its log and to all nodes, so that any of them can show it. Waits that
 * end by themselves within a moment are nobody's business.
 */
export class PlacementWaits {
  private readonly telemetry: Telemetry;
  private readonly tell: (waits: readonly ShardWait[]) => void;
  /** Of the shards led here. */
  private readonly own = new Map<number, Begun>();
  private readonly others = new Map<NodeId, readonly ShardWait[]>();
  private tellAt = 0;
  private lastTold = "[]";

  constructor(telemetry: Telemetry, tell: (waits: readonly ShardWait[]) => void) {
    this.telemetry = telemetry;
    this.tell = tell;
  }

  /** `level`: is it likely to go on by itself? */
  waits(wait: ShardWait, now: number, level: "info" | "warn"): void {
    const known = this.own.get(wait.shard);
    if (known?.wait.why === wait.why) return;
    this.own.set(wait.shard, { wait, since: now, level, told: false });
  }

  goesOn(shard: number): void {
    this.own.delete(shard);
  }

  /** After all shards were looked at. */
  report(now: number): void {
    for (const begun of this.own.values()) {
      if (begun.told || now - begun.since < waitToldAfterMs) continue;
      begun.told = true;
      const { shard, why, next } = begun.wait;
      this.telemetry.log(begun.level, "shard.waits", `shard ${shard} is not yet where it belongs: ${why}; ${next}`, { group: shard });
    }
    const told = this.ownTold();
    const text = JSON.stringify(told);
    if (text === this.lastTold && (told.length === 0 || now < this.tellAt)) return;
    this.lastTold = text;
    this.tellAt = now + waitsToldEveryMs;
    this.tell(told);
  }

  heard(from: NodeId, waits: readonly ShardWait[]): void {
    this.others.set(from, waits);
  }

  /** Its shards have other leaders now. */
  lost(node: NodeId): void {
    this.others.delete(node);
  }

  all(): readonly ShardWait[] {
    return [...this.ownTold(), ...[...this.others.values()].flat()].sort((a, b) => a.shard - b.shard);
  }

  private ownTold(): readonly ShardWait[] {
    return [...this.own.values()].filter(({ told }) => told).map(({ wait }) => wait);
  }
}
