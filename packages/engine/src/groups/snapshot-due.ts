import { mutant } from "@trivet/core/mutation";
import type { GroupHostConfig } from "../node/config.ts";
import type { GroupHost, GroupHostPorts } from "./group-host.ts";
import { restingBytes, snapshotRestMs } from "../base/limits.ts";

/** At rest a log is worth a snapshot from this part of the newest one's size on: so little comes at rest that the disk does not notice. */
const restingPart = 16;

/** Decides when the log behind a group's newest snapshot has become worth another: a restart applies it again. */
export class SnapshotDue {
  private readonly group: GroupHost;
  private readonly config: GroupHostConfig;
  private readonly ports: GroupHostPorts;
  /** Of commands applied behind the newest snapshot. */
  private bytes = 0;
  /** Since then only a little came. */
  private restsSince = Number.POSITIVE_INFINITY;
  private bytesThen = 0;

  constructor(group: GroupHost, config: GroupHostConfig, ports: GroupHostPorts) {
    this.group = group;
    this.config = config;
    this.ports = ports;
  }

  grew(bytes: number): void {
    this.bytes += bytes;
  }

  /** The state as it is now is in a snapshot, or about to be. */
  begun(): void {
    this.bytes = 0;
    this.bytesThen = 0;
  }

  /** @param entries Applied behind the newest snapshot. */
  isDue(entries: number): boolean {
    const { snapshotEveryBytes, snapshotEveryEntries } = this.config;
    // Reading a log again costs about twice what the same bytes of a snapshot do: so much of it keeps a restart within bounds.
    return entries >= snapshotEveryEntries || this.bytes >= Math.max(snapshotEveryBytes, this.newestBytes / 2);
  }

  /** The same while little comes: then a snapshot is in nobody's way, and the next start finds next to nothing to apply. To be asked often. */
  isDueAtRest(): boolean {
    const { group } = this;
    const enough = Math.max(this.config.snapshotAtRestBytes, this.newestBytes / restingPart);
    // A cluster that comes up has other work first.
    const isCaughtUp = group.caughtUp || mutant("host-rest-snapshot-uncaught");
    return this.isAtRest(this.ports.clock.now()) && this.bytes >= enough && isCaughtUp && group.leader() !== null;
  }

  private isAtRest(now: number): boolean {
    if (this.restsSince > now || this.bytes - this.bytesThen > restingBytes) {
      this.restsSince = now;
      this.bytesThen = this.bytes;
    }
    return now - this.restsSince >= snapshotRestMs;
  }

  private get newestBytes(): number {
    return this.ports.snapshots.latest()?.bytes ?? 0;
  }
}
