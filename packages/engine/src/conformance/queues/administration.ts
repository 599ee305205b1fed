import type { QueueView } from "@trivet/core";
import { limits } from "@trivet/wire";
import type { TestApi } from "../api.ts";
import { type QueueTest, bodies } from "./kit.ts";

/** Definitions, and what people look at and clear. */
export function administrationConformance({ equal, ok }: TestApi, test: QueueTest): void {
  test("a queue has the defaults where its owner says nothing, and keeps what an update leaves out", { maxDeliveries: 7 }, async (kit) => {
    const { definition } = (await kit.details()).queue;
    const { backoffMs, dedupeWindowMs, maxAcquired, maxDeliveries, maxMessages, partitions, visibilityMs } = definition;
    equal([backoffMs, dedupeWindowMs, maxAcquired, maxDeliveries, maxMessages], [1000, 300_000, 100, 7, 1_000_000]);
    equal([partitions, visibilityMs, definition.paused], [1, 30_000, false]);
    equal((await kit.define({ ttlMs: 9 }, "update")).type, "defined");
    const after = (await kit.details()).queue.definition;
    equal([after.maxDeliveries, after.ttlMs], [7, 9]);
    ok(after.version > definition.version, "a newer version");
  });

  test("the modes of a definition refuse what they must, and partitions are fixed", { partitions: 2 }, async (kit) => {
    equal((await kit.define({}, "create")).type, "queue-exists");
    equal(await kit.define({}, "update", `${kit.name}-none`), { type: "unknown-queue", name: `${kit.name}-none` });
    equal(await kit.define({ partitions: 3 }, "update"), { type: "fixed", field: "partitions", value: 2, asked: 3 });
    const same = await kit.define({ partitions: 2 }, "ensure");
    equal(same.type === "defined" && same.created, false);
    equal((await kit.define({ partitions: 0 }, "create", `${kit.name}-none`)).type, "malformed");
    equal((await kit.define({}, "create", "")).type, "malformed");
  });

  test("queues are listed by prefix in the order of their names, page by page", {}, async (kit) => {
    for (const suffix of ["-b", "-a"]) await kit.define({}, "create", kit.name + suffix);
    const list = (cursor: string, limit: number): Promise<{ readonly queues: readonly QueueView[]; readonly next: string | null }> =>
      new Promise((resolve, reject) =>
        kit.queues.list(kit.name, cursor, limit, 10_000, (outcome) =>
          outcome.type === "listed" ? resolve(outcome) : reject(new Error(outcome.detail)),
        ),
      );
    const first = await list("", 2);
    equal(
      first.queues.map(({ definition }) => definition.name),
      [kit.name, `${kit.name}-a`],
    );
    const second = await list(first.next ?? "", 2);
    equal([second.queues.map(({ definition }) => definition.name), second.next], [[`${kit.name}-b`], null]);
  });

  test("a deleted queue is unknown, and one made again under its name begins empty", { partitions: 2 }, async (kit) => {
    await kit.produce(["a", "b"]);
    const held = await kit.one();
    const waiting = kit.tryConsume({ group: "other", start: { type: "latest" }, waitMs: 10_000 });
    equal(await kit.remove(), { type: "removed" });
    equal((await waiting).type, "consumed");
    equal(await kit.remove(), { type: "unknown-queue", name: kit.name });
    equal((await kit.tryDetails()).type, "unknown-queue");
    equal((await kit.tryProduce([{}])).type, "unknown-queue");
    equal(await kit.take(), []);
    await kit.define({}, "create");
    equal(await kit.take(), []);
    equal(await kit.settle("ack", [held]), ["foreign"]);
    equal(await kit.trySettle("ack", [held.receipt], -1, null), { type: "settled", outcomes: ["unknown"] });
    await kit.produce(["c"]);
    equal(await kit.take(), ["c"]);
  });

  test("an unknown queue comes into being at a produce that asks for it, and gives nothing before", {}, async (kit) => {
    await kit.remove();
    equal(await kit.consume({ waitMs: 10_000 }), []);
    equal(await kit.tryProduce([{}]), { type: "unknown-queue", name: kit.name });
    equal((await kit.trySettle("ack", ["x"])).type, "unknown-queue");
    equal((await kit.tryProduce([{}], { create: true })).type, "produced");
    equal((await kit.take()).length, 1);
  });

  test("messages are looked at without being taken, page by page and over all partitions", { partitions: 3 }, async (kit) => {
    const keys = Array.from({ length: 10 }, (_, number) => `k${number}`);
    await kit.tryProduce(keys.map((key) => ({ key })));
    const seen = await kit.browse("ready", 3);
    equal(seen.map(({ key }) => key).sort(), keys);
    equal(new Set(seen.map(({ id }) => id)).size, 10);
    ok(
      seen.every(({ dead, state }) => state === "ready" && dead === null),
      "as what they are",
    );
    let count = 0;
    while (count < 10) {
      const got = await kit.consume({ maxMessages: 10 });
      ok(got.length > 0, "all are still there");
      count += got.length;
    }
    equal(await kit.browse("ready"), []);
    equal((await kit.tryBrowse("ready", "nonsense")).type, "malformed");
  });

  test("delayed messages are looked at with their time", {}, async (kit) => {
    await kit.produce(["later"], { delayMs: 60_000 });
    const [delayed, ...more] = await kit.browse("delayed");
    equal([delayed?.state, more.length, (delayed?.dueAt ?? 0) > kit.harness.wallNow()], ["delayed", 0, true]);
    equal(await kit.browse("ready"), []);
  });

  test("a purge removes what nobody has in hand, delayed messages too", { partitions: 2 }, async (kit) => {
    await kit.produce(["held"], { key: "a" });
    const held = await kit.one();
    for (const key of ["a", "b", "c"]) await kit.produce(["x"], { key });
    await kit.produce(["later"], { delayMs: 60_000 });
    equal(await kit.purge(), { type: "counted", count: 4 });
    equal(await kit.take(), []);
    equal(await kit.settle("ack", [held]), ["settled"]);
  });

  test("more than one command can hold is purged and redriven", { maxMessages: 0 }, async (kit) => {
    const thousand = Array.from({ length: 1000 }, () => ({ body: new Uint8Array(1) }));
    for (let batch = 0; batch < 2; batch++) equal((await kit.tryProduce(thousand)).type, "produced");
    for (let batch = 0; batch < 2; batch++) await kit.settle("dead", await kit.consume({ maxMessages: 1000 }));
    equal(await kit.redrive([], 1500), { type: "counted", count: 1500 });
    equal(await kit.purge(), { type: "counted", count: 1500 });
    equal(await kit.purge(true), { type: "counted", count: 500 });
  });

  test("a partition has no more than its limit of groups: one more is refused by name of the limit", { partitions: 2 }, async (kit) => {
    await kit.produce(["a"], { key: "a" });
    for (let group = 0; group < limits.maxGroupsPerPartition; group++) {
      equal(await kit.createGroup(`g${group}`, { type: "earliest" }), { type: "group", created: true });
    }
    const tooMany = { type: "too-many-groups", max: limits.maxGroupsPerPartition };
    equal(await kit.createGroup("one-more", { type: "earliest" }), tooMany);
    equal(await kit.tryConsume({ group: "one-more" }), tooMany);
    equal(await kit.tryConsume({ group: "one-more", waitMs: 10_000 }), tooMany);
    equal(await kit.createGroup("g0", { type: "earliest" }), { type: "group", created: false });
    equal(bodies([await kit.one({ group: "g0" })]), ["a"]);
    equal(await kit.deleteGroup("g1"), { type: "removed" });
    equal(bodies([await kit.one({ group: "one-more" })]), ["a"]);
  });

  test("the counters of a queue and its groups add up", { partitions: 1 }, async (kit) => {
    await kit.produce(["a", "b", "c", "d"]);
    const [first, second] = await kit.consume({ maxMessages: 3 });
    if (first === undefined || second === undefined) throw new Error("two messages were produced");
    await kit.settle("ack", [first]);
    await kit.settle("dead", [second]);
    const { partitions } = await kit.details();
    const [one] = partitions;
    equal([partitions.length, one?.partition, one?.messages, one?.bytes, one?.produced, one?.dead], [1, 0, 2, 2, 4, 1]);
    const [group] = one?.groups ?? [];
    equal([group?.group, group?.ready, group?.leased, group?.settled, group?.dead], ["g", 1, 1, 1, 1]);
    ok((one?.oldestAt ?? 0) > 0, "the oldest has a time");
    equal(bodies(await kit.browse("ready")), ["d"]);
  });
}
