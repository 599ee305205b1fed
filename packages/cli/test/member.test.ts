import { describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

const list = {
  leader: "node1",
  term: 2,
  members: [
    { node: "node1", kind: "voter", url: "http://a:1", roles: "lock", self: true, leader: true, connected: true },
    { node: "node4", kind: "learner", url: "http://d:4", roles: "lock", self: false, leader: false, connected: false },
  ],
};

describe("trivet member and leader", () => {
  it("lists members", async () => {
    const ran = await runCli(["member", "list"], () => ({ body: list }));
    expect(ran.stdout).toMatch(/node4 +http:\/\/d:4 +learner +no +lock/);
  });

  it("adds a voter, or a learner when asked", async () => {
    const voter = await runCli(["member", "add", "node4", "http://d:4"], () => ({ body: list }));
    expect(voter.calls[0]).toBe('POST http://127.0.0.1:8001/v1/raft/members {"node":"node4","url":"http://d:4","voter":true}');
    const learner = await runCli(["member", "add", "node4", "http://d:4", "--learner"], () => ({ body: list }));
    expect(learner.calls[0]).toContain('"voter":false');
  });

  it("promotes a learner under its known address", async () => {
    const ran = await runCli(["member", "promote", "node4"], () => ({ body: list }));
    expect(ran.calls[1]).toBe('POST http://127.0.0.1:8001/v1/raft/members {"node":"node4","url":"http://d:4","voter":true}');
  });

  it("removes only after a typed confirmation, and passes the node's refusal on", async () => {
    const refusal = { status: 409, body: { code: "membership_refused", detail: "the rest would have no quorum" } };
    const ran = await runCli(["member", "remove", "node4", "--yes"], () => refusal);
    expect(ran.calls).toEqual(["DELETE http://127.0.0.1:8001/v1/raft/members/node4"]);
    expect(cliError(ran)).toMatchObject({ exitCode: 13, why: "the rest would have no quorum" });
    expect(cliError(await runCli(["member", "remove", "node4"], () => ({})))).toMatchObject({ exitCode: 64 });
  });

  it("replaces a lost disk: gives the old one up and watches the node come back as a voter", async () => {
    let asked = 0;
    const now = [
      { kind: "voter", replaceable: false },
      { kind: "voter", replaceable: true },
      { kind: "learner", replaceable: false },
      { kind: "voter", replaceable: false },
    ];
    const ran = await runCli(["member", "replace", "node4", "--yes"], (method) =>
      method === "POST" ? { body: list } : { body: { ...list, members: [{ ...list.members[1], ...now[asked++] }] } },
    );
    expect(ran.calls).toEqual([
      "POST http://127.0.0.1:8001/v1/raft/members/node4/replace",
      ...Array.from({ length: 4 }, () => "GET http://127.0.0.1:8001/v1/raft/members"),
    ]);
    expect(ran.stdout).toMatch(/node4 +http:\/\/d:4 +voter/);
    expect(cliError(await runCli(["member", "replace", "node4"], () => ({})))).toMatchObject({
      exitCode: 64,
      message: "What only the old disk of node4 held is given up; the other nodes' copies remain. This needs a confirmation.",
    });
  });

  it("does not replace a node that is up with its disk, and says what next; --force removes it", async () => {
    const detail = "node1 is up with its disk d1: stop it first.";
    const refused = await runCli(["member", "replace", "node1", "--yes"], () => ({
      status: 409,
      body: { code: "membership_refused", detail },
    }));
    expect(refused.calls).toEqual(["POST http://127.0.0.1:8001/v1/raft/members/node1/replace"]);
    const error = cliError(refused);
    expect(error).toMatchObject({ exitCode: 13, why: "node1 is up with its disk d1." });
    expect(error.next).toContain("stop node1 and repeat the command (--force");

    const gone = { body: { ...list, members: [] } };
    let asked = 0;
    const forced = await runCli(["member", "replace", "node1", "--yes", "--force"], (method) =>
      method === "DELETE" || asked++ === 0 ? gone : { body: list },
    );
    expect(forced.error).toBeNull();
    expect(forced.calls[0]).toBe("DELETE http://127.0.0.1:8001/v1/raft/members/node1");
  });

  it("asks before it replaces, and says when the node is alive", async () => {
    const questions: string[] = [];
    const prompt = (question: string): Promise<string> => {
      questions.push(question);
      return Promise.resolve("no");
    };
    for (const args of [["node1"], ["node1", "--force"], ["node4"]])
      cliError(await runCli(["member", "replace", ...args], () => ({ body: list }), { prompt }));
    expect(questions[0]).toMatch(/node1 is alive.*this is refused/);
    expect(questions[1]).toMatch(/node1 is alive.*loses its vote at once/);
    expect(questions[2]).not.toContain("alive");
  });

  it("transfers leadership", async () => {
    const ran = await runCli(["leader", "transfer", "--to", "node2", "--json"], () => ({ body: { leader: "node2" } }));
    expect(ran.calls).toEqual(['POST http://127.0.0.1:8001/v1/raft/transfer-leader {"to":"node2"}']);
    expect(JSON.parse(ran.stdout)).toEqual({ version: 1, kind: "leader", leader: "node2" });
  });

  it("does not send a change to a second node when the first may have executed it", async () => {
    const ran = await runCli(["leader", "transfer"], () => ({ fails: "ECONNRESET" }));
    expect(ran.calls).toHaveLength(1);
    expect(cliError(ran)).toMatchObject({ exitCode: 14 });
  });
});

const voter = (node: string, connected = true) => ({
  node,
  kind: "voter",
  url: `http://${node}:1`,
  roles: "lock",
  self: false,
  leader: node === "node1",
  connected,
  replaceable: false,
});

describe("trivet member replace OLD NEW", () => {
  const status = { role: "leader", peers: [{ node: "node4", connected: true, lag: 3 }] };

  it("lets the new one in, waits until it votes, and only then removes the old one", async () => {
    let state = [voter("node1"), voter("node2"), voter("node3", false)];
    const ran = await runCli(["member", "replace", "node3", "node4", "--address", "http://node4:1", "--yes"], (method, url) => {
      if (method === "POST") state = [...state, { ...voter("node4"), kind: "learner" }];
      else if (method === "DELETE") state = state.filter(({ node }) => node !== "node3");
      else if (url.endsWith("/v1/ring")) return { body: { shards: [{ shard: 1, replicas: ["node3"], waiting: null }] } };
      else if (url.endsWith("/v1/raft/status")) {
        state = state.map((member) => (member.node === "node4" ? voter("node4") : member));
        return { body: status };
      }
      return { body: { leader: "node1", term: 1, members: state } };
    });
    expect(ran.error, ran.stderr).toBeNull();
    const changes = ran.calls.filter((call) => /^(POST|DELETE)/.test(call));
    expect(changes).toEqual([
      'POST http://127.0.0.1:8001/v1/raft/members {"node":"node4","url":"http://node4:1","voter":true}',
      "DELETE http://127.0.0.1:8001/v1/raft/members/node3",
    ]);
    expect(ran.stderr).toMatch(/letting node4 in as a learner/);
    expect(ran.stdout).toMatch(/node4 +http:\/\/node4:1 +voter/);
    expect(ran.stdout).not.toMatch(/node3/);
  });

  it("changes nothing where the quorum would be lost, or a name is wrong", async () => {
    const members = [voter("node1"), voter("node2", false), voter("node3", false), voter("node5")];
    const answer = () => ({ body: { leader: "node1", term: 1, members } });
    const ran = await runCli(["member", "replace", "node5", "node4", "--address", "http://node4:1", "--yes"], answer);
    expect(cliError(ran)).toMatchObject({ exitCode: 13, why: "2 of 4 voters would be up, and 3 are needed; missing: node2, node3." });
    for (const words of [
      ["node1", "node1"],
      ["node9", "node4", "--address", "http://x:1"],
      ["node1", "node4"],
    ])
      expect(cliError(await runCli(["member", "replace", ...words, "--yes"], answer)).exitCode).toBe(64);
    expect(ran.calls.filter((call) => !call.startsWith("GET"))).toEqual([]);
  });
});
