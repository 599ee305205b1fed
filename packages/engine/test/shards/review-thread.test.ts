import { MemoryClock, MemoryOrderedStores } from "@trivet/engine";
import { ByteWriter } from "@trivet/wire";
import { expect, test } from "vitest";
import { ShardWorker } from "../../src/shards/shard-worker.ts";
import { cutChunk } from "../../src/shards/shard-loader.ts";
import { writeMark } from "../../src/shards/store-mark.ts";
import type { WorkerReply, WorkerRequest } from "../../src/shards/worker-protocol.ts";
import { loadNumber } from "./store-rig.ts";

test("requests that come while a snapshot takes a state's place are answered, as the thread hands them on at once", () => {
  void ByteWriter;
  const clock = new MemoryClock();
  const stores = new MemoryOrderedStores(clock.view(), { latencyMs: () => 5 });
  const worker = new ShardWorker(stores);
  const ask = (request: WorkerRequest): WorkerReply => {
    const told: WorkerReply[] = [];
    worker.handle(request, (reply) => told.push(reply));
    for (let step = 0; step < 100 && told.length === 0; step++) clock.advance(1);
    if (told[0] === undefined) throw new Error("no answer");
    return told[0];
  };
  // A snapshot at index 9.
  let chunk: Uint8Array | null = null;
  stores.open("g2-0", (_error, store) => {
    store?.write((view) => writeMark(view, { index: 9, term: 1, membership: null, membershipIndex: 0 } as never));
    const cut = store?.cut();
    if (cut !== undefined) chunk = cutChunk(cut, 1024);
  });
  clock.advance(10);
  if (chunk === null) throw new Error("no chunk");
  ask({ type: "open", group: 1 });
  const load = loadNumber(ask({ type: "load", group: 1, index: 9 }));
  ask({ type: "load-chunk", group: 1, load, chunk });
  let ended: WorkerReply | null = null;
  worker.handle({ type: "load-end", group: 1, load }, (reply) => (ended = reply));
  const replies: WorkerReply[] = [];
  const asked: WorkerRequest[] = [
    { type: "query", group: 1, query: { type: "stats", queue: 1, partition: 0 } },
    { type: "flush", group: 1 },
    { type: "definitions", group: 1 },
  ];
  for (let step = 0; step < 40; step++) {
    for (const request of asked) worker.handle(request, (reply) => replies.push(reply));
    clock.advance(1);
  }
  clock.advance(100);
  expect(ended).toMatchObject({ type: "opened" });
  expect([...new Set(replies.filter(({ type }) => type === "failed").map((reply) => JSON.stringify(reply)))]).toEqual([]);
});
