import { type Consumer, type Message, OutcomeUnknownError } from "@trivet/client";
import { describe, expect, test, vi } from "vitest";
import type { FakeCluster, FramePolicy } from "./fake-cluster.ts";
import { cluster, connected, failure, until } from "./support.ts";

const noQuorum: FramePolicy = { refuse: "no_quorum" };
/** Whether its last try was under way at the deadline is chance. */
const notTaken: ReadonlySet<string> = new Set(["no_quorum", "commit_timeout"]);
const codeOf = (error: unknown): string => (error as { readonly code?: string }).code ?? "";
const handles = (fake: FakeCluster, policy: FramePolicy): void => {
  fake.chooseShardTrouble = () => policy;
};

async function held(
  fake: FakeCluster,
  autoExtend = true,
): Promise<{ readonly consumer: Consumer<number>; readonly message: Message<number> }> {
  const queue = (await connected(fake, { commandTimeoutMs: 100 })).queue<number>("q");
  await queue.produce(1);
  const consumer = queue.consume({ autoExtend });
  const { value } = await consumer.next();
  if (value === undefined) throw new Error("a message was produced");
  return { consumer, message: value };
}

describe("a worker", () => {
  test("repeats a settlement that nobody took until somebody does, and goes on", async () => {
    const fake = await cluster();
    const queue = (await connected(fake, { commandTimeoutMs: 100 })).queue<number>("q");
    await queue.produceMany([1, 2, 3, 4, 5, 6].map((body) => ({ body })));
    const handled: number[] = [];
    const errors: unknown[] = [];
    const worker = queue.worker(
      ({ body, acquired }) => {
        if (handled.length === 0) handles(fake, noQuorum);
        handled.push(body);
        if (body === 4 && acquired === 1) throw new Error("failed");
      },
      { onError: (error) => errors.push(error) },
    );
    await until(() => errors.length >= 2, "two tries in vain");
    handles(fake, "answer");
    await until(() => handled.length >= 7, "the failed one is handed out again");
    await worker.stop();
    expect(handled.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 4, 5, 6]);
    expect(errors.filter((error) => !notTaken.has(codeOf(error)))).toEqual([new Error("failed")]);
    expect(fake.shards.executed.flatMap((command) => (command.type === "settle" ? [command.settlement] : [])).toSorted()).toEqual(
      expect.arrayContaining(["ack", "ack", "ack", "ack", "ack", "nack"]),
    );
  });

  test("repeats no settlement that was refused for good: the message makes room for the next", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    await queue.produceMany([1, 2, 3, 4, 5, 6].map((body) => ({ body })));
    fake.shards.refusesSettlements = true;
    const handled: number[] = [];
    const errors: unknown[] = [];
    const worker = queue.worker(({ body }) => void handled.push(body), { onError: (error) => errors.push(error) });
    await until(() => handled.length === 6, "all are handled");
    await worker.stop();
    expect(errors).toHaveLength(6);
    expect(errors[0]).toMatchObject({ code: "bad_request" });
  });

  test.each(["stop", "signal"] as const)("ends by %s although nobody takes its settlement", async (how) => {
    const fake = await cluster();
    const queue = (await connected(fake, { commandTimeoutMs: 100 })).queue<number>("q");
    await queue.produce(1);
    const ending = new AbortController();
    const told = vi.fn<(error: unknown) => void>();
    const worker = queue.worker(() => handles(fake, noQuorum), { onError: told, signal: ending.signal });
    await until(() => told.mock.calls.length >= 2, "two tries in vain");
    if (how === "signal") ending.abort(new Error("enough"));
    else void worker.stop();
    await worker.done;
    expect(notTaken).toContain(codeOf(told.mock.calls[0]?.[0]));
  });

  test("without onError warns of what its handler threw", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue(undefined);
    try {
      const queue = (await connected(await cluster())).queue<number>("q");
      await queue.produceMany([{ body: 1 }, { body: 2 }]);
      let handled = 0;
      const worker = queue.worker(() => {
        handled++;
        throw new Error("no such customer");
      });
      await until(() => handled >= 2, "both are handled");
      await worker.stop();
      expect(warned).toHaveBeenCalledOnce();
      expect(warned.mock.calls[0]?.[0]).toMatch(/no such customer.*onError/);
    } finally {
      warned.mockRestore();
    }
  });
});

describe("a settlement that failed", () => {
  test.each([true, false])("and is not repeated: the lease runs out, and the message makes room (autoExtend %s)", async (autoExtend) => {
    const fake = await cluster();
    fake.shards.leaseMs = 600;
    const { consumer, message } = await held(fake, autoExtend);
    handles(fake, noQuorum);
    expect(notTaken).toContain(codeOf(await failure(message.ack())));
    handles(fake, "answer");
    await until(() => message.lease.signal.aborted, "given up");
    expect([consumer.inHand, message.isOpen, message.lease.isHeld]).toEqual([0, false, false]);
    const extended = fake.shards.executed.filter((command) => command.type === "settle" && command.settlement === "extend");
    expect(extended.length > 0).toBe(autoExtend);
    expect(await failure(message.ack())).toMatchObject({ code: "receipt_stale" });
  });

  test("is still in hand for whoever repeats it", async () => {
    const fake = await cluster();
    const { message } = await held(fake);
    handles(fake, noQuorum);
    expect(notTaken).toContain(codeOf(await failure(message.ack())));
    handles(fake, "answer");
    await message.ack();
    expect(fake.shards.get("q").kept).toEqual([]);
  });

  test("after the cluster said meanwhile that the lease is over: the message is lost", async () => {
    const fake = await cluster();
    const { consumer, message } = await held(fake);
    handles(fake, "ignore");
    const acknowledged = failure(message.ack());
    const { shardFrames } = fake.node(0);
    const frames = shardFrames.length;
    await until(() => shardFrames.length > frames, "the acknowledgement is under way");
    handles(fake, "answer");
    for (const one of fake.shards.get("q").kept) one.acquired++;
    expect(await failure(message.extend(60_000))).toMatchObject({ code: "receipt_stale" });
    handles(fake, "ignore");
    expect(message.lease.signal.aborted).toBe(false);
    expect(await acknowledged).toBeInstanceOf(OutcomeUnknownError);
    expect([message.isOpen, message.lease.signal.aborted, consumer.inHand]).toEqual([false, true, 0]);
  });
});
