import { decodeOptionalMark, encodeOptionalMark } from "./audit-codec.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { decodeMode, encodeMode, modeOfNumber, numberOfMode } from "./command-codec.ts";
import { decodeCount, decodeFlag, decodeIdentity, decodeIndexed, decodeName } from "./fields.ts";
import { limits } from "./limits.ts";
import { decodeDefinition, encodeDefinition } from "./queue-command-codec.ts";
import {
  type ConflictReason,
  type CycleStep,
  type DefinedQueue,
  type GrantedKey,
  type HolderInfo,
  type QueueRefused,
  type RefusalReason,
  type Result,
  conflictReasons,
  queueRefusalReasons,
  refusalReasons,
  resultNumbers,
} from "./results.ts";
import { decodeDefinedNamespace, decodeNamespaceRefused, encodeDefinedNamespace, encodeNamespaceRefused } from "./system-cache-codec.ts";
import { clipText } from "./text.ts";

type Granted = Extract<Result, { type: "granted" }>;
type Released = Extract<Result, { type: "released" }>;
type Busy = Extract<Result, { type: "busy" }>;

/** What a result can say is missing; numbers on the wire are places in this list, which only grows at its end. */
const missingThings = ["lock", "session", "wait", "node"] as const;
const missingNumbers = Object.fromEntries(missingThings.map((what, number) => [what, number])) as Readonly<
  Record<(typeof missingThings)[number], number>
>;
const conflictNumbers = Object.fromEntries(conflictReasons.map((reason, number) => [reason, number])) as Readonly<
  Record<ConflictReason, number>
>;
const refusalNumbers = Object.fromEntries(refusalReasons.map((reason, number) => [reason, number])) as Readonly<
  Record<RefusalReason, number>
>;
const queueRefusalNumbers = Object.fromEntries(queueRefusalReasons.map((reason, number) => [reason, number])) as Readonly<
  Record<QueueRefused["reason"], number>
>;

/** Second byte of a grant: the mode, and which fields differ from the usual and therefore follow. */
const modeMask = 0x07;
const depthFlag = 0x08;
const ownerFlag = 0x10;
const moreFlag = 0x20;
/** Second byte of a release. */
const remainingFlag = 0x01;
const grantedToFlag = 0x02;

/** Appends `result`: its number, then its fields. Free text is cut at the limit; everything else must fit. */
export function encodeResult(writer: ByteWriter, result: Result): void {
  writer.u8(resultNumbers[result.type]);
  switch (result.type) {
    case "done":
    case "cancelled":
      return;
    case "session-opened":
      writer.varint(result.session);
      return writer.varint(result.ttlMs);
    case "granted":
      return encodeGranted(writer, result);
    case "released":
      return encodeReleased(writer, result);
    case "busy":
      writer.u8(result.waited ? 1 : 0);
      writer.string(result.name);
      encodeHolders(writer, result.holders);
      return writer.varint(result.waiters);
    case "deadlock":
      return encodeCycle(writer, result.cycle);
    case "not-held":
      writer.string(result.name);
      return encodeHolders(writer, result.holders);
    case "stale-fence":
      writer.string(result.name);
      return writer.varint(result.fence);
    case "not-found":
      return writer.u8(missingNumbers[result.what]);
    case "session-lost":
      return writer.varint(result.session);
    case "quota":
      writer.string(clipText(result.limit, limits.maxDetailBytes));
      return writer.varint(result.max);
    case "conflict":
      writer.u8(conflictNumbers[result.reason]);
      return writer.string(clipText(result.detail, limits.maxDetailBytes));
    case "malformed":
      return writer.string(clipText(result.detail, limits.maxDetailBytes));
    case "refused":
      return writer.u8(refusalNumbers[result.reason]);
    case "queue-defined":
      writer.u8(result.created ? 1 : 0);
      return encodeQueue(writer, result);
    case "queue-refused":
      return encodeQueueRefused(writer, result);
    case "queue-deleted":
      return writer.varint(result.queue);
    case "placement-set":
    case "placement-refused":
      return writer.varint(result.epoch);
    case "namespace-defined":
      writer.u8(result.created ? 1 : 0);
      return encodeDefinedNamespace(writer, result);
    case "namespace-refused":
      return encodeNamespaceRefused(writer, result);
    case "namespace-deleted":
      return writer.varint(result.namespace);
    case "anchor-refused":
      return encodeOptionalMark(writer, result.last);
  }
}

/** Reads one result. Throws CodecError for an unknown type, a value out of bounds or bytes that end too early. */
export function decodeResult(reader: ByteReader): Result {
  const number = reader.u8();
  switch (number) {
    case resultNumbers.done:
      return { type: "done" };
    case resultNumbers["session-opened"]:
      return { type: "session-opened", session: reader.varint(), ttlMs: reader.varint(limits.maxDurationMs) };
    case resultNumbers.granted:
      return decodeGranted(reader);
    case resultNumbers.released:
      return decodeReleased(reader);
    case resultNumbers.busy:
      return decodeBusy(reader);
    case resultNumbers.deadlock:
      return { type: "deadlock", cycle: decodeCycle(reader) };
    case resultNumbers.cancelled:
      return { type: "cancelled" };
    case resultNumbers["not-held"]:
      return { type: "not-held", name: reader.string(limits.maxNameBytes), holders: decodeHolders(reader) };
    case resultNumbers["stale-fence"]:
      return { type: "stale-fence", name: reader.string(limits.maxNameBytes), fence: reader.varint() };
    case resultNumbers["not-found"]:
      return { type: "not-found", what: decodeIndexed(reader, missingThings, "missing thing") };
    case resultNumbers["session-lost"]:
      return { type: "session-lost", session: reader.varint() };
    case resultNumbers.quota:
      return { type: "quota", limit: reader.string(limits.maxDetailBytes), max: reader.varint() };
    case resultNumbers.conflict:
      return {
        type: "conflict",
        reason: decodeIndexed(reader, conflictReasons, "conflict reason"),
        detail: reader.string(limits.maxDetailBytes),
      };
    case resultNumbers.malformed:
      return { type: "malformed", detail: reader.string(limits.maxDetailBytes) };
    case resultNumbers.refused:
      return { type: "refused", reason: decodeIndexed(reader, refusalReasons, "refusal reason") };
    case resultNumbers["queue-defined"]:
      return { type: "queue-defined", created: decodeFlag(reader), ...decodeQueue(reader) };
    case resultNumbers["queue-refused"]:
      return decodeQueueRefused(reader);
    case resultNumbers["queue-deleted"]:
      return { type: "queue-deleted", queue: reader.varint() };
    case resultNumbers["placement-set"]:
      return { type: "placement-set", epoch: reader.varint() };
    case resultNumbers["placement-refused"]:
      return { type: "placement-refused", epoch: reader.varint() };
    case resultNumbers["namespace-defined"]:
      return { type: "namespace-defined", created: decodeFlag(reader), ...decodeDefinedNamespace(reader) };
    case resultNumbers["namespace-refused"]:
      return decodeNamespaceRefused(reader);
    case resultNumbers["namespace-deleted"]:
      return { type: "namespace-deleted", namespace: reader.varint() };
    case resultNumbers["anchor-refused"]:
      return { type: "anchor-refused", last: decodeOptionalMark(reader) };
    default:
      throw new CodecError(`unknown result type ${number}`);
  }
}

function encodeGranted(writer: ByteWriter, result: Granted): void {
  const { depth, owner, more } = result;
  writer.u8(
    numberOfMode(result.mode) | (depth === 1 ? 0 : depthFlag) | (owner === "" ? 0 : ownerFlag) | (more.length === 0 ? 0 : moreFlag),
  );
  writer.varint(result.fence);
  if (depth !== 1) writer.varint(depth);
  if (owner !== "") writer.string(owner);
  if (more.length === 0) return;
  writer.varint(more.length);
  for (const key of more) {
    writer.string(key.name);
    writer.varint(key.fence);
    encodeMode(writer, key.mode);
  }
}

const noKeys: readonly GrantedKey[] = [];

function decodeGranted(reader: ByteReader): Granted {
  const shape = reader.u8();
  const mode = modeOfNumber(shape & modeMask);
  if (mode === null || shape > (modeMask | depthFlag | ownerFlag | moreFlag)) throw new CodecError(`unknown shape ${shape} of a grant`);
  const fence = reader.varint();
  const depth = (shape & depthFlag) === 0 ? 1 : reader.varint();
  const owner = (shape & ownerFlag) === 0 ? "" : reader.string(limits.maxIdentityBytes, 1);
  if ((shape & depthFlag) !== 0 && depth === 1) throw new CodecError("a needless field");
  const more = (shape & moreFlag) === 0 ? noKeys : decodeGrantedKeys(reader);
  return { type: "granted", fence, owner, mode, depth, more };
}

function decodeGrantedKeys(reader: ByteReader): readonly GrantedKey[] {
  const count = reader.varint(limits.maxKeysPerSet);
  if (count === 0) throw new CodecError("a needless field");
  const keys: GrantedKey[] = [];
  for (let i = 0; i < count; i++) keys.push({ name: decodeName(reader), fence: reader.varint(), mode: decodeMode(reader) });
  return keys;
}

function encodeReleased(writer: ByteWriter, result: Released): void {
  const { remaining, grantedTo } = result;
  writer.u8((remaining === 0 ? 0 : remainingFlag) | (grantedTo.length === 0 ? 0 : grantedToFlag));
  writer.varint(result.fence);
  if (remaining !== 0) writer.varint(remaining);
  if (grantedTo.length === 0) return;
  writer.varint(grantedTo.length);
  for (const owner of grantedTo) writer.string(owner);
}

const nobody: readonly string[] = [];

function decodeReleased(reader: ByteReader): Released {
  const shape = reader.u8();
  if (shape > (remainingFlag | grantedToFlag)) throw new CodecError(`unknown shape ${shape} of a release`);
  const fence = reader.varint();
  const remaining = (shape & remainingFlag) === 0 ? 0 : reader.varint();
  if ((shape & remainingFlag) !== 0 && remaining === 0) throw new CodecError("a needless field");
  if ((shape & grantedToFlag) === 0) return { type: "released", fence, remaining, grantedTo: nobody };
  const count = decodeCount(reader);
  if (count === 0) throw new CodecError("a needless field");
  const grantedTo: string[] = [];
  for (let i = 0; i < count; i++) grantedTo.push(decodeIdentity(reader));
  return { type: "released", fence, remaining, grantedTo };
}

function decodeBusy(reader: ByteReader): Busy {
  return {
    type: "busy",
    waited: decodeFlag(reader),
    name: reader.string(limits.maxNameBytes),
    holders: decodeHolders(reader),
    waiters: reader.varint(),
  };
}

function encodeHolders(writer: ByteWriter, holders: readonly HolderInfo[]): void {
  writer.varint(holders.length);
  for (const holder of holders) {
    writer.string(holder.owner);
    writer.varint(holder.session);
    encodeMode(writer, holder.mode);
    writer.varint(holder.fence);
  }
}

function decodeHolders(reader: ByteReader): readonly HolderInfo[] {
  const count = decodeCount(reader);
  const holders: HolderInfo[] = [];
  for (let i = 0; i < count; i++) {
    holders.push({ owner: decodeIdentity(reader), session: reader.varint(), mode: decodeMode(reader), fence: reader.varint() });
  }
  return holders;
}

function encodeCycle(writer: ByteWriter, cycle: readonly CycleStep[]): void {
  writer.varint(cycle.length);
  for (const step of cycle) {
    writer.string(step.owner);
    writer.string(step.waitsFor);
    encodeMode(writer, step.mode);
    writer.string(step.heldBy);
  }
}

function decodeCycle(reader: ByteReader): readonly CycleStep[] {
  const count = decodeCount(reader);
  const cycle: CycleStep[] = [];
  for (let i = 0; i < count; i++) {
    cycle.push({
      owner: decodeIdentity(reader),
      waitsFor: reader.string(limits.maxNameBytes),
      mode: decodeMode(reader),
      heldBy: decodeIdentity(reader),
    });
  }
  return cycle;
}

/** Also the record of a queue in a snapshot. */
export function encodeQueue(writer: ByteWriter, { queue, definition, createdAt }: DefinedQueue): void {
  writer.varint(queue);
  encodeDefinition(writer, definition);
  writer.varint(createdAt);
}

export function decodeQueue(reader: ByteReader): DefinedQueue {
  return { queue: reader.varint(), definition: decodeDefinition(reader), createdAt: reader.varint() };
}

function encodeQueueRefused(writer: ByteWriter, refused: QueueRefused): void {
  writer.u8(queueRefusalNumbers[refused.reason]);
  switch (refused.reason) {
    case "exists":
      return encodeQueue(writer, refused);
    case "unknown":
      return;
    case "fixed":
      writer.varint(refused.value);
      return writer.varint(refused.asked);
    case "too-many":
      return writer.varint(refused.max);
    case "invalid":
      return writer.string(clipText(refused.detail, limits.maxDetailBytes));
  }
}

function decodeQueueRefused(reader: ByteReader): QueueRefused {
  const type = "queue-refused";
  const reason = decodeIndexed(reader, queueRefusalReasons, "reason to refuse a queue");
  switch (reason) {
    case "exists":
      return { type, reason, ...decodeQueue(reader) };
    case "unknown":
      return { type, reason };
    case "fixed":
      // The only field that is fixed; another one would be another reason.
      return { type, reason, field: "partitions", value: reader.varint(), asked: reader.varint() };
    case "too-many":
      return { type, reason, max: reader.varint() };
    case "invalid":
      return { type, reason, detail: reader.string(limits.maxDetailBytes) };
  }
}
