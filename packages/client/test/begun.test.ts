import { Socket } from "node:net";
import { begunStreamProtocol } from "@trivet/wire";
import { describe, expect, test, vi } from "vitest";
import { cluster, connected, until } from "./support.ts";
import { take } from "./take.ts";

describe("what a consumer has begun", () => {
  test("the node is told what is begun, before the program has it: not what is only in hand, nor what was begun on a lost connection", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produceMany([{ body: 1 }, { body: 2 }, { body: 3 }, { body: 4 }]);
    const consumer = queue.consume();
    const { begun } = fake.node(0);
    const [first] = await take(consumer, 1);
    await first?.ack();
    const [second] = await take(consumer, 1);
    const [third] = await take(consumer, 1);
    await second?.ack();
    await until(() => begun.length === 3, "told of three");
    expect(begun).toEqual([
      { messages: 0, partitions: [] },
      { messages: 1, partitions: [0] },
      { messages: 2, partitions: [0] },
    ]);
    fake.node(0).cutConnections();
    await until(() => begun.length === 4, "told anew");
    expect(begun[3]).toEqual({ messages: 0, partitions: [] });
    await take(consumer, 1);
    await until(() => begun.length === 5, "told of the next");
    expect(begun[4]).toEqual({ messages: 1, partitions: [0] });
    await third?.ack();
  });

  test("what is begun has left when the program has the message, though it lets nothing else run", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    fake.shards.partitions = 2;
    const queue = trivet.queue<number>("q");
    const keys = ["a", "b", "c", "d", "e", "f"];
    await Promise.all(keys.map((name, n) => queue.produce(n, { key: name })));
    const consumer = queue.consume();
    await take(consumer, 1);
    await until(() => fake.node(0).begun.length > 1, "the first is told");
    const corks = vi.spyOn(Socket.prototype, "cork");
    const uncorks = vi.spyOn(Socket.prototype, "uncork");
    // From here on only microtasks, as in a worker that goes on to the next.
    for (let taken = 1; taken < keys.length; taken++) {
      await consumer.next();
      expect(uncorks.mock.calls.length).toBeGreaterThanOrEqual(corks.mock.calls.length);
    }
    expect(corks).toHaveBeenCalled();
    vi.restoreAllMocks();
  });

  test("a node that does not take what is begun is not told", async () => {
    const fake = await cluster();
    fake.node(0).protocol = begunStreamProtocol - 1;
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produce(1);
    await take(queue.consume(), 1);
    expect(fake.node(0).watches.length).toBe(1);
    expect(fake.node(0).begun).toEqual([]);
  });
});
