import type { Command, LockMode, Result } from "@trivet/wire";

/** One command as its client saw it. Mutable while open. */
export interface LockOperation {
  readonly id: string;
  readonly client: string;
  readonly command: Command;
  /** Identity in the dedupe table, as far as the client knows it; HTTP callers learn it with the answer. */
  caller: string | null;
  sequence: number;
  readonly call: number;
  /** Longest time its own arguments let it take. */
  readonly allowedMs: number;
  ret: number | null;
  result: Result | null;
  /** Answered that nothing happened and nothing will (never reached the log). */
  refused: boolean;
  /** The client stopped caring; the outcome stays unknown to it. */
  abandoned: boolean;
  /** Times it was sent. */
  sends: number;
}

/** A hold as its client believes in it: from the answer to what it counts as the end of its lease (rules L1, K4). */
export interface BelievedHold {
  readonly client: string;
  readonly owner: string;
  readonly session: number;
  readonly name: string;
  readonly mode: LockMode;
  readonly of: number;
  readonly fence: number;
  /** Stretches of virtual time in which the client relied on it. */
  readonly believed: { from: number; until: number }[];
  /** The client asked for the release, or was told that it lost the lock. */
  endedAt: number | null;
}

export class LockHistory {
  readonly operations: LockOperation[] = [];
  readonly holds: BelievedHold[] = [];
  private serial = 0;

  begin(client: string, command: Command, call: number, allowedMs: number): LockOperation {
    this.serial += 1;
    const operation: LockOperation = {
      id: `${client}#${this.serial}:${command.type}`,
      client,
      command,
      caller: null,
      sequence: 0,
      call,
      allowedMs,
      ret: null,
      result: null,
      refused: false,
      abandoned: false,
      sends: 0,
    };
    this.operations.push(operation);
    return operation;
  }

  /** Relies on `hold` from `now` to `until`; a gap since the last stretch was jeopardy. */
  believe(hold: BelievedHold, now: number, until: number): void {
    if (hold.endedAt !== null || until <= now) return;
    const last = hold.believed.at(-1);
    if (last !== undefined && last.until >= now) last.until = Math.max(last.until, until);
    else hold.believed.push({ from: now, until });
  }

  end(hold: BelievedHold, now: number): void {
    hold.endedAt ??= now;
  }
}
