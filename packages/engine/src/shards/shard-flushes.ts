import { groupId, type LogIndex, logIndex } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { GroupHost } from "../groups/group-host.ts";
import type { WalApi } from "../log/types.ts";
import { FlushedFloor } from "./flushed-floor.ts";
import { flushEveryBytes, flushEveryMs } from "./limits.ts";
import type { WorkerReply, WorkerRequest } from "./worker-protocol.ts";

type Ask = (request: WorkerRequest, done: (reply: WorkerReply) => void) => void;

/** When a shard's store is flushed, and the log's floor moved behind it (rule W1). */
export class ShardFlushes {
  private readonly group: GroupHost;
  private readonly floor: FlushedFloor;
  private readonly ask: Ask;
  private bytes = 0;
  private since = 0;
  private flushing = false;

  constructor(group: GroupHost, wal: WalApi, retainBytes: number, ask: Ask) {
    this.group = group;
    this.floor = new FlushedFloor(group, wal, retainBytes);
    this.ask = ask;
  }

  applied(bytes: number, now: number): void {
    this.bytes += bytes;
    if (this.since === 0) this.since = now;
  }

  /** The machine of before does not say any more that it was flushed. */
  installed(): void {
    this.flushing = false;
  }

  tick(now: number): void {
    if (this.flushing || this.since === 0) return;
    if (this.bytes < flushEveryBytes && now - this.since < flushEveryMs) return;
    this.flush((index) => this.floor.flushed(index));
  }

  /** The log has become long, and this shard's old entries are what keeps it. */
  letGo(): void {
    if (!this.flushing) this.flush((index) => this.floor.letGo(index));
  }

  private flush(done: (index: LogIndex) => void): void {
    this.flushing = true;
    this.bytes = 0;
    this.since = 0;
    if (mutant("shard-floor-ahead-of-flush")) this.floor.flushed(this.group.appliedIndex);
    this.ask({ type: "flush", group: groupId(this.group.id) }, (reply) => {
      this.flushing = false;
      if (reply.type === "flushed") done(logIndex(reply.index));
    });
  }
}
