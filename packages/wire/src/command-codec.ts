import { decodeAnchorAudit, encodeAnchorAudit } from "./audit-codec.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import {
  type AcquireLock,
  type Actor,
  type CancelWait,
  type Command,
  type ExpiryKind,
  type LockKey,
  type LockMode,
  type OpenSession,
  type ReleaseSet,
  commandNumbers,
  expiryKinds,
  lockModes,
} from "./commands.ts";
import { decodeDuration, decodeFlag, decodeIdentity, decodeIndexed, decodeName } from "./fields.ts";
import { limits } from "./limits.ts";
import { decodeDefineNamespace, decodeDeleteNamespace, encodeDefineNamespace, encodeDeleteNamespace } from "./system-cache-codec.ts";
import {
  decodeDefineQueue,
  decodeDeleteQueue,
  decodeSetPlacement,
  encodeDefineQueue,
  encodeDeleteQueue,
  encodeSetPlacement,
} from "./system-queue-codec.ts";
import { clipText } from "./text.ts";

const reentrantFlag = 1;
const anonymousFlag = 2;

/** Numbers of the lock modes on the wire: their place in the list, which only grows at its end. */
const modeNumbers = Object.fromEntries(lockModes.map((mode, number) => [mode, number])) as Readonly<Record<LockMode, number>>;
const expiryNumbers = Object.fromEntries(expiryKinds.map((kind, number) => [kind, number])) as Readonly<Record<ExpiryKind, number>>;

/** Appends `command`: its number, then its fields. Throws CodecError for values that the format cannot carry. */
export function encodeCommand(writer: ByteWriter, command: Command): void {
  writer.u8(commandNumbers[command.type]);
  switch (command.type) {
    case "nothing":
      return;
    case "open-session":
      return encodeOpenSession(writer, command);
    case "close-session":
      return writer.varint(command.session);
    case "acquire":
      return encodeAcquire(writer, command);
    case "release":
      encodeActor(writer, command.actor);
      writer.string(command.name);
      writer.varint(command.fence);
      return writer.u8(command.anonymous ? 1 : 0);
    case "release-set":
      return encodeReleaseSet(writer, command);
    case "upgrade":
      encodeActor(writer, command.actor);
      writer.string(command.name);
      writer.varint(command.fence);
      encodeMode(writer, command.mode);
      return writer.varint(command.waitMs);
    case "downgrade":
      encodeActor(writer, command.actor);
      writer.string(command.name);
      writer.varint(command.fence);
      return encodeMode(writer, command.mode);
    case "set-lease":
      encodeActor(writer, command.actor);
      writer.string(command.name);
      writer.varint(command.fence);
      return writer.varint(command.ttlMs);
    case "cancel":
      encodeActor(writer, command.actor);
      writer.string(command.name);
      writer.string(command.caller);
      return writer.varint(command.sequence);
    case "force-release":
      writer.string(command.principal);
      writer.string(command.name);
      writer.varint(command.fence);
      return writer.string(clipText(command.reason, limits.maxDetailBytes));
    case "expire":
      writer.u8(expiryNumbers[command.kind]);
      return writer.varint(command.id);
    case "set-node":
      writer.string(command.node);
      writer.string(command.storage);
      writer.string(command.url);
      writer.string(command.roles);
      return writer.u8(command.voter ? 1 : 0);
    case "forget-node":
      return writer.string(command.node);
    case "replace-node":
      writer.string(command.node);
      return writer.string(command.storage);
    case "drain-node":
      writer.string(command.node);
      return writer.u8(command.draining ? 1 : 0);
    case "define-queue":
      return encodeDefineQueue(writer, command);
    case "delete-queue":
      return encodeDeleteQueue(writer, command);
    case "set-placement":
      return encodeSetPlacement(writer, command);
    case "define-namespace":
      return encodeDefineNamespace(writer, command);
    case "delete-namespace":
      return encodeDeleteNamespace(writer, command);
    case "raise-level":
      return writer.varint(command.level);
    case "anchor-audit":
      return encodeAnchorAudit(writer, command);
  }
}

/** Reads one command. Throws CodecError for an unknown type, a value out of bounds or bytes that end too early. */
export function decodeCommand(reader: ByteReader): Command {
  const number = reader.u8();
  switch (number) {
    case commandNumbers.nothing:
      return { type: "nothing" };
    case commandNumbers["open-session"]:
      return decodeOpenSession(reader);
    case commandNumbers["close-session"]:
      return { type: "close-session", session: reader.varint() };
    case commandNumbers.acquire:
      return decodeAcquire(reader);
    case commandNumbers.release:
      return {
        type: "release",
        actor: decodeActor(reader),
        name: decodeName(reader),
        fence: reader.varint(),
        anonymous: decodeFlag(reader),
      };
    case commandNumbers["release-set"]:
      return decodeReleaseSet(reader);
    case commandNumbers.upgrade:
      return {
        type: "upgrade",
        actor: decodeActor(reader),
        name: decodeName(reader),
        fence: reader.varint(),
        mode: decodeMode(reader),
        waitMs: decodeDuration(reader),
      };
    case commandNumbers.downgrade:
      return {
        type: "downgrade",
        actor: decodeActor(reader),
        name: decodeName(reader),
        fence: reader.varint(),
        mode: decodeMode(reader),
      };
    case commandNumbers["set-lease"]:
      return {
        type: "set-lease",
        actor: decodeActor(reader),
        name: decodeName(reader),
        fence: reader.varint(),
        ttlMs: decodeDuration(reader),
      };
    case commandNumbers.cancel:
      return decodeCancel(reader);
    case commandNumbers["force-release"]:
      return {
        type: "force-release",
        principal: decodeIdentity(reader),
        name: decodeName(reader),
        fence: reader.varint(),
        reason: reader.string(limits.maxDetailBytes),
      };
    case commandNumbers.expire:
      return { type: "expire", kind: decodeIndexed(reader, expiryKinds, "expiry kind"), id: reader.varint() };
    case commandNumbers["set-node"]:
      return {
        type: "set-node",
        node: decodeIdentity(reader),
        storage: decodeIdentity(reader),
        url: reader.string(limits.maxUrlBytes),
        roles: decodeIdentity(reader),
        voter: decodeFlag(reader),
      };
    case commandNumbers["forget-node"]:
      return { type: "forget-node", node: decodeIdentity(reader) };
    case commandNumbers["replace-node"]:
      return { type: "replace-node", node: decodeIdentity(reader), storage: decodeIdentity(reader) };
    case commandNumbers["drain-node"]:
      return { type: "drain-node", node: decodeIdentity(reader), draining: decodeFlag(reader) };
    case commandNumbers["define-queue"]:
      return decodeDefineQueue(reader);
    case commandNumbers["delete-queue"]:
      return decodeDeleteQueue(reader);
    case commandNumbers["set-placement"]:
      return decodeSetPlacement(reader);
    case commandNumbers["define-namespace"]:
      return decodeDefineNamespace(reader);
    case commandNumbers["delete-namespace"]:
      return decodeDeleteNamespace(reader);
    case commandNumbers["raise-level"]:
      return { type: "raise-level", level: reader.varint() };
    case commandNumbers["anchor-audit"]:
      return decodeAnchorAudit(reader);
    default:
      throw new CodecError(`unknown command type ${number}`);
  }
}

function encodeOpenSession(writer: ByteWriter, command: OpenSession): void {
  writer.varint(command.ttlMs);
  writer.varint(command.lockDelayMs);
  writer.string(command.principal);
  writer.string(command.label);
}

function decodeOpenSession(reader: ByteReader): OpenSession {
  return {
    type: "open-session",
    ttlMs: decodeDuration(reader),
    lockDelayMs: decodeDuration(reader),
    principal: decodeIdentity(reader),
    label: decodeIdentity(reader),
  };
}

function encodeAcquire(writer: ByteWriter, command: AcquireLock): void {
  const { keys } = command;
  if (keys.length === 0 || keys.length > limits.maxKeysPerSet) throw new CodecError(`${keys.length} keys in one acquire`);
  encodeActor(writer, command.actor);
  writer.u8(keys.length);
  for (const key of keys) {
    encodeMode(writer, key.mode);
    writer.string(key.name);
    if (key.mode === "permit") writer.varint(key.of);
    else if (key.of !== 0) throw new CodecError(`mode ${key.mode} takes no size`);
  }
  writer.varint(command.ttlMs);
  writer.varint(command.waitMs);
  writer.u8((command.reentrant ? reentrantFlag : 0) | (command.anonymous ? anonymousFlag : 0));
}

function decodeAcquire(reader: ByteReader): AcquireLock {
  const actor = decodeActor(reader);
  const count = decodeKeyCount(reader);
  const keys: LockKey[] = [decodeKey(reader)];
  for (let i = 1; i < count; i++) keys.push(decodeKey(reader));
  const ttlMs = decodeDuration(reader);
  const waitMs = decodeDuration(reader);
  const flags = reader.u8();
  if (flags > (reentrantFlag | anonymousFlag)) throw new CodecError(`unknown flags ${flags}`);
  return {
    type: "acquire",
    actor,
    keys,
    ttlMs,
    waitMs,
    reentrant: (flags & reentrantFlag) !== 0,
    anonymous: (flags & anonymousFlag) !== 0,
  };
}

function decodeKey(reader: ByteReader): LockKey {
  const mode = decodeMode(reader);
  const name = decodeName(reader);
  if (mode !== "permit") return { name, mode, of: 0 };
  const of = reader.varint(limits.maxPermits);
  if (of === 0) throw new CodecError("a semaphore of size 0");
  return { name, mode, of };
}

function encodeReleaseSet(writer: ByteWriter, command: ReleaseSet): void {
  const { locks } = command;
  if (locks.length === 0 || locks.length > limits.maxKeysPerSet) throw new CodecError(`${locks.length} locks in one release`);
  encodeActor(writer, command.actor);
  writer.u8(locks.length);
  for (const lock of locks) {
    writer.string(lock.name);
    writer.varint(lock.fence);
  }
}

function decodeReleaseSet(reader: ByteReader): ReleaseSet {
  const actor = decodeActor(reader);
  const count = decodeKeyCount(reader);
  const locks: { name: string; fence: number }[] = [];
  for (let i = 0; i < count; i++) locks.push({ name: decodeName(reader), fence: reader.varint() });
  return { type: "release-set", actor, locks };
}

/** By caller and sequence the name may stay empty; else it is what finds the wait. */
function decodeCancel(reader: ByteReader): CancelWait {
  const actor = decodeActor(reader);
  const name = reader.string(limits.maxNameBytes);
  const caller = reader.string(limits.maxCallerBytes);
  if (name === "" && caller === "") throw new CodecError("a cancel that names neither lock nor request");
  return { type: "cancel", actor, name, caller, sequence: reader.varint() };
}

function encodeActor(writer: ByteWriter, actor: Actor): void {
  writer.varint(actor.session);
  writer.string(actor.principal);
  writer.string(actor.owner);
}

function decodeActor(reader: ByteReader): Actor {
  return { session: reader.varint(), principal: decodeIdentity(reader), owner: decodeIdentity(reader) };
}

/** Also used by the results. */
export function encodeMode(writer: ByteWriter, mode: LockMode): void {
  writer.u8(modeNumbers[mode]);
}

export function decodeMode(reader: ByteReader): LockMode {
  return decodeIndexed(reader, lockModes, "lock mode");
}

/** The mode with this number, null when there is none. */
export function modeOfNumber(number: number): LockMode | null {
  return lockModes[number] ?? null;
}

export function numberOfMode(mode: LockMode): number {
  return modeNumbers[mode];
}

function decodeKeyCount(reader: ByteReader): number {
  const count = reader.u8();
  if (count === 0 || count > limits.maxKeysPerSet) throw new CodecError(`${count} keys where 1 to ${limits.maxKeysPerSet} are allowed`);
  return count;
}
