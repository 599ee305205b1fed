import type { TestApi } from "../api.ts";
import { type QueueTest, bodies } from "./kit.ts";

/** Leases and what ends them. */
export function settlingConformance({ equal, ok }: TestApi, test: QueueTest): void {
  test("what is acknowledged is gone", {}, async (kit) => {
    await kit.produce(["a"]);
    const message = await kit.one();
    equal(await kit.settle("ack", [message]), ["settled"]);
    equal(await kit.settle("ack", [message]), ["unknown"]);
    equal((await kit.details()).partitions[0]?.messages, 0);
  });

  test(
    "what is not settled comes again when its lease is over, and the old receipt changes nothing",
    { visibilityMs: 1000 },
    async (kit) => {
      await kit.produce(["a"]);
      const first = await kit.one();
      equal(await kit.take(), []);
      const second = await kit.one();
      equal([...bodies([second]), second.acquired, second.deliveries], ["a", 2, 0]);
      for (const settlement of ["ack", "nack", "extend", "release", "dead"] as const)
        equal(await kit.settle(settlement, [first]), ["stale"]);
      equal(await kit.settle("ack", [second]), ["settled"]);
    },
  );

  test("a lease that is extended lasts longer", { visibilityMs: 1000 }, async (kit) => {
    await kit.produce(["a"]);
    const message = await kit.one();
    equal(await kit.settle("extend", [message], 60_000), ["settled"]);
    await kit.sleep(1500);
    equal(await kit.take(), []);
    equal(await kit.settle("ack", [message]), ["settled"]);
  });

  test("a consumer may ask for a lease of its own length", {}, async (kit) => {
    await kit.produce(["a"]);
    await kit.one({ visibilityMs: 100 });
    equal((await kit.one()).acquired, 2);
  });

  test("a failure is counted and delayed, a release is neither", { backoffMs: 1000 }, async (kit) => {
    await kit.produce(["a"]);
    await kit.settle("nack", [await kit.one()]);
    equal(await kit.take(), []);
    const second = await kit.one();
    equal([second.acquired, second.deliveries], [2, 1]);
    await kit.settle("release", [second]);
    const [third] = await kit.consume();
    equal([third?.acquired, third?.deliveries], [3, 1]);
  });

  test("each receipt is decided by itself; what is none, or another queue's, is foreign", { partitions: 2 }, async (kit) => {
    await kit.produce(["a"], { key: "a" });
    const message = await kit.one();
    const others = ["", "nonsense", `${message.receipt}x`, message.receipt.slice(0, -1)];
    equal(await kit.settle("ack", [...others, message]), ["foreign", "foreign", "foreign", "foreign", "settled"]);
    await kit.produce(["b"], { key: "a" });
    const next = await kit.one();
    const elsewhere = `${kit.name}-other`;
    await kit.define({}, "ensure", elsewhere);
    equal(await kit.trySettle("ack", [next.receipt], -1, elsewhere), { type: "settled", outcomes: ["foreign"] });
    equal(await kit.trySettle("ack", [next.receipt], -1, null), { type: "settled", outcomes: ["settled"] });
  });

  test("a receipt of a group that was deleted settles nothing of the group made again under its name", {}, async (kit) => {
    await kit.produce(["a"]);
    const former = await kit.one();
    equal(await kit.deleteGroup("g"), { type: "removed" });
    equal(await kit.settle("ack", [former]), ["unknown"]);
    const latter = await kit.one();
    equal([latter.id, latter.acquired, latter.receipt === former.receipt], [former.id, former.acquired, false]);
    for (const settlement of ["ack", "nack", "extend", "release", "dead"] as const)
      equal(await kit.settle(settlement, [former]), ["unknown"]);
    equal((await kit.details()).partitions[0]?.groups[0]?.leased, 1);
    equal(await kit.settle("ack", [latter, former]), ["settled", "unknown"]);
  });

  test("a lease of a group made again ends in its time, whatever the one before had in hand", { visibilityMs: 1000 }, async (kit) => {
    await kit.produce(["a"]);
    await kit.one({ visibilityMs: 60_000 });
    equal(await kit.deleteGroup("g"), { type: "removed" });
    await kit.one();
    equal((await kit.one()).acquired, 2);
  });

  test(
    "a message that failed too often is dead, with its history, and comes back redriven",
    { maxDeliveries: 2, backoffMs: 0 },
    async (kit) => {
      await kit.produce(["poison"], { key: "k" });
      await kit.produce(["after"], { key: "k" });
      await kit.settle("nack", [await kit.one()]);
      await kit.settle("nack", [await kit.one()]);
      equal(await kit.take(), ["after"]);
      const [dead] = await kit.browse("dead");
      equal([dead?.key, dead?.dead?.group, dead?.dead?.reason, dead?.dead?.acquired, dead?.dead?.deliveries], ["k", "g", "because", 2, 2]);
      equal((await kit.details()).partitions[0]?.dead, 1);
      equal(await kit.redrive([]), { type: "counted", count: 1 });
      equal(await kit.browse("dead"), []);
      await kit.define({ maxDeliveries: 20 });
      equal((await kit.details()).partitions[0]?.dead, 0);
    },
  );

  test("hand-outs that lead to nothing make a dead letter; given back gracefully none does", { maxAcquired: 2 }, async (kit) => {
    await kit.produce(["a"]);
    for (let acquired = 1; acquired <= 5; acquired++) {
      const message = await kit.one();
      equal([message.acquired, message.deliveries], [acquired, 0]);
      await kit.settle("release", [message]);
    }
    equal(await kit.browse("dead"), []);
    await kit.one({ visibilityMs: 100 });
    await kit.one({ visibilityMs: 100 });
    await kit.sleep(300);
    equal(await kit.take(), []);
    const [dead] = await kit.browse("dead");
    equal([dead?.dead?.acquired, dead?.dead?.deliveries], [7, 0]);
  });

  test("a consumer may give a message up; redriven by its id it begins anew", {}, async (kit) => {
    await kit.produce(["a", "b"]);
    const got = await kit.consume({ maxMessages: 2 });
    equal(await kit.settle("dead", got), ["settled", "settled"]);
    equal(await kit.redrive([got[1]?.id ?? "", "no-id", "999999-0-1"]), { type: "counted", count: 1 });
    const again = await kit.one();
    equal([...bodies([again]), again.acquired, again.deliveries], ["b", 1, 0]);
    equal(await kit.redrive([], 0), { type: "counted", count: 0 });
    equal(bodies(await kit.browse("dead")), ["a"]);
    equal(await kit.purge(true), { type: "counted", count: 1 });
    equal(await kit.browse("dead"), []);
  });

  test("dead letters come back as far as there is room, and say so where there is none", { maxMessages: 2, partitions: 1 }, async (kit) => {
    for (const body of ["a", "b", "c"]) {
      const [id] = await kit.produce([body]);
      equal(await kit.settle("dead", [await kit.one()]), ["settled"]);
      ok(id !== undefined, "it has an id");
    }
    const full = { type: "queue-full", limit: "messages", max: 2 };
    equal(await kit.redrive([]), { type: "counted", count: 2 });
    equal(await kit.redrive([]), full);
    const [dead] = await kit.browse("dead");
    equal([(await kit.details()).partitions[0]?.dead, await kit.redrive([dead?.id ?? ""])], [1, full]);
    const got = await kit.consume({ maxMessages: 10 });
    equal(bodies(got), ["a", "b"]);
    await kit.settle("ack", got.slice(0, 1));
    equal(await kit.redrive([]), { type: "counted", count: 1 });
    equal(await kit.take(), ["c"]);
    equal(await kit.redrive([]), { type: "counted", count: 0 });
  });

  test("dead letters come back to where there is room, whatever is full before it", { maxBytes: 4, partitions: 2 }, async (kit) => {
    const keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const died = new Map<number, number>();
    for (const key of keys) {
      await kit.produce(["123"], { key });
      const message = await kit.one();
      died.set(message.partition, (died.get(message.partition) ?? 0) + 1);
      await kit.settle("dead", [message]);
    }
    equal(died.size, 2);
    equal(await kit.redrive([]), { type: "counted", count: 2 });
    equal(await kit.redrive([]), { type: "queue-full", limit: "bytes", max: 4 });
    const { partitions } = await kit.details();
    equal(
      partitions.map(({ messages, partition, dead }) => [messages, dead === (died.get(partition) ?? 0) - 1]),
      [
        [1, true],
        [1, true],
      ],
    );
  });

  test("what is acknowledged with its hand-out does not come again", { visibilityMs: 100 }, async (kit) => {
    await kit.produce(["a"]);
    equal(await kit.take({ autoAck: true }), ["a"]);
    await kit.sleep(300);
    equal(await kit.take(), []);
    equal((await kit.details()).partitions[0]?.messages, 0);
  });

  test(
    "what a lost consumer that never said what it began held comes again at once, counted as a failure",
    { partitions: 2 },
    async (kit) => {
      await kit.produce(["a"], { key: "a" });
      await kit.produce(["b"], { key: "b" });
      const held = [await kit.one({ consumer: "lost" }), await kit.one({ consumer: "lost" })];
      equal([...bodies(held)].sort(), ["a", "b"]);
      kit.queues.consumerGone(kit.name, "lost", null);
      const again = [await kit.one({ consumer: "other" }), await kit.one({ consumer: "other" })];
      equal([...bodies(again)].sort(), ["a", "b"]);
      ok(
        again.every(({ acquired, deliveries }) => acquired === 2 && deliveries === 1),
        "each was counted",
      );
      equal(await kit.settle("ack", held), ["stale", "stale"]);
    },
  );

  test("of what a lost consumer held only what it had begun is a failure", { maxDeliveries: 3, maxAcquired: 3 }, async (kit) => {
    await kit.produce(["poison"]);
    await kit.produce(["first", "second"], { key: "k" });
    await kit.produce(["last"]);
    for (const deliveries of [0, 1, 2]) {
      const held = await kit.consume({ consumer: "lost", maxMessages: 9 });
      equal(
        held.map((message) => [...bodies([message]), message.deliveries]),
        [
          ["poison", deliveries],
          ["first", 0],
          ["last", 0],
        ],
      );
      kit.queues.consumerGone(kit.name, "lost", { messages: 1, partitions: [0] });
      await kit.until("nothing is held", async () => (await kit.details()).partitions[0]?.groups[0]?.leased === 0);
    }
    const next = await kit.consume({ maxMessages: 9 });
    equal(
      next.map((message) => [...bodies([message]), message.acquired, message.deliveries]),
      [
        ["first", 4, 0],
        ["last", 4, 0],
      ],
    );
    equal(bodies(await kit.browse("dead")), ["poison"]);
    equal(await kit.settle("ack", next), ["settled", "settled"]);
    equal(await kit.take(), ["second"]);
  });

  test("begun is what was handed out first, wherever it stands in the queue", {}, async (kit) => {
    await kit.produce(["low"], { priority: 3 });
    await kit.one({ consumer: "lost" });
    await kit.produce(["high", "higher"]);
    equal(await kit.take({ consumer: "lost" }), ["high", "higher"]);
    kit.queues.consumerGone(kit.name, "lost", { messages: 1, partitions: [0, 1] });
    await kit.until("nothing is held", async () => (await kit.details()).partitions[0]?.groups[0]?.leased === 0);
    const again = await kit.consume({ maxMessages: 9 });
    equal(
      again.map((message) => [...bodies([message]), message.deliveries]),
      [
        ["high", 0],
        ["higher", 0],
        ["low", 1],
      ],
    );
  });

  test("a group has no more leases than the queue allows, and the next comes when one ends", { maxLeased: 1 }, async (kit) => {
    await kit.produce(["a", "b"]);
    const first = await kit.one();
    equal(await kit.take(), []);
    const next = kit.one();
    await kit.settle("ack", [first]);
    equal(bodies([await next]), ["b"]);
  });

  test("a group that waits for a lease to end gets more as soon as the queue allows more", { maxLeased: 1 }, async (kit) => {
    await kit.produce(["a", "b"]);
    await kit.one();
    equal(await kit.take(), []);
    const next = kit.one();
    await kit.define({ maxLeased: 2 });
    // Not the first one again, whose lease has ended by itself.
    equal(bodies([await next]), ["b"]);
  });
}
