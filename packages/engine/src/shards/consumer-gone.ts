import type { ConsumerGone } from "@trivet/wire";
import type { QueueStorage } from "../ports/queue-storage.ts";

const timeoutMs = 10_000;

/** In each shard that has partitions of the queue; again where there was more than one command releases. */
export function proposeConsumerGone(storage: QueueStorage, shards: number, partitions: number, command: ConsumerGone): void {
  const propose = (partition: number): void => {
    storage.submit({ queue: command.queue, partition }, command, { timeoutMs }, (outcome) => {
      if (outcome.type === "answered" && outcome.result.type === "counted" && outcome.result.count > 0) propose(partition);
    });
  };
  for (let partition = 0; partition < Math.min(partitions, shards); partition += 1) propose(partition);
}
