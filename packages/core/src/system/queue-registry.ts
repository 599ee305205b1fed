import { mutant } from "#mutation";
import { type DefineQueue, type QueueSettings, type Result, limits as wireLimits } from "@trivet/wire";
import { Digest, avalanche, hashText, mix } from "./digest.ts";
import type { Ledger } from "./ledger.ts";
import { defaultQueueSettings } from "./limits.ts";
import { compareNames } from "./names.ts";
import type { QueueView } from "./view.ts";

const unknown: Result = { type: "queue-refused", reason: "unknown" };

/** The definitions of all queues (rule G1): what exists, under which number, with which settings. */
export class QueueRegistry {
  /** Number of the newest queue. Never given again, so that a shard cannot take a new queue for the one of that name it is dropping. */
  lastQueue = 0;
  /** Version of the newest definition: one counter for all queues. */
  lastVersion = 0;
  /** Sum over the queues. */
  readonly digest: Digest = new Digest();
  /** Views are replaced, never changed: who has one, as a snapshot does, keeps it. */
  private readonly byNumber = new Map<number, QueueView>();
  private readonly byName = new Map<string, QueueView>();
  /** In byte order. */
  private readonly names: string[] = [];
  private readonly ledger: Ledger;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  get size(): number {
    return this.byNumber.size;
  }

  /** In no meaningful order: never let an outcome depend on it. */
  values(): IterableIterator<QueueView> {
    return this.byNumber.values();
  }

  get(name: string): QueueView | null {
    return this.byName.get(name) ?? null;
  }

  withNumber(queue: number): QueueView | null {
    return this.byNumber.get(queue) ?? null;
  }

  /** A page in the order of the names, after `cursor`. */
  page(prefix: string, cursor: string, limit: number): { readonly queues: readonly QueueView[]; readonly next: string | null } {
    const queues: QueueView[] = [];
    const start = compareNames(cursor, prefix) < 0 ? prefix : cursor;
    for (let place = this.placeOf(start); place < this.names.length; place++) {
      const name = this.names[place] as string;
      if (name === cursor) continue;
      if (!name.startsWith(prefix)) break;
      if (queues.length >= limit) return { queues, next: queues.at(-1)?.definition.name ?? null };
      queues.push(this.byName.get(name) as QueueView);
    }
    return { queues, next: null };
  }

  define(command: DefineQueue): Result {
    const { name, mode, settings } = command;
    const known = this.byName.get(name);
    if (known === undefined) {
      if (mode === "update" && !mutant("system-queue-made-by-update")) return unknown;
      return this.create(name, settings);
    }
    if (mode === "create" && !mutant("system-queue-created-over")) return { type: "queue-refused", reason: "exists", ...known };
    return this.change(known, settings);
  }

  delete(name: string): Result {
    const known = this.byName.get(name);
    if (known === undefined) return unknown;
    this.remove(known);
    this.ledger.sink.changed({ type: "queue-deleted", queue: known.queue, name });
    return { type: "queue-deleted", queue: known.queue };
  }

  /** Puts a queue in place: a new one, a new definition of a known one, or one of a snapshot. */
  insert(view: QueueView): void {
    const { name } = view.definition;
    const known = this.byName.get(name);
    if (known === undefined) this.names.splice(this.placeOf(name), 0, name);
    else this.digest.remove(queueDigest(known));
    this.byName.set(name, view);
    this.byNumber.set(view.queue, view);
    this.digest.add(queueDigest(view));
  }

  /** Of the counters; 0 while there was no queue. */
  countersDigest(): number {
    return this.lastVersion === 0 ? 0 : avalanche(mix(mix(0x51e0e, this.lastQueue), this.lastVersion));
  }

  private create(name: string, settings: Partial<QueueSettings>): Result {
    const max = this.ledger.limits.queues;
    if (this.size >= max && !mutant("system-queues-unbounded")) return { type: "queue-refused", reason: "too-many", max };
    const chosen = { ...defaultQueueSettings, ...settings };
    const wrong = fault(chosen);
    if (wrong !== null && !mutant("system-queue-settings-unchecked")) return { type: "queue-refused", reason: "invalid", detail: wrong };
    this.lastQueue = mutant("system-queue-number-reused") ? this.size + 1 : this.lastQueue + 1;
    return this.write(this.lastQueue, name, chosen, this.ledger.groupTime, true);
  }

  private change(known: QueueView, settings: Partial<QueueSettings>): Result {
    const { name, version: _, ...present } = known.definition;
    const { partitions } = settings;
    if (partitions !== undefined && partitions !== present.partitions && !mutant("system-queue-partitions-changed"))
      return { type: "queue-refused", reason: "fixed", field: "partitions", value: present.partitions, asked: partitions };
    const chosen = { ...(mutant("system-queue-setting-forgotten") ? defaultQueueSettings : present), ...settings };
    const wrong = fault(chosen);
    if (wrong !== null && !mutant("system-queue-settings-unchecked")) return { type: "queue-refused", reason: "invalid", detail: wrong };
    const same = (Object.keys(present) as (keyof QueueSettings)[]).every((setting) => present[setting] === chosen[setting]);
    // A shard configures each version anew: what changes nothing must not cost every shard an entry.
    if (same) return { type: "queue-defined", created: false, ...known };
    return this.write(known.queue, name, chosen, known.createdAt, false);
  }

  private write(queue: number, name: string, settings: QueueSettings, createdAt: number, created: boolean): Result {
    if (created || !mutant("system-queue-version-kept")) this.lastVersion++;
    const view: QueueView = { queue, definition: { name, version: this.lastVersion, ...settings }, createdAt };
    this.insert(view);
    this.ledger.sink.changed({ type: "queue-defined", queue });
    return { type: "queue-defined", created, ...view };
  }

  private remove(view: QueueView): void {
    const { name } = view.definition;
    this.names.splice(this.placeOf(name), 1);
    this.byName.delete(name);
    this.byNumber.delete(view.queue);
    this.digest.remove(queueDigest(view));
  }

  /** Of the first name that is not before `name`. */
  private placeOf(name: string): number {
    let low = 0;
    let high = this.names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareNames(this.names[middle] as string, name) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** What is wrong with the settings, for people; null = nothing. */
function fault({ partitions, visibilityMs, backoffMs }: QueueSettings): string | null {
  const { maxPartitions, maxDurationMs } = wireLimits;
  if (partitions < 1 || partitions > maxPartitions) return `partitions is ${partitions}, not 1 to ${maxPartitions}`;
  if (visibilityMs < 1 || visibilityMs > maxDurationMs) return `the visibility is ${visibilityMs} ms, not 1 to ${maxDurationMs}`;
  if (backoffMs > maxDurationMs) return `the back-off is ${backoffMs} ms, not 0 to ${maxDurationMs}`;
  return null;
}

/** Of one queue, for the state hash. */
export function queueDigest({ queue, definition, createdAt }: QueueView): number {
  let hash = mix(mix(hashText(definition.name), queue), createdAt);
  hash = mix(mix(hash, definition.version), definition.partitions);
  hash = mix(mix(hash, definition.visibilityMs), definition.backoffMs);
  hash = mix(mix(hash, definition.maxDeliveries), definition.maxAcquired);
  hash = mix(mix(hash, definition.maxMessages), definition.maxBytes);
  hash = mix(mix(hash, definition.ttlMs), definition.dedupeWindowMs);
  hash = mix(mix(hash, definition.maxLeased), definition.ratePerSecond);
  return avalanche(mix(hash, definition.paused ? 1 : 0));
}
