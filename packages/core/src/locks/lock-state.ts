import { mutant } from "#mutation";
import type { LockMode, Result } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";
import type { Account } from "../sessions/account.ts";
import type { DedupeTable } from "../sessions/dedupe.ts";
import type { SessionTable } from "../sessions/session-table.ts";
import { hashText } from "../system/digest.ts";
import type { Ledger } from "../system/ledger.ts";
import type { ForcedBy, ReleaseCause } from "../system/ports.ts";
import type { DeadlockResolution } from "../system/view.ts";
import { arrangedPerCall } from "../system/limits.ts";
import { ShardedMap } from "../system/sharded-map.ts";
import { Hold, linkToLock, unlinkFromLock } from "./hold.ts";
import { Delay, type Lock } from "./lock.ts";
import { LockTable } from "./lock-table.ts";
import { delayDigest, holdDigest, packedDigest, waitDigest } from "./digests.ts";
import type { HoldFields } from "./hold-record.ts";
import { PackedHolds, type PackedRecord } from "./packed-holds.ts";
import { PackedOrder } from "./packed-order.ts";
import { dequeue, enqueue } from "./wait-queue.ts";
import type { Wait } from "./wait.ts";

/** Holds that are made objects in one idle moment. */
const unpackedPerStep = 128;

/**
 * Everything locks consist of, and the only code that changes it: each change here keeps links, counts, timers, the state hash, the
 * snapshot's before-images and the event stream together. The rules live in the files beside this one.
 */
export class LockState {
  readonly ledger: Ledger;
  readonly sessions: SessionTable;
  readonly dedupe: DedupeTable;
  /** Part of the holds: everything that is said of holds is said of these too. */
  readonly packed: PackedHolds = new PackedHolds((fields, id) => this.unpacked(fields, id));
  readonly packedOrder: PackedOrder = new PackedOrder(this.packed);
  readonly table: LockTable = new LockTable(this.packed);
  readonly waits: ShardedMap<Wait> = new ShardedMap();
  /** Holds without session by fence: their leases run on their own. */
  readonly leases: ShardedMap<Hold> = new ShardedMap();
  readonly delays: ShardedMap<Delay> = new ShardedMap();
  holdCount = 0;
  /** Replicated counters. */
  lastFence = 0;
  lastWait = 0;
  lastDelay = 0;
  lastAnonymous = 0;
  /** Latest deadlocks, oldest first. */
  resolutions: DeadlockResolution[] = [];

  /** Locks whose line must be looked at before the command ends, in the order they came up. */
  readonly dirty: Lock[] = [];
  /** Waiting sets that lost a covering hold in this command: they wait in line now, which can close a cycle. */
  readonly uncovered: Wait[] = [];
  /** Owners granted by the command, for its answer. */
  readonly grantedOwners: string[] = [];
  /** The wait that the running command has just made, and its answer if the command itself brings it. */
  entering: Wait | null = null;
  enteringAnswer: Result | null = null;
  /** Of those that are packed, all below are unpacked because few were left. */
  private sparseAt = 0;
  /** Number of the running deadlock search. */
  search = 0;

  constructor(ledger: Ledger, sessions: SessionTable, dedupe: DedupeTable) {
    this.ledger = ledger;
    this.sessions = sessions;
    this.dedupe = dedupe;
  }

  /** A fresh grant (rule K1: its own fence). */
  addHold(lock: Lock, account: Account, owner: string, mode: LockMode, anonymous: boolean, ttlMs: number): Hold {
    const { ledger } = this;
    const fence = this.nextFence();
    const lease = account.session === 0 ? ttlMs : 0;
    const hold = new Hold(lock, account, owner, mode, fence, anonymous, lease, ledger.groupTime, ledger.epoch);
    this.insertHold(hold);
    if (lease !== 0) ledger.timers?.armed("grant", fence, lease);
    this.tellGranted(hold);
    return hold;
  }

  /** Links a complete hold; also the snapshot loader's way. */
  insertHold(hold: Hold): void {
    linkToLock(hold.lock, hold);
    hold.lock.count(hold.mode, 1);
    hold.account.addHold(hold);
    this.holdCount++;
    if (hold.account.session === 0) this.leases.add(hold.fence, hold);
    hold.digest = holdDigest(hold);
    this.ledger.digest.add(hold.digest);
  }

  /** Takes in the hold that was read last from a snapshot, whose record begins at `start`: it stays packed. */
  insertPacked(record: PackedRecord, start: number, account: Account): void {
    this.packed.add(start, account);
    account.holdCount++;
    this.holdCount++;
    this.ledger.digest.add(packedDigest(record));
  }

  /** Puts names in order for listings, a millisecond's worth. True when all are. */
  arrange(): boolean {
    const { packed } = this;
    if (packed.isSparse) {
      for (let left = unpackedPerStep; left > 0 && this.sparseAt < packed.end; this.sparseAt++) {
        if (!packed.isPacked(this.sparseAt)) continue;
        packed.unpack(this.sparseAt);
        left--;
      }
      return false;
    }
    const steps = this.table.index.waitingCount > arrangedPerCall / 2 ? 1 : undefined;
    return this.table.index.arrange(arrangedPerCall) && this.packedOrder.arrange(steps);
  }

  /** The same for whoever is about to list names. True when a page costs about what it shows. */
  arrangeToList(): boolean {
    return this.isListable || this.arrange() || this.isListable;
  }

  /** Does a page of names cost about what it shows? */
  get isListable(): boolean {
    return this.packedOrder.isInRuns && this.table.index.waitingCount <= arrangedPerCall;
  }

  /** Makes objects of all that the account holds. */
  unpackAll(account: Account): void {
    for (const id of this.packed.of(account)) this.packed.unpack(id);
    account.firstPacked = -1;
  }

  /** Ends a packed hold of the account without making it an object. Nobody waits for its name and no delay keeps it, so the name goes with it. */
  removePacked(id: number, account: Account, cause: ReleaseCause): void {
    const { ledger, packed } = this;
    if (!mutant("snapshot-no-image-packed-end")) ledger.images?.unpacking(id);
    ledger.digest.remove(packedDigest(packed.recordOf(id)));
    account.holdCount--;
    this.holdCount--;
    if (ledger.sink.isWatched !== false) {
      const { name, owner, session, fence } = packed.fieldsOf(id);
      ledger.sink.changed({ type: "lock-released", name, owner, session, fence, cause });
    }
    packed.take(id);
  }

  /** What is counted and hashed is the same before and after. */
  private unpacked(fields: HoldFields, id: number): Lock {
    const { ledger } = this;
    const { name, session, owner, mode, fence, anonymous, ttlMs, since } = fields;
    if (!mutant("snapshot-no-image-packed")) ledger.images?.unpacking(id);
    const account = this.sessions.sessions.get(session);
    invariant(account !== undefined, "packed-of-a-session", () => `${name} is held by session ${session}, which is over`);
    const lock = this.table.add(name, hashText(name));
    lock.of = fields.of;
    const hold = new Hold(lock, account, owner, mode, fence, anonymous, ttlMs, since, ledger.epoch);
    hold.depth = fields.depth;
    hold.digest = holdDigest(hold);
    linkToLock(lock, hold);
    lock.count(mode, 1);
    account.holdCount--;
    account.addHold(hold);
    return lock;
  }

  removeHold(hold: Hold, cause: ReleaseCause, forced: ForcedBy | null = null): void {
    const { ledger } = this;
    const { lock, account } = hold;
    this.preserveHold(hold);
    ledger.digest.remove(hold.digest);
    unlinkFromLock(lock, hold);
    lock.count(hold.mode, -1);
    account.removeHold(hold);
    this.holdCount--;
    if (account.session === 0) {
      this.leases.remove(hold.fence);
      if (!mutant("lock-grant-timer-not-cleared")) ledger.timers?.cleared("grant", hold.fence);
    }
    ledger.sink.changed({
      type: "lock-released",
      name: lock.name,
      owner: hold.owner,
      session: account.session,
      fence: hold.fence,
      cause,
      ...(forced === null ? undefined : { forced }),
    });
  }

  /** Another depth or lease of a hold that stays as it is otherwise. */
  setDepth(hold: Hold, depth: number): void {
    this.preserveHold(hold);
    hold.depth = depth;
    this.recount(hold);
  }

  setLease(hold: Hold, ttlMs: number): void {
    this.preserveHold(hold);
    hold.ttlMs = ttlMs;
    this.recount(hold);
    if (!mutant("lock-lease-not-rearmed")) this.ledger.timers?.armed("grant", hold.fence, ttlMs);
  }

  /** A weaker mode under the same fence (rule K1). */
  weaken(hold: Hold, mode: LockMode): void {
    this.preserveHold(hold);
    hold.lock.count(hold.mode, -1);
    hold.lock.count(mode, 1);
    hold.mode = mode;
    if (mutant("lock-downgrade-fresh-fence")) this.moveToFreshFence(hold);
    this.recount(hold);
  }

  /** A stronger mode under a fresh fence (rule K1). */
  strengthen(hold: Hold, mode: LockMode): void {
    this.preserveHold(hold);
    hold.lock.count(hold.mode, -1);
    hold.lock.count(mode, 1);
    hold.mode = mode;
    if (!mutant("lock-upgrade-keeps-fence")) this.moveToFreshFence(hold);
    hold.since = this.ledger.groupTime;
    this.recount(hold);
    this.tellGranted(hold);
  }

  /** Puts a request in all its lines. Nobody is told and no timer runs until `announce`. */
  addWait(wait: Wait): void {
    this.insertWait(wait);
    this.entering = wait;
    this.enteringAnswer = null;
  }

  /** Links a complete wait; also the snapshot loader's way. */
  insertWait(wait: Wait): void {
    this.waits.add(wait.id, wait);
    for (const ticket of wait.tickets) {
      enqueue(ticket);
      if (ticket.coveredBy !== null) ticket.coveredBy.covering = ticket;
    }
    if (wait.upgrade !== null) wait.upgrade.upgrading = wait;
    wait.account.addWait(wait);
    wait.digest = waitDigest(wait);
    this.ledger.digest.add(wait.digest);
  }

  /** The request stays: its time runs from now. */
  announce(wait: Wait): void {
    const { ledger } = this;
    wait.announced = true;
    ledger.timers?.armed("wait", wait.id, wait.waitMs);
    for (const ticket of wait.tickets) {
      ledger.sink.changed({
        type: "lock-waiting",
        name: ticket.lock.name,
        owner: wait.owner,
        session: wait.account.session,
        mode: ticket.mode,
      });
    }
  }

  /** Takes a request out of all its lines; those behind it may come forward. */
  removeWait(wait: Wait): void {
    const { ledger } = this;
    this.preserveWait(wait);
    ledger.digest.remove(wait.digest);
    this.waits.remove(wait.id);
    for (const ticket of wait.tickets) {
      dequeue(ticket);
      if (ticket.coveredBy !== null) ticket.coveredBy.covering = null;
      ticket.coveredBy = null;
      this.markDirty(ticket.lock);
    }
    if (wait.upgrade !== null) wait.upgrade.upgrading = null;
    wait.account.removeWait(wait);
    if (wait.announced && !mutant("lock-wait-timer-not-cleared")) ledger.timers?.cleared("wait", wait.id);
  }

  /** The covering hold of a set's key is gone or too weak: the key waits in line like any other. */
  uncover(hold: Hold): void {
    const ticket = hold.covering;
    if (ticket === null) return;
    hold.covering = null;
    if (mutant("lock-cover-outlives-hold")) return;
    this.preserveWait(ticket.wait);
    ticket.coveredBy = null;
    this.uncovered.push(ticket.wait);
  }

  /** The one answer of a wait that is over. */
  answer(wait: Wait, result: Result): void {
    if (wait === this.entering) {
      this.enteringAnswer = result;
      return;
    }
    if (wait.caller === "") return;
    this.dedupe.fill(wait.caller, wait.sequence, wait.id, result);
    const fingerprint = this.dedupe.find(wait.caller)?.fingerprint ?? "";
    if (!mutant("lock-wait-answer-lost")) this.ledger.sink.answer(wait.caller, wait.sequence, result, fingerprint, 0);
  }

  addDelay(lock: Lock, mode: LockMode, ms: number): void {
    const delay = new Delay(++this.lastDelay, lock, mode, ms, this.ledger.epoch);
    this.insertDelay(delay);
    this.ledger.timers?.armed("lock-delay", delay.id, ms);
  }

  insertDelay(delay: Delay): void {
    const { lock } = delay;
    delay.next = lock.firstDelay;
    if (lock.firstDelay !== null) lock.firstDelay.previous = delay;
    lock.firstDelay = delay;
    if (!mutant("lock-delay-keeps-nobody-out")) lock.count(delay.mode, 1);
    this.delays.add(delay.id, delay);
    delay.digest = delayDigest(delay);
    this.ledger.digest.add(delay.digest);
  }

  removeDelay(delay: Delay): void {
    const { ledger } = this;
    const { lock, previous, next } = delay;
    if (ledger.images !== null && delay.epoch !== ledger.epoch && !mutant("snapshot-no-image-delay")) {
      delay.epoch = ledger.epoch;
      ledger.images.delay(delay);
    }
    ledger.digest.remove(delay.digest);
    if (previous === null) lock.firstDelay = next;
    else previous.next = next;
    if (next !== null) next.previous = previous;
    if (!mutant("lock-delay-keeps-nobody-out")) lock.count(delay.mode, -1);
    this.delays.remove(delay.id);
    ledger.timers?.cleared("lock-delay", delay.id);
    this.markDirty(lock);
  }

  markDirty(lock: Lock): void {
    if (lock.dirty) return;
    lock.dirty = true;
    this.dirty.push(lock);
  }

  /** A name nobody uses costs nothing. */
  dropIfIdle(lock: Lock): void {
    if (lock.idle && !mutant("lock-idle-name-kept")) this.table.drop(lock);
  }

  private nextFence(): number {
    return mutant("lock-fence-repeated") ? Math.max(1, this.lastFence) : ++this.lastFence;
  }

  private moveToFreshFence(hold: Hold): void {
    const { ledger } = this;
    const { lock, account } = hold;
    const leased = account.session === 0;
    if (leased) {
      this.leases.remove(hold.fence);
      ledger.timers?.cleared("grant", hold.fence);
    }
    unlinkFromLock(lock, hold);
    account.removeHold(hold);
    hold.fence = this.nextFence();
    linkToLock(lock, hold);
    account.addHold(hold);
    if (leased) {
      this.leases.add(hold.fence, hold);
      ledger.timers?.armed("grant", hold.fence, hold.ttlMs);
    }
  }

  private recount(hold: Hold): void {
    this.ledger.digest.remove(hold.digest);
    hold.digest = holdDigest(hold);
    this.ledger.digest.add(hold.digest);
  }

  private tellGranted(hold: Hold): void {
    this.ledger.sink.changed({
      type: "lock-granted",
      name: hold.lock.name,
      owner: hold.owner,
      session: hold.account.session,
      mode: hold.mode,
      fence: hold.fence,
    });
  }

  private preserveHold(hold: Hold): void {
    const { ledger } = this;
    if (ledger.images === null || hold.epoch === ledger.epoch || mutant("snapshot-no-image-hold")) return;
    hold.epoch = ledger.epoch;
    ledger.images.hold(hold);
  }

  private preserveWait(wait: Wait): void {
    const { ledger } = this;
    if (ledger.images === null || wait.epoch === ledger.epoch || mutant("snapshot-no-image-wait")) return;
    wait.epoch = ledger.epoch;
    ledger.images.wait(wait);
  }
}
