import { MemoryClock, MemoryQueueDirectory, MemoryQueueStorage, QueueService, queuesConformance } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { underVirtualTime } from "./virtual-time.ts";

let clock = new MemoryClock();
const api = underVirtualTime(test, expect, () => clock);

describe("queues in memory", () => {
  queuesConformance(api, { ifFence: true }, async () => {
    clock = new MemoryClock();
    const queues = new QueueService({ clock, storage: new MemoryQueueStorage(clock), directory: new MemoryQueueDirectory(clock) });
    return {
      queues,
      sleep: (ms) => new Promise((resolve) => void clock.schedule(ms, resolve)),
      wallNow: () => clock.wallNow(),
    };
  });
});
