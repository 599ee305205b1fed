import { describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

const members = [1, 2, 3].map((n) => ({
  node: `node${n}`,
  kind: "voter",
  url: `http://127.0.0.1:800${n}`,
  roles: "lock",
  leader: n === 2,
  connected: true,
}));
function view(n: number, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    node_id: `node${n}`,
    cluster_id: "c",
    phase: "running",
    phase_detail: "",
    role: n === 2 ? "leader" : "follower",
    term: 4,
    leader: "node2",
    commit_index: n === 3 ? "95" : "100",
    applied_index: n === 3 ? "90" : "100",
    members: members.map((member) => ({ ...member, self: member.node === `node${n}` })),
    peers: [],
    ...fields,
  };
}
const nodeOf = (url: string): number => Number(/:800(\d)/.exec(url)?.[1]);

describe("trivet status", () => {
  it("shows every node's own view and how far each trails the leader", async () => {
    const ran = await runCli(["status"], (_method, url) => ({ body: view(nodeOf(url)) }));
    expect(ran.error).toBeNull();
    expect(ran.stdout).toContain("Healthy: 3 nodes, leader node2 in term 4; 1 may fail.");
    expect(ran.stdout).toMatch(/node2 +http:\/\/127\.0\.0\.1:8002 +leader +4 +node2 +100\/100 +0 entries/);
    expect(ran.stdout).toMatch(/node3 +http:\/\/127\.0\.0\.1:8003 +follower +4 +node2 +95\/90 +5 entries/);
    expect(ran.stderr).toBe("");
  });

  it("says that none may fail when two voters are left; a learner does not count", async () => {
    const two = members.map((member, index) => ({ ...member, kind: index === 2 ? "learner" : "voter" }));
    const answer = (url: string) => ({ members: two.map((member) => ({ ...member, self: member.node === `node${nodeOf(url)}` })) });
    const ran = await runCli(["status"], (_method, url) => ({ body: view(nodeOf(url), answer(url)) }));
    expect(ran.stdout).toContain("leader node2 in term 4; 0 may fail.");
  });

  it("prints versioned JSON", async () => {
    const ran = await runCli(["status", "--json"], (_method, url) => ({ body: view(nodeOf(url)) }));
    const json = JSON.parse(ran.stdout) as { version: number; kind: string; healthy: boolean; nodes: { trails_leader_by: number }[] };
    expect(json).toMatchObject({ version: 1, kind: "status", healthy: true, leader: "node2", term: 4 });
    expect(json.nodes.map((node) => node.trails_leader_by)).toEqual([0, 0, 5]);
  });

  it("asks the next node when one is silent, and names the silent one", async () => {
    const ran = await runCli(["status"], (_method, url) => (nodeOf(url) === 1 ? { fails: "ECONNREFUSED" } : { body: view(nodeOf(url)) }));
    expect(ran.error).toBeNull();
    expect(ran.stdout).toContain("Working with 2 of 3 nodes; leader node2 in term 4; 0 more may fail.");
    expect(ran.stdout).toMatch(/node1 .*silent.*connection refused/);
  });

  it("fails with exit 69 when there is no leader, after showing what it saw", async () => {
    const headless = { role: "candidate", leader: null };
    const ran = await runCli(["status"], (_method, url) => (nodeOf(url) === 1 ? { body: view(1, headless) } : { fails: "ECONNREFUSED" }));
    expect(ran.stdout).toContain("No leader: 1 of 3 nodes answer");
    expect(cliError(ran)).toMatchObject({ exitCode: 69, code: "no_leader" });
  });

  it("fails with exit 69 and every address tried when nobody answers", async () => {
    const ran = await runCli(["status", "--url", "10.0.0.1:1,http://10.0.0.2:2/"], () => ({ fails: "ECONNREFUSED" }));
    const error = cliError(ran);
    expect(error).toMatchObject({ exitCode: 69, code: "no_answer" });
    expect(error.why).toMatch(/http:\/\/10\.0\.0\.1:1: .*\nhttp:\/\/10\.0\.0\.2:2: /);
    expect(error.next).toContain("npm start");
  });

  it("takes the nodes from TRIVET_URL", async () => {
    const ran = await runCli(["status"], () => ({ fails: "ENOTFOUND" }), { env: { TRIVET_URL: "db1:8001" } });
    expect(ran.calls).toEqual(["GET http://db1:8001/v1/raft/status"]);
  });
});
