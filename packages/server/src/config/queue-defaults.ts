import type { QueueSettings } from "@trivet/engine";
import type { NodeConfig } from "./config.ts";

/** What a queue that this node makes gets where its maker says nothing; the rest is group 0's to say. */
export function queueDefaults({ queues }: Pick<NodeConfig, "queues">): Partial<QueueSettings> {
  const { maxDeliveries, maxMessages, partitions, visibilityMs } = queues;
  return { partitions, visibilityMs, maxDeliveries, maxMessages };
}
