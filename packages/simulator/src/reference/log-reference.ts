import { CodecError, type Command, EntryPayloadCursor, FrameCursor, type FrameHeader, limits, type Result } from "@trivet/wire";

import { difference } from "./compare.ts";
import { LockReference, ReferenceError, type RefLimits, type Said } from "./lock-reference.ts";

/** What the reference does not foretell: the registries of nodes, queues and namespaces, the placement, the level, and anchors of audit logs. */
const beyondLocks: ReadonlySet<Command["type"]> = new Set([
  "set-node",
  "forget-node",
  "replace-node",
  "drain-node",
  "define-queue",
  "delete-queue",
  "define-namespace",
  "delete-namespace",
  "set-placement",
  "raise-level",
  "anchor-audit",
]);

interface Caller {
  fingerprint: string | null;
  ackedUpTo: number;
  readonly known: Map<number, Result | "waiting">;
}

/** An answer the real service gave while it applied one entry. */
export interface RealAnswer {
  readonly caller: string;
  readonly sequence: number;
  readonly result: Result;
}

/**
 * Witness check, answer by answer (study of reliability, §3): walks the entries of the log, keeps a naive dedupe table (rule X1) over the
 * naive lock service, and compares what they say with what apply answered. Records are never forgotten here, so it fits runs shorter
 * than the ten minutes of the real table.
 */
export class LogReference {
  readonly locks: LockReference;
  private readonly callers = new Map<string, Caller>();
  private groupTime = 0;
  private expected: Said[] = [];
  private heard = new Map<string, Result[]>();
  private readonly entry = new EntryPayloadCursor();
  private readonly frame = new FrameCursor();

  constructor(bounds?: RefLimits) {
    this.locks = new LockReference(bounds);
  }

  /** Null when all answers of the entry are as they must be. */
  apply(payload: Uint8Array, answers: readonly RealAnswer[]): string | null {
    this.expected = [];
    this.heard = new Map();
    for (const { caller, sequence, result } of answers) {
      const key = `${caller}/${sequence}`;
      this.heard.set(key, [...(this.heard.get(key) ?? []), result]);
    }
    try {
      this.entry.open(payload);
      this.groupTime = Math.max(this.groupTime, this.entry.groupTime);
      while (this.entry.next()) this.applyFrame(this.frame.open(payload, this.entry.frameStart, this.entry.frameEnd));
    } catch (error) {
      if (error instanceof ReferenceError) return error.message;
      throw error;
    }
    return this.compare();
  }

  private applyFrame(header: FrameHeader): void {
    const { caller } = header;
    if (caller === "") {
      while (this.frame.next()) this.execute(this.decode(), "");
      return;
    }
    const record = this.admit(header);
    while (this.frame.next()) {
      const { sequence } = this.frame;
      const request = `${caller}/${sequence}`;
      if ("type" in record) {
        this.expected.push({ request, result: record });
        continue;
      }
      const known = sequence > record.ackedUpTo ? record.known.get(sequence) : undefined;
      if (known === "waiting") continue;
      const answer = known ?? this.refusal(record, sequence, header.notAfter);
      if (answer !== null) this.expected.push({ request, result: answer });
      else this.fresh(record, sequence, request);
    }
  }

  private fresh(record: Caller, sequence: number, request: string): void {
    const command = this.decode();
    const own = command === null ? ({ type: "malformed", detail: "" } as const) : this.execute(command, request);
    record.known.set(sequence, own ?? "waiting");
    if (own === null) return;
    this.expected.push({ request, result: own });
  }

  private execute(command: Command | null, request: string): Result | null {
    if (command === null) return null;
    if (beyondLocks.has(command.type)) return this.heard.get(request)?.[0] ?? { type: "done" };
    if (command.type === "expire" && request !== "") return { type: "malformed", detail: "" };
    if (command.type === "cancel" && command.caller !== "" && !this.isWaiting(command.caller, command.sequence)) {
      return this.cancelAhead(command.caller, command.sequence);
    }
    const { own, said } = this.locks.execute(command, request, (asked) => this.heardOf(asked));
    for (const each of said) this.tell(each);
    if (command.type === "cancel" && own?.type === "not-found" && command.caller !== "")
      return this.cancelAhead(command.caller, command.sequence);
    return own;
  }

  /** A late copy may have been refused in the same entry: what counts is the answer of the one that was executed. */
  private heardOf(request: string): Result | undefined {
    const answers = this.heard.get(request) ?? [];
    return answers.find((result) => result.type !== "refused") ?? answers[0];
  }

  private tell(said: Said): void {
    const slash = said.request.lastIndexOf("/");
    const sequence = Number(said.request.slice(slash + 1));
    const record = this.callers.get(said.request.slice(0, slash));
    if (record?.known.get(sequence) === "waiting") record.known.set(sequence, said.result);
    this.expected.push(said);
  }

  private admit(header: FrameHeader): Caller | Result {
    const known = this.callers.get(header.caller);
    if (known === undefined) {
      if (this.groupTime > header.notAfter) return { type: "refused", reason: "past-deadline" };
      const made: Caller = { fingerprint: header.fingerprint, ackedUpTo: header.ackedUpTo, known: new Map() };
      this.callers.set(header.caller, made);
      return made;
    }
    known.fingerprint ??= header.fingerprint;
    if (known.fingerprint !== header.fingerprint) return { type: "refused", reason: "other-body" };
    known.ackedUpTo = Math.max(known.ackedUpTo, header.ackedUpTo);
    return known;
  }

  private refusal(record: Caller, sequence: number, notAfter: number): Result | null {
    if (sequence <= record.ackedUpTo) return { type: "refused", reason: "already-acknowledged" };
    if (this.groupTime > notAfter) return { type: "refused", reason: "past-deadline" };
    if (sequence > record.ackedUpTo + limits.callerWindow) return { type: "refused", reason: "window-full" };
    return null;
  }

  /** Waiting as far as its caller still cares: what it has acknowledged it cannot name any more. */
  private isWaiting(caller: string, sequence: number): boolean {
    const record = this.callers.get(caller);
    return record !== undefined && sequence > record.ackedUpTo && record.known.get(sequence) === "waiting";
  }

  /** A cancel that overtook its request answers it in advance. */
  private cancelAhead(caller: string, sequence: number): Result {
    let record = this.callers.get(caller);
    if (record === undefined) {
      record = { fingerprint: null, ackedUpTo: 0, known: new Map() };
      this.callers.set(caller, record);
    }
    const inWindow = sequence > record.ackedUpTo && sequence <= record.ackedUpTo + limits.callerWindow;
    if (!inWindow || record.known.has(sequence)) return { type: "not-found", what: "wait" };
    record.known.set(sequence, { type: "cancelled" });
    return { type: "done" };
  }

  private decode(): Command | null {
    try {
      return this.frame.decode();
    } catch (error) {
      if (error instanceof CodecError) return null;
      throw error;
    }
  }

  private compare(): string | null {
    const expected = new Map<string, Result[]>();
    for (const { request, result } of this.expected) expected.set(request, [...(expected.get(request) ?? []), result]);
    for (const request of new Set([...expected.keys(), ...this.heard.keys()])) {
      const [said, real] = [expected.get(request) ?? [], this.heard.get(request) ?? []];
      for (let i = 0; i < Math.max(said.length, real.length); i += 1) {
        const found = difference(said[i], real[i]);
        if (found !== null) return `${request}: ${found}`;
      }
    }
    return null;
  }
}
