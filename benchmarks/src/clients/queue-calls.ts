import { aliasLoop } from "../driver/alias-loop.ts";
import { drainBacklog, fillBacklog, type BacklogProgress } from "../driver/backlog.ts";
import { encodeMessage } from "../driver/message.ts";
import { closedOperations, openOperations } from "../driver/operations.ts";
import type { QueueClient } from "../driver/queue-client.ts";
import { roundTrips } from "../driver/round-trips.ts";
import { SteadyStream } from "../driver/steady-stream.ts";
import { AliasQueue } from "./alias-queue.ts";
import type { ClientTarget, Handlers } from "./protocol.ts";
import type { QueueCalls } from "./queue-protocol.ts";

/** The client's side of the calls about queues. */
export function queueCalls(client: QueueClient, target: ClientTarget): Handlers<keyof QueueCalls> {
  let sent = 0;
  let steady: SteadyStream | null = null;
  const backlog: BacklogProgress = { done: 0 };
  const produce = (queue: string): Promise<void> => client.produce(queue, encodeMessage({ id: sent++, key: 0, place: 0 }), null);
  const running = (): SteadyStream => {
    if (steady === null) throw new Error("no steady stream was started");
    return steady;
  };
  return {
    queueOpen: async ({ queue, shape }) => {
      await client.open(queue, shape);
      return null;
    },
    produceClosed: ({ queue, callers, durationMs }) => closedOperations(callers, durationMs, () => produce(queue)),
    produceOpen: ({ queue, ...options }) => openOperations(options, () => produce(queue)),
    roundTrips: (options) => roundTrips(client, options),
    backlogFill: (options) => fillBacklog(client, options, backlog),
    backlogDrain: (options) => drainBacklog(client, options, backlog),
    backlogDone: () => Promise.resolve(backlog.done),
    steadyStart: async (options) => {
      steady = new SteadyStream(client, options);
      await steady.start();
      return null;
    },
    steadyHold: async ({ timeoutMs }) => {
      await running().hold(timeoutMs);
      return null;
    },
    steadyAfterKill: ({ killedAtMs, timeoutMs }) => running().afterKill(killedAtMs, timeoutMs),
    steadyStop: () => running().stop(),
    aliasLoop: async (options) => {
      const plain = new AliasQueue(target.urls, options.queue, options.workers);
      try {
        return await aliasLoop(plain, options);
      } finally {
        plain.close();
      }
    },
  };
}
