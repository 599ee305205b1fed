import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, type Json } from "./support/http.ts";
import { run, trivet } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const kinds = async (node: TestNode): Promise<Readonly<Record<string, unknown>>> => {
  const { body } = await expectStatus(200, `${node.url}/v1/raft/members`);
  return Object.fromEntries((body["members"] as readonly Json[]).map((member) => [member["node"] as string, member["kind"]]));
};
const take = async (node: TestNode, name: string): Promise<unknown> =>
  (await expectStatus(200, `${node.url}/v1/locks/${name}/acquire`, { body: { owner: "o", ttl_ms: 600_000 } })).body["fence"];
const fence = async (node: TestNode, name: string): Promise<unknown> =>
  ((await expectStatus(200, `${node.url}/v1/locks/${name}`)).body["holders"] as readonly Json[])[0]?.["fence"];

const sorted = (record: Readonly<Record<string, unknown>>): readonly (readonly [string, unknown])[] =>
  Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1));

const waitForKinds = (node: TestNode, wanted: Readonly<Record<string, string>>): Promise<void> =>
  waitFor(`members ${JSON.stringify(wanted)}`, async () => {
    const found = await kinds(node);
    return JSON.stringify(sorted(found)) === JSON.stringify(sorted(wanted)) ? ready(undefined) : JSON.stringify(found);
  });

describe("online membership", () => {
  let cluster: TestCluster;
  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterEach((test) => cluster.destroy(test));

  const four = { node1: "voter", node2: "voter", node3: "voter", node4: "voter" };
  const startedAt = (): readonly number[] => cluster.nodes.slice(0, 3).map((node) => node.process().pid);
  it("a fourth node joins by ALL_NODES (S0's way), with no restart of the others", async () => {
    const leader = await cluster.leader();
    const before = await take(leader, "kept");
    const pids = startedAt();
    const node = await cluster.addNode();
    const everyone = cluster.nodes.map((other) => other.url).join(",");
    node.start({ PEERS: "", ALL_NODES: everyone });
    await node.waitUntilHealthy();
    await waitForKinds(leader, four);
    expect(await fence(node, "kept")).toBe(before);
    expect(startedAt()).toEqual(pids);
    // It counts: with two of the old three gone there is no quorum of four, with one gone there is.
    await cluster.node("node1").kill();
    await cluster.leader();
    await take(node, "with-three-of-four");
  });

  it("a fourth node joins by --join URL, is listed by the CLI, and can be removed again", async () => {
    const leader = await cluster.leader();
    const node = await cluster.addNode();
    node.start({ PEERS: "" }, ["--join", cluster.node("node2").url]);
    await node.waitUntilHealthy();
    await waitForKinds(leader, four);
    const env = { TRIVET_URL: cluster.node("node3").url };
    const listed = await run(process.execPath, [trivet, "member", "list", "--json"], { cwd: cluster.folder, env });
    expect(JSON.parse(listed.output)).toMatchObject({ version: 1, kind: "members" });
    const removed = await run(process.execPath, [trivet, "member", "remove", "node4", "--yes"], { cwd: cluster.folder, env });
    expect(removed.code, removed.output).toBe(0);
    await waitForKinds(leader, { node1: "voter", node2: "voter", node3: "voter" });
  });

  it("a removed leader steps aside and the rest goes on", async () => {
    const leader = await cluster.leader();
    const before = await take(leader, "kept");
    const [other] = await cluster.followers();
    if (!other) throw new Error("no follower");
    await expectStatus(200, `${other.url}/v1/raft/members/${leader.id}`, { method: "DELETE" });
    await leader.kill();
    const next = await cluster.leader();
    expect(Object.keys(await kinds(next))).not.toContain(leader.id);
    expect(await fence(next, "kept")).toBe(before);
    await take(next, "with-two-of-two");
  });

  it("refuses a change that would break the quorum, and says so", async () => {
    const [gone, alive] = await cluster.followers();
    if (!gone || !alive) throw new Error("two followers are needed");
    const leader = await cluster.leader();
    await gone.kill();
    await waitFor("the leader to notice", async () => {
      const { body } = await leader.call("/v1/raft/status");
      const peer = (body["peers"] as readonly Json[]).find((candidate) => candidate["node"] === gone.id);
      return peer?.["connected"] === false ? ready(true) : JSON.stringify(peer);
    });
    const refused = await leader.call(`/v1/raft/members/${alive.id}`, { method: "DELETE" });
    expect(refused.status).toBe(409);
    expect(refused.body).toMatchObject({ code: "membership_refused" });
    expect(refused.body["detail"]).toMatch(/1 reachable of 2 voters, and 2 are needed/);
    // The dead one may go: that makes the cluster safer.
    await expectStatus(200, `${leader.url}/v1/raft/members/${gone.id}`, { method: "DELETE" });
    await waitForKinds(leader, { [leader.id]: "voter", [alive.id]: "voter" });
  });

  it("refuses unknown members and addresses that are no URL", async () => {
    const leader = await cluster.leader();
    expect((await leader.call("/v1/raft/members/nobody", { method: "DELETE" })).status).toBe(404);
    const bad = await leader.call("/v1/raft/members", { body: { node: "node9", url: "not a url" } });
    expect(bad.status).toBe(400);
    expect(bad.body).toMatchObject({ code: "bad_request", field: "url" });
  });

  it("transfers leadership when asked, to whom was asked", async () => {
    const [wanted] = await cluster.followers();
    if (!wanted) throw new Error("no follower");
    const before = Number((await wanted.status())["term"]);
    const env = { TRIVET_URL: wanted.url };
    const moved = await run(process.execPath, [trivet, "leader", "transfer", "--to", wanted.id], { cwd: cluster.folder, env });
    expect(moved.code, moved.output).toBe(0);
    expect(await cluster.leader()).toBe(wanted);
    expect(Number((await wanted.status())["term"])).toBe(before + 1);
  });
});
