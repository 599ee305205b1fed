import { mutant } from "#mutation";
import { CodecError, type Command, EntryPayloadCursor, type ExpiryKind, FrameCursor, type FrameHeader, type Result } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";
import { LockState } from "../locks/lock-state.ts";
import { listWaitEdges } from "../locks/wait-graph.ts";
import { CallerRecord } from "../sessions/caller-record.ts";
import { DedupeTable } from "../sessions/dedupe.ts";
import { SessionTable } from "../sessions/session-table.ts";
import { AuditAnchors } from "./audit-anchors.ts";
import { execute } from "./execute.ts";
import { FeatureLevelRecord } from "./feature-level.ts";
import { Ledger, nobody } from "./ledger.ts";
import { type CounterFloor, defaultSystemLimits, type SystemLimits } from "./limits.ts";
import { compareNames } from "./names.ts";
import { NamespaceRegistry } from "./namespace-registry.ts";
import { NodeRegistry } from "./node-registry.ts";
import { PlacementRecord } from "./placement-record.ts";
import type { ApplySink, TimerSink } from "./ports.ts";
import { QueueRegistry } from "./queue-registry.ts";
import { SnapshotCursor } from "./snapshot-cursor.ts";
import type { SnapshotHeader } from "./snapshot-format.ts";
import { hashOfState } from "./state-hash.ts";
import type {
  AuditedNodeView,
  DeadlockResolution,
  LockView,
  NamespacePage,
  NamespaceView,
  NodeView,
  PlacementView,
  QueueView,
  SessionView,
  SystemView,
  WaitEdge,
} from "./view.ts";
import { listLocks, listSessions, lockView, sessionView } from "./views.ts";

/**
 * Group 0's state machine: sessions, locks, the dedupe table, the node registry, and what queues there are on which nodes. Deterministic: the same entries give the same state
 * and the same answers on every replica. Total: no payload makes it throw, except a broken invariant.
 */
export class SystemState implements SystemView {
  /** The parts, for the snapshot, the invariants and nobody else. */
  readonly ledger: Ledger;
  readonly sessionTable: SessionTable;
  readonly dedupe: DedupeTable;
  readonly lockState: LockState;
  readonly registry: NodeRegistry;
  readonly queueRegistry: QueueRegistry;
  readonly namespaceRegistry: NamespaceRegistry;
  readonly placementRecord: PlacementRecord;
  readonly features: FeatureLevelRecord;
  readonly auditAnchors: AuditAnchors;
  /** Index of the last entry applied. */
  appliedIndex = 0;
  private readonly entry = new EntryPayloadCursor();
  private readonly frame = new FrameCursor();
  /** Walks what still has to be announced to the leader's timers. */
  private unannounced: Iterator<void> | null = null;

  constructor(limits: Partial<SystemLimits> = {}) {
    this.ledger = new Ledger({ ...defaultSystemLimits, ...limits });
    this.sessionTable = new SessionTable(this.ledger);
    this.dedupe = new DedupeTable(this.ledger);
    this.lockState = new LockState(this.ledger, this.sessionTable, this.dedupe);
    this.registry = new NodeRegistry(this.ledger);
    this.queueRegistry = new QueueRegistry(this.ledger);
    this.namespaceRegistry = new NamespaceRegistry(this.ledger);
    this.placementRecord = new PlacementRecord(this.ledger, this.registry);
    this.features = new FeatureLevelRecord(this.ledger);
    this.auditAnchors = new AuditAnchors(this.ledger, this.registry);
  }

  /**
   * Applies one committed entry. A payload that is no entry changes nothing; a frame that is no frame is passed over; a command that
   * is no command answers `malformed`.
   */
  applyEntry(payload: Uint8Array, index: number, sink: ApplySink): void {
    invariant(index > this.appliedIndex, "applied-in-order", () => `entry ${index} after ${this.appliedIndex}`);
    this.appliedIndex = index;
    const { entry, ledger } = this;
    if (!this.opens(payload)) return;
    if (entry.groupTime > ledger.groupTime || mutant("system-time-backwards")) ledger.groupTime = entry.groupTime;
    ledger.sink = sink;
    this.dedupe.sweep();
    while (entry.next()) this.applyFrame(payload, entry.frameStart, entry.frameEnd);
    ledger.sink = nobody;
  }

  /**
   * One command outside any frame, at the present group time: for tests and model checkers, and for a leader's own proposals when
   * `caller` is empty. Answers that come later go to `sink`. A number = it waits.
   */
  applyCommand(command: Command, caller: string, sequence: number, sink: ApplySink): Result | number {
    this.ledger.sink = sink;
    const result = execute(this, command, caller, sequence);
    this.ledger.sink = nobody;
    return result;
  }

  /** Begins to cut the state as it is now (rule W8). One at a time: abort the other first. */
  beginSnapshot(): SnapshotCursor {
    const { ledger, lockState, sessionTable, dedupe, namespaceRegistry, registry, queueRegistry } = this;
    const header: SnapshotHeader = {
      limits: ledger.limits,
      appliedIndex: this.appliedIndex,
      groupTime: ledger.groupTime,
      lastFence: lockState.lastFence,
      lastWait: lockState.lastWait,
      lastDelay: lockState.lastDelay,
      lastAnonymous: lockState.lastAnonymous,
      lastSession: sessionTable.lastSession,
      sessions: sessionTable.sessions.size,
      holds: lockState.holdCount,
      waits: lockState.waits.size,
      delays: lockState.delays.size,
      callers: dedupe.size,
      lastQueue: queueRegistry.lastQueue,
      lastVersion: queueRegistry.lastVersion,
      queues: queueRegistry.size,
      lastNamespace: namespaceRegistry.lastNamespace,
      lastNamespaceVersion: namespaceRegistry.lastVersion,
      namespaces: [...namespaceRegistry.defined()],
      hash: this.stateHash(),
      nodes: [...registry.nodes.values()],
      resolutions: [...lockState.resolutions],
      placement: this.placementRecord.view,
      featureLevel: this.features.told ?? 0,
      auditedNodes: this.auditAnchors.nodes.size,
    };
    return new SnapshotCursor(lockState, [...queueRegistry.values()], [...this.auditAnchors.nodes.values()], header);
  }

  /** The leader's timers, announced in full at once (rule L3: a new leader restarts every lease). Null = this replica leads no longer. */
  setTimerSink(timers: TimerSink | null): void {
    this.startTimers(timers);
    this.announceTimers(Number.POSITIVE_INFINITY);
  }

  /**
   * The same in steps, for states too large for one: from now on changes go to `timers`, and what there is already is announced by
   * `announceTimers`. Until then `durationOf` knows of it. Who is announced later lives longer, which is safe (rule L3).
   */
  startTimers(timers: TimerSink | null): void {
    this.ledger.timers = timers;
    this.unannounced = timers === null || mutant("system-timers-not-restarted") ? null : this.timed();
  }

  /** Announces at most `limit` more. True when all are. */
  announceTimers(limit: number): boolean {
    const { unannounced } = this;
    for (let left = limit; left > 0 && this.unannounced !== null; left--) {
      if (unannounced?.next().done !== false) this.unannounced = null;
    }
    return this.unannounced === null;
  }

  /** How long the lease, wait or delay lives; null when there is none. */
  durationOf(kind: ExpiryKind, id: number): number | null {
    const { lockState, sessionTable } = this;
    switch (kind) {
      case "session":
        return sessionTable.sessions.get(id)?.ttlMs ?? null;
      case "grant":
        return lockState.leases.get(id)?.ttlMs ?? null;
      case "wait":
        return lockState.waits.get(id)?.waitMs ?? null;
      case "lock-delay":
        return lockState.delays.get(id)?.ms ?? null;
    }
  }

  /** Work that may wait for an idle moment, a millisecond of it at most: puts new names in order for listings. True when none is left. */
  tidy(): boolean {
    return this.lockState.arrange();
  }

  /** Raises the counters of a state that founds a new cluster (rule W9). Never on a member of a running one. */
  raiseCounters(floor: CounterFloor): void {
    const { lockState } = this;
    lockState.lastFence = Math.max(lockState.lastFence, floor.fence);
    lockState.lastWait = Math.max(lockState.lastWait, floor.wait);
    lockState.lastDelay = Math.max(lockState.lastDelay, floor.delay);
    lockState.lastAnonymous = Math.max(lockState.lastAnonymous, floor.anonymous);
    this.sessionTable.lastSession = Math.max(this.sessionTable.lastSession, floor.session);
  }

  arrangeToList(): boolean {
    return this.lockState.arrangeToList();
  }

  isListable(): boolean {
    return this.lockState.isListable;
  }

  /** State hash (rule W7): equal for equal states whatever their history. Costs no walk over the locks: take it as often as wanted. */
  stateHash(): string {
    return hashOfState(this);
  }

  get groupTime(): number {
    return this.ledger.groupTime;
  }

  get lastFence(): number {
    return this.lockState.lastFence;
  }

  lock(name: string): LockView {
    return lockView(name, this.lockState.table.get(name));
  }

  locks(prefix: string, cursor: string, limit: number): { readonly locks: readonly LockView[]; readonly next: string | null } {
    return listLocks(this.lockState, prefix, cursor, limit);
  }

  lockCount(): number {
    return this.lockState.table.size;
  }

  waiterCount(): number {
    return this.lockState.waits.size;
  }

  session(id: number): SessionView | null {
    const account = this.sessionTable.sessions.get(id);
    return account === undefined ? null : sessionView(account);
  }

  sessions(cursor: number, limit: number): { readonly sessions: readonly SessionView[]; readonly next: number | null } {
    return listSessions(this.sessionTable.sessions, cursor, limit);
  }

  sessionCount(): number {
    return this.sessionTable.sessions.size;
  }

  isHeld(name: string, fence: number): boolean {
    for (let hold = this.lockState.table.get(name)?.firstHold ?? null; hold !== null; hold = hold.nextOfLock) {
      if (hold.fence === fence) return true;
    }
    return false;
  }

  waitEdges(limit: number): readonly WaitEdge[] {
    return listWaitEdges(this.lockState, limit);
  }

  lastResolutions(): readonly DeadlockResolution[] {
    return this.lockState.resolutions;
  }

  nodes(): readonly NodeView[] {
    return [...this.registry.nodes.values()].sort((a, b) => compareNames(a.node, b.node));
  }

  queue(name: string): QueueView | null {
    return this.queueRegistry.get(name);
  }

  queueByNumber(queue: number): QueueView | null {
    return this.queueRegistry.withNumber(queue);
  }

  lastQueue(): number {
    return this.queueRegistry.lastQueue;
  }

  queues(prefix: string, cursor: string, limit: number): { readonly queues: readonly QueueView[]; readonly next: string | null } {
    return this.queueRegistry.page(prefix, cursor, limit);
  }

  queueCount(): number {
    return this.queueRegistry.size;
  }

  namespace(name: string): NamespaceView | null {
    return this.namespaceRegistry.get(name);
  }

  namespaceByNumber(namespace: number): NamespaceView | null {
    return this.namespaceRegistry.withNumber(namespace);
  }

  lastNamespace(): number {
    return this.namespaceRegistry.lastNamespace;
  }

  namespaces(prefix: string, cursor: string, limit: number): NamespacePage {
    return this.namespaceRegistry.page(prefix, cursor, limit);
  }

  placement(): PlacementView | null {
    return this.placementRecord.view;
  }

  placementNames(node: string): boolean {
    return this.placementRecord.names(node);
  }

  auditedNodes(): readonly AuditedNodeView[] {
    return this.auditAnchors.all();
  }

  lookup(caller: string, sequence: number): Result | "pending" | "unknown" {
    return this.dedupe.lookup(caller, sequence);
  }

  timerCount(kind: ExpiryKind): number {
    const { lockState } = this;
    if (kind === "session") return this.sessionTable.sessions.size;
    if (kind === "grant") return lockState.leases.size;
    return kind === "wait" ? lockState.waits.size : lockState.delays.size;
  }

  private *timed(): Generator<void> {
    const { ledger, lockState, sessionTable } = this;
    for (const account of sessionTable.sessions.values()) yield ledger.timers?.armed("session", account.session, account.ttlMs);
    for (const hold of lockState.leases.values()) yield ledger.timers?.armed("grant", hold.fence, hold.ttlMs);
    for (const wait of lockState.waits.values()) yield ledger.timers?.armed("wait", wait.id, wait.waitMs);
    for (const delay of lockState.delays.values()) yield ledger.timers?.armed("lock-delay", delay.id, delay.ms);
  }

  /** Are the payload's own lengths sound? Decided before anything changes. Leaves the cursor at the first frame. */
  private opens(payload: Uint8Array): boolean {
    const { entry } = this;
    try {
      entry.open(payload);
      while (entry.next());
      entry.open(payload);
      return true;
    } catch (error) {
      if (error instanceof CodecError) return false;
      throw error;
    }
  }

  private applyFrame(payload: Uint8Array, start: number, end: number): void {
    const { frame } = this;
    let header: FrameHeader;
    try {
      header = frame.open(payload, start, end);
    } catch (error) {
      if (error instanceof CodecError) return;
      throw error;
    }
    if (header.caller === "") this.applyOwnFrame();
    else this.applyCallersFrame(header);
  }

  /** A leader's own proposals: nobody waits for their answers, and doing one twice is harmless (ids are never reused). */
  private applyOwnFrame(): void {
    while (this.frame.next()) {
      const command = this.decode();
      if (command.type !== "malformed") execute(this, command, "", 0);
    }
  }

  private applyCallersFrame(header: FrameHeader): void {
    const { frame, dedupe, ledger } = this;
    const { caller, notAfter } = header;
    const record = dedupe.admit(header);
    if (!(record instanceof CallerRecord)) {
      const refused: Result =
        record === "horizon" ? { type: "malformed", detail: "not-after lies too far ahead" } : { type: "refused", reason: record };
      while (frame.next()) ledger.sink.answer(caller, frame.sequence, refused, header.fingerprint, notAfter);
      return;
    }
    while (frame.next()) {
      const { sequence } = frame;
      const known = mutant("dedupe-executes-twice") ? undefined : record.get(sequence);
      // Pending: the answer comes with the end of its wait, once, whoever asks again meanwhile.
      if (typeof known === "number") continue;
      if (known !== undefined) {
        ledger.sink.answer(caller, sequence, known, header.fingerprint, notAfter);
        continue;
      }
      const reason = dedupe.refusal(record, sequence, notAfter);
      if (reason !== null) {
        ledger.sink.answer(caller, sequence, { type: "refused", reason }, header.fingerprint, notAfter);
        continue;
      }
      const command = this.decode();
      const result = command.type === "malformed" ? command : execute(this, command, caller, sequence);
      dedupe.put(record, sequence, result);
      if (typeof result !== "number") ledger.sink.answer(caller, sequence, result, header.fingerprint, notAfter);
    }
  }

  private decode(): Command | { readonly type: "malformed"; readonly detail: string } {
    try {
      return this.frame.decode();
    } catch (error) {
      if (error instanceof CodecError) return { type: "malformed", detail: error.message };
      throw error;
    }
  }
}
