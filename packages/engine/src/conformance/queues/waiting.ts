import type { Consumed, Delivered, QueueFailure } from "../../queues/queues-api.ts";
import type { TestApi } from "../api.ts";
import { type QueueTest, bodies } from "./kit.ts";

const options = { timeoutMs: 20_000 } as const;

/** Long polls, groups and where they begin. */
export function waitingConformance({ equal, ok }: TestApi, test: QueueTest): void {
  test("a long poll ends with the message that comes, in whichever partition", { partitions: 3 }, async (kit) => {
    for (const key of ["a", "b", "c", "d"]) {
      const waiting = kit.one();
      await kit.produce([key], { key });
      const message = await waiting;
      equal(bodies([message]), [key]);
      await kit.settle("ack", [message]);
    }
  });

  test("a long poll for which nothing comes ends empty", {}, async (kit) => {
    equal(await kit.consume({ waitMs: 100 }), []);
  });

  test("a repeat of a long poll with an idempotency key gets its messages and no others", { partitions: 3 }, async (kit) => {
    const first = kit.takeKeyed("k", { waitMs: 10_000 });
    // Its first looks find nothing, and a later one does.
    await kit.consume({ waitMs: 50, group: "other" });
    for (const key of ["a", "b", "c", "d", "e", "f"]) await kit.produce([key], { key });
    const handed = await first;
    equal(handed.length, 1);
    for (let send = 0; send < 2; send++) equal(bodies(await kit.takeKeyed("k", { waitMs: 10_000 })), bodies(handed));
    await kit.settle("ack", handed);
    for (let send = 0; send < 2; send++) equal(await kit.takeKeyed("k", { waitMs: 10_000 }), []);
    const others: string[] = [];
    for (let more = await kit.take(); more.length > 0; more = await kit.take()) others.push(...more);
    equal(others.length, 5);
  });

  test("a repeat of a consume with an idempotency key that settles at once takes nothing more", {}, async (kit) => {
    await kit.produce(["a", "b", "c"]);
    equal(bodies(await kit.takeKeyed("k", { autoAck: true })), ["a"]);
    for (let send = 0; send < 2; send++) equal(await kit.takeKeyed("k", { autoAck: true }), []);
    equal(await kit.take(), ["b", "c"]);
  });

  test("a long poll waits for a queue that is not there yet", {}, async (kit) => {
    equal(await kit.remove(), { type: "removed" });
    const waiting = [kit.one(), kit.one()];
    equal((await kit.tryProduce([{}, {}], { create: true })).type, "produced");
    equal(new Set((await Promise.all(waiting)).map(({ sequence }) => sequence)), new Set([1, 2]));
  });

  test("a long poll for a queue that never comes waits its time and ends empty", {}, async (kit) => {
    await kit.remove();
    const before = kit.harness.wallNow();
    equal(await kit.consume({ waitMs: 300 }), []);
    ok(kit.harness.wallNow() - before >= 250, "it did not end at once, which would have a poller spin");
    equal(await kit.consume(), []);
  });

  test("a queue is waited for by its name until it is there, or the time is over, or nobody waits any longer", {}, async (kit) => {
    const awaited = (name: string, waitMs: number): Promise<boolean> =>
      new Promise((resolve) => void kit.queues.awaitQueue(name, waitMs, resolve));
    equal(await awaited(kit.name, 20_000), true);
    const other = `${kit.name}-other`;
    equal(await awaited(other, 50), false);
    const waiting = [awaited(other, 20_000), awaited(other, 20_000)];
    const left = new Promise((resolve) => kit.queues.awaitQueue(other, 20_000, resolve)());
    equal(await left, false);
    await kit.define({}, "create", other);
    equal(await Promise.all(waiting), [true, true]);
  });

  test("a long poll whose queue is deleted waits for another of its name", {}, async (kit) => {
    const waiting = kit.one();
    equal(await kit.remove(), { type: "removed" });
    await kit.define({}, "create");
    await kit.produce(["b"]);
    equal(bodies([await waiting]), ["b"]);
  });

  test("who goes away while a queue is waited for is told so at once", {}, async (kit) => {
    await kit.remove();
    const before = kit.harness.wallNow();
    const left = new Promise<Consumed | QueueFailure>((resolve) => {
      const submission = kit.queues.consume(kit.consumption({ waitMs: 15_000 }), options, resolve);
      // After the look for its name, so that it waits by then.
      void kit.tryDetails().then(() => submission.abandon());
    });
    equal((await left).type, "consumed");
    ok(kit.harness.wallNow() - before < 10_000, "long before its time is over");
  });

  test("of several long polls each gets its message", {}, async (kit) => {
    const waiting = [kit.one(), kit.one(), kit.one()];
    await kit.produce(["a", "b", "c"]);
    equal([...bodies(await Promise.all(waiting))].sort(), ["a", "b", "c"]);
  });

  test("what a caller who went away would have got is given to another", {}, async (kit) => {
    const left = new Promise<readonly Delivered[]>((resolve) => {
      const submission = kit.queues.consume(kit.consumption({ waitMs: 10_000 }), options, (outcome) =>
        resolve(outcome.type === "consumed" ? outcome.messages : []),
      );
      submission.abandon();
      submission.abandon();
    });
    await kit.produce(["a"]);
    equal(await left, []);
    equal(bodies([await kit.one()]), ["a"]);
  });

  test("a consume of a group that was never answered says what is there", {}, async (kit) => {
    equal(await kit.take(), []);
    await kit.produce(["a"]);
    equal(await kit.take(), ["a"]);
  });

  test("every group gets every message, and a body stays until all have settled it", {}, async (kit) => {
    await kit.produce(["a", "b"]);
    const first = await kit.consume({ group: "one", maxMessages: 10 });
    const second = await kit.consume({ group: "two", maxMessages: 10 });
    equal(
      [bodies(first), bodies(second)],
      [
        ["a", "b"],
        ["a", "b"],
      ],
    );
    await kit.settle("ack", first);
    equal((await kit.details()).partitions[0]?.messages, 2);
    await kit.settle("ack", second.slice(0, 1));
    equal((await kit.details()).partitions[0]?.messages, 1);
    await kit.settle("ack", second.slice(1));
    equal((await kit.details()).partitions[0]?.messages, 0);
  });

  test("a dead letter goes back to the group that it died in, and to no other", {}, async (kit) => {
    for (const group of ["one", "two"]) await kit.createGroup(group, { type: "earliest" });
    await kit.produce(["a"]);
    await kit.settle("ack", [await kit.one({ group: "one" })]);
    await kit.settle("dead", [await kit.one({ group: "two" })]);
    equal(await kit.redrive([]), { type: "counted", count: 1 });
    equal(await kit.take({ group: "one" }), []);
    equal(await kit.take({ group: "two" }), ["a"]);
  });

  test("a new group begins with the earliest message, or after the latest", { partitions: 2 }, async (kit) => {
    await kit.produce(["old"], { key: "a" });
    equal(await kit.createGroup("late", { type: "latest" }), { type: "group", created: true });
    equal(await kit.createGroup("late", { type: "earliest" }), { type: "group", created: false });
    await kit.produce(["new"], { key: "a" });
    equal(await kit.take({ group: "late" }), ["new"]);
    equal(await kit.take({ group: "early" }), ["old"]);
  });

  test("a group comes into being where its first consume says", {}, async (kit) => {
    await kit.produce(["old"]);
    equal(await kit.take({ start: { type: "latest" } }), []);
    await kit.produce(["new"]);
    equal(await kit.take(), ["new"]);
  });

  test("what only a deleted group had still to settle goes", { partitions: 2 }, async (kit) => {
    await kit.produce(["a", "b"]);
    await kit.createGroup("two", { type: "earliest" });
    const got = await kit.consume({ group: "one", maxMessages: 10 });
    await kit.settle("ack", got);
    equal(await kit.deleteGroup("two"), { type: "removed" });
    equal(await kit.deleteGroup("two"), { type: "no-group", group: "two" });
    await kit.until("its messages are cleared", async () => {
      const { partitions } = await kit.details();
      return partitions.every(({ messages }) => messages === 0);
    });
    ok(
      (await kit.details()).partitions.every(({ groups }) => groups.every(({ group }) => group !== "two")),
      "the group is not told any more",
    );
  });
}
