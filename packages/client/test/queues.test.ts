import { OutcomeUnknownError, StaleReceiptError, UnavailableError } from "@trivet/client";
import { describe, expect, test } from "vitest";
import { cluster, connected, failure, until } from "./support.ts";
import { take } from "./take.ts";

const hex = (frame: Uint8Array | undefined): string => Buffer.from(frame ?? []).toString("hex");

describe("produce", () => {
  test("messages of one turn to one partition share one command of one frame, and each is answered", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produce(-1);
    const produced = await Promise.all(Array.from({ length: 100 }, (_, n) => trivet.queue<number>("q").produce(n)));
    expect(produced.map(({ id }) => id)).toEqual(produced.map((_, n) => `1-0-${n + 2}`));
    expect([fake.shards.count("produce"), fake.node(0).shardFrames.length]).toEqual([2, 2]);
  });

  test("messages that are produced together share one command where they fit one, whatever has gathered before them", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produce(-1);
    const singles = Array.from({ length: 600 }, (_, n) => queue.produce(n));
    await Promise.all([...singles, queue.produceMany(Array.from({ length: 600 }, (_, body) => ({ body })))]);
    const sizes = fake.shards.executed.map((command) => (command.type === "produce" ? command.messages.length : 0));
    expect(sizes).toEqual([1, 600, 600]);
  });

  test("messages of one key stay in their order, whatever their options", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produce(0);
    const produced = await Promise.all([5_000, 6_000, 5_000, 6_000].map((timeoutMs, n) => queue.produce(n, { key: "k", timeoutMs })));
    expect(produced.map(({ sequence }) => sequence)).toEqual([2, 3, 4, 5]);
  });

  test("messages of one key go to one partition, others in turn", async () => {
    const fake = await cluster();
    fake.shards.partitions = 4;
    const trivet = await connected(fake);
    const queue = trivet.queue("q");
    const keyed = await Promise.all(["a", "b", "a", "b", "a"].map((key) => queue.produce(1, { key })));
    expect(new Set(keyed.map(({ partition }, at) => `${at % 2} ${partition}`)).size).toBe(2);
    const others = new Set<number>();
    // Each fills its partition's turn.
    for (let n = 0; n < 4; n++) others.add((await queue.produce("x".repeat(64 * 1024))).partition);
    expect(others.size).toBe(4);
  });

  test.each(["drop-unread", "drop-unanswered"] as const)("%s: the same bytes are sent again, and stored once", async (policy) => {
    const fake = await cluster();
    const trivet = await connected(fake);
    fake.node(0).shardPolicies.push(policy, policy);
    await expect(trivet.queue("q").produce("x")).resolves.toMatchObject({ sequence: 1 });
    const { shardFrames } = fake.node(0);
    expect(shardFrames).toHaveLength(3);
    expect(new Set(shardFrames.map(({ frame }) => hex(frame))).size).toBe(1);
    expect(fake.shards.count("produce")).toBe(1);
  });

  test("a refused frame is sent again; when nobody took it by the deadline, nothing happened", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const { shardPolicies } = fake.node(0);
    shardPolicies.push({ refuse: "no_leader" }, { refuse: "redis_unavailable" });
    await expect(trivet.queue("q").produce("x")).resolves.toMatchObject({ sequence: 1 });
    // Longer than the time it has: while a frame is under way at the deadline its outcome would be unknown.
    shardPolicies.push({ refuse: "redis_unavailable", retryAfterMs: 1_000 });
    const error = await failure(trivet.queue("q").produce("y", { timeoutMs: 500 }));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({ code: "redis_unavailable", retryable: true });
    expect(fake.shards.count("produce")).toBe(1);
  });

  test("without an answer by the deadline the outcome is unknown, and the error says so", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    fake.node(0).shardPolicies.push("swallow");
    const error = await failure(trivet.queue("q").produce("x", { timeoutMs: 100 }));
    expect(error).toBeInstanceOf(OutcomeUnknownError);
  });

  test("while frames are unanswered what several turns produce shares one; an answer, or a millisecond, sends it", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue("q");
    await queue.produce("there");
    const { shardFrames, shardPolicies } = fake.node(0);
    shardPolicies.push("swallow", "swallow");
    const lost: Promise<unknown>[] = [];
    for (let n = 0; n < 2; n++) {
      lost.push(queue.produce("lost", { timeoutMs: 400 }));
      await until(() => shardFrames.length === 2 + n, "the frame is there");
    }
    const gathered: Promise<unknown>[] = [];
    for (let n = 0; n < 200; n++) {
      gathered.push(queue.produce("gathered"));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(gathered);
    // A frame a turn would be two hundred.
    expect(shardFrames.length - 3).toBeLessThan(100);
    const [first] = await Promise.allSettled(lost);
    // The second may be found out in time: it is sent again behind the first.
    expect(first).toMatchObject({ status: "rejected", reason: expect.any(OutcomeUnknownError) });
  });

  test("a shard that has not heard of the queue is asked again, after its name", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    fake.shards.unconfigured = 3;
    await expect(trivet.queue("q").produce("x")).resolves.toMatchObject({ sequence: 1 });
    expect(fake.node(0).shardFrames).toHaveLength(4);
  });

  test("what no shard would take fails alone, and what was given up before its turn ended is not sent", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue("q");
    const controller = new AbortController();
    const outcomes = Promise.allSettled([
      queue.produce("fine"),
      queue.produce("x".repeat(600_000)),
      queue.produce(undefined),
      queue.produce("x", { key: "\ud800" }),
      queue.produce("x", { priority: 4 }),
      queue.produce("x", { delayMs: 5, dueAt: new Date() }),
      queue.produce("given up", { signal: controller.signal }),
    ]);
    controller.abort(new Error("never mind"));
    const [fine, ...others] = await outcomes;
    expect(fine.status).toBe("fulfilled");
    const reasons = others.map((other) => (other.status === "rejected" ? (other.reason as { code?: string; message: string }) : null));
    expect(reasons.map((reason) => reason?.code ?? reason?.message)).toEqual([
      ...Array.from({ length: 5 }, () => "bad_request"),
      "never mind",
    ]);
    expect(fake.shards.get("q").produced).toBe(1);
  });

  test.each([1, 2])("a node that speaks protocol %i is told apart", async (protocol) => {
    const fake = await cluster();
    fake.node(0).protocol = protocol;
    const trivet = await connected(fake);
    expect(await failure(trivet.queue("q").produce("x"))).toMatchObject({ code: "upgrade_required" });
    await trivet.execute({ type: "nothing" });
  });
});

describe("groups", () => {
  test("are made and deleted in every partition, also where the shard has not heard of the queue yet", async () => {
    const fake = await cluster();
    fake.shards.partitions = 4;
    fake.shards.unconfigured = 3;
    const trivet = await connected(fake);
    const queue = trivet.queue("q");
    await expect(queue.createGroup("g", { start: "latest" })).resolves.toBe(true);
    expect(fake.shards.groups).toEqual(new Set([0, 1, 2, 3].map((partition) => `1/${partition}/g`)));
    expect(fake.shards.executed).toContainEqual({ type: "create-group", queue: 1, partition: 3, group: "g", start: { type: "latest" } });
    await expect(queue.createGroup("g")).resolves.toBe(false);
    // As when only a consume made it, in its partition.
    fake.shards.groups.delete("1/2/g");
    await expect(queue.deleteGroup("g")).resolves.toBe(true);
    expect(fake.shards.groups.size).toBe(0);
    await expect(queue.deleteGroup("g")).resolves.toBe(false);
    expect(await failure(queue.createGroup(""))).toMatchObject({ code: "bad_request" });
    expect(await failure(trivet.queue("none").deleteGroup("g"))).toMatchObject({ code: "queue_unknown" });
    fake.shards.queues.delete("q");
    expect(await failure(queue.deleteGroup("g"))).toMatchObject({ code: "queue_unknown" });
    fake.shards.partitions = 2;
    await expect(queue.createGroup("g")).resolves.toBe(true);
  });
});

describe("consume", () => {
  test("one group too many is told as the limit that it is, and ends the consumer", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produce(1);
    fake.shards.fullOfGroups = true;
    const tooMany = { code: "quota_exceeded", details: { limit: "groups", max: 64 } };
    expect(await failure(queue.createGroup("one-more"))).toMatchObject(tooMany);
    const consumer = queue.consume({ group: "one-more" });
    expect(await failure(consumer.next())).toMatchObject(tooMany);
    expect(await failure(consumer.next())).toMatchObject(tooMany);
    expect(fake.shards.count("consume")).toBe(1);
  });

  test("never more than the credit is in hand, and the next are asked for before the last is taken", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produceMany(Array.from({ length: 100 }, (_, body) => ({ body })));
    const consumer = queue.consume({ credit: 10 });
    const first = await take(consumer, 10);
    expect([consumer.inHand, fake.shards.count("consume")]).toEqual([10, 1]);
    await Promise.all(first.slice(0, 5).map((message) => message.ack()));
    await until(() => consumer.inHand === 10, "five more in hand");
    // The acks of one turn were one command.
    expect(fake.shards.count("settle")).toBe(1);
    expect((await take(consumer, 5)).map(({ body }) => body)).toEqual([10, 11, 12, 13, 14]);
    await consumer.return();
    expect(fake.shards.get("q").kept.filter(({ leased }) => leased)).toEqual([]);
    expect(fake.shards.get("q").kept).toHaveLength(95);
  });

  test("a settlement makes room at once: the next are asked for behind it, in the same frame", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produceMany(Array.from({ length: 30 }, (_, body) => ({ body })));
    const consumer = queue.consume({ credit: 10 });
    const first = await take(consumer, 10);
    const frames = (): number => [...fake.nodes].reduce((sum, node) => sum + node.shardFrames.length, 0);
    const [framesBefore, executedBefore] = [frames(), fake.shards.executed.length];
    await Promise.all(first.map((message) => message.ack()));
    expect(fake.shards.executed.slice(executedBefore).map(({ type }) => type)).toEqual(["settle", "consume"]);
    expect(frames()).toBe(framesBefore + 1);
    expect((await take(consumer, 10)).map(({ body }) => body)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    await consumer.return();
  });

  test("where there is nothing it waits for a hint, also for a queue that is not there yet", async () => {
    const fake = await cluster();
    fake.shards.partitions = 3;
    const trivet = await connected(fake);
    const consumer = trivet.queue<string>("later").consume();
    const next = consumer.next();
    await until(() => fake.node(0).awaited > 0, "the node is asked to wait");
    const queue = trivet.queue<string>("later");
    await queue.produce("a");

    expect(await next).toMatchObject({ value: { body: "a" } });
    const asked = fake.shards.count("consume");
    const other = consumer.next();
    await queue.produce("b");
    expect(await other).toMatchObject({ value: { body: "b" } });
    expect(fake.shards.count("consume") - asked).toBeLessThanOrEqual(3);
    expect(fake.node(0).awaited).toBe(1);
  });

  test("a lost connection: what was not taken yet is given back, and asked for under another name", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produceMany([{ body: 1 }, { body: 2 }, { body: 3 }]);
    const consumer = queue.consume({ consumer: "me" });
    const [first] = await take(consumer, 1);
    fake.node(0).cutConnections();
    await until(() => fake.node(0).watches.length === 2, "watched again");
    const others = await take(consumer, 2);
    expect(others.map(({ body, acquired }) => [body, acquired])).toEqual([
      [2, 2],
      [3, 2],
    ]);
    expect(fake.node(0).watches.map(({ consumer: name, on }) => [name, on])).toEqual([
      ["me", true],
      ["me~1", true],
    ]);
    // Nobody has taken it away here, so it is still in hand.
    await first?.ack();
  });

  test("a change to the leader keeps what is in hand, and tells the node that is left that nobody is lost", async () => {
    const fake = await cluster(2);
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produceMany([{ body: 1 }, { body: 2 }]);
    const consumer = queue.consume({ consumer: "me" });
    await take(consumer, 1);
    fake.elect(fake.node(1));
    await until(() => fake.node(1).watches.length === 1 && fake.node(0).watches.length === 2, "watched at the leader");
    expect(fake.node(0).watches.map(({ on }) => on)).toEqual([true, false]);
    expect((await take(consumer, 1)).map(({ body, acquired }) => [body, acquired])).toEqual([[2, 1]]);
  });

  test("a lease is counted by the clock, even when the loop was blocked; what the cluster took away is told", async () => {
    const fake = await cluster();
    // Long enough to be taken in time on a busy machine: here nothing is handed out twice.
    fake.shards.leaseMs = 400;
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produce(1);
    const [blocked] = await take(queue.consume({ group: "a", autoExtend: false }), 1);
    const end = performance.now() + 410;
    while (performance.now() < end);
    expect(() => blocked?.lease.assertHeld()).toThrow(StaleReceiptError);

    fake.shards.leaseMs = 400;
    const other = trivet.queue<number>("r");
    await other.produce(1);
    const [kept] = await take(other.consume({ group: "a" }), 1);
    await until(() => fake.shards.count("settle") >= 3, "extended");
    kept?.lease.assertHeld();
    for (const one of fake.shards.get("r").kept) one.acquired++;
    await until(() => kept?.lease.signal.aborted === true, "told that it is lost");
    expect(kept?.lease.signal.reason).toBeInstanceOf(StaleReceiptError);
    expect(await failure(kept?.ack() ?? Promise.resolve())).toMatchObject({ code: "receipt_stale" });
  });

  test("settling is idempotent, tells what was settled otherwise, and may be tried again when nothing happened", async () => {
    const fake = await cluster();
    const trivet = await connected(fake, { commandTimeoutMs: 500 });
    const queue = trivet.queue<number>("q");
    await queue.produceMany([{ body: 1 }, { body: 2 }]);
    const consumer = queue.consume();
    const [one, two] = await take(consumer, 2);
    await Promise.all([one?.ack(), one?.ack()]);
    expect(await failure(one?.nack() ?? Promise.resolve())).toBeInstanceOf(StaleReceiptError);
    const { shardPolicies } = fake.node(0);
    shardPolicies.push({ refuse: "no_leader", retryAfterMs: 1_000 });
    expect(await failure(two?.ack() ?? Promise.resolve())).toBeInstanceOf(UnavailableError);
    shardPolicies.length = 0;
    await two?.ack();
    expect(fake.shards.get("q").kept).toEqual([]);
  });

  test("a signal ends the iteration with its reason and gives back what is in hand", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produceMany([{ body: 1 }, { body: 2 }]);
    const controller = new AbortController();
    const consumer = queue.consume({ signal: controller.signal });
    await take(consumer, 2);
    const next = consumer.next();
    controller.abort(new Error("enough"));
    expect(await failure(next)).toEqual(new Error("enough"));
    await until(() => fake.shards.get("q").kept.every(({ leased }) => !leased), "given back");
  });
});
