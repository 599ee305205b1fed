import { mutant } from "#mutation";
import {
  type ExpiredValue,
  type FrameHeader,
  isCacheCommand,
  type QueueDefinition,
  type QueueShardCommand,
  type ShardCommand,
} from "@trivet/wire";
import type { CachedRecord } from "../coherence/messages.ts";
import { decideCache, readValue } from "../coherence/values/cache.ts";
import { leaseMarker, registeredHolders } from "../coherence/values/holders.ts";
import { dueValues, nextValueEnd } from "../coherence/values/invalidate.ts";
import { knownNamespaces } from "../coherence/values/namespaces.ts";
import {
  type BacklogOfNamespace,
  backlogs,
  type QueuedBounds,
  type QueuedPage,
  type QueuedWrite,
  queuedWrite,
  queuedWrites,
  waitingSince,
} from "../coherence/values/outbox.ts";
import { type NamespaceUse, useOf } from "../coherence/values/value-table.ts";
import { assertNever } from "../kernel/assert.ts";
import type { RememberedAnswer, ShardAnswer } from "./answer.ts";
import { type BrowsePage, type BrowseState, browseFrom } from "./browse.ts";
import { nextDeadline } from "./calendar.ts";
import { clearSome } from "./clear.ts";
import { consumerGone } from "./consumer-gone.ts";
import { ShardContext } from "./context.ts";
import { purgeDead, redrive } from "./dead-letters.ts";
import { type Admission, ShardDedupe } from "./dedupe.ts";
import { type FencePage, fencesFrom, raiseFence, raiseFloor } from "./fences.ts";
import { consume } from "./hand-out.ts";
import { hasJob, startClearing } from "./jobs.ts";
import { type LeasePage, leasesFrom } from "./lease-pages.ts";
import { laneCount, defaultShardLimits, type ShardLimits } from "./limits.ts";
import { produce } from "./produce.ts";
import { purge } from "./purge.ts";
import { configureQueue, definitionOf, dropQueue, knownDefinitions } from "./queue-table.ts";
import { expireLeases, settle } from "./settle.ts";
import type { LeaseSink, ReadySink } from "./sinks.ts";
import { type PartitionCounts, statsOf } from "./stats.ts";
import type { OrderedView } from "./store.ts";
import { sweep } from "./sweep.ts";

/** Who says it: some things are the leader's to say, in frames without a caller. */
export type CommandOrigin = "caller" | "leader";

/**
 * The state machine of one shard (groups 1…S): total and deterministic over the keys of its store, which is all its state. Used within
 * one transaction per batch of entries; afterwards the store may be read by anybody.
 */
export class QueueShard {
  private readonly shard: ShardContext;
  private readonly dedupe: ShardDedupe;

  constructor(view: OrderedView, leases: LeaseSink, ready: ReadySink, limits: ShardLimits = defaultShardLimits) {
    this.shard = new ShardContext(view, leases, ready, limits);
    this.dedupe = new ShardDedupe(this.shard);
  }

  /** Group time, as of the latest entry. */
  get now(): number {
    return this.shard.now;
  }

  /** Since this was made: something was written that its origin does not have (decision 0020). */
  get hasQueued(): boolean {
    return this.shard.hasQueued;
  }

  /** An entry stamped with `now`: meets the deadlines that have come and clears some of what is gone, in bounded steps. */
  beginEntry(now: number): void {
    this.shard.setTime(now);
    sweep(this.shard);
    this.shard.flush();
    clearSome(this.shard);
    this.shard.flush();
  }

  /** One command, whether or not it was executed before: of a leader's frame. Those of callers go through `once`. */
  execute(command: ShardCommand, origin: CommandOrigin): ShardAnswer {
    const answer = this.decide(command, origin);
    this.shard.flush();
    return answer;
  }

  /** Opens a caller's frame, or says why all its commands are refused (rule X1). */
  admit(header: FrameHeader): Admission | ShardAnswer {
    return this.dedupe.admit(header);
  }

  /** One command of an admitted frame: executed once, answered the same as often as it comes. `executed` is told of the first time only. */
  once(admission: Admission, sequence: number, command: ShardCommand, executed?: (answer: ShardAnswer) => void): ShardAnswer {
    const answer = this.dedupe.once(admission, sequence, command, () => {
      const decided = this.decide(command, "caller");
      executed?.(decided);
      return decided;
    });
    this.shard.flush();
    return answer;
  }

  /** What is known of a caller's request (rule X3). Changes nothing. */
  lookup(caller: string, sequence: number): RememberedAnswer | "unknown" {
    return this.dedupe.lookup(caller, sequence);
  }

  /** Leases from `from` on, at most so many looked at: for the timers of a new leader. `next` null = all were seen. */
  leases(from: Uint8Array | null, most: number): LeasePage {
    return leasesFrom(this.shard, from, most);
  }

  /** Registers of fences from `from` on, at most so many looked at: what the leader raises the floor for (rule K5). Changes nothing. */
  fences(from: Uint8Array | null, most: number): FencePage {
    return fencesFrom(this.shard, from, most);
  }

  /** Every queue this shard was told of, and the version it knows; 0 = dropped. What a new leader compares with group 0 (rule G1). */
  definitions(): readonly (readonly [queue: number, version: number])[] {
    return knownDefinitions(this.shard);
  }

  /** What it decides by, see `shardRules`: a leader that knows newer ones brings them. */
  get rules(): number {
    return this.shard.rules;
  }

  /** Group time of the next entry that has something to do by itself; 0 = none. Now, when something is still to be cleared. */
  nextDeadline(): number {
    return hasJob(this.shard) ? Math.max(this.shard.now, 1) : nextDeadline(this.shard.view);
  }

  /** Of a partition that the queue has. Changes nothing. */
  stats(queue: number, partition: number): PartitionCounts {
    const stats = statsOf(this.shard, queue, partition);
    this.shard.flush();
    return stats;
  }

  /** Messages of a partition after `cursor` ("" = from the first), a bounded number of them. Changes nothing. */
  browse(queue: number, partition: number, state: BrowseState, cursor: string, limit: number): BrowsePage {
    const browsed = browseFrom(this.shard, queue, partition, state, cursor, limit);
    this.shard.flush();
    return browsed;
  }

  // ── Cached values (rules M1–M10) ──

  /** Every namespace this shard was told of, and the version it knows; 0 = dropped. */
  namespaces(): readonly (readonly [namespace: number, version: number])[] {
    return knownNamespaces(this.shard);
  }

  /** What a reader is told at group time `now`. `isDue`: its time is over, and the home ends it first. Changes nothing. */
  value(namespace: number, key: string, now: number): { readonly record: CachedRecord; readonly isDue: boolean } {
    return readValue(this.shard, namespace, key, now);
  }

  /** Values whose time is over at group time `now`, for the leader to propose their end. */
  dueValues(now: number, most: number): readonly ExpiredValue[] {
    return dueValues(this.shard, now, most);
  }

  /** Group time at which the earliest value is over; 0 = none is ever. */
  nextValueEnd(): number {
    return nextValueEnd(this.shard);
  }

  /** Entries and bytes of a namespace here, what is not cleared yet included. */
  namespaceUse(namespace: number): NamespaceUse {
    return useOf(this.shard, namespace);
  }

  /** Writes that wait for their origins, from behind the turn `after`, a bounded number of them (decision 0020). */
  queuedWrites(after: number, bounds: QueuedBounds): QueuedPage {
    return queuedWrites(this.shard, after, bounds);
  }

  /** Group time since when the first of them has waited; 0 = none waits. */
  waitingSince(): number {
    return waitingSince(this.shard);
  }

  queuedWrite(namespace: number, key: string): QueuedWrite | undefined {
    return queuedWrite(this.shard, namespace, key);
  }

  /** Keys and bytes that wait, of each namespace that something waits of. */
  backlogs(): readonly BacklogOfNamespace[] {
    return backlogs(this.shard);
  }

  /** For a new home: who may have a lease of another, and the last lease marker (rule M4). */
  holders(): readonly (readonly [holder: string, incarnation: number])[] {
    return registeredHolders(this.shard);
  }

  leaseMarker(): { readonly barrier: boolean; readonly term: number } | null {
    return leaseMarker(this.shard);
  }

  private decide(command: ShardCommand, origin: CommandOrigin): ShardAnswer {
    const { shard } = this;
    if (isCacheCommand(command)) return decideCache(shard, command, origin);
    switch (command.type) {
      case "configure-queue":
      case "drop-queue":
      case "expire-leases":
      case "adopt-rules":
      case "fence-floor":
        if (origin !== "leader" && !mutant("queue-leader-command-by-caller")) {
          return { type: "malformed", detail: `${command.type} is the leader's to propose` };
        }
        if (command.type === "configure-queue") return configureQueue(shard, command.queue, command.definition);
        if (command.type === "drop-queue") return dropQueue(shard, command.queue);
        if (command.type === "adopt-rules") return { type: "counted", count: shard.adoptRules(command.rules) ? 1 : 0 };
        return command.type === "expire-leases" ? expireLeases(shard, command) : raiseFloor(shard, command.fence);
      case "raise-fence":
        return raiseFence(shard, command.lock, command.fence);
      default:
        return this.ofQueue(command);
    }
  }

  private ofQueue(command: QueueCommand): ShardAnswer {
    const { shard } = this;
    const definition = definitionOf(shard, command.queue);
    const version = definition?.version ?? 0;
    // Rule G1: a sender that knows a newer definition waits for it to come here.
    const isOlder = command.type === "produce" && command.version > version && !mutant("queue-older-definition-used");
    if (definition === undefined || isOlder) return { type: "not-configured", queue: command.queue, version };
    if (command.type === "settle") return settle(shard, definition, command);
    if (command.type === "consumer-gone") return consumerGone(shard, definition, command);
    const problem = problemOf(command, definition);
    if (problem !== null) return { type: "malformed", detail: problem };
    const partition = shard.partition(command.queue, command.partition);
    switch (command.type) {
      case "produce":
        return produce(partition, definition, command);
      case "create-group": {
        if (partition.group(command.group) !== undefined) return { type: "counted", count: 0 };
        const group = partition.createGroup(command.group, command.start.type === "latest");
        return group === null ? { type: "no-group", group: command.group } : { type: "counted", count: 1 };
      }
      case "delete-group": {
        const group = partition.group(command.group);
        if (group === undefined) return { type: "no-group", group: command.group };
        partition.forgetGroup(group);
        startClearing(shard, { type: "group", queue: command.queue, partition: command.partition, group, end: partition.counters.next });
        return { type: "counted", count: 1 };
      }
      case "consume":
        return consume(partition, definition, command);
      case "purge-queue":
        return command.dead ? purgeDead(partition) : purge(partition);
      case "redrive":
        return redrive(partition, definition, command);
      default:
        return assertNever(command);
    }
  }
}

type QueueCommand = Exclude<
  QueueShardCommand,
  { readonly type: "configure-queue" | "drop-queue" | "expire-leases" | "adopt-rules" | "fence-floor" | "raise-fence" }
>;
type PartitionCommand = Exclude<QueueCommand, { readonly type: "settle" | "consumer-gone" }>;

/** Null when the queue can have such a command. */
function problemOf(command: PartitionCommand, definition: QueueDefinition): string | null {
  const { partition } = command;
  if (partition >= definition.partitions && !mutant("queue-partition-unchecked")) {
    return `queue ${definition.name} has partitions 0 to ${definition.partitions - 1}, not ${partition}`;
  }
  if (command.type !== "produce") return null;
  const wrong = command.messages.find(({ priority }) => priority >= laneCount);
  return wrong === undefined ? null : `priorities are 0 to ${laneCount - 1}, not ${wrong.priority}`;
}
