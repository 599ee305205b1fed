import { type CreateGroup, type DeleteGroup, type ShardCommand, shardNumberOf } from "@trivet/wire";
import type { ShardAnswer } from "../command-stream.ts";
import { TrivetError, UnavailableError } from "../errors.ts";
import { shardError } from "./answers.ts";
import type { QueueClient } from "./queue-client.ts";
import type { KnownQueue } from "./queue-names.ts";

type GroupCommand = Omit<CreateGroup, "queue" | "partition"> | Omit<DeleteGroup, "queue" | "partition">;

/**
 * Gives a group command to every partition of a queue; resolves with how many it changed. Idempotent, so after an error it may simply be
 * given again: some partitions may have taken it.
 */
export async function inEveryPartition(client: QueueClient, name: string, command: GroupCommand, create: boolean): Promise<number> {
  const deadline = performance.now() + client.timeoutMs;
  let queue: KnownQueue | null = await client.names.resolve(name, create, deadline);
  let left: readonly number[] | null = null;
  let changed = 0;
  for (let tries = 0; ; tries++) {
    if (queue === null) throw new TrivetError("queue_unknown", `There is no queue ${name}`);
    const partitions: readonly number[] = left ?? Array.from({ length: queue.partitions }, (_, partition) => partition);
    const { queue: number, shards } = queue;
    const counts: readonly (number | null)[] = await Promise.all(
      partitions.map(async (partition) => {
        const shard = shardNumberOf(number, partition, shards);
        return countOf(name, command, await ask(client, shard, { ...command, queue: number, partition }, deadline));
      }),
    );
    changed += counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
    const unheard = partitions.filter((_, at) => counts[at] === null);
    if (unheard.length === 0) return changed;
    if (performance.now() > deadline)
      throw new UnavailableError("no_leader", `Partition ${unheard[0]} of queue ${name} did not know the queue in time; try again`);
    queue = await client.names.renew(name, queue, create, deadline, tries);
    // Another has its name by now: it begins with that one.
    left = queue?.queue === number ? unheard : null;
    if (left === null) changed = 0;
  }
}

/** How many groups it changed; null = the shard has not heard of the queue yet, or not any more. */
function countOf(name: string, command: GroupCommand, answer: ShardAnswer): number | null {
  if (answer.type === "counted") return answer.count;
  if (answer.type === "not-configured") return null;
  if (answer.type === "no-group" && command.type === "delete-group") return 0;
  throw shardError(name, answer);
}

/** One command, of one shard. Rejects with TrivetError. */
export function ask(client: QueueClient, shard: number, command: ShardCommand, deadline: number): Promise<ShardAnswer> {
  return new Promise((resolve, reject) => {
    client.stream.submitTo(shard, command, Math.max(1, deadline - performance.now()), (error, answer) => {
      if (answer === null) reject(error ?? new TrivetError("internal", "neither an error nor an answer"));
      else resolve(answer);
    });
  });
}
