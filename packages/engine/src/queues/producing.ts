import type { QueueView } from "@trivet/core";
import type { Durability } from "../ports/queue-storage.ts";
import { PartitionChoice, type PartitionShare } from "./partition-choice.ts";
import type { Call, PartitionCommands, PartitionOutcome } from "./partition-commands.ts";
import type { QueueNames } from "./queue-names.ts";
import type { Produced, ProduceRequest, QueueFailure } from "./queues-api.ts";
import { formatMessageId } from "./receipts.ts";

/**
 * Messages to their partitions, one command to each. All or none within a partition only: when one refuses its share, those of the others are
 * stored; the same request with the same idempotency key, or with dedupe ids, completes it.
 */
export class Producing {
  private readonly commands: PartitionCommands;
  private readonly names: QueueNames;
  private readonly choice: PartitionChoice = new PartitionChoice();

  constructor(commands: PartitionCommands, names: QueueNames) {
    this.commands = commands;
    this.names = names;
  }

  produce(request: ProduceRequest, given: Call, done: (outcome: Produced | QueueFailure) => void): void {
    const call = request.ack === undefined ? given : { ...given, ack: request.ack };
    this.names.with(request.queue, request.create, call, done, (queue, again) => {
      const { partitions, version } = queue.definition;
      const shares = this.choice.shares(request.messages, partitions, call.idempotency?.key ?? "");
      const outcomes = new Map<PartitionShare, PartitionOutcome>();
      for (const share of shares) {
        const { messages, partition } = share;
        const command = { type: "produce", queue: queue.queue, partition, version, messages, ifFence: request.ifFence } as const;
        this.commands.submit(queue, partition, command, call, String(partition), (outcome) => {
          outcomes.set(share, outcome);
          if (outcomes.size < shares.length) return;
          const joined = join(request, queue, outcomes);
          if (joined.type !== "gone") done(joined);
          else again();
        });
      }
    });
  }
}

/** What may have happened is told before what did not. */
const order = ["unknown", "gone", "unavailable"];

function join(
  request: ProduceRequest,
  queue: QueueView,
  outcomes: ReadonlyMap<PartitionShare, PartitionOutcome>,
): Produced | QueueFailure | { readonly type: "gone" } {
  const failures = [...outcomes.values()].flatMap((outcome) => (outcome.type === "answered" ? [] : [outcome]));
  const [first] = failures.sort((a, b) => rank(a.type) - rank(b.type));
  if (first !== undefined) {
    // Some was stored in a queue that is deleted by now: to send all of it again, to another one of its name, is the caller's to decide.
    if (first.type === "gone" && failures.length < outcomes.size) return { type: "unknown-queue", name: request.queue };
    return first;
  }
  const messages: Produced["messages"][number][] = [];
  let weakest: Durability | null = null;
  for (const [share, outcome] of outcomes) {
    if (outcome.type !== "answered" || outcome.result.type !== "produced") continue;
    const { durability } = outcome;
    if (weakest === null || strength(durability) < strength(weakest)) weakest = durability;
    outcome.result.messages.forEach(({ sequence, duplicate }, at) => {
      const id = formatMessageId({ queue: queue.queue, partition: share.partition, sequence });
      messages[share.places[at] as number] = { id, partition: share.partition, sequence, duplicate };
    });
  }
  return { type: "produced", queue: queue.queue, messages, durability: weakest ?? "memory" };
}

/** What is said of several partitions holds for each of them. */
function strength(durability: Durability): number {
  if (durability.startsWith("replicas:")) return 2 + Number(durability.slice("replicas:".length));
  return durability === "memory" ? 0 : durability === "primary" ? 1 : durability === "aof" ? 2 : Number.POSITIVE_INFINITY;
}

function rank(type: string): number {
  const at = order.indexOf(type);
  return at < 0 ? order.length : at;
}
