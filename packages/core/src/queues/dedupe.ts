import { mutant } from "#mutation";
import {
  ByteReader,
  ByteWriter,
  type Consume,
  type FrameHeader,
  type HandedOut,
  type Receipt,
  type RefusalReason,
  type ShardCommand,
  decodeResult,
  decodeShardResult,
  encodeResult,
  encodeShardResult,
  limits as wireLimits,
} from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";
import { later, schedule } from "./calendar.ts";
import type { ShardContext } from "./context.ts";
import { findDelivery } from "./delivery.ts";
import { keyOf, keysEnd, tables } from "./keys.ts";
import { readMessage } from "./messages.ts";
import { decodeIntegers, encodeIntegers } from "./records.ts";
import type { RememberedAnswer, ShardAnswer } from "./answer.ts";

const window = wireLimits.callerWindow;
const recordVersion = 1;
const callersKey: Uint8Array = keyOf(tables.meta, 2);

/** How an answer is kept: as its bytes, or, of a hand-out, what it named. */
const kept = { answer: 1, formerHandOut: 2, handOut: 3 } as const;

interface CallerRecord {
  fingerprint: string;
  ackedUpTo: number;
  notAfter: number;
}

/** A caller's frame that may be executed, command by command. */
export interface Admission {
  readonly header: FrameHeader;
  readonly ackedUpTo: number;
}

/** Exactly once within the window (rule X1): what each caller has asked and been answered, in the shard's own store. */
export class ShardDedupe {
  private readonly shard: ShardContext;

  constructor(shard: ShardContext) {
    this.shard = shard;
  }

  /** Callers remembered. */
  get size(): number {
    return callersOf(this.shard);
  }

  /** Opens a frame, or says why its commands are refused as a whole. */
  admit(header: FrameHeader): Admission | ShardAnswer {
    const { shard } = this;
    const isLate = shard.now > header.notAfter;
    if (header.notAfter > shard.now + shard.limits.deadlineHorizonMs && !mutant("queue-dedupe-horizon-ignored")) {
      return { type: "malformed", detail: "not-after lies too far ahead" };
    }
    const known = readCaller(shard, header.caller);
    if (known !== undefined && known.fingerprint !== header.fingerprint && !mutant("queue-dedupe-fingerprint-ignored"))
      return refused("other-body");
    if (known === undefined) {
      if (isLate && !mutant("queue-dedupe-late-executed")) return refused("past-deadline");
      const callers = callersOf(shard);
      if (callers >= shard.limits.callers && !mutant("queue-dedupe-callers-unbounded")) return refused("too-many-callers");
      shard.view.put(callersKey, encodeIntegers(callers + 1));
      schedule(shard.view, this.endOf(header.notAfter), "forget-caller", [header.caller]);
    }
    const ackedUpTo = known?.ackedUpTo ?? 0;
    const notAfter = Math.max(known?.notAfter ?? 0, isLate ? 0 : header.notAfter);
    const acked = Math.max(ackedUpTo, header.ackedUpTo);
    for (let sequence = ackedUpTo + 1; sequence <= Math.min(acked, ackedUpTo + window); sequence++) {
      shard.view.remove(keyOf(tables.answer, header.caller, sequence));
    }
    if (known === undefined || acked > ackedUpTo || notAfter > known.notAfter) {
      writeCaller(shard, header.caller, { fingerprint: header.fingerprint, ackedUpTo: acked, notAfter });
    }
    return { header, ackedUpTo: acked };
  }

  /** Executes a command of an admitted frame unless it was, and answers the same as then. */
  once({ header, ackedUpTo }: Admission, sequence: number, command: ShardCommand, run: () => ShardAnswer): ShardAnswer {
    const { shard } = this;
    if (sequence <= ackedUpTo && !mutant("queue-dedupe-acknowledged-executed")) return refused("already-acknowledged");
    const key = keyOf(tables.answer, header.caller, sequence);
    const stored = shard.view.get(key);
    if (stored !== undefined && !mutant("queue-dedupe-executes-twice"))
      return this.recall(stored.slice(), command, header.fingerprint !== "");
    if (shard.now > header.notAfter && !mutant("queue-dedupe-late-executed")) return refused("past-deadline");
    if (sequence > ackedUpTo + window && !mutant("queue-dedupe-window-unbounded")) return refused("window-full");
    if (header.ordered && !this.follows(header.caller, ackedUpTo, sequence) && !mutant("queue-order-gap-executed"))
      return refused("out-of-order");
    const answer = run();
    // Nothing was done: the same command comes again once the queue is configured (rule G1), or the value that it depends on is loaded. Under an idempotency key it is the same request; of a
    // lane it is another one, and a late copy of this one must not be executed beside it.
    const comesAgain = header.fingerprint !== "" || mutant("queue-dedupe-unconfigured-copy-executed");
    const isUnconfigured = answer.type === "not-configured" || answer.type === "no-namespace" || answer.type === "cache-unloaded";
    if (isUnconfigured && comesAgain && !mutant("queue-dedupe-unconfigured-kept")) return answer;
    shard.view.put(key, remembered(answer, command), stored === undefined);
    return answer;
  }

  /** What is known of a request (rule X3). */
  lookup(caller: string, sequence: number): RememberedAnswer | "unknown" {
    const stored = this.shard.view.get(keyOf(tables.answer, caller, sequence));
    if (stored !== undefined) return remember(stored.slice());
    const known = readCaller(this.shard, caller);
    return known !== undefined && sequence <= known.ackedUpTo ? { type: "refused", reason: "already-acknowledged" } : "unknown";
  }

  /** Rule X4: nothing that the caller sent before is missing. Of a dense sequence the one before tells for all. */
  private follows(caller: string, ackedUpTo: number, sequence: number): boolean {
    return sequence - 1 <= ackedUpTo || this.shard.view.get(keyOf(tables.answer, caller, sequence - 1)) !== undefined;
  }

  private endOf(notAfter: number): number {
    return later(notAfter, this.shard.limits.dedupeRetentionMs + 1);
  }

  private recall(stored: Uint8Array, command: ShardCommand, isKeyed: boolean): ShardAnswer {
    const answer = remember(stored);
    return answer.type === "handed-out" ? recallHandOut(this.shard, answer, command, isKeyed) : answer;
  }
}

const firstShardResult = 64;

function remembered(answer: ShardAnswer, command: ShardCommand): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(recordVersion);
  if (answer.type === "handed-out" && command.type === "consume") {
    writer.u8(kept.handOut);
    writer.varint(answer.leaseMs);
    writer.u8(answer.more ? 1 : 0);
    // What was settled with its hand-out is not said twice: at most once.
    const messages = command.autoAck ? [] : answer.messages;
    writer.varint(messages[0]?.incarnation ?? 0);
    writer.varint(messages.length);
    for (const { sequence, acquired } of messages) {
      writer.varint(sequence);
      writer.varint(acquired);
    }
    return writer.finish();
  }
  writer.u8(kept.answer);
  if (answer.type === "malformed" || answer.type === "refused") encodeResult(writer, answer);
  else encodeShardResult(writer, answer);
  return writer.finish();
}

function remember(stored: Uint8Array): RememberedAnswer {
  const reader = new ByteReader(stored);
  invariant(reader.u8() === recordVersion, "queue-answer-version");
  const how = reader.u8();
  if (how !== kept.answer) {
    const leaseMs = reader.varint();
    const more = reader.u8() === 1;
    const incarnation = how === kept.formerHandOut ? 0 : reader.varint();
    const messages = Array.from({ length: reader.varint() }, () => ({ sequence: reader.varint(), acquired: reader.varint() }));
    return { type: "handed-out", leaseMs, more, incarnation, messages };
  }
  const first = stored[reader.position] as number;
  const result = first >= firstShardResult ? decodeShardResult(reader) : decodeResult(reader);
  const isKept = first >= firstShardResult ? result.type !== "handed-out" : result.type === "malformed" || result.type === "refused";
  invariant(isKept, "queue-answer-known", result.type);
  return result as RememberedAnswer;
}

/**
 * The bodies are read again, of what is still leased by that hand-out. Where nothing is, a call with a key is told so by a lease of 0: whether it had nothing
 * then and may look on (`more`), or what it had is settled. An answer only, kept nowhere: replicas of another version say it their way.
 */
function recallHandOut(
  shard: ShardContext,
  { leaseMs, incarnation, messages, more }: Extract<RememberedAnswer, { readonly type: "handed-out" }>,
  command: ShardCommand,
  isKeyed: boolean,
): ShardAnswer {
  const held = messages.flatMap(({ sequence, acquired }) =>
    command.type === "consume" ? (heldMessage(shard, command, { sequence, acquired, incarnation }) ?? []) : [],
  );
  if (!isKeyed || held.length > 0 || mutant("queue-dedupe-settled-again")) return { type: "handed-out", leaseMs, messages: held, more };
  // Of what was settled with its hand-out nothing is kept.
  const hadNothing = messages.length === 0 && command.type === "consume" && !command.autoAck;
  return { type: "handed-out", leaseMs: 0, messages: held, more: hadNothing };
}

function heldMessage(
  shard: ShardContext,
  command: Consume,
  { sequence, acquired, incarnation }: Omit<Receipt, "partition">,
): HandedOut | null {
  const partition = shard.partition(command.queue, command.partition);
  const group = partition.group(command.group);
  if (group === undefined || (incarnation !== 0 && incarnation !== group.id && !mutant("queue-dedupe-former-group"))) return null;
  const delivery = findDelivery(partition, group, sequence);
  if (delivery?.state !== "leased") return null;
  if (delivery.acquired !== acquired && !mutant("queue-dedupe-other-hand-out")) return null;
  const { key, priority, producedAt, headers, body } = readMessage(partition, delivery.lane, delivery.place);
  const name = { partition: partition.index, sequence, acquired, incarnation: group.id };
  return { ...name, deliveries: delivery.deliveries, key, priority, producedAt, headers, body };
}

/** The calendar's deadline of a caller has come: its record goes, unless a later frame has prolonged it. */
export function forgetCaller(shard: ShardContext, caller: string, at: number): void {
  const known = readCaller(shard, caller);
  if (known === undefined) return;
  const end = later(known.notAfter, shard.limits.dedupeRetentionMs + 1);
  if (end > at && !mutant("queue-dedupe-prolonged-forgotten")) return schedule(shard.view, end, "forget-caller", [caller]);
  const prefix = keyOf(tables.answer, caller);
  const answers: Uint8Array[] = [];
  shard.view.scan(prefix, keysEnd(prefix), (key) => {
    answers.push(key.slice());
    return true;
  });
  for (const key of answers) shard.view.remove(key);
  shard.view.remove(keyOf(tables.caller, caller));
  shard.view.put(callersKey, encodeIntegers(callersOf(shard) - 1));
}

function callersOf(shard: ShardContext): number {
  const stored = shard.view.get(callersKey);
  return stored === undefined ? 0 : (decodeIntegers(stored, 1)[0] as number);
}

function readCaller(shard: ShardContext, caller: string): CallerRecord | undefined {
  const stored = shard.view.get(keyOf(tables.caller, caller));
  if (stored === undefined) return undefined;
  const reader = new ByteReader(stored);
  invariant(reader.u8() === recordVersion, "queue-caller-version");
  return { fingerprint: reader.string(wireLimits.maxFingerprintBytes), ackedUpTo: reader.varint(), notAfter: reader.varint() };
}

function writeCaller(shard: ShardContext, caller: string, record: CallerRecord): void {
  const writer = new ByteWriter();
  writer.u8(recordVersion);
  writer.string(record.fingerprint);
  writer.varint(record.ackedUpTo);
  writer.varint(record.notAfter);
  shard.view.put(keyOf(tables.caller, caller), writer.finish());
}

function refused(reason: RefusalReason): ShardAnswer {
  return { type: "refused", reason };
}
