import { mutant } from "#mutation";
import { keyOf, tables } from "./keys.ts";
import type { ShardLimits } from "./limits.ts";
import { Partition } from "./partition.ts";
import { decodeIntegers, encodeIntegers } from "./records.ts";
import type { LeaseSink, ReadySink } from "./sinks.ts";
import type { OrderedView } from "./store.ts";

const timeKey: Uint8Array = keyOf(tables.meta, 0);
const rulesKey: Uint8Array = keyOf(tables.meta, 6);

/** What the parts of a shard's state machine share while one command runs. Nothing in it outlives the command but the group time, the rules, and that something was queued. */
export class ShardContext {
  readonly view: OrderedView;
  readonly leases: LeaseSink;
  readonly ready: ReadySink;
  readonly limits: ShardLimits;
  /** Group time: that of the entry, never earlier than before (rule L3). */
  now: number;
  /** See `shardRules`; 0 = as ever. */
  rules: number;
  /** Something was written that its origin does not have (decision 0020). */
  hasQueued = false;
  private readonly open: Map<string, Partition> = new Map();

  constructor(view: OrderedView, leases: LeaseSink, ready: ReadySink, limits: ShardLimits) {
    this.view = view;
    this.leases = leases;
    this.ready = ready;
    this.limits = limits;
    const stored = view.get(timeKey);
    this.now = stored === undefined ? 0 : (decodeIntegers(stored, 1)[0] as number);
    const rules = view.get(rulesKey);
    this.rules = rules === undefined ? 0 : (decodeIntegers(rules, 1)[0] as number);
  }

  /** From here on. False = they were in force before. */
  adoptRules(rules: number): boolean {
    if (rules <= this.rules) return false;
    this.rules = rules;
    this.view.put(rulesKey, encodeIntegers(rules));
    return true;
  }

  /** Do these rules hold? */
  follows(rules: number): boolean {
    return this.rules >= rules || mutant("queue-rules-before-adopted");
  }

  setTime(now: number): void {
    if (now <= this.now && !mutant("queue-time-backwards")) return;
    this.now = now;
    this.view.put(timeKey, encodeIntegers(now));
  }

  /** The partition, as it is in the store or empty; what changes of it is stored by `flush`. */
  partition(queue: number, index: number): Partition {
    const name = `${queue}/${index}`;
    let partition = this.open.get(name);
    if (partition === undefined) {
      partition = new Partition(this, queue, index);
      this.open.set(name, partition);
    }
    return partition;
  }

  /** Stores the counters and groups that the command changed. */
  flush(): void {
    for (const partition of this.open.values()) partition.store();
    this.open.clear();
  }
}
