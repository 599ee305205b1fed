import { type ApplySink, type Entry, type GroupId, groupId, SnapshotLoader, SystemState } from "@trivet/core";
import { CodecError } from "@trivet/wire";
import type { GroupMachine, MachineFactory, MachineLoader, MachineSnapshot } from "./machine.ts";
import { StatePoints } from "../state-audit/state-audit-points.ts";

/** The group that holds membership, sessions, locks, queue definitions and the placement of the shards (D3). */
export const systemGroup: GroupId = groupId(0);

/** Group 0's machine: everything happens inside the call. */
export class SystemMachine implements GroupMachine {
  readonly state: SystemState;
  readonly points: StatePoints = new StatePoints();
  private readonly hash = (): string => this.state.stateHash();

  constructor(state: SystemState = new SystemState()) {
    this.state = state;
  }

  apply(entries: readonly Entry[], sink: ApplySink, applied: () => void): void {
    for (const { index, kind, payload } of entries) {
      if (kind === "command") this.state.applyEntry(payload, index, sink);
      this.points.passed(index, this.hash);
    }
    applied();
  }

  beginSnapshot(): MachineSnapshot {
    const cursor = this.state.beginSnapshot();
    return { next: (maxBytes, done) => done(cursor.next(maxBytes)), abort: () => cursor.abort() };
  }

  stateHash(): string {
    return this.state.stateHash();
  }

  discard(): void {}
}

/** Null = there was nothing wrong with what a peer or the disk gave us. */
function checked(run: () => void): Error | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof CodecError) return error;
    throw error;
  }
}

function systemLoader(): MachineLoader {
  const loader = new SnapshotLoader();
  return {
    push: (chunk, done) => done(checked(() => loader.push(chunk))),
    finish: (done) => {
      let state: SystemState | null = null;
      const problem = checked(() => {
        state = loader.finish();
      });
      done(problem, state === null ? null : new SystemMachine(state));
    },
    abort: () => {},
  };
}

export const systemFactory: MachineFactory = { loader: systemLoader };
