import { OutcomeUnknownError, type Queue, UnavailableError } from "@trivet/client";
import { FrameCursor, orderedStreamProtocol } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import type { FakeCluster } from "./fake-cluster.ts";
import { cluster, connected, failure, until } from "./support.ts";

const key = "k";

/** Bodies as they are stored, first to last. */
function stored(fake: FakeCluster, name = "q"): readonly unknown[] {
  const { kept } = fake.shards.get(name);
  return kept.toSorted((a, b) => a.sequence - b.sequence).map(({ message }) => JSON.parse(Buffer.from(message.body).toString()) as unknown);
}

/** Each in a turn of its own, on its way before the next is made; none of them awaited. */
async function produceInTurns(
  fake: FakeCluster,
  queue: Queue<number>,
  numbers: readonly number[],
  timeoutMs = 5_000,
): Promise<Promise<unknown>[]> {
  const { shardFrames } = fake.node(0);
  const produced: Promise<unknown>[] = [];
  for (const n of numbers) {
    const before = shardFrames.length;
    produced.push(queue.produce(n, { key, timeoutMs }));
    await until(() => shardFrames.length > before, `the frame of ${n} is there`);
  }
  return produced;
}

describe("what a client produces without waiting is stored in that order", () => {
  test.each(["overloaded", "no_leader", "storage", "no_quorum"] as const)("when the first of two turns is refused: %s", async (refuse) => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produce(0, { key });
    fake.node(0).shardPolicies.push({ refuse, retryAfterMs: 50 });
    await Promise.all(await produceInTurns(fake, queue, [1, 2]));
    await Promise.all([3, 4].map((n) => queue.produce(n, { key })));
    expect(stored(fake)).toEqual([0, 1, 2, 3, 4]);
  });

  test("while one is refused the next are held, and then nothing comes before its predecessor", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produce(0, { key });
    const { shardFrames, shardPolicies } = fake.node(0);
    shardPolicies.push({ refuse: "overloaded", retryAfterMs: 60 });
    const first = queue.produce(1, { key });
    await until(() => shardPolicies.length === 0, "it is refused");
    // The refusal is there, at the latest, when what was asked for behind it is answered.
    await queue.describe().catch(() => undefined);
    const sent = shardFrames.length;
    const others = [2, 3, 4].map((n) => queue.produce(n, { key }));
    await Promise.all([first, ...others]);
    expect(stored(fake)).toEqual([0, 1, 2, 3, 4]);
    expect(fake.shards.gaps).toBe(0);
    expect(shardFrames.length - sent).toBe(2);
  });

  test("when every frame is refused at random, links are lost, nodes and the queue's settings change", async () => {
    const fake = await cluster(2);
    const queue = (await connected(fake, { commandTimeoutMs: 20_000 })).queue<number>("q");
    await queue.produce(0, { key });
    const refusals = ["overloaded", "no_leader", "storage"] as const;
    const outcomes: Promise<unknown>[] = [];
    for (let n = 1; n <= 300; n++) {
      outcomes.push(queue.produce(n, { key }));
      if (n % 29 === 0) {
        fake.shards.version++;
        outcomes.push(queue.raiseFence({ name: "l", fence: 1n }));
      }
      for (const node of fake.nodes) {
        if (n % 5 === 0)
          node.shardPolicies.push({ refuse: refusals[n % 3] ?? "storage", retryAfterMs: 10 + (n % 7) * 5 }, "answer", "answer");
        if (n % 37 === 0) node.shardPolicies.push("drop-unread");
        if (n % 53 === 0) node.shardPolicies.push("drop-unanswered");
      }
      await new Promise((resolve) => setTimeout(resolve, n % 3));
    }
    await Promise.all(outcomes);
    expect(stored(fake)).toEqual(Array.from({ length: 301 }, (_, n) => n));
  });

  test("when the first finds no node in time and nothing happened: those behind it are stored", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produce(0, { key });
    fake.node(0).shardPolicies.push({ refuse: "no_leader", retryAfterMs: 400 });
    const [first, second] = [queue.produce(1, { key, timeoutMs: 200 }), queue.produce(2, { key, timeoutMs: 5_000 })];
    // They share a turn, and with it a fate; what comes in the next one is stored.
    expect(await failure(first)).toBeInstanceOf(UnavailableError);
    expect(await failure(second)).toBeInstanceOf(UnavailableError);
    await Promise.all([queue.produce(3, { key }), queue.produce(4, { key })]);
    expect(stored(fake)).toEqual([0, 3, 4]);
  });

  test.each(["ignore", "swallow"] as const)(
    "when nobody knows what became of the first (%s): it is found out, and those behind it are stored",
    async (policy) => {
      const fake = await cluster();
      const queue = (await connected(fake)).queue<number>("q");
      await queue.produce(0, { key });
      const { shardFrames } = fake.node(0);
      let isSilent = true;
      fake.chooseShardTrouble = () => (isSilent ? policy : "answer");
      const lost = queue.produce(1, { key, timeoutMs: 150 });
      await until(() => shardFrames.length === 2, "it is on its way");
      const others = [2, 3].map((n) => queue.produce(n, { key, timeoutMs: 5_000 }));
      expect(await failure(lost)).toBeInstanceOf(OutcomeUnknownError);
      isSilent = false;
      await Promise.all(others);
      await queue.produce(4, { key });
      expect(stored(fake)).toEqual(policy === "swallow" ? [0, 1, 2, 3, 4] : [0, 2, 3, 4]);
      expect(shardFrames.length).toBeLessThan(20);
      // Rule X3: what it was may still be asked for.
      const cursor = new FrameCursor();
      const headers = shardFrames.map(({ frame }) => cursor.open(frame));
      const unknown = headers.find(({ firstSequence }) => firstSequence === 2);
      const acknowledged = headers.filter(({ ackedUpTo, caller }) => caller === unknown?.caller && ackedUpTo >= 2).length;
      expect(acknowledged > 0).toBe(policy === "ignore");
    },
  );

  test("when what nobody knew of was stored, and one behind it was never sent: those behind that are stored", async () => {
    const fake = await cluster();
    const node = fake.node(0);
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    await queue.produce(0, { key });
    node.shardPolicies.push("swallow");
    const unknown = queue.produce(1, { key, timeoutMs: 200 });
    await until(() => node.shardPolicies.length === 0, "it is stored");
    await node.stop();
    await until(() => trivet.node === null, "there is no link");
    const unsent = failure(queue.produce(2, { key, timeoutMs: 300 }));
    await new Promise((resolve) => setTimeout(resolve, 15));
    const last = queue.produce(3, { key, timeoutMs: 5_000 });
    expect(await failure(unknown)).toBeInstanceOf(OutcomeUnknownError);
    expect(await unsent).toBeInstanceOf(UnavailableError);
    await node.restart();
    await last;
    await queue.produce(4, { key });
    expect(stored(fake)).toEqual([0, 1, 3, 4]);
  });

  test("what was stored before its caller lost the right to is unknown, not told as forbidden; what was never taken is forbidden", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produce(0, { key });
    fake.node(0).shardPolicies.push("drop-unanswered", { refuse: "forbidden" }, { refuse: "forbidden" });
    expect(await failure(queue.produce(1, { key }))).toBeInstanceOf(OutcomeUnknownError);
    expect(await failure(queue.produce(2, { key }))).toMatchObject({ code: "forbidden" });
    await queue.produce(3, { key });
    expect(stored(fake)).toEqual([0, 1, 3]);
  });

  test("what was held until the shard knew the queue, and then sent, is unknown without an answer: not told as never stored", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    fake.node(0).shardPolicies.push({ refuse: "overloaded", retryAfterMs: 100 });
    const first = queue.produce(1, { key });
    const held: Promise<unknown>[] = [];
    for (const n of [2, 3, 4]) {
      held.push(failure(queue.produce(n, { key, timeoutMs: 400 })));
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    await first;
    fake.chooseShardTrouble = () => "swallow";
    for (const outcome of held) expect(await outcome).toBeInstanceOf(OutcomeUnknownError);
    expect(stored(fake)).toEqual([1, 2, 3, 4]);
  });

  test("when the shard has not heard of the queue yet", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    fake.shards.unconfigured = 4;
    const outcomes: Promise<unknown>[] = [];
    for (let n = 0; n < 30; n++) {
      outcomes.push(queue.produce(n, { key }));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(outcomes);
    expect(stored(fake)).toEqual(Array.from({ length: 30 }, (_, n) => n));
  });

  test("when the queue gets other settings: that the shard knew the former ones does not say that it knows these", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produce(0, { key });
    const { shardPolicies } = fake.node(0);
    shardPolicies.push({ refuse: "overloaded", retryAfterMs: 100 });
    const outcomes = [queue.produce(1, { key })];
    await until(() => shardPolicies.length === 0, "it is refused");
    fake.shards.version = 2;
    // Looks its name up anew.
    await queue.raiseFence({ name: "l", fence: 1n });
    for (const n of [2, 3]) {
      outcomes.push(queue.produce(n, { key }));
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    await Promise.all(outcomes);
    expect(stored(fake)).toEqual([0, 1, 2, 3]);
  });

  test("when the first came too late: that says nothing of what the shard knows", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    fake.shards.groupTime = () => Date.now() + 60_000;
    expect(await failure(queue.produce(0, { key }))).toMatchObject({ code: "not_executed" });
    fake.shards.groupTime = () => Date.now();
    fake.shards.unconfigured = 1;
    const { shardPolicies } = fake.node(0);
    shardPolicies.push({ refuse: "overloaded", retryAfterMs: 100 });
    const outcomes = [queue.produce(1, { key })];
    await until(() => shardPolicies.length === 0, "it is refused");
    outcomes.push(queue.produce(2, { key }));
    await Promise.all(outcomes);
    expect(stored(fake)).toEqual([1, 2]);
  });
});

test("frames of a node that knows of no order have none, and are stored as before", async () => {
  const fake = await cluster();
  fake.node(0).protocol = orderedStreamProtocol - 1;
  const queue = (await connected(fake)).queue<number>("q");
  fake.node(0).shardPolicies.push({ refuse: "overloaded" });
  await Promise.all([0, 1].map((n) => queue.produce(n, { key })));
  expect(stored(fake)).toEqual([0, 1]);
  const cursor = new FrameCursor();
  for (const { frame } of fake.node(0).shardFrames) expect(cursor.open(frame).ordered).toBe(false);
});
