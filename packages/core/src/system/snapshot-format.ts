import {
  type ByteReader,
  type ByteWriter,
  CodecError,
  decodeDefinedNamespace,
  decodeMode,
  decodeResult,
  encodeDefinedNamespace,
  encodeMode,
  encodeResult,
  limits as wireLimits,
} from "@trivet/wire";
import type { Hold } from "../locks/hold.ts";
import type { Delay } from "../locks/lock.ts";
import type { Wait } from "../locks/wait.ts";
import type { Account } from "../sessions/account.ts";
import type { CallerRecord, Slot } from "../sessions/caller-record.ts";
import { type SystemLimits, defaultSystemLimits } from "./limits.ts";
import { readPlacement, writePlacement } from "./placement-codec.ts";
import type { DeadlockResolution, NamespaceView, NodeView, PlacementView } from "./view.ts";

/**
 * A snapshot of group 0 is a stream of records in any order between a header and an end, each with its length before it; chunks may
 * be cut anywhere. Numbers are append-only. Version 1 knew no queues, no placement and no draining nodes, version 2 no namespaces,
 * version 3 no feature level, version 4 no anchors of audit logs; they stay readable.
 */
export const snapshotVersion = 5;
export const recordKinds = { header: 1, session: 2, hold: 3, wait: 4, delay: 5, caller: 6, end: 7, queue: 8, audited: 9 } as const;

/** Everything small: copied whole when the snapshot begins. */
export interface SnapshotHeader {
  readonly limits: SystemLimits;
  readonly appliedIndex: number;
  readonly groupTime: number;
  readonly lastFence: number;
  readonly lastWait: number;
  readonly lastDelay: number;
  readonly lastAnonymous: number;
  readonly lastSession: number;
  /** How many records of each kind follow. */
  readonly sessions: number;
  readonly holds: number;
  readonly waits: number;
  readonly delays: number;
  readonly callers: number;
  /** Since version 2. */
  readonly lastQueue: number;
  readonly lastVersion: number;
  readonly queues: number;
  /** The state hash that the loaded state must have (rule W7). */
  readonly hash: string;
  readonly nodes: readonly NodeView[];
  readonly resolutions: readonly DeadlockResolution[];
  /** Since version 2. */
  readonly placement: PlacementView | null;
  /** Since version 3. Bounded by a limit, so they are copied whole. */
  readonly lastNamespace: number;
  readonly lastNamespaceVersion: number;
  readonly namespaces: readonly NamespaceView[];
  /** Since version 4; 0 = the log says nothing of it. */
  readonly featureLevel: number;
  /** Since version 5: nodes with anchors of audit logs. */
  readonly auditedNodes: number;
}

const limitNames = [
  "sessions",
  "locksPerSession",
  "waitersPerSession",
  "locksPerPrincipal",
  "waitersPerPrincipal",
  "reentryDepth",
  "keysPerRequest",
  "deadlockSearchEdges",
  "callers",
  "dedupeRetentionMs",
  "deadlineHorizonMs",
  "nodes",
] as const satisfies readonly (keyof SystemLimits)[];
const limitNamesSince2 = ["queues"] as const satisfies readonly (keyof SystemLimits)[];
const limitNamesSince3 = ["namespaces"] as const satisfies readonly (keyof SystemLimits)[];
const headerNumbers = [
  "appliedIndex",
  "groupTime",
  "lastFence",
  "lastWait",
  "lastDelay",
  "lastAnonymous",
  "lastSession",
  "sessions",
  "holds",
  "waits",
  "delays",
  "callers",
] as const satisfies readonly (keyof SnapshotHeader)[];
const headerNumbersSince2 = ["lastQueue", "lastVersion", "queues"] as const satisfies readonly (keyof SnapshotHeader)[];
const headerNumbersSince3 = ["lastNamespace", "lastNamespaceVersion"] as const satisfies readonly (keyof SnapshotHeader)[];
/** As long as nobody has defined one: see NamespaceRegistry. */
const firstNamespaceVersion = 1;
const text = wireLimits.maxDetailBytes;
const voterFlag = 1;
const replaceableFlag = 2;
const drainingFlag = 4;

export function writeHeader(writer: ByteWriter, header: SnapshotHeader): void {
  // Without a level, and without namespaces, it is what the versions before could read: with a level every member can read it.
  const isLevelled = header.featureLevel > 0;
  const isPlain = !isLevelled && header.lastNamespaceVersion === firstNamespaceVersion;
  // Nobody has anchored before the level was above what an older version knows.
  const isAnchored = header.auditedNodes > 0;
  writer.u8(isAnchored ? snapshotVersion : isLevelled ? 4 : isPlain ? 2 : 3);
  for (const name of limitNames) writer.varint(header.limits[name]);
  for (const name of headerNumbers) writer.varint(header[name]);
  writer.string(header.hash);
  writer.varint(header.nodes.length);
  for (const node of header.nodes) {
    writer.string(node.node);
    writer.string(node.storage);
    writer.string(node.url);
    writer.string(node.roles);
    writer.u8((node.voter ? voterFlag : 0) | (node.replaceable ? replaceableFlag : 0) | (node.draining ? drainingFlag : 0));
  }
  writer.varint(header.resolutions.length);
  for (const { at, victim, name, cycle } of header.resolutions) {
    writer.varint(at);
    writer.string(victim);
    writer.string(name);
    encodeResult(writer, { type: "deadlock", cycle });
  }
  for (const name of limitNamesSince2) writer.varint(header.limits[name]);
  for (const name of headerNumbersSince2) writer.varint(header[name]);
  writePlacement(writer, header.placement);
  if (isPlain && !isAnchored) return;
  for (const name of limitNamesSince3) writer.varint(header.limits[name]);
  for (const name of headerNumbersSince3) writer.varint(header[name]);
  writer.varint(header.namespaces.length);
  for (const view of header.namespaces) encodeDefinedNamespace(writer, view);
  if (isLevelled || isAnchored) writer.varint(header.featureLevel);
  if (isAnchored) writer.varint(header.auditedNodes);
}

type Numbers<Names extends readonly string[]> = Readonly<Record<Names[number], number>>;

function readNumbers<Names extends readonly string[]>(reader: ByteReader, names: Names): Numbers<Names> {
  return Object.fromEntries(names.map((name) => [name, reader.varint()])) as Numbers<Names>;
}

/** Reads a header of any version there was, from its beginning. */
export function readHeader(reader: ByteReader): SnapshotHeader {
  const version = reader.u8();
  if (version < 1 || version > snapshotVersion) throw new CodecError(`version ${version} of a snapshot; this is ${snapshotVersion}`);
  const limits = readNumbers(reader, limitNames);
  const numbers = readNumbers(reader, headerNumbers);
  const hash = reader.string(text);
  const nodes: NodeView[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const node = reader.string(text);
    const storage = reader.string(text);
    const url = reader.string(text);
    const roles = reader.string(text);
    const flags = reader.u8();
    const [voter, replaceable, draining] = [(flags & voterFlag) !== 0, (flags & replaceableFlag) !== 0, (flags & drainingFlag) !== 0];
    nodes.push({ node, storage, url, roles, voter, replaceable, draining });
  }
  const resolutions: DeadlockResolution[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const at = reader.varint();
    const victim = reader.string(text);
    const name = reader.string(text);
    const told = decodeResult(reader);
    resolutions.push({ at, victim, name, cycle: told.type === "deadlock" ? told.cycle : [] });
  }
  const all = {
    ...numbers,
    hash,
    nodes,
    resolutions,
    lastNamespace: 1,
    lastNamespaceVersion: 1,
    namespaces: [],
    featureLevel: 0,
    auditedNodes: 0,
  };
  if (version === 1) {
    return { ...all, limits: { ...defaultSystemLimits, ...limits }, lastQueue: 0, lastVersion: 0, queues: 0, placement: null };
  }
  const limits2 = { ...defaultSystemLimits, ...limits, ...readNumbers(reader, limitNamesSince2) };
  const all2 = { ...all, ...readNumbers(reader, headerNumbersSince2), placement: readPlacement(reader) };
  if (version === 2) return { ...all2, limits: limits2 };
  const limits3 = { ...limits2, ...readNumbers(reader, limitNamesSince3) };
  const numbers3 = readNumbers(reader, headerNumbersSince3);
  const namespaces: NamespaceView[] = [];
  for (let left = reader.varint(); left > 0; left--) namespaces.push(decodeDefinedNamespace(reader));
  const featureLevel = version === 3 ? 0 : reader.varint();
  const auditedNodes = version < 5 ? 0 : reader.varint();
  return { ...all2, ...numbers3, namespaces, featureLevel, auditedNodes, limits: limits3 };
}

export function writeSession(writer: ByteWriter, account: Account): void {
  writer.varint(account.session);
  writer.string(account.principal);
  writer.string(account.label);
  writer.varint(account.ttlMs);
  writer.varint(account.lockDelayMs);
  writer.varint(account.openedAt);
}

export interface SessionRecord {
  readonly session: number;
  readonly principal: string;
  readonly label: string;
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly openedAt: number;
}

export function readSession(reader: ByteReader): SessionRecord {
  const session = reader.varint();
  const principal = reader.string(text);
  const label = reader.string(text);
  return { session, principal, label, ttlMs: reader.varint(), lockDelayMs: reader.varint(), openedAt: reader.varint() };
}

function writeAccount(writer: ByteWriter, account: Account): void {
  writer.varint(account.session);
  if (account.session === 0) writer.string(account.principal);
}

/** Whose a record is: the principal is told only where there is no session. */
export interface AccountRef {
  readonly session: number;
  readonly principal: string;
}

function readAccount(reader: ByteReader): AccountRef {
  const session = reader.varint();
  return { session, principal: session === 0 ? reader.string(text) : "" };
}

export function writeHold(writer: ByteWriter, hold: Hold): void {
  writer.string(hold.lock.name);
  writeAccount(writer, hold.account);
  writer.string(hold.owner);
  encodeMode(writer, hold.mode);
  writer.varint(hold.lock.of);
  writer.varint(hold.fence);
  writer.varint(hold.depth);
  writer.u8(hold.anonymous ? 1 : 0);
  writer.varint(hold.ttlMs);
  writer.varint(hold.since);
}

export function writeWait(writer: ByteWriter, wait: Wait): void {
  writer.varint(wait.id);
  writeAccount(writer, wait.account);
  writer.string(wait.owner);
  writer.string(wait.caller);
  writer.varint(wait.sequence);
  writer.varint(wait.waitMs);
  writer.varint(wait.ttlMs);
  writer.u8((wait.reentrant ? 1 : 0) | (wait.anonymous ? 2 : 0));
  writer.varint(wait.since);
  writer.varint(wait.upgrade?.fence ?? 0);
  writer.varint(wait.tickets.length);
  for (const ticket of wait.tickets) {
    writer.string(ticket.lock.name);
    encodeMode(writer, ticket.mode);
    writer.varint(ticket.lock.of);
    writer.varint(ticket.coveredBy?.fence ?? 0);
  }
}

export interface TicketRecord {
  readonly name: string;
  readonly mode: Hold["mode"];
  readonly of: number;
  /** Fence of the covering hold, 0 = none. */
  readonly coveredBy: number;
}
export interface WaitRecord {
  readonly id: number;
  readonly account: AccountRef;
  readonly owner: string;
  readonly caller: string;
  readonly sequence: number;
  readonly waitMs: number;
  readonly ttlMs: number;
  readonly reentrant: boolean;
  readonly anonymous: boolean;
  readonly since: number;
  /** Fence of the hold to upgrade, 0 = an acquire. */
  readonly upgrade: number;
  readonly tickets: readonly TicketRecord[];
}

export function readWait(reader: ByteReader): WaitRecord {
  const id = reader.varint();
  const account = readAccount(reader);
  const owner = reader.string(text);
  const caller = reader.string(text);
  const sequence = reader.varint();
  const waitMs = reader.varint();
  const ttlMs = reader.varint();
  const flags = reader.u8();
  const since = reader.varint();
  const upgrade = reader.varint();
  const tickets: TicketRecord[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    tickets.push({ name: reader.string(text), mode: decodeMode(reader), of: reader.varint(), coveredBy: reader.varint() });
  }
  const reentrant = (flags & 1) !== 0;
  const anonymous = (flags & 2) !== 0;
  return { id, account, owner, caller, sequence, waitMs, ttlMs, reentrant, anonymous, since, upgrade, tickets };
}

export function writeDelay(writer: ByteWriter, delay: Delay): void {
  writer.varint(delay.id);
  writer.string(delay.lock.name);
  encodeMode(writer, delay.mode);
  writer.varint(delay.lock.of);
  writer.varint(delay.ms);
}

export interface DelayRecord {
  readonly id: number;
  readonly name: string;
  readonly mode: Hold["mode"];
  readonly of: number;
  readonly ms: number;
}

export function readDelay(reader: ByteReader): DelayRecord {
  return { id: reader.varint(), name: reader.string(text), mode: decodeMode(reader), of: reader.varint(), ms: reader.varint() };
}

export function writeCaller(writer: ByteWriter, record: CallerRecord): void {
  writer.string(record.caller);
  writer.u8(record.fingerprint === null ? 0 : 1);
  writer.string(record.fingerprint ?? "");
  writer.varint(record.ackedUpTo);
  writer.varint(record.notAfter);
  const kept = record.kept();
  writer.varint(kept.length);
  for (const [sequence, slot] of kept) {
    writer.varint(sequence);
    // 0 = answered; else the wait that will bring the answer (ids begin at 1).
    writer.varint(typeof slot === "number" ? slot : 0);
    if (typeof slot !== "number") encodeResult(writer, slot);
  }
}

export interface CallerFields {
  readonly caller: string;
  readonly fingerprint: string | null;
  readonly ackedUpTo: number;
  readonly notAfter: number;
  readonly kept: readonly (readonly [number, Slot])[];
}

export function readCaller(reader: ByteReader): CallerFields {
  const caller = reader.string(text);
  const known = reader.u8() === 1;
  const fingerprint = reader.string(text);
  const ackedUpTo = reader.varint();
  const notAfter = reader.varint();
  const kept: [number, Slot][] = [];
  for (let left = reader.varint(wireLimits.callerWindow); left > 0; left--) {
    const sequence = reader.varint();
    const wait = reader.varint();
    kept.push([sequence, wait === 0 ? decodeResult(reader) : wait]);
  }
  return { caller, fingerprint: known ? fingerprint : null, ackedUpTo, notAfter, kept };
}
