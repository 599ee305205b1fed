import type { ApplySink, Entry, SystemEvent } from "@trivet/core";
import { checkSystem, SystemState } from "@trivet/core";
import { LogReference, type RealAnswer } from "../reference/log-reference.ts";
import { type Command, EntryPayloadCursor, FrameCursor, type Result } from "@trivet/wire";

/** A command as it stands in the committed log. */
export interface LoggedCommand {
  readonly caller: string;
  readonly sequence: number;
  readonly command: Command | null;
  readonly index: number;
  readonly offset: number;
  readonly notAfter: number;
  /** Virtual time at which any node first knew it committed. */
  readonly at: number;
}
/** An answer out of apply. */
export interface LoggedAnswer {
  readonly result: Result;
  readonly index: number;
  /** Order among everything that apply said. */
  readonly order: number;
  readonly at: number;
}
export interface LoggedEvent {
  readonly event: SystemEvent;
  readonly index: number;
  readonly order: number;
  readonly at: number;
}

/**
 * The committed log as the world saw it, applied once more by a replica that never fails: what every node must agree with, what answers
 * really were, and when things happened.
 */
export class GoldenLog implements ApplySink {
  readonly state: SystemState = new SystemState();
  /** First occurrence of each request. */
  readonly commands: Map<string, LoggedCommand> = new Map();
  /** First answer to each request that is not a refusal by the dedupe table, else the first refusal. */
  readonly answers: Map<string, LoggedAnswer> = new Map();
  readonly events: LoggedEvent[] = [];
  /** Every answer that granted something, repeats by the dedupe table included. */
  readonly grants: {
    readonly key: string;
    readonly result: Result & { readonly type: "granted" };
    readonly order: number;
    readonly at: number;
  }[] = [];
  /** Requests that a cancel answered before they came, and when: whoever asks for their fate is told `cancelled` from then on (rules K4, X3). */
  readonly cancelledAhead: Map<string, number> = new Map();
  /** Requests whose record was over when a copy came: to their clients the outcome is unknown. */
  readonly forgotten: Set<string> = new Set();
  /** Entries of the log that carried a request again. */
  repeats = 0;
  lastIndex = 0;
  /** Where the log stopped answering as the reference does; null = nowhere. */
  wrong: string | null = null;
  private readonly reference = new LogReference();
  private said: RealAnswer[] = [];
  private readonly hashes: string[] = [];
  private readonly entry = new EntryPayloadCursor();
  private readonly frame = new FrameCursor();
  private readonly cancels: { readonly caller: string; readonly sequence: number }[] = [];
  private at = 0;
  private order = 0;

  /** The next committed entry. */
  append(entry: Entry, at: number): void {
    this.lastIndex = entry.index;
    this.at = at;
    if (entry.kind === "command") {
      this.note(entry.payload);
      this.said = [];
      this.state.applyEntry(entry.payload, entry.index, this);
      for (const { caller, sequence } of this.cancels.splice(0)) {
        const known = this.state.lookup(caller, sequence);
        const key = requestKey(caller, sequence);
        if (typeof known === "object" && known.type === "cancelled" && !this.cancelledAhead.has(key)) this.cancelledAhead.set(key, at);
      }
      if (entry.index % stateCheckEvery === 0) checkSystem(this.state);
      const wrong = this.wrong === null ? this.reference.apply(entry.payload, this.said) : null;
      if (wrong !== null) this.wrong = `entry ${entry.index}: ${wrong}`;
    }
    this.hashes.push(this.state.stateHash());
  }

  /** Hash of the state after `index`. */
  hashAt(index: number): string | null {
    return this.hashes[index - 1] ?? null;
  }

  answer(caller: string, sequence: number, result: Result): void {
    if (caller === "") return;
    this.order += 1;
    this.said.push({ caller, sequence, result });
    const key = requestKey(caller, sequence);
    if (result.type === "granted") this.grants.push({ key, result, order: this.order, at: this.at });
    if (result.type === "refused") this.refused(key);
    const first = this.answers.get(key);
    if (first !== undefined && (first.result.type !== "refused" || result.type === "refused")) return;
    this.answers.set(key, { result, index: this.lastIndex, order: this.order, at: this.at });
  }

  /** A request may be forgotten only ten minutes after its not-after (rule X1); then a copy of it is refused, and says nothing of the first. */
  private refused(key: string): void {
    const logged = this.commands.get(key);
    if (logged !== undefined && this.state.groupTime > logged.notAfter + dedupeKeepsMs) this.forgotten.add(key);
  }

  changed(event: SystemEvent): void {
    this.order += 1;
    this.events.push({ event, index: this.lastIndex, order: this.order, at: this.at });
  }

  private note(payload: Uint8Array): void {
    this.entry.open(payload);
    let offset = 0;
    while (this.entry.next()) {
      const { caller, notAfter } = this.frame.open(payload, this.entry.frameStart, this.entry.frameEnd);
      while (this.frame.next()) {
        offset += 1;
        const { sequence } = this.frame;
        const key = requestKey(caller, sequence);
        if (caller === "") continue;
        const command = this.frame.decode();
        if (command?.type === "cancel" && command.caller !== "") this.cancels.push(command);
        if (this.commands.has(key)) this.repeats += 1;
        else this.commands.set(key, { caller, sequence, command, index: this.lastIndex, offset, notAfter, at: this.at });
      }
    }
  }
}

/** The invariants of the state walk over all of it: now and then is enough, for what is broken stays broken. */
const stateCheckEvery = 5;
/** How long a record outlives its not-after (rule X1). */
const dedupeKeepsMs = 600_000;

export const requestKey = (caller: string, sequence: number): string => `${caller}/${sequence}`;
