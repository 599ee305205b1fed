import { describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

const names = ["node1", "node2", "node3"];

/** A made-up cluster whose nodes can be restarted: `lives` counts the processes of each. */
function madeUpCluster(change: { readonly voters?: number; readonly replicas?: number } = {}) {
  const lives = new Map(names.map((name) => [name, 1]));
  let leader = "node1";
  const restarted: string[] = [];
  /** What a node says instead of the usual, from some moment on. */
  const odd = new Map<string, Record<string, unknown>>();
  const answer = (_method: string, url: string) => {
    const node = names.find((_, at) => url.includes(`:800${at + 1}`)) ?? "";
    if (url.endsWith("/v1/health/live")) return { body: { status: "ok", started_at: `life ${lives.get(node)}` } };
    if (url.endsWith("/v1/ring")) {
      const shards = [{ shard: 1, leader: "node2", replicas: names.slice(0, change.replicas ?? 3), waiting: null }];
      return { body: { backend: "embedded", shards } };
    }
    const group = (id: number, leads: string) => ({
      group: id,
      role: leads === node ? "leader" : "follower",
      term: 3,
      leader: leads,
      commit_index: "50",
      applied_index: "50",
    });
    return {
      body: {
        node_id: node,
        phase: "running",
        phase_detail: "",
        role: node === leader ? "leader" : "follower",
        members: names.map((name, at) => ({
          node: name,
          kind: at < (change.voters ?? 3) ? "voter" : "learner",
          url: `http://127.0.0.1:800${at + 1}`,
        })),
        groups: [group(0, leader), group(1, "node2")],
        ...odd.get(node),
      },
    };
  };
  const run = async (_command: readonly string[], env: Readonly<Record<string, string>>): Promise<number | string> => {
    const node = env["TRIVET_NODE"] ?? "";
    restarted.push(node);
    lives.set(node, (lives.get(node) ?? 0) + 1);
    if (leader === node) leader = "node3";
    return 0;
  };
  return { answer, run, restarted, lives, odd };
}

describe("trivet member restart", () => {
  it("restarts one after the other, the leader last", async () => {
    const { answer, restarted, run } = madeUpCluster();
    const ran = await runCli(["member", "restart", "--", "restart-it"], answer, { run });
    expect(ran.error).toBeNull();
    expect(restarted).toEqual(["node2", "node3", "node1"]);
    expect(ran.stdout).toContain("Restarted: node2, node3, node1.");
  });

  it("only those that are named; one that is no member is refused", async () => {
    const { answer, restarted, run } = madeUpCluster();
    await runCli(["member", "restart", "--only", "node3", "--", "restart-it"], answer, { run });
    expect(restarted).toEqual(["node3"]);
    const ran = await runCli(["member", "restart", "--only", "node9", "--", "restart-it"], answer, { run });
    expect(cliError(ran)).toMatchObject({ exitCode: 64 });
    expect(restarted).toEqual(["node3"]);
  });

  it.each([
    ["two voters", { voters: 2 }, "2 of its nodes vote"],
    ["a shard with two replicas", { replicas: 2 }, "shard 1 has 2 replicas"],
  ])("touches nothing with %s", async (_what, change, why) => {
    const { answer, restarted, run } = madeUpCluster(change);
    const error = cliError(await runCli(["member", "restart", "--", "restart-it"], answer, { run }));
    expect(error).toMatchObject({ code: "no_margin", exitCode: 69 });
    expect(error.why).toContain(why);
    expect(restarted).toEqual([]);
  });

  it("ends when a command fails, when it restarted nothing, and when a node stays behind; names who was not touched", async () => {
    const failing = madeUpCluster();
    const failed = cliError(await runCli(["member", "restart", "--", "x"], failing.answer, { run: async () => 3 }));
    expect(failed.message).toContain("The command that restarts node2 ended with code 3");
    expect(failed.why).toContain("node1, node3 was not touched");

    const idle = cliError(await runCli(["member", "restart", "--wait", "0.5", "--", "x"], failing.answer, { run: async () => 0 }));
    expect(idle.message).toContain("node2 did not come back");
    expect(idle.why).toContain("the command did not restart it");

    const slow = madeUpCluster();
    const run: typeof slow.run = async (command, env) => {
      const groups = [0, 1].map((group) => ({
        group,
        role: "follower",
        leader: group === 0 ? "node1" : "node2",
        commit_index: "9",
        applied_index: "9",
      }));
      slow.odd.set("node3", { groups });
      return env["TRIVET_NODE"] === "node2" ? slow.run(command, env) : 1;
    };
    const behind = cliError(await runCli(["member", "restart", "--wait", "0.5", "--", "x"], slow.answer, { run }));
    expect(behind.message).toContain("node2 was restarted, and: the cluster is not whole");
    expect(behind.why).toContain("node3 is 41 entries behind in group 0");
    expect(slow.restarted).toEqual(["node2"]);
  });
});
