import { afterEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf, type Json } from "./support/http.ts";
import { lostOrLeftOver, startLockClients, violations, type LockClients } from "./support/lock-clients.ts";
import { problemsOfLossy, startQueueLoad, type QueueLoad } from "./support/queue-clients.ts";
import { hasRedis } from "./support/redis.ts";
import { guardedByPasswords, guardedByUsers, startSentinels, type GuardedBy, type TestSentinels } from "./support/redis-sentinels.ts";
import { ready, waitFor } from "./support/wait.ts";

const queue = "orders";
const path = `/v1/queues/${queue}`;

let cluster: TestCluster;
let sentinels: TestSentinels;
let load: QueueLoad | null = null;
let locks: LockClients | null = null;
afterEach(async (test) => {
  await Promise.all([load?.finish(), locks?.finish()]);
  [load, locks] = [null, null];
  await cluster.destroy(test);
  await sentinels.stop();
});

const urls = (): readonly string[] => cluster.nodes.map(({ url }) => url);
const first = (): TestNode => cluster.node("node1");

async function begin(guard: GuardedBy): Promise<void> {
  sentinels = await startSentinels(guard);
  await sentinels.settled();
  cluster = await startCluster({ nodes: 3, env: sentinels.env });
  await expectStatus(201, `${first().url}${path}`, { method: "PUT", body: { partitions: 2, max_deliveries: 0, visibility_ms: 3_000 } });
}

const count = (node: TestNode, pattern: RegExp): number => [...node.process().output().matchAll(pattern)].length;

describe.skipIf(!hasRedis)("queues on a Redis that sentinels watch", () => {
  const ways: readonly (readonly [how: string, guard: GuardedBy])[] = [
    ["a password for the servers and one for the sentinels", guardedByPasswords],
    ["users with passwords at both", guardedByUsers],
  ];
  it.each(ways)(
    "%s: two fail-overs under load; what a replica confirmed is there, nothing is stuck, and locks go on",
    { timeout: 300_000 },
    async (_how, guard) => {
      await begin(guard);
      const pids = cluster.nodes.map((node) => node.process().pid);
      locks = startLockClients({ urls: urls(), clients: 2, names: ["a", "b"], patienceMs: 20_000 });
      load = startQueueLoad({
        queue,
        urls,
        producers: 3,
        consumers: 3,
        keysPerProducer: 10,
        batch: 20,
        visibilityMs: 3_000,
        failing: 0.01,
        most: 60_000,
        ack: "replicas:1",
      });
      await load.progress(300);
      for (let round = 1; round <= 2; round += 1) {
        const [primary, replica] = [await sentinels.primary(), await sentinels.replica()];
        await primary.kill();
        await locks.progress(20);
        await waitFor("the replica to be the primary", async () => ((await sentinels.primary()) === replica ? ready(true) : "not yet"), {
          deadlineMs: 60_000,
        });
        await load.progress(60);
        // It comes back as the replica of the other one, without what it alone had.
        await primary.restart();
        await sentinels.settled();
        await load.progress(200);
        await waitFor("each node to say that it was away and is back", () => {
          const said = cluster.nodes.map((node) => [count(node, /GAGAL terhubung ke Redis/g), count(node, /Redis is back/g)]);
          return said.every(([gone = 0, back = 0]) => gone >= round && back === gone) ? ready(true) : JSON.stringify(said);
        });
      }
      await load.drain();
      expect(await problemsOfLossy(load, queue, urls())).toEqual([]);
      const confirmed = load.records.filter((record) => record.type === "sent" && record.outcome === "stored").length;
      expect(confirmed).toBeGreaterThan(500);
      expect(cluster.nodes.map((node) => node.process().pid)).toEqual(pids);
      for (const node of cluster.nodes) expect(node.process().output()).not.toMatch(/-secret|BUSYGROUP|A script failed/);
      const history = await locks.finish();
      expect([...violations(history), ...(await lostOrLeftOver(history, first().url))]).toEqual([]);
    },
  );

  it("what a fail-over loses was never said to be safe; its receipts settle nothing, and its numbers do not come again", async () => {
    await begin(guardedByPasswords);
    const produce = async (content: string): Promise<Readonly<Record<"id" | "ack", string>>> => {
      const { body } = await expectStatus(201, `${first().url}${path}/messages`, { body: { body: content, key: "k", ack: "replicas:1" } });
      return { id: textOf((body["message_ids"] as readonly string[])[0]), ack: textOf(body["ack"]) };
    };
    const take = async (consumer: string): Promise<readonly Json[]> =>
      (await expectStatus(200, `${first().url}${path}/consume`, { body: { consumer, visibility_ms: 600_000 } })).body[
        "messages"
      ] as readonly Json[];
    const kept = await produce("kept");
    expect(kept.ack).toBe("replicas:1");
    const [primary, replica] = [await sentinels.primary(), await sentinels.replica()];
    // From here on the replica hears nothing: it cannot ask to go on, and the primary has hung up.
    replica.signal("SIGSTOP");
    await primary.ask("CLIENT", "KILL", "TYPE", "replica");
    const [lease] = await take("former");
    expect(lease).toMatchObject({ id: kept.id, acquired: 1 });
    const lost = await produce("lost");
    expect(lost.ack).toBe("primary");
    await primary.kill();
    replica.signal("SIGCONT");

    const [again] = await waitFor(
      "the message to come again",
      async () => {
        const answer = await first().call(`${path}/consume`, { body: { consumer: "next", visibility_ms: 600_000 } });
        const messages = (answer.body["messages"] ?? []) as readonly Json[];
        return answer.status === 200 && messages.length > 0 ? ready(messages) : `${answer.status} ${answer.text}`;
      },
      { deadlineMs: 60_000, everyMs: 100 },
    );
    expect(again).toMatchObject({ id: kept.id, body: "kept", acquired: 1 });
    const stale = await first().call(`${path}/ack`, { body: { receipts: [lease?.["receipt"]] } });
    expect(stale.status, stale.text).toBe(409);
    expect(stale.body).toMatchObject({ code: "receipt_stale" });
    // What is to be confirmed goes over a connection of its own, which comes back in its own time; until then nothing happens to it.
    const fresh = await waitFor(
      "a produce that asks for a replica to be taken again",
      () => produce("fresh").then(ready, (error: unknown) => String(error)),
      { deadlineMs: 60_000, everyMs: 100 },
    );
    expect([kept.id, lost.id]).not.toContain(fresh.id);
    await expectStatus(200, `${first().url}${path}/ack`, { body: { receipts: [again?.["receipt"]] } });
    const [next] = await take("next");
    expect(next).toMatchObject({ id: fresh.id, body: "fresh" });
    await expectStatus(200, `${first().url}${path}/ack`, { body: { receipts: [next?.["receipt"]] } });
    const { totals } = (await expectStatus(200, `${first().url}${path}`)).body;
    expect(totals).toMatchObject({ messages: 0, produced: 2, acked: 2 });
  });
});
