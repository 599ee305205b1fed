import { type CreateGroup, type DeleteGroup, type ShardCommand, shardNumberOf } from "@trivet/wire";
import type { ShardAnswer } from "../command-stream.ts";
import { TrivetError, UnavailableError } from "../errors.ts";
import { shardError } from "./answers.ts";
import type { QueueClient } from "./queue-client.ts";
import type { KnownQueue } from "./queue-names.ts";

type GroupCommand = Omit<CreateGroup, "queue" | "partition"> | Omit<DeleteGroup, "queue" | "partition">;

/** Pauses before a shard that has not heard of the queue is asked again; they double. */
const firstPauseMs = 5;
const longestPauseMs = 250;

/**
 * Gives a group command to every partition of a queue; resolves with how many it changed. Idempotent, so after an error it may simply be
 * given again: some partitions may have taken it.
 */
export async function inEveryPartition(client: QueueClient, name: string, command: GroupCommand, create: boolean): Promise<number> {
  const deadline = performance.now() + client.timeoutMs;
  const queue = await client.names.resolve(name, create, deadline);
  if (queue === null) throw new TrivetError("queue_unknown", `There is no queue ${name}`);
  const partitions = Array.from({ length: queue.partitions }, (_, partition) => partition);
  const changed = await Promise.all(partitions.map((partition) => inPartition(client, name, queue, partition, command, deadline)));
  return changed.reduce((sum, count) => sum + count, 0);
}

async function inPartition(
  client: QueueClient,
  name: string,
  { queue, shards }: KnownQueue,
  partition: number,
  command: GroupCommand,
  deadline: number,
): Promise<number> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, 2 * pauseMs)) {
    const answer = await ask(client, shardNumberOf(queue, partition, shards), { ...command, queue, partition }, deadline);
    if (answer.type === "counted") return answer.count;
    if (answer.type !== "not-configured") throw shardError(name, answer);
    // The shard has not heard of the queue yet.
    if (performance.now() + pauseMs > deadline)
      throw new UnavailableError("no_leader", `Partition ${partition} of queue ${name} did not know the queue in time; try again`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function ask(client: QueueClient, shard: number, command: ShardCommand, deadline: number): Promise<ShardAnswer> {
  return new Promise((resolve, reject) => {
    client.stream.submitTo(shard, command, Math.max(1, deadline - performance.now()), (error, answer) => {
      if (answer === null) reject(error ?? new TrivetError("internal", "neither an error nor an answer"));
      else resolve(answer);
    });
  });
}
