import { encodeUtf8 } from "@trivet/wire";
import type { TestApi } from "../api.ts";
import { type QueueTest, bodies } from "./kit.ts";

/** What is taken in, once, and what is refused. */
export function producingConformance({ equal, ok }: TestApi, test: QueueTest): void {
  test("a produce says how safe it is, and names its messages", {}, async (kit) => {
    const outcome = await kit.tryProduce([{}, {}]);
    equal(outcome.type, "produced");
    if (outcome.type !== "produced") return;
    const allowed = { memory: /^memory$/, embedded: /^quorum$/, redis: /^(?:primary|aof|replicas:\d+)$/ }[kit.queues.backend];
    ok(allowed.test(outcome.durability), `durability ${outcome.durability} of ${kit.queues.backend}`);
    equal(new Set(outcome.messages.map(({ id }) => id)).size, 2);
    equal(
      (await kit.consume({ maxMessages: 2 })).map(({ id }) => id),
      outcome.messages.map(({ id }) => id),
    );
  });

  test("a second message with the same dedupe id within the window is not produced", { dedupeWindowMs: 1000 }, async (kit) => {
    const [first = ""] = await kit.produce(["a"], { dedupId: "d" });
    const again = await kit.tryProduce([{ dedupId: "d" }, { dedupId: "d" }]);
    equal(again.type === "produced" ? again.messages.map(({ duplicate, id }) => [duplicate, id]) : again, [
      [true, first],
      [true, first],
    ]);
    equal(await kit.take(), ["a"]);
    await kit.sleep(1500);
    const later = await kit.tryProduce([{ dedupId: "d" }]);
    equal(later.type === "produced" && later.messages[0]?.duplicate, false);
  });

  test("a dedupe id holds in a queue of several partitions", { partitions: 4 }, async (kit) => {
    await kit.produce(["a"], { dedupId: "d" });
    await kit.produce(["a"], { dedupId: "d" });
    equal(
      (await kit.details()).partitions.reduce((sum, { messages }) => sum + messages, 0),
      1,
    );
  });

  test("a repeat with the same idempotency key is answered the same, and nothing is produced", { partitions: 3 }, async (kit) => {
    const messages = ["a", "b", "c"].map((body) => ({ body: encodeUtf8(body), key: body }));
    const key = `${kit.name}-key`;
    const first = await kit.tryProduce(messages, { key });
    equal(first.type, "produced");
    equal(await kit.tryProduce(messages, { key }), first);
    equal(
      (await kit.details()).partitions.reduce((sum, one) => sum + one.messages, 0),
      3,
    );
    const other = await kit.tryProduce([...messages, {}], { key });
    equal(other.type, "refused");
  });

  test("a repeat without keys meets its first copy, whatever its partition", { partitions: 4 }, async (kit) => {
    for (let copy = 0; copy < 3; copy++) await kit.tryProduce([{}], { key: `${kit.name}-key` });
    equal(
      (await kit.details()).partitions.reduce((sum, one) => sum + one.messages, 0),
      1,
    );
  });

  test("a full queue refuses, keeps what it has, and takes again when there is room", { maxMessages: 2 }, async (kit) => {
    await kit.produce(["a"]);
    equal(await kit.tryProduce([{}, {}]), { type: "queue-full", limit: "messages", max: 2 });
    await kit.produce(["b"]);
    equal(await kit.tryProduce([{}]), { type: "queue-full", limit: "messages", max: 2 });
    await kit.settle("ack", [await kit.one()]);
    await kit.produce(["c"]);
    equal(await kit.take(), ["b", "c"]);
  });

  test("a queue may be full of bytes", { maxBytes: 4 }, async (kit) => {
    await kit.produce(["abc"]);
    equal(await kit.tryProduce([{ body: encodeUtf8("de") }]), { type: "queue-full", limit: "bytes", max: 4 });
    await kit.produce(["d"]);
  });

  test("what the format cannot carry is refused, with the field", {}, async (kit) => {
    for (const [field, message] of [
      ["key", { key: "k".repeat(257) }],
      ["priority", { priority: 4 }],
      ["delay_ms", { delayMs: -1 }],
      ["body", { body: new Uint8Array(524_289) }],
    ] as const) {
      const outcome = await kit.tryProduce([message]);
      equal([outcome.type, outcome.type === "malformed" && outcome.detail.split(":")[0]], ["malformed", field]);
    }
    equal((await kit.tryProduce([])).type, "malformed");
    equal((await kit.tryConsume({ maxMessages: 0 })).type, "malformed");
    equal((await kit.tryConsume({ partition: 1 })).type, "malformed");
    equal((await kit.tryConsume({ group: "" })).type, "malformed");
  });

  test("a large message comes alone, and a hand-out has a limit of bytes", {}, async (kit) => {
    const large = { body: new Uint8Array(400_000) };
    await kit.tryProduce([large]);
    await kit.tryProduce([large]);
    equal((await kit.consume({ maxMessages: 10, maxBytes: 1000 })).length, 1);
    equal((await kit.consume({ maxMessages: 10 }))[0]?.body.length, 400_000);
  });
}

/** Embedded storage alone: its fences are in the shard's log. */
export function fenceConformance({ equal }: TestApi, test: QueueTest): void {
  test("a produce under a fence that is behind is refused", { partitions: 2 }, async (kit) => {
    const lock = `${kit.name}-lock`;
    const behind = { type: "fence-behind", lock, highest: "7" };
    equal((await kit.tryProduce([{ key: "a" }], { ifFence: { lock, fence: 5 } })).type, "produced");
    equal(await kit.raiseFence(lock, 7), { type: "raised" });
    equal(await kit.tryProduce([{ key: "a" }], { ifFence: { lock, fence: 6 } }), behind);
    equal(await kit.tryProduce([{ key: "b" }], { ifFence: { lock, fence: 6 } }), behind);
    equal((await kit.tryProduce([{ key: "b" }], { ifFence: { lock, fence: 7 } })).type, "produced");
    equal(await kit.raiseFence(lock, 6), behind);
    const got = await kit.consume({ maxMessages: 10, waitMs: 1000 });
    equal(bodies(got).length > 0, true);
  });
}
