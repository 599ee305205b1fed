import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf, type Answer, type Json, type JsonValue } from "./support/http.ts";
import { ready, waitFor } from "./support/wait.ts";

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3 });
});
afterAll(() => cluster.destroy());

const messagesOf = (answer: Pick<Answer, "body">): readonly Json[] => answer.body["messages"] as readonly Json[];
/** Through every node one produce, and the consume through every other. */
const pairs = (): readonly (readonly [through: TestNode, from: TestNode])[] =>
  cluster.nodes.flatMap((through) => cluster.nodes.filter((from) => from !== through).map((from) => [through, from] as const));

const path = (queue: string, rest: string): string => `/v1/queues/${queue}/${rest}`;
const consume = async (node: TestNode, queue: string, body: Json = {}): Promise<readonly Json[]> =>
  messagesOf(await expectStatus(200, `${node.url}${path(queue, "consume")}`, { body, timeoutMs: 60_000 }));
const produce = async (node: TestNode, queue: string, body: Json): Promise<void> =>
  void (await expectStatus(201, `${node.url}${path(queue, "messages")}`, { body }));
const ack = (node: TestNode, receipt: JsonValue | undefined): Promise<Answer> =>
  node.call(path("late", "ack"), { body: { receipts: [textOf(receipt)] } });

describe("queues under /v1, from any node", () => {
  it("a message produced through one node comes through each other, once", async () => {
    for (const [at, [through, from]] of pairs().entries()) {
      await produce(through, "everywhere", { body: { at } });
      const [message, ...more] = await consume(from, "everywhere", { max: 10 });
      expect([message?.["body"], more]).toEqual([{ at }, []]);
      for (const node of cluster.nodes) expect(await consume(node, "everywhere")).toEqual([]);
      const { body } = await expectStatus(200, `${through.url}${path("everywhere", "ack")}`, {
        body: { receipts: [textOf(message?.["receipt"])] },
      });
      expect(body).toMatchObject({ settled: 1 });
    }
  });

  it("a long poll through one node ends with a message produced through another", async () => {
    for (const [at, [through, from]] of pairs().entries()) {
      const queue = `awaited-${at}`;
      await expectStatus(201, `${through.url}/v1/queues/${queue}`, { method: "PUT", body: {} });
      const waiting = consume(from, queue, { group: "waiters", wait_ms: 60_000, ack: "auto" });
      // Its first look makes the group, and finds nothing.
      await waitFor("the poll to have looked into the queue", async () => {
        const { body } = await expectStatus(200, `${through.url}/v1/queues/${queue}`);
        const groups = body["groups"] as readonly Json[];
        return groups.some(({ group }) => group === "waiters") ? ready(true) : JSON.stringify(groups);
      });
      await produce(through, queue, { body: { at } });
      expect((await waiting).map(({ body }) => body)).toEqual([{ at }]);
    }
  });

  it("many polls through all nodes: each message ends one of them", async () => {
    await expectStatus(201, `${cluster.nodes[0]?.url}/v1/queues/shared`, { method: "PUT", body: {} });
    const pollers = Array.from({ length: 12 }, (_, at) => cluster.nodes[at % 3] as TestNode);
    const waiting = pollers.map((node) => consume(node, "shared", { wait_ms: 60_000, ack: "auto" }));
    for (const [at] of pollers.entries()) await produce(cluster.nodes[(at + 1) % 3] as TestNode, "shared", { body: { at } });
    const got = (await Promise.all(waiting)).map((messages) => messages.map(({ body }) => (body as Json)["at"]));
    expect(got.every((messages) => messages.length === 1)).toBe(true);
    expect(got.flat().toSorted((a, b) => Number(a) - Number(b))).toEqual(pollers.map((_, at) => at));
  });

  it("every group gets every message, in order, through whichever node its consumers ask", async () => {
    const groups = ["audit", "billing", "mail"];
    const [first] = cluster.nodes;
    if (!first) throw new Error("no node");
    await expectStatus(201, `${first.url}/v1/queues/fan-out`, { method: "PUT", body: { partitions: 1 } });
    for (const group of groups) await expectStatus(201, `${first.url}${path("fan-out", `groups/${group}`)}`, { method: "PUT", body: {} });
    for (let at = 0; at < 30; at += 1) await produce(cluster.nodes[at % 3] as TestNode, "fan-out", { body: { at } });
    await Promise.all(
      groups.map(async (group, index) => {
        const got: unknown[] = [];
        for (let turn = 0; got.length < 30; turn += 1) {
          const node = cluster.nodes[(index + turn) % 3] as TestNode;
          const messages = await consume(node, "fan-out", { group, max: 7 });
          expect(messages.length, `${group} after ${got.length}`).toBeGreaterThan(0);
          got.push(...messages.map(({ body }) => (body as Json)["at"]));
          const receipts = messages.map(({ receipt }) => textOf(receipt));
          await expectStatus(200, `${node.url}${path("fan-out", "ack")}`, { body: { receipts } });
        }
        expect(got).toEqual(Array.from({ length: 30 }, (_, at) => at));
      }),
    );
    for (const node of cluster.nodes) {
      const { body } = await expectStatus(200, `${node.url}/v1/queues/fan-out`);
      expect(body["totals"]).toMatchObject({ messages: 0, produced: 30 });
      const settled = (body["groups"] as readonly Json[]).filter(({ group }) => groups.includes(textOf(group)));
      expect(settled.map((group) => group["settled"])).toEqual([30, 30, 30]);
    }
  });

  it("an ack after the lease is over is refused, and the next hand-out's is taken", async () => {
    const [one, two, three] = cluster.nodes;
    if (!one || !two || !three) throw new Error("three nodes are needed");
    await produce(one, "late", { body: "slow" });
    const [early] = await consume(two, "late", { visibility_ms: 100 });
    const [again] = await consume(three, "late", { wait_ms: 60_000 });
    expect(again).toMatchObject({ id: early?.["id"], acquired: 2 });
    const late = await ack(one, early?.["receipt"]);
    expect(late.status, late.text).toBe(409);
    expect(late.body).toMatchObject({ code: "receipt_stale", results: [{ outcome: "stale" }] });
    expect((await ack(two, again?.["receipt"])).status).toBe(200);
  });

  it("says the same of shards and their leaders on every node", async () => {
    const rings = await Promise.all(cluster.nodes.map(async ({ url }) => (await expectStatus(200, `${url}/v1/ring`)).body));
    expect(rings[1]).toEqual(rings[0]);
    expect(rings[2]).toEqual(rings[0]);
    expect(rings[0]).toMatchObject({ backend: "embedded", replication: 3 });
    expect(rings[0]?.["shards"]).toHaveLength(8);
    for (const { replicas } of (rings[0]?.["shards"] ?? []) as readonly Json[]) expect(replicas).toHaveLength(3);
    await waitFor("the leaders to be those of the ring", async () => {
      const led = await Promise.all(
        cluster.nodes.map(async (node) => {
          const groups = (await node.status())["groups"] as readonly Json[];
          return groups.filter(({ group, role }) => group !== 0 && role === "leader").map(({ group }) => [group, node.id] as const);
        }),
      );
      const found = led.flat().toSorted(([a], [b]) => Number(a) - Number(b));
      const wanted = ((rings[0]?.["shards"] ?? []) as readonly Json[]).map(({ shard, leader }) => [shard, leader]);
      return JSON.stringify(found) === JSON.stringify(wanted)
        ? ready(true)
        : `${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`;
    });
  });
});
