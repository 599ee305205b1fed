import type { NodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { PeerHub } from "./peer-hub.ts";

export interface FailureDetectorOwner {
  /** Asks a peer for a sign of life; whatever it sends is one. */
  probe(peer: NodeId, timeoutMs: number): void;
  readonly isStopped: boolean;
}

/**
 * Which peers are shown as gone (X-08, HEARTBEAT_INTERVAL and HEARTBEAT_TIMEOUT): a link that is up says little of a process that is frozen or
 * of a machine that lost its power. Peers that send nothing by themselves are probed. It informs people; Raft has timers of its own, and
 * nothing that keeps a promise asks it.
 */
export class FailureDetector {
  private readonly hub: PeerHub;
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly owner: FailureDetectorOwner;
  private readonly intervalMs: number;
  private readonly timeoutMs: number;
  /** Peers that were told of as silent. */
  private readonly silent = new Set<NodeId>();
  private started = false;

  constructor(
    hub: PeerHub,
    clock: Clock,
    telemetry: Telemetry,
    owner: FailureDetectorOwner,
    times: { readonly intervalMs: number; readonly timeoutMs: number },
  ) {
    this.hub = hub;
    this.clock = clock;
    this.telemetry = telemetry;
    this.owner = owner;
    this.intervalMs = times.intervalMs;
    this.timeoutMs = times.timeoutMs;
  }

  start(): void {
    if (this.started) return;
    this.started = true;
    const look = (): void => {
      if (this.owner.isStopped) return;
      this.clock.schedule(this.intervalMs, look);
      this.look();
    };
    this.clock.schedule(this.intervalMs, look);
  }

  /** Linked, and heard within HEARTBEAT_TIMEOUT. */
  isAlive(peer: NodeId): boolean {
    const at = this.hub.lastContact(peer);
    return at !== null && (this.clock.now() - at <= this.timeoutMs || mutant("host-silent-peer-alive"));
  }

  private look(): void {
    const now = this.clock.now();
    for (const peer of this.hub.connected()) {
      const silentMs = now - (this.hub.lastContact(peer) ?? now);
      this.tell(peer, silentMs);
      // Half an interval: a peer that answered the last probe is due again by the next look.
      if (silentMs >= this.intervalMs / 2) this.owner.probe(peer, this.timeoutMs);
    }
    for (const peer of this.silent) if (!this.hub.isUp(peer)) this.silent.delete(peer);
  }

  private tell(peer: NodeId, silentMs: number): void {
    const alive = silentMs <= this.timeoutMs;
    if (alive === !this.silent.has(peer)) return;
    if (alive) {
      this.silent.delete(peer);
      this.telemetry.log("info", "peer.heard", `${peer} is heard again`, { peer });
    } else {
      this.silent.add(peer);
      const text = `${peer} has been silent for ${Math.round(silentMs)} ms although its link is up: it counts as gone (HEARTBEAT_TIMEOUT)`;
      this.telemetry.log("warn", "peer.silent", text, { peer, silent_ms: Math.round(silentMs) });
    }
  }
}
