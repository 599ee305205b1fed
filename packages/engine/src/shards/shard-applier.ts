import {
  type Admission,
  CachedView,
  type CommandOrigin,
  decodeMembershipPayload,
  defaultShardLimits,
  invariant,
  logIndex,
  type OrderedView,
  QueueShard,
  type ShardAnswer,
  type ShardLimits,
  term,
} from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import {
  ByteWriter,
  CodecError,
  encodeResult,
  encodeShardResult,
  EntryPayloadCursor,
  FrameCursor,
  type FrameHeader,
  isCacheCommand,
  type ShardCommand,
} from "@trivet/wire";
import { statePointEvery } from "../base/limits.ts";
import { IoError } from "../ports/file.ts";
import type { StorageQuery, StorageReply } from "../ports/queue-storage.ts";
import type { BufferedStore } from "../stores/index.ts";
import { type DueLease, LeaseClock } from "./lease-clock.ts";
import { readMark, type StoreMark, writeMark } from "./store-mark.ts";
import { nothingTold, type Times, type Told } from "./told.ts";
import { type Decoded, noteChange, readOf, recordOf } from "./value-changes.ts";
import type { Applied, LookedUp, WorkerEntry, WorkerReply, WorkerRequest } from "./worker-protocol.ts";

/** Deliveries looked at in one step when a new leader starts every lease. */
const announcedPerStep = 4096;

/** One shard's state machine over its store: what the apply worker does for one group. No I/O but the store's. */
export class ShardApplier {
  readonly store: BufferedStore;
  private readonly limits: ShardLimits;
  private readonly hashes: boolean;
  private readonly routed = new Set<string>();
  private leases: LeaseClock | null = null;
  /** Where the announcing of leases to a new leader goes on; undefined = it is over. */
  private announceFrom: Uint8Array | null | undefined;
  private current: StoreMark;
  /** The last entry given; those after the current one did not find space, or follow others that did not. */
  private givenTo: number;
  /** What was applied of them, for the answer to the entries given again. */
  private untold: Told | null = null;
  private readonly entry = new EntryPayloadCursor();
  private readonly frame = new FrameCursor();
  private readonly writer = new ByteWriter(4096);
  private readonly cached = new CachedView();

  /** `hashes`: the state's hash comes with every answer, which takes everything to the store. */
  constructor(store: BufferedStore, limits: ShardLimits = defaultShardLimits, hashes = false) {
    this.store = store;
    this.limits = limits;
    this.hashes = hashes;
    this.current = store.read(readMark);
    this.givenTo = this.current.index;
  }

  /** As of the latest commit. */
  get mark(): StoreMark {
    return this.current;
  }

  /**
   * For a cut at that index (rule W5). Throws `no-space` while entries of before wait for it. Those behind, which were given as well, do not matter:
   * were it refused for them, it would be made again when they are applied.
   */
  refuseUnlessAt(index: number): void {
    if (mutant("shard-cut-after-later")) this.refuseWhileOwing();
    else if (this.isOwing && this.current.index < index) throw new IoError("no-space", "use", `entries up to ${index} wait for space`);
    else if (!mutant("shard-cut-while-owing"))
      invariant(this.current.index === index, "shard-cut-index", () => `a cut at ${index} of the state at ${this.current.index}`);
  }

  /**
   * Throws `no-space` while entries that were given wait for it: what is asked for behind them is of the state that they leave. Like them it is made
   * again.
   */
  refuseWhileOwing(): void {
    if (this.isOwing) throw new IoError("no-space", "use", `entries from ${this.current.index + 1} on wait for space`);
  }

  /**
   * Of the state (rule W7); null where the store has no space for what it takes: what was committed is not given again for the sake of a hash. Also
   * while given entries wait for space, for the host takes it for that of the last one.
   */
  hash(): string | null {
    if (this.isOwing) return null;
    return this.hashNow();
  }

  private hashNow(): string | null {
    try {
      return this.store.contentHash();
    } catch (error) {
      if (!(error instanceof IoError) || error.code !== "no-space" || mutant("shard-hash-fails-batch")) throw error;
      return null;
    }
  }

  private get isOwing(): boolean {
    return this.givenTo > this.current.index && !mutant("shard-cut-while-owing");
  }

  route(routed: readonly string[], unrouted: readonly string[]): void {
    for (const caller of unrouted) this.routed.delete(caller);
    for (const caller of routed) this.routed.add(caller);
  }

  /**
   * Applies entries in transactions that end where a state hash is wanted (rule W7), and where the store's buffer is full. Throws where the store has
   * no space; then the same entries are given again. Those behind them, which may be on their way already, must wait, and what was committed of them is
   * neither done nor told twice.
   */
  apply(entries: readonly WorkerEntry[], attended: number): Applied {
    if (!mutant("shard-lease-from-last-look")) this.leases?.advance(attended);
    const told = this.untold ?? nothingTold(new Set(), new Set());
    this.untold = told;
    const left = mutant("shard-retry-applied-twice") ? entries : entries.filter(({ index }) => index > this.current.index);
    const [first] = left;
    if (first !== undefined && first.index > this.current.index + 1 && !mutant("shard-overtakes-full-store")) {
      invariant(first.index <= this.givenTo + 1, "shard-apply-order", () => `entry ${first.index} after ${this.givenTo}`);
      this.givenTo = Math.max(this.givenTo, left.at(-1)?.index ?? 0);
      throw new IoError("no-space", "apply", `entries from ${first.index} on`);
    }
    this.givenTo = Math.max(this.givenTo, left.at(-1)?.index ?? 0);
    for (let from = 0; from < left.length;) {
      let to = from;
      while (to < left.length && (left[to] as WorkerEntry).index % statePointEvery !== 0) to++;
      to = Math.min(to + 1, left.length);
      from += this.applySome(left.slice(from, to), told);
      if (this.current.index % statePointEvery !== 0) continue;
      const hash = this.hashNow();
      // Without one, replicas compare at the next.
      if (hash !== null) told.points.push([this.current.index, hash]);
    }
    this.untold = null;
    this.time(told);
    const { answers, changes, hasQueued, points, ready, unconfigured, unknownNamespaces } = told;
    return {
      type: "applied",
      answers,
      ready,
      points,
      unconfigured: [...unconfigured],
      unknownNamespaces: [...unknownNamespaces],
      changes,
      hasQueued,
      hash: this.hashes ? this.hashNow() : null,
      nextLeaseAt: this.nextLeaseAt,
      ...(told.times ?? this.times()),
    };
  }

  times(): Times {
    return this.look(timesOf);
  }

  /** Rule L3: a new leader starts each lease in full. */
  lead(leads: boolean): void {
    this.leases = leads ? new LeaseClock() : null;
    this.announceFrom = leads && !mutant("shard-leases-not-restarted") ? null : undefined;
  }

  due(attended: number, most: number): { readonly leases: readonly DueLease[]; readonly nextLeaseAt: number } {
    const { leases } = this;
    if (leases === null) return { leases: [], nextLeaseAt: 0 };
    leases.advance(attended);
    this.announce(leases);
    return { leases: leases.takeDue(most), nextLeaseAt: this.nextLeaseAt };
  }

  /** At once while leases are still being announced. */
  private get nextLeaseAt(): number {
    if (this.leases === null) return 0;
    return this.announceFrom === undefined ? this.leases.nextAt : 1;
  }

  retryDue(due: readonly DueLease[]): void {
    this.leases?.retry(due);
  }

  /** What is remembered of a request, and the group time up to which that is all (rule X3). */
  lookup(caller: string, sequence: number): LookedUp {
    return this.look((shard) => ({ type: "looked-up", found: shard.lookup(caller, sequence), groupTime: shard.now }));
  }

  query(query: StorageQuery): StorageReply {
    return this.look((shard): StorageReply => {
      if (query.type === "stats") return { type: "stats", stats: { leader: "", ...shard.stats(query.queue, query.partition) } };
      return { type: "browsed", ...shard.browse(query.queue, query.partition, query.state, query.cursor, query.limit) };
    });
  }

  definitions(): Omit<Extract<WorkerReply, { readonly type: "definitions" }>, "type"> {
    return this.look((shard) => ({ known: shard.definitions(), namespaces: shard.namespaces(), rules: shard.rules }));
  }

  fences(from: Uint8Array | null, most: number): ReturnType<QueueShard["fences"]> {
    return this.look((shard) => shard.fences(from, most));
  }

  readValues(request: Extract<WorkerRequest, { readonly type: "cache-read" | "cache-home" | "cache-due" | "cache-behind" }>): WorkerReply {
    return this.look((shard): WorkerReply => {
      if (request.type === "cache-home") return { type: "cache-home", holders: shard.holders(), marker: shard.leaseMarker() };
      if (request.type === "cache-due") {
        return { type: "cache-due", values: shard.dueValues(request.now, request.most), nextAt: shard.nextValueEnd() };
      }
      if (request.type === "cache-behind") {
        const { after, most, mostBytes, without } = request;
        const page = shard.queuedWrites(after, { without: new Set(without), most, mostBytes });
        return { type: "cache-behind", since: shard.waitingSince(), backlogs: shard.backlogs(), ...page };
      }
      return { type: "cache-values", values: request.keys.map((key) => readOf(shard, key, request)) };
    });
  }

  private look<T>(ask: (shard: QueueShard) => T): T {
    return this.store.read((view) => ask(new QueueShard(view, noLeases, noHints, this.limits)));
  }

  private announce(leases: LeaseClock): void {
    const from = this.announceFrom;
    if (from === undefined) return;
    const page = this.look((shard) => shard.leases(from, announcedPerStep));
    leases.announcing = true;
    for (const { id, leaseMs } of page.leases) leases.leased(id, leaseMs);
    leases.announcing = false;
    this.announceFrom = page.next ?? undefined;
  }

  /** How many of them one transaction took: at least one, and no more than until the buffer is over its bound. */
  private applySome(entries: readonly WorkerEntry[], told: Told): number {
    const some = nothingTold(told.unconfigured, told.unknownNamespaces);
    let mark = this.current;
    let count = 0;
    const apart = mutant("shard-mark-apart");
    this.transaction((view, cached) => {
      const shard = new QueueShard(
        cached,
        { leased: (id, ms) => void some.leases.push({ id, ms }), ended: (id) => void some.leases.push({ id, ms: null }) },
        { ready: (queue, partition, group) => void some.ready.push({ queue, partition, group }) },
        this.limits,
      );
      for (const { index, term: at, kind, payload } of entries) {
        if (kind === "command") this.applyEntry(shard, payload, some);
        const isConfig = kind === "config";
        const membership = isConfig ? decodeMembershipPayload(payload) : mark.membership;
        mark = { index: logIndex(index), term: term(at), membership, membershipIndex: isConfig ? logIndex(index) : mark.membershipIndex };
        count += 1;
        if (this.store.isFull && !mutant("shard-batch-unbounded")) break;
      }
      if (!apart) writeMark(view, mark);
      some.times = timesOf(shard);
      some.hasQueued = shard.hasQueued;
    });
    if (apart) this.store.write((view) => writeMark(view, mark));
    // Nothing of it is told before it is committed: a transaction that fails has not happened.
    this.current = mark;
    told.times = some.times;
    told.hasQueued ||= some.hasQueued;
    for (const answer of some.answers) told.answers.push(answer);
    for (const hint of some.ready) told.ready.push(hint);
    for (const change of some.changes) told.changes.push(change);
    for (const lease of some.leases) told.leases.push(lease);
    if (mutant("shard-lease-from-first-try")) this.time(told);
    return count;
  }

  /** A lease begins when its holder is told of it: after a batch that waited for space, not with the part of it that found some. */
  private time({ leases }: Told): void {
    for (const { id, ms } of leases.splice(0)) {
      if (ms === null) this.leases?.ended(id);
      else this.leases?.leased(id, ms);
    }
  }

  private transaction(change: (view: OrderedView, cached: OrderedView) => void): void {
    const { cached } = this;
    try {
      this.store.write((view) => {
        change(view, cached.open(view));
        cached.flush();
      });
    } catch (error) {
      cached.forget();
      throw error;
    }
  }

  /** Total, as group 0's: what is no entry changes nothing, what is no frame is passed over, what is no command answers `malformed`. */
  private applyEntry(shard: QueueShard, payload: Uint8Array, told: Told): void {
    const { entry } = this;
    if (!this.opens(payload)) return;
    shard.beginEntry(entry.groupTime);
    while (entry.next()) {
      let header: FrameHeader;
      try {
        header = this.frame.open(payload, entry.frameStart, entry.frameEnd);
      } catch (error) {
        if (error instanceof CodecError) continue;
        throw error;
      }
      if (header.caller === "") this.applyOwnFrame(shard, header, told);
      else this.applyCallersFrame(shard, header, told);
    }
  }

  /** A leader that waits for what becomes of its frame gives it a name, and is routed by that. */
  private applyOwnFrame(shard: QueueShard, header: FrameHeader, told: Told): void {
    const isAwaited = header.fingerprint !== "" && this.routed.has(header.fingerprint);
    while (this.frame.next()) {
      const command = this.decode();
      const answer = command.type === "malformed" ? command : shard.execute(command, ownOrigin);
      noteChange(shard, command, answer, told.changes);
      if (isAwaited) this.tell(header, this.frame.sequence, answer, command, shard, told);
    }
  }

  private applyCallersFrame(shard: QueueShard, header: FrameHeader, told: Told): void {
    const { frame } = this;
    if (mutant("shard-apply-by-waiters") && !this.routed.has(header.caller)) return;
    const admission = shard.admit(header);
    while (frame.next()) {
      const command = this.decode();
      const isAwaited = this.routed.has(header.caller);
      if ("type" in admission) {
        if (isAwaited) this.tell(header, frame.sequence, admission, command, shard, told);
        continue;
      }
      const answer = command.type === "malformed" ? command : this.once(shard, admission, command, told);
      if (answer.type === "not-configured") told.unconfigured.add(answer.queue);
      if (answer.type === "no-namespace") told.unknownNamespaces.add(answer.namespace);
      if (isAwaited) this.tell(header, frame.sequence, answer, command, shard, told);
    }
  }

  private once(shard: QueueShard, admission: Admission, command: ShardCommand, told: Told): ShardAnswer {
    return shard.once(admission, this.frame.sequence, command, (answer) => noteChange(shard, command, answer, told.changes));
  }

  private tell(header: FrameHeader, sequence: number, answer: ShardAnswer, command: Decoded, shard: QueueShard, told: Told): void {
    const { caller, fingerprint, notAfter } = header;
    const record = recordOf(shard, command);
    const { writer } = this;
    writer.reset();
    if (answer.type === "malformed" || answer.type === "refused") encodeResult(writer, answer);
    else encodeShardResult(writer, answer);
    const bytes = writer.finish();
    told.answers.push({
      caller,
      sequence,
      fingerprint,
      notAfter,
      bytes,
      ...(record && { record }),
      ...(isCacheCommand(command) && { isCache: true }),
    });
  }

  private decode(): ShardCommand | { readonly type: "malformed"; readonly detail: string } {
    try {
      return this.frame.decodeShard();
    } catch (error) {
      if (error instanceof CodecError) return { type: "malformed", detail: error.message };
      throw error;
    }
  }

  /** Are the payload's own lengths sound? Decided before anything changes. */
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
}

function timesOf(shard: QueueShard): Times {
  return { groupTime: shard.now, wantsEntryAt: shard.nextDeadline() };
}

const ownOrigin: CommandOrigin = "leader";
const noLeases = { leased: (): void => {}, ended: (): void => {} };
const noHints = { ready: (): void => {} };
