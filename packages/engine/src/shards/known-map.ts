import type { NodeHost } from "../hosts/node-host.ts";

/**
 * Is the map that this node knows that of its group 0's leader, or may it still be the one of its last snapshot? After a restart the log behind
 * that is applied one entry after another, while shards have their leaders within a second. Whoever follows cannot tell from its own log: in the
 * term in which it was restarted its snapshot may be of that term already, and what was committed while it was down comes later. So it asks once
 * in each term of each of its lives, as a read does (rule L4), and knows then that all that was committed before is applied here.
 */
export class KnownMap {
  private readonly host: NodeHost;
  /** The latest term in which that was confirmed. */
  private confirmed = -1;
  private isAsking = false;

  constructor(host: NodeHost) {
    this.host = host;
  }

  /** Asks, where it cannot tell; so look at it now and then. */
  isOfNow(): boolean {
    const { system } = this.host;
    if (system === null) return false;
    const { term } = system.raft;
    if (this.confirmed === term) return system.caughtUp;
    this.ask(term);
    return false;
  }

  private ask(term: number): void {
    const { config, system } = this.host;
    if (this.isAsking || system === null) return;
    this.isAsking = true;
    system.reads.barrier(config.electionMaxMs, (isApplied) => {
      this.isAsking = false;
      if (isApplied) this.confirmed = term;
    });
    this.host.markDirty();
  }
}
