import { type GroupId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { type CachedRecord, type LineName } from "@trivet/wire";
import type { WorkerReply, WorkerRequest } from "../shards/worker-protocol.ts";
import { dueEveryMs, expiredPerStep } from "./limits.ts";
import { lineOfKey } from "./lines.ts";

/** What it needs of its home. */
export interface DueValuesOwner {
  groupTime(): number;
  ask(request: WorkerRequest, done: (reply: WorkerReply) => void): void;
}

/** When a home looks for values whose time is over, by group time (rule L3), and which it finds. */
export class DueValues {
  private readonly group: GroupId;
  private readonly owner: DueValuesOwner;
  private readonly expire: (line: LineName, version: number) => void;
  /** Group time at which they are looked for; and whether that is under way. */
  private dueAt = 0;
  private isLooking = false;
  private lookAgainAt = 0;
  /** Answers to what was asked for before the last `begin` or `end` are not heard. */
  private reign = 0;

  constructor(group: GroupId, owner: DueValuesOwner, expire: (line: LineName, version: number) => void) {
    this.group = group;
    this.owner = owner;
    this.expire = expire;
  }

  begin(): void {
    this.reign++;
    this.dueAt = 0;
  }

  end(): void {
    this.reign++;
    this.isLooking = false;
  }

  noted({ ttlMs }: CachedRecord): void {
    if (ttlMs > 0) this.dueAt = Math.min(this.dueAt, this.owner.groupTime() + ttlMs);
  }

  /** When a tick is to look. */
  tickAt(now: number): number {
    if (this.isLooking) return Number.POSITIVE_INFINITY;
    return Math.max(this.lookAgainAt, now + this.dueAt - this.owner.groupTime());
  }

  tick(now: number): void {
    const { owner, reign } = this;
    const groupTime = owner.groupTime();
    if (this.isLooking || groupTime < this.dueAt || now < this.lookAgainAt) return;
    if (mutant("cache-home-never-ends-values")) return;
    this.isLooking = true;
    this.lookAgainAt = now + dueEveryMs;
    this.dueAt = Number.POSITIVE_INFINITY;
    owner.ask({ type: "cache-due", group: this.group, now: groupTime, most: expiredPerStep }, (reply) => {
      if (this.reign !== reign) return;
      this.isLooking = false;
      if (reply.type !== "cache-due") return;
      if (reply.nextAt > 0) this.dueAt = Math.min(this.dueAt, reply.nextAt);
      for (const { key, namespace, version } of reply.values) this.expire(lineOfKey(namespace, key), version);
    });
  }
}
