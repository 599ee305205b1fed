import { FenceSweep, type SystemState } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { NodeHost } from "../node/node-host.ts";
import { fenceFloorEveryMs, fencesPerLook, locksPerSweepStep } from "./limits.ts";
import type { ShardGroup } from "./shard-group.ts";

/** What a look at a shard's registers has found. */
interface Found {
  /** The leadership it was for. */
  readonly term: number;
  readonly floor: number;
  readonly lowest: number;
}

/**
 * Rule K5: the leaders of shards raise the floor of fences to the lowest live one, as this node's state of group 0 says, so that registers of locks that
 * nobody holds can go. A state that lags behind gives a lower floor, which keeps more. Nothing is proposed where nothing would go, and no locks are looked
 * at where there is no register: a cluster at rest writes nothing, and one that uses no fences pays nothing.
 */
export class FenceFloors {
  private readonly host: NodeHost;
  private readonly replicas: () => Iterable<ShardGroup>;
  /** Where the next look at a shard's registers goes on. */
  private readonly cursors = new WeakMap<ShardGroup, Uint8Array | null>();
  private found = new Map<ShardGroup, Found>();
  private sweep: { readonly state: SystemState; readonly locks: FenceSweep } | null = null;
  private lookAt = 0;

  constructor(host: NodeHost, replicas: () => Iterable<ShardGroup>) {
    this.host = host;
    this.replicas = replicas;
  }

  /** With every heartbeat: some of the work. */
  beat(now: number): void {
    const state = this.state();
    if (state === null) return;
    // Another state took its place, perhaps that of one in doubt: what was found of it does not count.
    if (this.sweep !== null && this.sweep.state !== state) this.sweep = null;
    if (this.sweep !== null) this.goOn(this.sweep.locks);
    else if (now >= this.lookAt) {
      this.lookAt = now + fenceFloorEveryMs;
      this.look(state);
    }
  }

  /** Group 0's state here, where a floor may be taken of it. One in doubt (rule W7) may say anything. */
  private state(): SystemState | null {
    const { machine, system, untrusted } = this.host;
    if (mutant("fence-floor-of-doubtful-state")) return machine;
    if (system === null || untrusted || system.stateDoubted || !system.caughtUp || system.leader() === null) return null;
    return machine;
  }

  private look(state: SystemState): void {
    this.found = new Map();
    for (const replica of this.replicas()) {
      const term = replica.leadingTerm;
      if (term === 0 || replica.group.stateDoubted) continue;
      const from = this.cursors.get(replica) ?? null;
      replica.ask({ type: "fences", group: replica.id, from, most: fencesPerLook }, (reply) => {
        if (reply.type !== "fences" || replica.leadingTerm !== term) return;
        const { floor, lowest, next } = reply;
        this.cursors.set(replica, next);
        if (lowest === 0 && !mutant("fence-floor-at-rest")) return;
        this.found.set(replica, { term, floor, lowest });
        this.sweep ??= { state, locks: new FenceSweep(state.lockState) };
      });
    }
  }

  private goOn(locks: FenceSweep): void {
    const fence = locks.step(locksPerSweepStep);
    if (fence === null) return;
    this.sweep = null;
    for (const [replica, { floor, lowest, term }] of this.found) {
      const letsGo = (lowest < fence && floor < fence) || mutant("fence-floor-at-rest");
      // One that cannot propose now will look again.
      if (letsGo && replica.leadingTerm === term && !replica.group.stateDoubted) replica.propose([{ type: "fence-floor", fence }]);
    }
  }
}
