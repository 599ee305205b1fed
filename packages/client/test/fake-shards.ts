import {
  type AwaitQueue,
  ByteWriter,
  encodeResult,
  encodeShardResult,
  FrameCursor,
  type HandedOut,
  type NewMessage,
  type QueueResolved,
  type Receipt,
  type RefusalReason,
  type ResolveQueue,
  type Result,
  type SettleOutcome,
  type ShardCommand,
  type ShardResult,
} from "@trivet/wire";

interface Kept {
  readonly partition: number;
  readonly sequence: number;
  readonly message: NewMessage;
  acquired: number;
  deliveries: number;
  leased: boolean;
}
interface FakeQueue {
  readonly queue: number;
  readonly partitions: number;
  readonly kept: Kept[];
  produced: number;
}
export interface FakeAnswer {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** Queues of a pretended cluster: one group of consumers each, no leases that end by themselves, and the dedupe table. */
export class FakeShards {
  readonly queues = new Map<string, FakeQueue>();
  /** Every command that took effect, in order. */
  readonly executed: ShardCommand[] = [];
  readonly groups = new Set<string>();
  shards = 4;
  partitions = 1;
  leaseMs = 60_000;
  /** So many commands are answered `not-configured` first. */
  unconfigured = 0;
  /** Of every queue's definition, and what shards know of it: they hear of a newer one when somebody has asked for it. */
  version = 1;
  private configured = 1;
  /** There is no room for another group. */
  fullOfGroups = false;
  /** Settlements are answered `malformed`. */
  refusesSettlements = false;
  /** Commands of ordered producers that came before their predecessors. */
  gaps = 0;
  groupTime: () => number = () => Date.now();
  hint: (queue: number, partition: number) => void = () => undefined;
  /** By shard and lock: the highest fence seen. */
  readonly fences = new Map<string, number>();
  private readonly answers = new Map<string, Uint8Array>();
  private readonly acked = new Map<string, number>();
  private readonly awaiting = new Map<string, (() => void)[]>();

  resolve({ request, name, create }: ResolveQueue): QueueResolved {
    let queue = this.queues.get(name);
    if (queue === undefined && create) {
      queue = { queue: this.queues.size + 1, partitions: this.partitions, kept: [], produced: 0 };
      this.queues.set(name, queue);
      for (const wake of this.awaiting.get(name)?.splice(0) ?? []) wake();
    }
    const found = { queue: queue?.queue ?? 0, version: queue === undefined ? 0 : this.version, partitions: queue?.partitions ?? 0 };
    const refusal = queue === undefined ? "unknown" : "none";
    return { type: "queue-resolved", request, ...found, shards: this.shards, backend: "embedded", refusal, detail: "" };
  }

  /** Answers when there is such a queue, however long that takes. */
  await({ request, name }: AwaitQueue, say: (answer: QueueResolved) => void): void {
    const answer = (): void => say(this.resolve({ type: "resolve-queue", request, name, create: false }));
    if (this.queues.has(name)) return answer();
    this.awaiting.set(name, [...(this.awaiting.get(name) ?? []), answer]);
  }

  get(name: string): FakeQueue {
    const queue = this.queues.get(name);
    if (queue === undefined) throw new Error(`no queue ${name}`);
    return queue;
  }

  count(type: ShardCommand["type"]): number {
    return this.executed.filter((command) => command.type === type).length;
  }

  /** Executes the commands of a frame that are new; answers all. */
  apply(group: number, frame: Uint8Array): readonly FakeAnswer[] {
    const cursor = new FrameCursor();
    const { ackedUpTo, caller, notAfter, ordered } = cursor.open(frame);
    const lane = `${group}/${caller}`;
    const acked = Math.max(ackedUpTo, this.acked.get(lane) ?? 0);
    this.acked.set(lane, acked);
    const answers: FakeAnswer[] = [];
    while (cursor.next()) {
      const { sequence } = cursor;
      const key = `${lane}/${sequence}`;
      let bytes = sequence <= acked ? alreadyAcknowledged : this.answers.get(key);
      if (bytes === undefined && notAfter < this.groupTime()) bytes = pastDeadline;
      if (bytes === undefined && ordered && sequence - 1 > acked && !this.answers.has(`${lane}/${sequence - 1}`)) {
        this.gaps++;
        answers.push({ sequence, bytes: outOfOrder });
        continue;
      }
      if (bytes === undefined) {
        bytes = this.answerTo(group, cursor.decodeShard());
        this.answers.set(key, bytes);
      }
      answers.push({ sequence, bytes });
    }
    return answers;
  }

  private answerTo(group: number, command: ShardCommand): Uint8Array {
    return this.refusesSettlements && command.type === "settle" ? malformed : encoded(this.execute(group, command));
  }

  private execute(group: number, command: ShardCommand): ShardResult {
    const fence = command.type === "raise-fence" ? command : command.type === "produce" ? command.ifFence : null;
    const behind = fence === null ? null : this.judge(group, fence);
    if (behind !== null) return behind;
    if (command.type === "raise-fence") {
      this.executed.push(command);
      return { type: "counted", count: 1 };
    }
    const queue = "queue" in command ? [...this.queues.values()].find((one) => one.queue === command.queue) : undefined;
    if (queue === undefined || this.unconfigured > 0) {
      this.unconfigured--;
      return { type: "not-configured", queue: "queue" in command ? command.queue : 0, version: 0 };
    }
    if (command.type === "produce" && command.version > this.configured) {
      const version = this.configured;
      this.configured = command.version;
      return { type: "not-configured", queue: command.queue, version };
    }
    this.executed.push(command);
    switch (command.type) {
      case "produce": {
        const messages = command.messages.map((message) => {
          const sequence = ++queue.produced;
          queue.kept.push({ partition: command.partition, sequence, message, acquired: 0, deliveries: 0, leased: false });
          return { sequence, duplicate: false };
        });
        this.hint(queue.queue, command.partition);
        return { type: "produced", partition: command.partition, messages };
      }
      case "consume": {
        if (this.fullOfGroups) return { type: "no-group", group: command.group };
        const ready = queue.kept.filter(({ partition, leased }) => partition === command.partition && !leased);
        const messages = ready.slice(0, command.maxMessages).map(handOut);
        return { type: "handed-out", leaseMs: this.leaseMs, messages, more: ready.length > messages.length };
      }
      case "settle":
        return { type: "settled", outcomes: command.receipts.map((receipt) => this.settle(queue, command.settlement, receipt)) };
      case "create-group":
        if (this.fullOfGroups) return { type: "no-group", group: command.group };
        return { type: "counted", count: toggled(this.groups, groupKey(command), true) };
      case "delete-group":
        if (toggled(this.groups, groupKey(command), false) > 0) return { type: "counted", count: 1 };
        return { type: "no-group", group: command.group };
      default:
        return { type: "counted", count: 0 };
    }
  }

  private judge(group: number, { lock, fence }: { readonly lock: string; readonly fence: number }): ShardResult | null {
    const key = `${group}/${lock}`;
    const highest = this.fences.get(key) ?? 0;
    if (fence < highest) return { type: "fence-behind", lock, highest };
    this.fences.set(key, fence);
    return null;
  }

  private settle(queue: FakeQueue, settlement: string, receipt: Receipt): SettleOutcome {
    const at = queue.kept.findIndex(({ partition, sequence }) => partition === receipt.partition && sequence === receipt.sequence);
    const kept = queue.kept[at];
    if (kept === undefined) return "unknown";
    if (!kept.leased || kept.acquired !== receipt.acquired) return "stale";
    if (settlement === "extend") return "settled";
    if (settlement === "ack" || settlement === "dead") queue.kept.splice(at, 1);
    else {
      kept.leased = false;
      if (settlement === "nack") kept.deliveries++;
      this.hint(queue.queue, kept.partition);
    }
    return "settled";
  }
}

function groupKey(command: { readonly queue: number; readonly partition: number; readonly group: string }): string {
  return `${command.queue}/${command.partition}/${command.group}`;
}

/** How many entries of the set this changed. */
function toggled(set: Set<string>, key: string, there: boolean): number {
  if (set.has(key) === there) return 0;
  if (there) set.add(key);
  else set.delete(key);
  return 1;
}

function handOut(kept: Kept): HandedOut {
  kept.leased = true;
  kept.acquired++;
  const { partition, sequence, acquired, deliveries, message } = kept;
  const { key, priority, headers, body } = message;
  return { partition, sequence, acquired, incarnation: 1, deliveries, key, priority, producedAt: 1, headers, body };
}

function encoded(result: ShardResult): Uint8Array {
  const writer = new ByteWriter();
  encodeShardResult(writer, result);
  return writer.finish();
}
function encodedRefusal(result: Result): Uint8Array {
  const writer = new ByteWriter();
  encodeResult(writer, result);
  return writer.finish();
}
function refusal(reason: RefusalReason): Uint8Array {
  return encodedRefusal({ type: "refused", reason });
}
const pastDeadline = refusal("past-deadline");
const alreadyAcknowledged = refusal("already-acknowledged");
const outOfOrder = refusal("out-of-order");
const malformed: Uint8Array = encodedRefusal({ type: "malformed", detail: "no" });
