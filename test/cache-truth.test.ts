import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf, type Answer, type Json } from "./support/http.ts";
import { shardLeader } from "./support/shard-leaders.ts";
import { ready, waitFor } from "./support/wait.ts";

/** Of several shards, so that each node is the home of some and a mere holder of others. */
const keys = Array.from({ length: 12 }, (_, number) => `truth-${number}`);
const grantedMs = 700 * 1.01;

const explain = async (asked: TestNode, key: string): Promise<Json> =>
  (await expectStatus(200, `${asked.url}/v1/cache/${key}?explain=1`)).body;
const entries = (body: Json, field: string): readonly Json[] => body[field] as readonly Json[];
const nodesOf = (body: Json, field: string): string[] => entries(body, field).map(({ node }) => textOf(node));
/** Readable: what is only being fetched (IS_D, IM_D) is no copy yet, and its home may not have heard of it. */
const isKept = ({ state, lease_left_ms }: Json): boolean => !textOf(state).startsWith("I") && Number(lease_left_ms) > 0;

const verify = (node: TestNode): Promise<Answer> => node.call("/v1/cache-verify", { timeoutMs: 30_000 });

async function store(through: TestNode, key: string, value: unknown): Promise<string> {
  const { body } = await expectStatus(200, `${through.url}/v1/cache/${key}`, { method: "PUT", body: { value }, timeoutMs: 30_000 });
  return textOf(body["version"]);
}

/** What a node says that it keeps, when it is asked about itself alone. */
async function ownState(node: TestNode, key: string): Promise<string> {
  const { body } = await expectStatus(200, `${node.url}/v1/cache-state?limit=1000`);
  const own = entries(body, "keys").find((copy) => copy["key"] === key);
  return own === undefined ? "I" : textOf(own["state"]);
}

/** Each of these nodes has a copy of each key. */
async function everywhere(nodes: readonly TestNode[]): Promise<void> {
  for (const key of keys) {
    await waitFor(
      `${key} on ${nodes.map(({ id }) => id).join(", ")}`,
      async () => {
        for (const node of nodes) await expectStatus(200, `${node.url}/v1/cache/${key}`);
        const body = await explain(nodes[0] as TestNode, key);
        const kept = entries(body, "copies").filter(isKept);
        return nodes.every(({ id }) => kept.some((copy) => copy["node"] === id)) ? ready(true) : JSON.stringify(body);
      },
      // The bar on a holder whose lease lapsed is over at some time (rule M6).
      { deadlineMs: 90_000 },
    );
  }
}

/** Asks for the invariants again and again, whatever happens to the nodes, and keeps every answer that names a violation. */
class Watcher {
  readonly violations: string[] = [];
  answers = 0;
  private readonly stop = new AbortController();
  private readonly ended: Promise<void>;

  constructor(nodes: () => readonly TestNode[]) {
    this.ended = this.watch(nodes);
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.ended;
  }

  private async watch(nodes: () => readonly TestNode[]): Promise<void> {
    while (!this.stop.signal.aborted) {
      for (const node of nodes()) {
        // A node that is killed while it is asked gives no answer, and so no violation.
        const answer = await node.call("/v1/cache-verify").catch(() => null);
        if (answer === null) continue;
        this.answers++;
        if (answer.status === 200 && answer.body["ok"] !== true) this.violations.push(`${node.id}: ${answer.text}`);
      }
      await pause(20);
    }
  }
}

describe("explain and verify while nodes are killed", () => {
  let cluster: TestCluster;
  let watcher: Watcher;

  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
    watcher = new Watcher(() => cluster.running());
  });
  afterEach(async (test) => {
    await watcher.end();
    await cluster.destroy(test);
  });

  /** What explain says of the home against the shard's own leader, of states against each node's own word, and of sharers against who has a copy. */
  async function expectTruth(key: string, version: string, dead: TestNode | null): Promise<Json> {
    const alive = cluster.running();
    const ids = alive.map(({ id }) => id);
    const impossible: string[] = [];
    let told: Json = {};
    for (const asked of alive) {
      told = await waitFor(
        `explain of ${key} by ${asked.id} to say what is so`,
        async () => {
          const body = await explain(asked, key);
          expect(body, JSON.stringify(body)).toMatchObject({ key, version, silent: dead === null ? [] : [dead.id] });
          const leader = await shardLeader(alive, Number(body["shard"]));
          const states = await Promise.all(alive.map(async (node) => [node.id, await ownState(node, key)] as const));
          // Never, not even for a moment: a copy under a lease that its home does not know, unless the home has just taken over; and a lease of more than there is.
          const kept = entries(body, "copies").filter(isKept);
          const unknown = kept.filter((copy) => !nodesOf(body, "sharers").includes(textOf(copy["node"])));
          const tooLong = entries(body, "sharers").filter(({ lease_left_ms }) => Number(lease_left_ms) > Math.ceil(grantedMs));
          if ((body["phase"] === "open" && unknown.length > 0) || tooLong.length > 0) impossible.push(JSON.stringify(body));
          const isSo =
            body["phase"] === "open" &&
            body["home"] === leader.id &&
            nodesOf(body, "copies").toSorted().join() === ids.toSorted().join() &&
            nodesOf(body, "sharers").every((id) => ids.includes(id)) &&
            states.every(([id, state]) => entries(body, "copies").find((copy) => copy["node"] === id)?.["state"] === state);
          return isSo
            ? ready(body)
            : `${JSON.stringify(body)}; the shard's leader is ${leader.id}; the nodes say ${JSON.stringify(states)}`;
        },
        { deadlineMs: 60_000 },
      );
    }
    expect(impossible).toEqual([]);
    return told;
  }

  async function expectAllRight(): Promise<void> {
    for (const node of cluster.nodes) {
      await waitFor(
        `verify by ${node.id} to have asked everybody about every key`,
        async () => {
          const { status, body, text } = await verify(node);
          if (status !== 200) return text;
          expect(body).toMatchObject({ ok: true, violations: [], silent: [] });
          if (Number(body["keys_checked"]) >= keys.length) return ready(true);
          // A home that moved back to where it belongs has withdrawn its copies.
          await everywhere(cluster.nodes);
          return text;
        },
        { deadlineMs: 90_000 },
      );
    }
  }

  it("each node in turn, a holder of some keys and the home of others: what is said is so, and who was not asked is named", async () => {
    const versions = new Map<string, string>();
    for (const key of keys) versions.set(key, await store(cluster.node("node1"), key, { round: 0 }));
    let killedHomes = 0;
    let killedHolders = 0;
    for (const [round, victim] of cluster.nodes.entries()) {
      await everywhere(cluster.nodes);
      await expectAllRight();
      const before = new Map<string, Json>();
      for (const key of keys) before.set(key, await expectTruth(key, versions.get(key) ?? "", null));

      await victim.kill();
      for (const node of cluster.running()) {
        // At once, before anybody can have noticed: it was not asked, so nothing is fine.
        const answer = await verify(node);
        expect(answer, answer.text).toMatchObject({ status: 503, body: { code: "peer_silent" } });
        expect(answer.body["nodes"]).toContain(victim.id);
      }
      for (const key of keys) {
        const after = await expectTruth(key, versions.get(key) ?? "", victim);
        const wasHome = before.get(key)?.["home"] === victim.id;
        if (wasHome) killedHomes++;
        else killedHolders++;
        expect(after["home"]).not.toBe(victim.id);
        if (wasHome) expect(Number(after["term"]), JSON.stringify(after)).toBeGreaterThan(Number(before.get(key)?.["term"]));
      }
      // A new version, which the dead node's copy is older than: still no violation, and still not fine.
      for (const key of keys) versions.set(key, await store(cluster.running()[0] as TestNode, key, { round: round + 1 }));
      for (const key of keys) {
        for (const node of cluster.running()) {
          const { body } = await expectStatus(200, `${node.url}/v1/cache/${key}`);
          expect(body).toMatchObject({ value: { round: round + 1 }, version: versions.get(key) });
        }
        await expectTruth(key, versions.get(key) ?? "", victim);
      }
      for (const node of cluster.running()) {
        await waitFor(`verify by ${node.id} to miss ${victim.id} alone`, async () => {
          const answer = await verify(node);
          expect(answer.status, answer.text).toBe(503);
          return JSON.stringify(answer.body["nodes"]) === JSON.stringify([victim.id]) ? ready(true) : answer.text;
        });
      }

      victim.start();
      await victim.waitUntilHealthy();
    }
    await everywhere(cluster.nodes);
    await expectAllRight();
    for (const key of keys) await expectTruth(key, versions.get(key) ?? "", null);
    await watcher.end();
    expect(watcher.violations).toEqual([]);
    expect(watcher.answers).toBeGreaterThan(10);
    // Else one half of this test looked at nothing.
    expect(killedHomes).toBeGreaterThan(0);
    expect(killedHolders).toBeGreaterThan(0);
  });
});
