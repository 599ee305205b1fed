import { connect, type TrivetConnection } from "@trivet/client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { call, expectStatus, type Json, textOf } from "./support/http.ts";
import { settledRing, shardLeader, shardOf } from "./support/shard-leaders.ts";
import { ready, waitFor } from "./support/wait.ts";

/** Long, so that a call that had to wait for an election could not be answered in time. */
const env = { RAFT_ELECTION_TIMEOUT_MIN_MS: "3000", RAFT_ELECTION_TIMEOUT_MAX_MS: "4000", NO_LEADER_WAIT_MS: "1000" };

/** One call at a time through one node, never repeated: whatever does not succeed is a failure. */
interface Load {
  readonly failures: string[];
  done: number;
  finish(): Promise<void>;
}

function repeat(run: () => Promise<string | null>): Load {
  const state = { failures: [] as string[], done: 0, over: false };
  const going = (async () => {
    while (!state.over) {
      const failure = await run().catch(String);
      if (failure === null) state.done += 1;
      else state.failures.push(failure);
    }
  })();
  const finish = async (): Promise<void> => {
    state.over = true;
    await going;
  };
  return Object.assign(state, { finish });
}

const refused = ({ status, text }: { readonly status: number; readonly text: string }, wanted: number): string | null =>
  status === wanted ? null : `${status} ${text}`;

function produceThrough(node: TestNode): Load {
  let sent = 0;
  return repeat(async () => {
    sent += 1;
    const body = { messages: [{ body: sent, key: `${node.id}/${sent % 50}` }] };
    return refused(await call(`${node.url}/v1/queues/load/messages`, { body }), 201);
  });
}

function consumeThrough(node: TestNode): Load {
  return repeat(async () => {
    const body = { consumer: node.id, max: 50, wait_ms: 500, ack: "auto" };
    return refused(await call(`${node.url}/v1/queues/load/consume`, { body }), 200);
  });
}

function produceBy(connection: TrivetConnection): Load {
  let sent = 0;
  return repeat(async () => {
    sent += 1;
    await connection.queue<number>("load").produce(sent, { key: String(sent % 50) });
    return null;
  });
}

/** Terms of all groups, as the node knows them. */
async function termsOf(node: TestNode): Promise<ReadonlyMap<number, number>> {
  const groups = (await node.status())["groups"] as readonly Json[];
  return new Map(groups.map(({ group, term }) => [Number(group), Number(term)]));
}

/** Who leads each shard, once it is whom the ring wants: from then on nothing moves by itself. */
async function settledLeaders(cluster: TestCluster): Promise<ReadonlyMap<number, string>> {
  await waitFor("the shards to be given out", async () => {
    const { shards } = await settledRing(cluster);
    return (shards as readonly Json[]).length > 0 ? ready(true) : "none yet";
  });
  const ring = await settledRing(cluster);
  const wanted = (ring["shards"] as readonly Json[]).map(({ shard, leader }) => [Number(shard), textOf(leader)] as const);
  for (const [shard, leader] of wanted) {
    await waitFor(
      `shard ${shard} to be led by ${leader}`,
      async () => {
        const is = await shardLeader(cluster.nodes, shard, 60_000);
        return is.id === leader ? ready(is) : is.id;
      },
      { deadlineMs: 60_000 },
    );
  }
  return new Map(wanted);
}

const elections = (node: TestNode): number => node.process().output().split("(election timeout)").length - 1;

describe("SIGTERM of a node under produce and consume load", () => {
  let cluster: TestCluster;
  let connection: TrivetConnection | null = null;
  const loads: Load[] = [];

  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3, env });
    connection = await connect(cluster.nodes.map(({ url }) => url));
    await expectStatus(201, `${cluster.nodes[0]?.url}/v1/queues/load`, { method: "PUT", body: { partitions: 16 } });
  });
  afterEach(async (test) => {
    await Promise.all(loads.splice(0).map((load) => load.finish()));
    await connection?.close();
    connection = null;
    await cluster.destroy(test);
  });

  const progress = async (): Promise<void> => {
    const before = loads.map(({ done }) => done);
    await waitFor(
      "every client to go on",
      () => {
        const done = loads.map((load, at) => load.done - (before[at] ?? 0));
        return done.every((calls) => calls >= 30) ? ready(true) : `${done.join(", ")} calls`;
      },
      { deadlineMs: 60_000 },
    );
  };

  it("no call through the others fails, and everything it led is handed over without an election timeout", async () => {
    const [first] = cluster.nodes;
    if (first === undefined || connection === null) throw new Error("no nodes");
    const leaders = await settledLeaders(cluster);
    const leaving = await shardLeader(cluster.nodes, await shardOf(first, "load"));
    const led = [...leaders].filter(([, leader]) => leader === leaving.id).map(([shard]) => shard);
    const ledSystem = (await cluster.leader()) === leaving;
    const [one, two] = cluster.nodes.filter((node) => node !== leaving);
    if (one === undefined || two === undefined) throw new Error("not three nodes");
    loads.push(produceThrough(one), produceThrough(two), consumeThrough(one), consumeThrough(two), produceBy(connection));
    await progress();
    const before = { terms: await termsOf(one), elections: elections(one) + elections(two) };

    expect(await leaving.stop(), leaving.process().output().slice(-2_000)).toBe(0);
    await progress();

    expect(loads.flatMap(({ failures }) => failures)).toEqual([]);
    expect(elections(one) + elections(two)).toBe(before.elections);
    // One transfer each, of what it led, and nothing else.
    const wanted = [...before.terms].map(([group, term]) => [group, term + Number(group === 0 ? ledSystem : led.includes(group))]);
    expect([...(await termsOf(one))]).toEqual(wanted);
    expect([...(await termsOf(two))]).toEqual(wanted);
    expect(led.length).toBeGreaterThan(0);
    const said = leaving.process().output();
    expect(said.split("leadership handed to").length - 1).toBeGreaterThanOrEqual(led.length + Number(ledSystem));
  });
});
