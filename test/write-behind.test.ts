import { afterEach, describe, expect, it } from "vitest";
import { type FinishedTest, startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf } from "./support/http.ts";
import { run } from "./support/processes.ts";
import { hasRedis, startRedis, type TestRedis } from "./support/redis.ts";
import { ready, waitFor } from "./support/wait.ts";

const keys = ["a", "b", "c", "d", "e", "f"] as const;
type Key = (typeof keys)[number];
const path = (key: Key, more = ""): string => `/v1/cache/${key}?namespace=rows${more}`;

/** Writes 1, 2, 3 … under one key, each through some node, again under its own id until it is acknowledged. */
class Writer {
  readonly key: Key;
  /** The last one that was acknowledged. */
  written = 0;
  private readonly nodes: readonly TestNode[];
  private isOver = false;
  private readonly ended: Promise<void>;

  constructor(key: Key, nodes: readonly TestNode[]) {
    this.key = key;
    this.nodes = nodes;
    this.ended = this.write();
  }

  async end(): Promise<void> {
    this.isOver = true;
    await this.ended;
  }

  private async write(): Promise<void> {
    for (let attempt = 0; !this.isOver;) {
      const next = this.written + 1;
      await waitFor(`${this.key}=${next} to be acknowledged`, async () => {
        const node = this.nodes[attempt++ % this.nodes.length] as TestNode;
        const headers = { "idempotency-key": `${this.key}-${next}` };
        const answer = await node.call(path(this.key), { method: "PUT", body: { value: next }, headers, timeoutMs: 3_000 });
        return answer.status === 200 ? ready(true) : answer.text;
      });
      this.written = next;
    }
  }
}

/** Looks at the Redis all the time: what it has of a key never gets older. */
class Observer {
  readonly seen = new Map<Key, number>();
  readonly faults: string[] = [];
  private readonly redis: TestRedis;
  private isOver = false;
  private readonly ended: Promise<void>;

  constructor(redis: TestRedis) {
    this.redis = redis;
    this.ended = this.watch();
  }

  async end(): Promise<void> {
    this.isOver = true;
    await this.ended;
  }

  private async watch(): Promise<void> {
    while (!this.isOver) {
      for (const [place, value] of (await valuesIn(this.redis)).entries()) {
        const key = keys[place] as Key;
        const before = this.seen.get(key) ?? 0;
        if (value < before) this.faults.push(`${key} went from ${before} to ${value}`);
        this.seen.set(key, value);
      }
    }
  }
}

/** 0 = nothing. */
async function valuesIn({ port }: TestRedis): Promise<readonly number[]> {
  const { output } = await run("redis-cli", ["-p", String(port), "MGET", ...keys.map((key) => `rows:${key}`)], { cwd: "/" });
  const lines = output.trimEnd().split("\n");
  return keys.map((_, place) => Number(lines[place] ?? 0));
}

describe.skipIf(!hasRedis)("a namespace that is written behind to a Redis", () => {
  let cluster: TestCluster | null = null;
  let redis: TestRedis | null = null;
  afterEach(async (test: FinishedTest) => {
    await cluster?.destroy(test);
    await redis?.stop();
  });

  it("loses no acknowledged write and overtakes none while the homes of its keys are killed in the middle of writing there", async () => {
    const origin = await startRedis();
    redis = origin;
    const started = await startCluster({ nodes: 3, env: { CACHE_ORIGIN_REDIS_URL: `redis://127.0.0.1:${origin.port}` } });
    cluster = started;
    const [first] = started.nodes;
    if (first === undefined) throw new Error("no node");
    await expectStatus(201, `${first.url}/v1/cache-namespaces/rows`, { method: "PUT", body: { origin: "redis", write: "behind" } });
    const writers = keys.map((key) => new Writer(key, started.nodes));
    const observer = new Observer(origin);
    for (let round = 0; round < 3; round++) {
      const key = keys[round % keys.length] as Key;
      const writer = writers[round % keys.length] as Writer;
      const from = writer.written;
      const home = await waitFor("a home whose key is being written", async () => {
        const answer = await (started.running()[0] as TestNode).call(path(key, "&explain=1"));
        return answer.status === 200 && writer.written > from + 3 ? ready(textOf(answer.body["home"])) : answer.text;
      });
      const node = started.node(home);
      await node.kill();
      const killedAt = writers.map(({ written }) => written);
      await waitFor("writes without it", () =>
        writers.every(({ written }, at) => written > (killedAt[at] ?? 0)) ? ready(true) : "none yet",
      );
      node.start();
      await node.waitUntilHealthy();
    }
    for (const writer of writers) await writer.end();
    const last = writers.map(({ written }) => written);
    await waitFor("the Redis to have the last of each", async () => {
      const found = await valuesIn(origin);
      return found.join() === last.join() ? ready(true) : `${found.join()} instead of ${last.join()}`;
    });
    await observer.end();
    expect(observer.faults).toEqual([]);
    for (const node of started.nodes) {
      for (const [place, key] of keys.entries()) {
        expect((await node.call(path(key))).body["value"]).toBe(last[place]);
      }
    }
    await waitFor("nothing to wait any more", async () => {
      const waiting = await Promise.all(
        started.nodes.map(async (node) => (await node.call("/v1/cache-state")).body["statistics"] as { readonly behind_keys: number }),
      );
      return waiting.every(({ behind_keys: behind }) => behind === 0) ? ready(true) : JSON.stringify(waiting);
    });
  });
});
