import { mutant } from "@trivet/core/mutation";
import type { NodeHost } from "../node/node-host.ts";

/**
 * Is the map that this node knows that of its group 0's leader, or may it still be the one of its last snapshot? After a restart the log behind
 * that is applied one entry after another, while shards have their leaders within a second. Whoever follows cannot tell from its own log: in the
 * term in which it was restarted its snapshot may be of that term already, and what was committed while it was down comes later. So it asks once
 * in each term of each of its lives, and again after each time that it heard no leader, as a read does (rule L4), and knows then that all that was
 * committed before is applied here.
 */
export class KnownMap {
  private readonly host: NodeHost;
  /** The latest term in which that was confirmed, without a cut since. */
  private confirmed = -1;
  /** Looks at which no leader was heard: an answer is of the time before them. */
  private cuts = 0;
  private isAsking = false;
  /** What was known to be committed at the last look, and at the one before. */
  private seen = 0;
  private due = 0;
  private aloneSince: number | null = null;

  constructor(host: NodeHost) {
    this.host = host;
  }

  /** Before the shards are looked at. Under steady traffic there is always an entry on its way to be applied: what counts is what was known then. */
  look(): void {
    this.due = this.seen;
    this.seen = this.host.system?.raft.commitIndex ?? 0;
    if ((this.host.system?.leader() ?? null) !== null) this.aloneSince = null;
    else this.aloneSince ??= this.host.ports.clock.now();
    // Asks before anybody needs to know.
    this.isOfNow();
  }

  /** For how long no leader of group 0 was heard. */
  get aloneMs(): number {
    return this.aloneSince === null ? 0 : this.host.ports.clock.now() - this.aloneSince;
  }

  /** Asks, where it cannot tell; so look at it now and then. */
  isOfNow(): boolean {
    const { system } = this.host;
    // Rule W7: a map in doubt is none.
    if (system === null || system.stateDoubted) return false;
    if (system.leader() === null && !mutant("shard-known-map-outlives-a-cut")) {
      this.confirmed = -1;
      this.cuts += 1;
      return false;
    }
    const { term } = system.raft;
    if (this.confirmed === term) return system.appliedIndex >= this.due || mutant("shard-known-map-lags");
    this.ask(term);
    return false;
  }

  private ask(term: number): void {
    const { config, system } = this.host;
    if (this.isAsking || system === null) return;
    this.isAsking = true;
    const { cuts } = this;
    system.reads.barrier(config.electionMaxMs, (isApplied) => {
      this.isAsking = false;
      if (isApplied && cuts === this.cuts) this.confirmed = term;
    });
    this.host.markDirty();
  }
}
