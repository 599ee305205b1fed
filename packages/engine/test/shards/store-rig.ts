import { groupId } from "@trivet/core";
import { MemoryClock, MemoryOrderedStores, ShardWorker } from "@trivet/engine";
import { CommandFrameBuilder, encodeEntryPayload, type ShardCommand } from "@trivet/wire";
import { type Opened, ShardMachine } from "../../src/shards/shard-machine.ts";
import type { ApplyWorker, WorkerEntry, WorkerReply, WorkerRequest } from "../../src/shards/worker-protocol.ts";
import { faultyStores, StoreProblems } from "../hosts/faulty-stores.ts";

export function loadNumber(reply: WorkerReply): number {
  if (reply.type !== "loading") throw new Error(`unexpected answer ${reply.type}`);
  return reply.load;
}

/** An apply worker as a node's thread has it, over stores that can be full or damaged. */
export class WorkerRig {
  readonly clock = new MemoryClock();
  readonly stores = new MemoryOrderedStores(this.clock.view());
  readonly problems = new StoreProblems();
  readonly worker: ShardWorker;

  /** `maxBytes`: what is kept of a store in memory; with one byte, every entry finds the buffer full and needs space. */
  constructor(maxBytes?: number) {
    this.worker = new ShardWorker(faultyStores(this.stores, this.problems), maxBytes === undefined ? {} : { buffer: { maxBytes } });
  }

  ask(request: WorkerRequest): WorkerReply {
    const told: WorkerReply[] = [];
    this.worker.handle(request, (reply) => told.push(reply));
    this.clock.runUntilIdle();
    if (told[0] === undefined) throw new Error(`no answer to ${request.type}`);
    return told[0];
  }

  /** Begins to load a snapshot of group 1; its number. */
  load(index: number): number {
    return loadNumber(this.ask({ type: "load", group: 1, index }));
  }

  /** Opened, for group 1. */
  static opened(maxBytes?: number): WorkerRig {
    const rig = new WorkerRig(maxBytes);
    rig.ask({ type: "open", group: 1 });
    return rig;
  }
}

/** A shard's machine over such a worker. Each request waits in `sent` while `holding`; what shall be made again waits in `later`. */
export class MachineRig {
  readonly rig: WorkerRig;
  readonly sent: (() => void)[] = [];
  readonly later: (() => void)[] = [];
  readonly machine: ShardMachine;
  holding = false;
  /** Attended time of the leadership. */
  attended = 0;

  constructor(maxBytes?: number) {
    this.rig = new WorkerRig(maxBytes);
    const { clock, worker } = this.rig;
    const call: ApplyWorker["call"] = (request, done) => {
      const send = (): void => worker.handle(request, (reply) => clock.defer(() => done(reply)));
      if (this.holding) this.sent.push(send);
      else clock.defer(send);
    };
    const opened = this.rig.ask({ type: "open", group: 1 });
    this.machine = new ShardMachine({ call, stop: () => undefined }, groupId(1), opened as Opened, {
      told: () => undefined,
      attendedNow: () => this.attended,
      takeRoutes: () => ({ routed: [], unrouted: [] }),
      failed: ({ detail }) => {
        throw new Error(detail);
      },
      retryLater: (run) => void this.later.push(run),
    });
  }

  apply(from: number, to: number, applied: () => void = () => undefined): void {
    this.machine.apply(entries(from, to) as never, {} as never, applied);
  }

  settle(): void {
    this.rig.clock.runUntilIdle();
  }

  /** The time has come for what shall be made again. */
  retryOnce(): void {
    for (const run of this.later.splice(0)) run();
    this.settle();
  }

  /** Until nothing is left. */
  retry(): void {
    while (this.later.length > 0) this.retryOnce();
  }
}

/** Without a command, it only says what time it is. */
export function commandEntry(index: number, command: ShardCommand | null, groupTime = 1_000, caller = ""): WorkerEntry {
  const builder = new CommandFrameBuilder();
  builder.begin(caller, "", caller === "" ? 0 : 10_000, 0, 1);
  if (command !== null) builder.add(command);
  return { index, term: 1, kind: "command", payload: encodeEntryPayload(groupTime, command === null ? [] : [builder.finish()]) };
}

/** Each changes the state. */
export function entries(from: number, to: number): readonly WorkerEntry[] {
  return Array.from({ length: to - from + 1 }, (_, at) =>
    commandEntry(from + at, { type: "raise-fence", lock: `l${from + at}`, fence: 1 }, 1_000, `c${from + at}`),
  );
}

export function applyRequest(batch: readonly WorkerEntry[]): WorkerRequest {
  return { type: "apply", group: 1, entries: batch, attended: 0, routed: [], unrouted: [] };
}
