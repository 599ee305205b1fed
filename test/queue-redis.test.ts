import { afterEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf, type Answer, type Json } from "./support/http.ts";
import { lostOrLeftOver, startLockClients, violations, type LockClients } from "./support/lock-clients.ts";
import { problemsOf, startQueueLoad, type QueueLoad } from "./support/queue-clients.ts";
import { hasProgram, hasRedis, type TestRedis } from "./support/redis.ts";
import { startPlainRedis, startRedisCluster, startSecuredRedis, type RedisOfNodes } from "./support/redis-of-nodes.ts";
import { ready, waitFor } from "./support/wait.ts";

const queue = "orders";
const rounds = 3;

let cluster: TestCluster;
let servers: RedisOfNodes;
let load: QueueLoad;
let locks: LockClients;
/** Of a message that was handed out before anything happened, for long. */
let receipt: string;
afterEach(async (test) => {
  await Promise.all([load.finish(), locks.finish()]);
  await cluster.destroy(test);
  await servers.stop();
});

const urls = (): readonly string[] => cluster.nodes.map(({ url }) => url);

async function begin(start: () => Promise<RedisOfNodes>, partitions: number): Promise<void> {
  servers = await start();
  cluster = await startCluster({ nodes: 3, env: servers.env });
  const body = { partitions, max_deliveries: 0, visibility_ms: 3_000 };
  await expectStatus(201, `${urls()[0]}/v1/queues/${queue}`, { method: "PUT", body });
  await expectStatus(201, `${urls()[0]}/v1/queues/awaited`, { method: "PUT", body: {} });
  await expectStatus(201, `${urls()[0]}/v1/queues/kept/messages`, { body: { body: "kept" } });
  const kept = await expectStatus(200, `${urls()[0]}/v1/queues/kept/consume`, { body: { visibility_ms: 3_600_000 } });
  receipt = textOf((kept.body["messages"] as readonly Json[])[0]?.["receipt"]);
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
  });
  await load.progress(300);
}

/** What a node answers to each kind of call while Redis is away. */
async function refusedBy(node: TestNode): Promise<void> {
  const calls = (): Promise<readonly Answer[]> =>
    Promise.all([
      node.call(`/v1/queues/${queue}/messages`, { body: { body: { content: "refused" } } }),
      node.call(`/v1/queues/${queue}/consume`, { body: { consumer: "refused" } }),
      node.call(`/v1/queues/kept/ack`, { body: { receipts: [receipt] } }),
      node.call(`/v1/queues/${queue}`),
    ]);
  // What was under way when it died is of unknown fate (504); from then on nothing is tried.
  await waitFor(`${node.id} to know that Redis is gone`, async () => {
    const found = await calls();
    return found.every(({ status }) => status === 503) ? ready(true) : found.map(({ text }) => text).join(" ");
  });
  for (const answer of await calls()) {
    expect(answer.status, answer.text).toBe(503);
    expect(answer.body).toMatchObject({ code: "redis_unavailable", retryable: true });
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  }
}

/** Long polls, one through each node, that begin while Redis is away. */
function waitForMessages(): Promise<readonly Answer[]> {
  const body = { wait_ms: 60_000, ack: "auto" };
  return Promise.all(urls().map((url) => expectStatus(200, `${url}/v1/queues/awaited/consume`, { body, timeoutMs: 70_000 })));
}

/** Each is handed one of as many messages. */
async function areWoken(waiting: Promise<readonly Answer[]>): Promise<void> {
  const messages = urls().map((body) => ({ body }));
  // It may have been asked for too early, while it loads its data.
  await waitFor("the messages to be taken", async () => {
    const { status, text } = await cluster.node("node1").call("/v1/queues/awaited/messages", { body: { messages } });
    return status === 201 ? ready(true) : text;
  });
  const handed = (await waiting).map(({ body }) => (body["messages"] as readonly Json[]).map((message) => message["body"]));
  expect(handed.map(({ length }) => length)).toEqual(urls().map(() => 1));
  expect(new Set(handed.flat())).toEqual(new Set(urls()));
}

/** Each node makes the same new group at the same time, and takes from it what is there; one group was made by hand in Redis. */
async function newGroups(round: number, redis: TestRedis): Promise<void> {
  const shared = `shared-${round}`;
  await expectStatus(201, `${urls()[0]}/v1/queues/${shared}`, { method: "PUT", body: {} });
  expect(await redis.ask("XGROUP", "CREATE", `q:{${shared}:0}:s0`, "by-hand", "$", "MKSTREAM")).toBe("OK");
  for (const group of ["by-nodes", "by-hand"]) {
    // What is there stays for the groups that are known when it is settled.
    await expectStatus(201, `${urls()[0]}/v1/queues/${shared}/messages`, { body: { body: group } });
    const made = await Promise.all(
      urls().flatMap((url) => [
        expectStatus(200, `${url}/v1/queues/${shared}/consume`, { body: { group, ack: "auto" } }),
        expectStatus(200, `${url}/v1/queues/${shared}/consume`, { body: { group, ack: "auto" } }),
      ]),
    );
    expect(made.flatMap(({ body }) => (body["messages"] as readonly Json[]).map((message) => message["body"]))).toEqual([group]);
  }
}

const count = (node: TestNode, pattern: RegExp): number => [...node.process().output().matchAll(pattern)].length;

/** Nothing was restarted; each node told once of every time that Redis was away, and once that it was back. */
async function checkWhatWasSaid(pids: readonly number[], times: number): Promise<void> {
  expect(cluster.nodes.map((node) => node.process().pid)).toEqual(pids);
  for (const node of cluster.nodes) {
    await waitFor(`${node.id} to say that Redis is back`, () => {
      const back = count(node, /Redis is back: queues work again/g);
      return back >= times ? ready(true) : `${back} times`;
    });
    expect(count(node, /GAGAL terhubung ke Redis/g), node.id).toBe(times);
    expect(count(node, /Redis is back: queues work again/g), node.id).toBe(times);
    expect(node.process().output()).not.toMatch(/BUSYGROUP|-secret|A script failed/);
  }
}

async function check(): Promise<void> {
  await load.drain();
  expect(await problemsOf(load, queue, urls())).toEqual([]);
  expect(load.sent()).toBeGreaterThan(1_000);
  await expectStatus(200, `${urls()[0]}/v1/queues/kept/ack`, { body: { receipts: [receipt] } });
  const history = await locks.finish();
  expect([...violations(history), ...(await lostOrLeftOver(history, urls()[0] ?? ""))]).toEqual([]);
}

describe.skipIf(!hasRedis)("a Redis with appendfsync always dies by kill -9 under load and is started again", () => {
  const ways: readonly (readonly [how: string, start: () => Promise<RedisOfNodes>])[] = [
    ["without a password", startPlainRedis],
    ...(hasProgram("openssl") ? ([["over TLS, for a user with a password", startSecuredRedis]] as const) : []),
  ];
  it.each(ways)("%s: locks go on, queues say 503 and come back, nothing acknowledged is missing or stuck", async (_how, start) => {
    await begin(start, 3);
    const [redis] = servers.servers;
    if (redis === undefined) throw new Error("no Redis");
    const pids = cluster.nodes.map((node) => node.process().pid);
    for (let round = 1; round <= rounds; round += 1) {
      await redis.kill();
      await Promise.all(cluster.nodes.map(refusedBy));
      const waiting = waitForMessages();
      await locks.progress(20);
      await redis.restart();
      await areWoken(waiting);
      await load.progress(200);
      await newGroups(round, redis);
    }
    await check();
    await checkWhatWasSaid(pids, rounds);
  });
});

describe.skipIf(!hasRedis)("a Redis Cluster of three, for a user with a password, under load", () => {
  it(
    "each server in turn dies by kill -9 and is started again: nothing acknowledged is missing or stuck",
    { timeout: 300_000 },
    async () => {
      // More partitions than servers: each has some.
      await begin(startRedisCluster, 12);
      const pids = cluster.nodes.map((node) => node.process().pid);
      for (const redis of servers.servers) {
        const before = cluster.nodes.map((node) => count(node, /GAGAL terhubung ke Redis/g));
        await redis.kill();
        await waitFor("each node to say so", () => {
          const said = cluster.nodes.map((node) => count(node, /GAGAL terhubung ke Redis/g));
          return said.every((times, at) => times > (before[at] ?? 0)) ? ready(true) : JSON.stringify(said);
        });
        await locks.progress(20);
        await redis.restart();
        await load.progress(200);
      }
      await check();
      await checkWhatWasSaid(pids, servers.servers.length);
    },
  );
});
