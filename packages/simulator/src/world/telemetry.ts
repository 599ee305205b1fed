import type { LogLevel, Telemetry } from "@trivet/engine";

import type { World } from "./world.ts";

/** Log tokens that count as something a run of seeds must have exercised. */
const counted: Readonly<Record<string, string>> = {
  "snapshot.taken": "snapshots taken",
  "snapshot.installed": "snapshots installed",
};

/** Log lines of the nodes: into the trace for people, and counted. */
export class SimTelemetry implements Telemetry {
  readonly isVerbose = true;
  private readonly world: World;
  private readonly machine: string;

  constructor(world: World, machine: string) {
    this.world = world;
    this.machine = machine;
  }

  log(level: LogLevel, event: string, text: string): void {
    const total = counted[event];
    if (total !== undefined) this.world.totals.add(total);
    // The nodes' own audit (rule W7) must not cry wolf.
    if (event === "state.differs" && this.world.corrupted.size === 0) this.world.fail("false-alarm", text);
    // A store may end before its log begins only where a disk has lost something (rule W1).
    if (event === "storage.corrupt" && text.startsWith("the store of shard") && !this.world.damaged.has(this.machine)) {
      this.world.fail("shard-store-whole", `${this.machine}: ${text}`);
    }
    // Twenty a second from every node would hide everything else.
    if (event === "raft.heartbeat") return;
    this.world.note(this.machine, () => `${level} ${event}: ${text}`);
  }

  count(): void {
    // Metrics are tested where they are made; here only log tokens and state matter.
  }

  observe(): void {
    // As above.
  }
}
