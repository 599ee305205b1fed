import { mutant } from "#mutation";
import { CodecError, type Command, EntryPayloadCursor, FrameCursor, levelBeforeLevels, type RaiseLevel, type Result } from "@trivet/wire";
import { done } from "../locks/answers.ts";
import { avalanche } from "./digest.ts";
import type { Ledger } from "./ledger.ts";

/** The cluster's feature level (docs/decisions/0022-feature-levels.md): what every member knows, as the log says. */
export class FeatureLevelRecord {
  /** 0 = the log says nothing yet. */
  private recorded = 0;
  private readonly ledger: Ledger;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  /** What commands may need. A cluster of before levels knows what its versions knew. */
  get level(): number {
    return this.recorded === 0 ? levelBeforeLevels : this.recorded;
  }

  /** Null = the log says nothing yet. */
  get told(): number | null {
    return this.recorded === 0 ? null : this.recorded;
  }

  /** Only up: below it a node that does not know its commands might be let in again, with such commands in the logs. */
  raise({ level }: RaiseLevel): Result {
    if (level < 1) return { type: "malformed", detail: "levels begin at 1" };
    if (level <= this.recorded && !mutant("system-level-lowered")) return done;
    this.recorded = level;
    this.ledger.sink.changed({ type: "level-raised", level });
    return done;
  }

  /** Takes over what a snapshot has; 0 = nothing. */
  restore(level: number): void {
    this.recorded = level;
  }

  /** 0 while the log says nothing. */
  digest(): number {
    return this.recorded === 0 ? 0 : avalanche(this.recorded);
  }
}

/** The highest level that this entry of group 0's log raises to, whatever the state it meets; 0 = it says nothing of it. */
export function levelRaisedBy(payload: Uint8Array): number {
  const entry = new EntryPayloadCursor();
  const frame = new FrameCursor();
  let highest = 0;
  // What is no entry, no frame or no command changes nothing when it is applied either.
  passOver(() => {
    entry.open(payload);
    while (entry.next()) {
      passOver(() => {
        // Only leaders raise it, in frames of their own: callers', of which a log may have very many, are not walked.
        if (frame.open(payload, entry.frameStart, entry.frameEnd).caller !== "") return;
        while (frame.next()) passOver(() => (highest = Math.max(highest, levelOfRaise(frame.decode()))));
      });
    }
  });
  return highest;
}

function levelOfRaise(command: Command): number {
  return command.type === "raise-level" ? command.level : 0;
}

function passOver(read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
}
