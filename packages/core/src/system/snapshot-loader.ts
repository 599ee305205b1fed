import { ByteReader, CodecError, decodeQueue, limits as wireLimits } from "@trivet/wire";
import { HoldFields } from "../locks/hold-record.ts";
import { Hold, holdByFence } from "../locks/hold.ts";
import { Delay, type Lock } from "../locks/lock.ts";
import { Ticket, Wait } from "../locks/wait.ts";
import { auditFault } from "./audit-anchors.ts";
import { readAudited } from "./audit-codec.ts";
import { Account } from "../sessions/account.ts";
import { CallerRecord } from "../sessions/caller-record.ts";
import {
  type SnapshotHeader,
  type WaitRecord,
  readCaller,
  readDelay,
  readHeader,
  readSession,
  readWait,
  recordKinds,
} from "./snapshot-format.ts";
import { SystemState } from "./system-state.ts";

/** No record is larger: a caller's 1024 answers of the largest kind. Guards against a length that would never end. */
const maxRecordBytes = 64 * 1024 * 1024;
/** Of a varint up to that. */
const maxLengthBytes = 4;

/**
 * Builds a state from the chunks of a snapshot, each in time proportional to its bytes. Strict: anything a cursor would not have
 * written throws CodecError, and the finished state must have the hash that the header tells.
 */
export class SnapshotLoader {
  private state: SystemState | null = null;
  private header: SnapshotHeader | null = null;
  /** Sessions that holds or waits came before. */
  private readonly awaited = new Map<number, Account>();
  /** Waits that refer to holds: linked when all holds are there. */
  private readonly later: WaitRecord[] = [];
  private carry: Uint8Array = new Uint8Array(0);
  private ended = false;
  private readonly reader = new ByteReader();
  private page: Uint8Array = new Uint8Array(0);
  /** Where the record that is read begins in it, with its length and without. */
  private recordAt = 0;
  private recordStart = 0;
  private readonly holdFields = new HoldFields();

  /** Takes the next bytes, cut anywhere. */
  push(chunk: Uint8Array): void {
    // A copy of its own: holds stay in it, packed.
    const bytes = join(this.carry, chunk);
    this.state?.lockState.packed.from(bytes);
    this.page = bytes;
    const { reader } = this;
    this.recordAt = 0;
    for (let end = this.recordEnd(bytes); end >= 0 && end <= bytes.length; end = this.recordEnd(bytes)) {
      reader.reset(bytes, this.recordStart, end);
      this.record(reader);
      reader.expectEnd();
      this.recordAt = end;
    }
    this.carry = bytes.slice(this.recordAt);
  }

  /** The state, once all chunks are in. */
  finish(): SystemState {
    const { state, header } = this;
    if (state === null || header === null || !this.ended || this.carry.length > 0) throw new CodecError("a snapshot that ends early");
    if (this.awaited.size > 0) throw new CodecError("a snapshot that lacks a session");
    this.later.sort((a, b) => a.id - b.id);
    for (const record of this.later) this.insertWait(state, record);
    const { auditAnchors, lockState, sessionTable, dedupe, queueRegistry } = state;
    const complete =
      sessionTable.sessions.size === header.sessions &&
      lockState.holdCount === header.holds &&
      lockState.waits.size === header.waits &&
      lockState.delays.size === header.delays &&
      dedupe.size === header.callers &&
      queueRegistry.size === header.queues &&
      auditAnchors.nodes.size === header.auditedNodes;
    if (!complete) throw new CodecError("a snapshot that lacks records");
    lockState.packed.completed();
    if (state.stateHash() !== header.hash) throw new CodecError("a snapshot whose state differs from its hash");
    return state;
  }

  /** The end of the record at `recordAt`, and `recordStart`; -1 when not even its length is all there. */
  private recordEnd(bytes: Uint8Array): number {
    let length = 0;
    let scale = 1;
    for (let i = this.recordAt; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      length += (byte & 0x7f) * scale;
      if (length > maxRecordBytes) throw new CodecError("a snapshot record that is too long");
      const bytesRead = i + 1 - this.recordAt;
      // Read again from a packed hold, by a reader that refuses it: then it would be too late.
      if (byte === 0 && bytesRead > 1) throw new CodecError("a snapshot record's length with needless bytes");
      if (byte >= 0x80 && bytesRead === maxLengthBytes) throw new CodecError("a snapshot record's length that does not end");
      if (byte < 0x80) {
        this.recordStart = i + 1;
        return i + 1 + length;
      }
      scale *= 0x80;
    }
    return -1;
  }

  private record(reader: ByteReader): void {
    const kind = reader.u8();
    if (this.ended) throw new CodecError("a snapshot that goes on after its end");
    if (kind === recordKinds.header) {
      this.begin(reader);
      return;
    }
    const { state } = this;
    if (state === null) throw new CodecError("a snapshot that does not begin with its header");
    switch (kind) {
      case recordKinds.session:
        return this.session(state, reader);
      case recordKinds.hold:
        return this.hold(state, reader);
      case recordKinds.wait:
        return this.wait(state, reader);
      case recordKinds.delay:
        return this.delay(state, reader);
      case recordKinds.caller:
        return this.caller(state, reader);
      case recordKinds.queue:
        return this.queue(state, reader);
      case recordKinds.audited:
        return this.audited(state, reader);
      case recordKinds.end:
        this.ended = true;
        return;
      default:
        throw new CodecError(`unknown record ${kind} in a snapshot`);
    }
  }

  private begin(reader: ByteReader): void {
    if (this.state !== null) throw new CodecError("a snapshot with two headers");
    const header = readHeader(reader);
    const state = new SystemState(header.limits);
    state.appliedIndex = header.appliedIndex;
    state.ledger.groupTime = header.groupTime;
    state.sessionTable.lastSession = header.lastSession;
    state.lockState.packed.expect(header.holds);
    state.lockState.packed.from(this.page);
    state.lockState.lastFence = header.lastFence;
    state.lockState.lastWait = header.lastWait;
    state.lockState.lastDelay = header.lastDelay;
    state.lockState.lastAnonymous = header.lastAnonymous;
    state.lockState.resolutions = [...header.resolutions];
    for (const node of header.nodes) state.registry.nodes.set(node.node, node);
    state.queueRegistry.lastQueue = header.lastQueue;
    state.queueRegistry.lastVersion = header.lastVersion;
    state.namespaceRegistry.restore(header.lastNamespace, header.lastNamespaceVersion, header.namespaces);
    if (header.placement !== null) state.placementRecord.restore(header.placement);
    state.features.restore(header.featureLevel);
    this.header = header;
    this.state = state;
  }

  private session(state: SystemState, reader: ByteReader): void {
    const record = readSession(reader);
    const { session } = record;
    if (session === 0 || session > state.sessionTable.lastSession || state.sessionTable.sessions.get(session) !== undefined) {
      throw new CodecError(`session ${session} twice, or never opened`);
    }
    const account = this.awaited.get(session) ?? new Account(session, "", state.ledger.epoch);
    this.awaited.delete(session);
    account.principal = record.principal;
    account.label = record.label;
    account.ttlMs = record.ttlMs;
    account.lockDelayMs = record.lockDelayMs;
    account.openedAt = record.openedAt;
    state.sessionTable.insert(account);
  }

  private hold(state: SystemState, reader: ByteReader): void {
    const start = reader.position;
    if (this.stayPacked(state, reader)) return;
    reader.position = start;
    const { lockState, ledger } = state;
    const { holdFields: fields } = this;
    fields.read(reader);
    const lock = obtain(state, fields.name, fields.of);
    const { owner, mode, fence, anonymous, ttlMs, since } = fields;
    if (fence === 0 || fence > lockState.lastFence || fields.depth === 0) throw new CodecError(`fence ${fence} was never granted`);
    const account = this.account(state, fields.session, fields.principal);
    const hold = new Hold(lock, account, owner, mode, fence, anonymous, ttlMs, since, ledger.epoch);
    hold.depth = fields.depth;
    lockState.insertHold(hold);
  }

  /** False when the hold must be an object: of those there may be several of a name, and whatever refers to them. */
  private stayPacked(state: SystemState, reader: ByteReader): boolean {
    const { lockState, sessionTable } = state;
    const { packed, table } = lockState;
    const record = packed.read(reader);
    const account = record === null ? undefined : sessionTable.sessions.get(record.session);
    if (record === null || account === undefined || table.hasRead(record.nameHash)) return false;
    const same = packed.sameAsRead();
    if (same >= 0) packed.unpack(same);
    if (same >= 0 || record.fence === 0 || record.fence > lockState.lastFence || record.depth === 0) return false;
    lockState.insertPacked(record, this.recordAt, account);
    return true;
  }

  private wait(state: SystemState, reader: ByteReader): void {
    const record = readWait(reader);
    if (record.id === 0 || record.id > state.lockState.lastWait || state.lockState.waits.get(record.id) !== undefined) {
      throw new CodecError(`wait ${record.id} twice, or never made`);
    }
    if (record.tickets.length === 0) throw new CodecError(`wait ${record.id} for nothing`);
    // A session must be asked for now: whether one is missing is judged by its own record.
    this.account(state, record.account.session, record.account.principal);
    if (record.upgrade !== 0 || record.tickets.some((ticket) => ticket.coveredBy !== 0)) this.later.push(record);
    else this.insertWait(state, record);
  }

  private insertWait(state: SystemState, record: WaitRecord): void {
    const { lockState, ledger } = state;
    const { id, owner, caller, sequence, waitMs, ttlMs, reentrant, anonymous, since } = record;
    const account = this.account(state, record.account.session, record.account.principal);
    const upgrade = record.upgrade === 0 ? null : holdOf(state, record.tickets[0]?.name ?? "", record.upgrade);
    const wait = new Wait({
      id,
      account,
      owner,
      caller,
      sequence,
      waitMs,
      ttlMs,
      reentrant,
      anonymous,
      since,
      upgrade,
      epoch: ledger.epoch,
    });
    wait.announced = true;
    wait.tickets = record.tickets.map(({ name, mode, of, coveredBy }) => {
      const ticket = new Ticket(wait, obtain(state, name, of), mode);
      ticket.coveredBy = coveredBy === 0 ? null : holdOf(state, name, coveredBy);
      return ticket;
    });
    lockState.insertWait(wait);
  }

  private delay(state: SystemState, reader: ByteReader): void {
    const { id, name, mode, of, ms } = readDelay(reader);
    const { lockState, ledger } = state;
    if (id === 0 || id > lockState.lastDelay || lockState.delays.get(id) !== undefined)
      throw new CodecError(`delay ${id} twice, or never made`);
    lockState.insertDelay(new Delay(id, obtain(state, name, of), mode, ms, ledger.epoch));
  }

  private caller(state: SystemState, reader: ByteReader): void {
    const { caller, fingerprint, ackedUpTo, notAfter, kept } = readCaller(reader);
    const record = new CallerRecord(caller, fingerprint, notAfter, state.ledger.epoch);
    record.ackedUpTo = ackedUpTo;
    for (const [sequence, slot] of kept) {
      if (sequence <= ackedUpTo || sequence > ackedUpTo + wireLimits.callerWindow || record.get(sequence) !== undefined)
        throw new CodecError(`an answer ${sequence} that is acknowledged`);
      record.set(sequence, slot);
    }
    if (!state.dedupe.restore(record)) throw new CodecError("a caller twice");
  }

  private queue(state: SystemState, reader: ByteReader): void {
    const { queueRegistry } = state;
    const view = decodeQueue(reader);
    const { name, version } = view.definition;
    if (view.queue === 0 || view.queue > queueRegistry.lastQueue || version > queueRegistry.lastVersion)
      throw new CodecError(`queue ${view.queue} in version ${version} was never defined`);
    if (queueRegistry.withNumber(view.queue) !== null || queueRegistry.get(name) !== null) throw new CodecError(`queue ${name} twice`);
    queueRegistry.insert(view);
  }

  private audited({ auditAnchors }: SystemState, reader: ByteReader): void {
    const view = readAudited(reader);
    const fault = auditAnchors.nodes.has(view.node) ? `${view.node} twice` : auditFault(view);
    if (fault !== null) throw new CodecError(fault);
    auditAnchors.insert(view);
  }

  private account(state: SystemState, session: number, principal: string): Account {
    const { sessionTable, ledger } = state;
    if (session === 0) return sessionTable.principals.get(principal) ?? sessionTable.addPrincipal(principal);
    const known = sessionTable.sessions.get(session) ?? this.awaited.get(session);
    if (known !== undefined) return known;
    const account = new Account(session, "", ledger.epoch);
    this.awaited.set(session, account);
    return account;
  }
}

/** The whole of a snapshot at once. */
export function restoreSystem(chunks: Iterable<Uint8Array>): SystemState {
  const loader = new SnapshotLoader();
  for (const chunk of chunks) loader.push(chunk);
  return loader.finish();
}

function obtain(state: SystemState, name: string, of: number): Lock {
  const lock = state.lockState.table.obtain(name);
  if (!lock.idle && lock.of !== of) throw new CodecError(`${name} is a semaphore of two sizes`);
  lock.of = of;
  return lock;
}

function holdOf(state: SystemState, name: string, fence: number): Hold {
  const lock = state.lockState.table.get(name);
  const hold = lock === undefined ? null : holdByFence(lock, fence);
  if (hold === null) throw new CodecError(`a wait for the missing grant ${fence}`);
  return hold;
}

/** A new array also where one of them is empty. */
function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}
