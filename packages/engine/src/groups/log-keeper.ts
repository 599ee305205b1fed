import type { NodeHost } from "../node/node-host.ts";
import { systemGroup } from "./system-machine.ts";

const lookEveryMs = 500;
/** The newest segment and the one before are always there. */
const alwaysKept = 2;

/**
 * Keeps the log that all groups share from growing without end (rule W1). A segment goes when no group needs it; so a group with little to do, whose
 * few old entries are still wanted for its next snapshot or for lagging followers, would keep all that others have written since.
 */
export class LogKeeper {
  private readonly host: NodeHost;
  private nextAt = 0;

  constructor(host: NodeHost) {
    this.host = host;
  }

  tick(now: number): void {
    const { config, shards, system, wal } = this.host;
    if (wal === null || system === null || now < this.nextAt) return;
    this.nextAt = now + lookEveryMs;
    const { diskBytes, heldBackBy, segments } = wal.stats();
    if (heldBackBy === null || segments <= alwaysKept || diskBytes <= config.retainBytes + alwaysKept * config.walSegmentBytes) return;
    if (heldBackBy === systemGroup) system.snapshots.letGo();
    else shards?.replica(heldBackBy)?.letGo();
  }
}
