import { shardNumberOf } from "@trivet/wire";
import { TrivetError } from "../errors.ts";
import { shardError } from "./answers.ts";
import { ask } from "./groups.ts";
import { type ProduceCall, heldFence } from "./new-message.ts";
import type { QueueClient } from "./queue-client.ts";

/** Rule K5, in every shard that has partitions of the queue. Idempotent, so after an error it may simply be done again. */
export async function raiseFenceIn(
  client: QueueClient,
  name: string,
  lock: NonNullable<ProduceCall["ifFence"]>,
  timeoutMs: number,
): Promise<void> {
  const fence = heldFence("lock", lock);
  const deadline = performance.now() + timeoutMs;
  // Not what is remembered: another queue of the name has other shards, and no answer to a fence would say so.
  const known = client.names.cached(name);
  if (known !== undefined) client.names.forget(name, known);
  const queue = await client.names.resolve(name, true, deadline);
  if (queue === null) throw new TrivetError("queue_unknown", `There is no queue ${name}`);
  const shards = new Set(Array.from({ length: queue.partitions }, (_, partition) => shardNumberOf(queue.queue, partition, queue.shards)));
  await Promise.all(
    [...shards].map(async (shard) => {
      const answer = await ask(client, shard, { type: "raise-fence", ...fence }, deadline);
      if (answer.type !== "counted") throw shardError(name, answer);
    }),
  );
}
