import { MemoryClock, MemoryOrderedStores } from "@trivet/engine";
import { expect, test } from "vitest";
import { ShardWorker } from "../../src/shards/shard-worker.ts";
import type { WorkerReply } from "../../src/shards/worker-protocol.ts";

test("a flush that is under way when its shard is given away is answered, and the worker lives on", () => {
  const clock = new MemoryClock();
  const worker = new ShardWorker(new MemoryOrderedStores(clock.view(), { latencyMs: () => 5 }));
  const replies: WorkerReply["type"][] = [];
  const hear = (reply: WorkerReply): void => void replies.push(reply.type);
  worker.handle({ type: "open", group: 1 }, hear);
  clock.advance(100);
  worker.handle({ type: "flush", group: 1 }, hear);
  worker.handle({ type: "close", group: 1, remove: true }, hear);
  clock.advance(100);
  worker.handle({ type: "open", group: 1 }, hear);
  clock.advance(100);
  expect(replies).toEqual(["opened", "flushed", "done", "opened"]);
});
