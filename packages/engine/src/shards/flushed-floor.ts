import { type LogIndex, logIndex } from "@trivet/core";
import type { GroupHost } from "../groups/group-host.ts";
import { floorOf, keptFrom, membershipAt } from "../groups/log-floor.ts";
import type { WalApi } from "../log/types.ts";

/** The log of a shard follows what its store has flushed: it need not hold what is on disk by itself (rule W1). */
export class FlushedFloor {
  private readonly group: GroupHost;
  private readonly wal: WalApi;
  private readonly retainBytes: number;
  private flushedTo: LogIndex = logIndex(0);
  private keptFrom: LogIndex = logIndex(0);

  constructor(group: GroupHost, wal: WalApi, retainBytes: number) {
    this.group = group;
    this.wal = wal;
    this.retainBytes = retainBytes;
  }

  flushed(index: LogIndex): void {
    if (index > this.flushedTo) this.moveTo(index, keptFrom(this.group.raft, index, this.retainBytes));
  }

  /** The log has become long, and this shard's old entries are what keeps it: no more of them than are needed. */
  letGo(index: LogIndex): void {
    this.moveTo(index, logIndex(index + 1));
  }

  private moveTo(index: LogIndex, from: LogIndex): void {
    const { group } = this;
    const term = group.raft.termAt(index);
    if (term === null || group.snapshots.installing || !group.stepping) return;
    const meta = { id: `store-${group.id}-${index}`, index, term, ...membershipAt(group, index), bytes: 0 };
    // Who is being sent a snapshot goes on where that ends.
    const sent = group.snapshots.sentFrom() ?? index;
    const keepFrom = logIndex(Math.min(from, sent + 1));
    // Asked for again and again while something else holds the log back: each time would make the log longer.
    if (index === this.flushedTo && keepFrom <= this.keptFrom) return;
    this.flushedTo = index;
    this.keptFrom = keepFrom;
    this.wal.setFloor(floorOf(group, meta, keepFrom), () => {
      if (group.stepping) group.logShortened(meta, keepFrom);
    });
  }
}
