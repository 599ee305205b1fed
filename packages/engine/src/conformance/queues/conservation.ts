import type { PartitionStats } from "../../ports/queue-storage.ts";
import type { TestApi } from "../api.ts";
import type { QueueKit, QueueTest } from "./kit.ts";

/** Nothing is lost and nothing is there twice: what was accepted is here, or is counted by how it left. */
async function conserved({ equal, ok }: TestApi, kit: QueueKit, hadOneGroup = true): Promise<PartitionStats> {
  const { partitions } = await kit.details();
  const states = { ready: await kit.browse("ready"), delayed: await kit.browse("delayed"), dead: await kit.browse("dead") };
  for (const stats of partitions) {
    const { acked, dead, delayed, died, dropped, expired, groups, messages, partition, produced, purged, returned } = stats;
    equal(messages + acked + died + expired + purged + dropped, produced + returned);
    const seen = (state: keyof typeof states): number => states[state].filter((message) => message.partition === partition).length;
    equal([delayed, dead], [seen("delayed"), seen("dead")]);
    for (const group of groups) ok(group.ready >= 0, `group ${group.group} has ${group.ready} ready`);
    const [only, ...more] = groups;
    if (only === undefined || more.length > 0 || !hadOneGroup) continue;
    // Of one group that was there from the first message on, the numbers of the group are those of its partition.
    equal([only.settled, only.dead, only.expired, only.purged], [acked, died, expired, purged]);
    equal(only.ready + only.leased + delayed, messages);
    equal(only.ready, seen("ready"));
  }
  const [first] = partitions;
  if (first === undefined) throw new Error("a queue without partitions");
  return first;
}

/** What becomes of messages is counted where they are kept, for good (design: total-queue and conservation). */
export function conservationConformance(api: TestApi, test: QueueTest): void {
  const { equal } = api;

  test("produced = acked + ready + leased + delayed + died + expired + purged, after every step", { maxDeliveries: 1 }, async (kit) => {
    await kit.createGroup("g", { type: "earliest" });
    const totals = async (): Promise<readonly number[]> => {
      const { acked, delayed, died, expired, messages, produced, purged } = await conserved(api, kit);
      return [produced, messages, delayed, acked, died, expired, purged];
    };
    await kit.produce(["a", "b", "c", "d", "e", "f"]);
    await kit.produce(["later", "still later"], { delayMs: 60_000 });
    equal(await totals(), [8, 8, 2, 0, 0, 0, 0]);
    const [a, b, c] = await kit.consume({ maxMessages: 3 });
    if (a === undefined || b === undefined || c === undefined) throw new Error("three messages were produced");
    equal(await totals(), [8, 8, 2, 0, 0, 0, 0]);
    await kit.settle("ack", [a]);
    await kit.settle("nack", [b], 0);
    await kit.settle("release", [c]);
    equal(await totals(), [8, 6, 2, 1, 1, 0, 0]);
    equal((await kit.consume({ autoAck: true })).length, 1);
    equal(await totals(), [8, 5, 2, 2, 1, 0, 0]);
    await kit.produce(["short-lived"], { ttlMs: 20 });
    // Only counted meanwhile: it may be over between two looks, which then differ.
    await kit.until("it is over", async () => (await kit.details()).partitions.reduce((sum, { expired }) => sum + expired, 0) === 1);
    equal(await totals(), [9, 5, 2, 2, 1, 1, 0]);
    const [held] = await kit.consume();
    equal(await kit.purge(), { type: "counted", count: 4 });
    equal(await totals(), [9, 1, 0, 2, 1, 1, 4]);
    if (held !== undefined) await kit.settle("ack", [held]);
    // A dead letter that comes back is produced once more; the death stays counted.
    equal(await kit.redrive([]), { type: "counted", count: 1 });
    equal(await totals(), [10, 1, 0, 3, 1, 1, 4]);
    equal(await kit.take({ autoAck: true }), ["b"]);
    equal(await totals(), [10, 0, 0, 4, 1, 1, 4]);
  });

  test("what nobody consumes is counted too when its time is over, or it is purged", {}, async (kit) => {
    await kit.produce(["a", "b"], { ttlMs: 20 });
    await kit.produce(["c"]);
    await kit.until("two are over", async () => (await conserved(api, kit)).expired === 2);
    equal(await kit.purge(), { type: "counted", count: 1 });
    const { expired, messages, produced, purged } = await conserved(api, kit);
    equal([produced, messages, expired, purged], [3, 0, 2, 1]);
  });

  test(
    "of several groups the last one says how a message left; a deleted group takes along what only it had to settle",
    {},
    async (kit) => {
      for (const group of ["one", "two"]) await kit.createGroup(group, { type: "earliest" });
      await kit.produce(["a", "b", "c"]);
      await kit.settle("dead", await kit.consume({ group: "one" }));
      await kit.settle("ack", await kit.consume({ group: "one", maxMessages: 2 }));
      await kit.settle("ack", await kit.consume({ group: "two" }));
      const before = await conserved(api, kit, false);
      equal([before.messages, before.acked, before.died, before.dead], [2, 1, 0, 1]);
      // The dead letter goes back to the group it died in, and to no other.
      equal(await kit.redrive([]), { type: "counted", count: 1 });
      equal((await conserved(api, kit, false)).returned, 1);
      await kit.deleteGroup("two");
      await kit.until("its messages are cleared", async () => (await conserved(api, kit, false)).dropped === 2);
      await kit.settle("ack", await kit.consume({ group: "one" }));
      const { acked, dropped, messages, produced, returned } = await conserved(api, kit, false);
      equal([produced, returned, messages, acked, dropped], [3, 1, 0, 2, 2]);
    },
  );
}
