import type { TestApi } from "../api.ts";
import { type QueueTest, bodies } from "./kit.ts";

/** In which order messages are handed out, and when. */
export function orderConformance({ equal, ok }: TestApi, test: QueueTest): void {
  test("messages of one partition come in the order they were produced", {}, async (kit) => {
    await kit.produce(["a", "b"]);
    await kit.produce(["c"]);
    const [first] = await kit.consume();
    equal([first?.sequence, first?.acquired, first?.deliveries, first?.partition], [1, 1, 0, 0]);
    equal(await kit.take(), ["b", "c"]);
    equal(await kit.take(), []);
  });

  test("a message comes with its key, headers and priority", {}, async (kit) => {
    await kit.produce(["a"], { key: "k", priority: 2, headers: [["content-type", "text/plain"]] });
    const { headers, key, priority, producedAt } = await kit.one();
    equal({ headers, key, priority }, { headers: [["content-type", "text/plain"]], key: "k", priority: 2 });
    ok(producedAt > 0, "has a time");
  });

  test("while the head of a key is leased, its successors wait and other keys do not", {}, async (kit) => {
    await kit.produce(["a1", "a2"], { key: "a" });
    await kit.produce(["b1"], { key: "b" });
    const got = await kit.consume({ maxMessages: 10 });
    equal(bodies(got), ["a1", "b1"]);
    await kit.settle("ack", got.slice(0, 1));
    equal(await kit.take(), ["a2"]);
  });

  test("while the head of a key waits for its retry, its successors wait", {}, async (kit) => {
    await kit.produce(["a1", "a2"], { key: "a" });
    await kit.settle("nack", [await kit.one()], 1000);
    equal(await kit.take(), []);
    const again = await kit.one();
    equal([...bodies([again]), again.acquired, again.deliveries], ["a1", 2, 1]);
    equal(await kit.take(), []);
    await kit.settle("ack", [again]);
    equal(await kit.take(), ["a2"]);
  });

  test("a released head comes before its successors", {}, async (kit) => {
    await kit.produce(["a1", "a2"], { key: "a" });
    await kit.settle("release", [await kit.one()]);
    equal(await kit.take(), ["a1"]);
  });

  test("messages of one key share a partition and keep their order", { partitions: 4 }, async (kit) => {
    for (const body of ["1", "2", "3"]) await kit.produce([body], { key: "a" });
    await kit.produce(["x", "y"], { key: "other" });
    const seen: string[] = [];
    const partitions = new Set<number>();
    for (let left = 3; left > 0;) {
      const message = await kit.one();
      await kit.settle("ack", [message]);
      if (message.key !== "a") continue;
      seen.push(...bodies([message]));
      partitions.add(message.partition);
      left--;
    }
    equal(seen, ["1", "2", "3"]);
    equal(partitions.size, 1);
  });

  test("all messages of several partitions are consumed, and answers are in the order of the request", { partitions: 3 }, async (kit) => {
    const keys = Array.from({ length: 12 }, (_, number) => `key-${number}`);
    const outcome = await kit.tryProduce(keys.map((key) => ({ key })));
    equal(outcome.type, "produced");
    if (outcome.type !== "produced") return;
    const byId = new Map(outcome.messages.map(({ id }, at) => [id, keys[at]]));
    equal(byId.size, 12);
    ok(new Set(outcome.messages.map(({ partition }) => partition)).size > 1, "more than one partition");
    for (let left = 12; left > 0;) {
      const got = await kit.consume({ maxMessages: 100 });
      ok(got.length > 0, "something is left");
      for (const message of got) equal(byId.get(message.id), message.key);
      left -= got.length;
    }
    equal(await kit.take(), []);
    equal(await kit.take({ partition: 1 }), []);
  });

  test("higher priorities come first, and lower ones do not starve", {}, async (kit) => {
    await kit.produce(["low"], { priority: 3 });
    await kit.produce(["high"]);
    equal(await kit.take({ maxMessages: 1 }), ["high"]);
    await kit.produce(Array.from({ length: 40 }, () => "high"));
    const first = await kit.take({ maxMessages: 20 });
    ok(first.includes("low"), "the oldest is among the next 20");
    ok(first[0] === "high", "but not the first");
  });

  test("a delayed message comes after its delay, behind what became ready before", {}, async (kit) => {
    await kit.produce(["later"], { delayMs: 1000 });
    await kit.produce(["now"]);
    equal(await kit.take(), ["now"]);
    equal((await kit.details()).partitions[0]?.delayed, 1);
    equal(bodies([await kit.one()]), ["later"]);
  });

  test("a scheduled message comes at its time", {}, async (kit) => {
    await kit.produce(["then"], { dueAt: Math.floor(kit.harness.wallNow()) + 1000 });
    equal(await kit.take(), []);
    equal(bodies([await kit.one()]), ["then"]);
  });

  test("a message is over after its time to live", {}, async (kit) => {
    await kit.produce(["short"], { ttlMs: 80 });
    await kit.produce(["long"]);
    await kit.sleep(200);
    equal(await kit.take(), ["long"]);
    await kit.until("it is removed", async () => (await kit.details()).partitions[0]?.messages === 1);
  });

  test("the queue's time to live holds for messages without one", { ttlMs: 80 }, async (kit) => {
    await kit.produce(["a"]);
    await kit.sleep(200);
    equal(await kit.take(), []);
  });

  test("hand-outs are limited to a rate", { ratePerSecond: 2 }, async (kit) => {
    await kit.produce(["a", "b", "c", "d"]);
    await kit.sleep(1100);
    const first = await kit.take();
    ok(first.length <= 3, `at most what a second allows: ${first.length}`);
    const rest: string[] = [];
    await kit.until("the others come in time", async () => {
      rest.push(...(await kit.take({ waitMs: 2000 })));
      return first.length + rest.length === 4;
    });
    equal([...first, ...rest], ["a", "b", "c", "d"]);
  });

  test("a paused queue takes messages and gives none", {}, async (kit) => {
    await kit.define({ paused: true });
    await kit.produce(["a"]);
    equal(await kit.take(), []);
    const waiting = kit.one();
    await kit.define({ paused: false });
    equal(bodies([await waiting]), ["a"]);
  });
}
