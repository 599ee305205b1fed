import { mutant } from "@trivet/core/mutation";
import { LogKeeper } from "../groups/log-keeper.ts";
import type { NodeHost } from "./node-host.ts";
import { Ticks } from "./ticks.ts";
import { trustWhenCaughtUp } from "../groups/trust.ts";

/**
 * Tells a node's groups and hosts what time it is. While anything is under way that time decides they hear of it five times in a heartbeat, else once;
 * and Raft's groups always before they are given anything, so that none of its times is older than a fine tick, however long the node has rested.
 */
export class NodeTicks {
  /**
   * All nodes beat at the same times, as far as their wall clocks agree when they start: then the heartbeats of several, and the answers to a node's own,
   * come while it is awake. Nothing but that hangs on it.
   */
  readonly beatOffsetMs: number;
  private readonly host: NodeHost;
  private readonly fineMs: number;
  private readonly beatMs: number;
  private readonly ticks: Ticks;
  private readonly logKeeper: LogKeeper;
  private toldAt: number;
  private beat = 0;
  /** The machine has names to put in order. */
  private isUntidy = false;

  constructor(host: NodeHost) {
    this.host = host;
    const { clock } = host.ports;
    this.beatMs = host.config.heartbeatMs;
    this.fineMs = Math.max(1, Math.floor(this.beatMs / 5));
    this.logKeeper = new LogKeeper(host);
    this.toldAt = clock.now();
    this.beatOffsetMs = (clock.wallNow() - clock.now()) % this.beatMs;
    const pace = { fineMs: this.fineMs, beatMs: this.beatMs, beatOffsetMs: this.beatOffsetMs };
    this.ticks = new Ticks(clock, pace, { tick: (now) => this.tick(now), dueAt: (now) => this.dueAt(now) });
  }

  start(): void {
    this.ticks.start();
  }

  stop(): void {
    this.ticks.stop();
  }

  /** At the end of a turn: what it brought may be due before the next beat. */
  hasten(): void {
    this.ticks.hasten();
  }

  /** Input that arrives after a pause must not be judged by a clock from before it (rule L2). */
  catchUp(): void {
    const now = this.host.ports.clock.now();
    // One that is only a little late comes by itself.
    if (this.ticks.age(now) > this.beatMs + this.fineMs) this.ticks.tickNow(now);
    else this.tellGroups(now);
  }

  /** Before Raft's groups are given anything: times that they count from this moment must not begin at the last beat. */
  private tellGroups(now: number): void {
    const { host } = this;
    if (now - this.toldAt < this.fineMs || host.phase === "removed" || mutant("host-rest-clock-stale")) return;
    this.toldAt = now;
    host.system?.hear(now);
    if (host.shards !== null) for (const { group } of host.shards.all()) group.hear(now);
  }

  private tick(now: number): void {
    if (!this.host.isStopped) this.host.guarded(() => this.tell(now));
  }

  private tell(now: number): void {
    const { host } = this;
    const beat = Math.floor((now + this.beatOffsetMs) / this.beatMs);
    const isNewBeat = beat !== this.beat;
    this.beat = beat;
    this.toldAt = now;
    const takesPart = host.phase !== "removed";
    if (takesPart) host.system?.tick(now);
    host.leases?.tick(now);
    if (takesPart) host.shards?.tick(now, isNewBeat);
    host.caching.tick(now);
    host.disk.tick(now);
    host.calls.tick(now);
    host.queries.tick(now);
    if (isNewBeat) {
      host.outbox.tick();
      host.outbox.resend(false);
      host.members?.reconcile();
      host.peering.tick(now);
    }
    this.logKeeper.tick(now);
    this.tidy();
    trustWhenCaughtUp(host);
    host.departure?.tick(now);
  }

  /** Beside the work, never in its way. */
  private tidy(): void {
    const { machine, system } = this.host;
    if (system?.leader() === null || system?.caughtUp !== true) return;
    this.isUntidy = machine?.tidy() === false;
  }

  /** A node that was removed takes part in none any more. */
  private groupsAt(now: number): number {
    const { phase, shards, system } = this.host;
    if (phase === "removed") return Number.POSITIVE_INFINITY;
    return Math.min(system?.tickAt ?? Number.POSITIVE_INFINITY, shards?.tickAt(now) ?? Number.POSITIVE_INFINITY);
  }

  /** Housekeeping that no call and no lease waits for comes with the beats. */
  private dueAt(now: number): number {
    const { host } = this;
    if (host.departure !== null || this.isUntidy) return now;
    return Math.min(
      this.groupsAt(now),
      host.leases?.tickAt ?? Number.POSITIVE_INFINITY,
      host.caching.tickAt(),
      host.calls.tickAt,
      host.queries.tickAt,
    );
  }
}
