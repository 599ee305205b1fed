import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { postJson as postTo, queueOfS0, queueOfS4, queueThroughEveryNode } from "./support/document-checks.ts";
import { textOf, type Answer, type Json } from "./support/http.ts";
import { run } from "./support/processes.ts";
import { hasRedis, startRedis, type TestRedis } from "./support/redis.ts";
import { runVerbatim } from "./support/shell.ts";

/** How the documents configure the storage: not at all, as S0's terminals do, and as S4's sample file does. */
const storages: readonly (readonly [name: string, settings: ((port: number) => Record<string, string>) | null, durability: string])[] = [
  ["embedded", null, "quorum"],
  ["REDIS_HOST of S0", (port) => ({ REDIS_HOST: "localhost", REDIS_PORT: String(port) }), "primary"],
  ["REDIS_URL of S4", (port) => ({ REDIS_URL: `redis://localhost:${port}/0` }), "primary"],
];

/** Every queue command of the source documents, as written there, against a real cluster. */
describe.each(storages)("%s", (_name, settings, durability) => {
  const isSkipped = settings !== null && !hasRedis;
  let cluster: TestCluster;
  let redis: TestRedis | null = null;
  /** Ports of the documents to those of the three nodes. */
  let ports: ReadonlyMap<number, number>;
  beforeAll(async () => {
    if (isSkipped) return;
    redis = settings === null ? null : await startRedis();
    cluster = await startCluster({ nodes: 3, env: redis === null || settings === null ? {} : settings(redis.port) });
    // S0 and S4 count from 8001; S2's queue node is 9101.
    ports = new Map([...cluster.nodes.map(({ port }, index) => [8001 + index, port] as const), [9101, cluster.node("node2").port]]);
  });
  afterAll(async () => {
    if (isSkipped) return;
    await cluster.destroy();
    await redis?.stop();
  });

  const curl = (command: string): ReturnType<typeof runVerbatim> => runVerbatim(command, ports, cluster.folder);
  const postJson = (url: string, body: Json): ReturnType<typeof runVerbatim> => postTo(curl, url, body);

  describe.skipIf(isSkipped)("the queue commands of S0", () => {
    it("verbatim: produce, consume", () => queueOfS0(curl, durability));

    it("through any node and any other: what one took, the next finds gone (404 Queue is empty)", () => queueThroughEveryNode(curl));

    it("a queue that nobody made is empty, not an error of another kind", async () => {
      expect((await curl("curl http://localhost:8002/queue/never-made")).status).toBe(404);
    });
  });

  describe.skipIf(isSkipped)("the queue calls of S4", () => {
    it("produce and consume with a topic; null when nothing is there", () => queueOfS4(curl));
  });

  describe.skipIf(isSkipped)("the queue calls of S2", () => {
    it("create-group, produce, consume; an existing group is fine, an empty queue says so, an unknown one is 404", async () => {
      for (const created of [true, false]) {
        const group = await postJson("http://localhost:9101/queue/create-group", { queue_name: "jobs", group_name: "workers" });
        expect(group, group.text).toMatchObject({
          status: 200,
          body: { status: "ok", queue_name: "jobs", group_name: "workers", created },
        });
      }
      const produced = await postJson("http://localhost:9101/queue/produce", { queue_name: "jobs", message: { task: "resize" } });
      expect(produced, produced.text).toMatchObject({ status: 200, body: { status: "ok" } });
      expect(cluster.nodes.map(({ id }) => id)).toContain(produced.body["routed_to"]);
      const consume = { queue_name: "jobs", group_name: "workers", consumer_id: "worker-1", count: 10, block_ms: 100 };
      const consumed = await postJson("http://localhost:8001/queue/consume", consume);
      expect(consumed, consumed.text).toMatchObject({ status: 200, body: { status: "ok", messages: [{ message: { task: "resize" } }] } });
      const token = textOf(messagesOf(consumed)[0]?.["ack_token"]);
      expect(await postJson("http://localhost:8003/queue/ack", { ack_token: token })).toMatchObject({ status: 200 });
      const empty = await postJson("http://localhost:9101/queue/consume", consume);
      expect(empty, empty.text).toMatchObject({ status: 200, body: { status: "empty", messages: [] } });
      // It would wait 5 s for the queue to appear when not told otherwise, as that program did.
      const unknown = await postJson("http://localhost:9101/queue/consume", { ...consume, queue_name: "no-such-queue" });
      expect(unknown, unknown.text).toMatchObject({ status: 404, body: { code: "queue_unknown" } });
    });
  });

  describe.skipIf(isSkipped)("what the documents leave out", () => {
    it("S2 without names: default_group, one message, and a wait of its own for the next", async () => {
      expect(await postJson("http://localhost:9101/queue/create-group", { queue_name: "plain" })).toMatchObject({
        status: 200,
        body: { group_name: "default_group" },
      });
      const waiting = postJson("http://localhost:8003/queue/consume", { queue_name: "plain", block_ms: 20_000 });
      await postJson("http://localhost:9101/queue/produce", { queue_name: "plain", message: { text: "one" } });
      expect(await waiting).toMatchObject({ status: 200, body: { status: "ok", messages: [{ message: { text: "one" } }] } });
    });

    it("S0's trouble, a message that is not found right after it was produced, is none", async () => {
      for (let at = 0; at < 9; at++) {
        await postJson(`http://localhost:${8001 + (at % 3)}/queue/right-after`, { at });
        const found = await curl(`curl "http://localhost:${8001 + ((at + 1) % 3)}/queue/right-after?ack=auto"`);
        expect(found, found.text).toMatchObject({ status: 200, body: { message: { at } } });
      }
    });
  });

  describe.skipIf(isSkipped)("the storage", () => {
    it("is the one that was asked for", async () => {
      const { body } = await curl("curl http://localhost:8001/v1/ring");
      expect(body).toMatchObject({ backend: redis === null ? "embedded" : "redis" });
    });

    if (settings === null) return;
    it("shows the messages to redis-cli, as S0 looks for them", async () => {
      await postJson("http://localhost:8001/queue/looked-at", { data: 1 });
      // S0: docker exec -it <redis-container> redis-cli KEYS "*"
      const { code, output } = await run("redis-cli", ["-p", String(redis?.port), "KEYS", "*"], { cwd: cluster.folder });
      expect(code, output).toBe(0);
      expect(output).toContain("q:{looked-at:0}");
    });
  });
});

const messagesOf = (answer: Pick<Answer, "body">): readonly Json[] => answer.body["messages"] as readonly Json[];
