import { type Command, type ConnectOptions, connect } from "@trivet/client";
import { describe, expect, test } from "vitest";
import { cluster, connected, failure, until } from "./support.ts";

const nothing: Command = { type: "nothing" };
const quick: ConnectOptions = { connectTimeoutMs: 1_000, backoffMs: [5, 20] };

describe("connecting", () => {
  test("the addresses may be written in any usual way", async () => {
    const fake = await cluster();
    const port = new URL(fake.node(0).url).port;
    for (const url of [`127.0.0.1:${port}`, `ws://127.0.0.1:${port}/`, `http://127.0.0.1:${port}/ui?x=1`]) {
      const connection = await connected([url]);
      expect(connection.node).toBe(fake.node(0).url);
    }
    expect(fake.node(0).hellos[0]).toMatchObject({ protocol: 5, session: 0 });
    expect(fake.node(0).hellos[0]?.label).toContain(String(process.pid));
  });

  test.each([[[]], [["ftp://127.0.0.1:1"]], [["http://"]], [["two words"]]])("%j is refused at once", async (urls) => {
    expect(await failure(connect(urls, quick))).toMatchObject({ code: "bad_request" });
  });

  test("a name that no host has is refused at once; one that can be reached is enough", async () => {
    const error = await failure(connect(["http://nonsense.invalid:1"], { connectTimeoutMs: 60_000 }));
    expect(error).toMatchObject({ code: "unreachable" });
    expect(String(error)).toMatch(/http:\/\/nonsense\.invalid:1: .*ENOTFOUND.*write nodes like http:\/\/127\.0\.0\.1:8001/);
    const fake = await cluster();
    expect((await connected(["nonsense.invalid:1", ...fake.urls])).node).toBe(fake.node(0).url);
  });

  test("when no node answers, the error says what was tried", async () => {
    const fake = await cluster(2);
    const urls = fake.urls;
    await fake.stop();
    const error = await failure(connect(urls, quick));
    expect(error).toMatchObject({ code: "unreachable", retryable: true });
    for (const url of urls) expect(String(error)).toContain(url);
  });

  test("a node that accepts and never speaks does not hold up the others", async () => {
    const fake = await cluster(2);
    fake.node(0).frozen = true;
    fake.leader = fake.node(1);
    const connection = await connected(fake);
    expect(connection.node).toBe(fake.node(1).url);
  });

  test.each([
    [401, "unauthorized"],
    [403, "forbidden"],
  ])("status %d ends the attempts with %s", async (status, code) => {
    const fake = await cluster();
    fake.node(0).rejectWith = status;
    expect(await failure(connect(fake.urls))).toMatchObject({ code, retryable: false });
  });

  test("a node that speaks no protocol of ours ends the attempts", async () => {
    const fake = await cluster();
    const node = fake.node(0);
    node.greeting = { type: "closing", code: "protocol", detail: "speaks 7 to 9" };
    expect(await failure(connect(fake.urls))).toMatchObject({ code: "upgrade_required" });
    node.greeting = { type: "pong", nonce: 1, groupTime: 1 };
    expect(String(await failure(connect(fake.urls, quick)))).toContain("greeted with pong");
  });
});

describe("leader routing", () => {
  test("a connection moves to the leader that its first node names", async () => {
    const fake = await cluster(3);
    fake.leader = fake.node(2);
    const connection = await connected(fake);
    await until(() => connection.node === fake.node(2).url, "at the leader");
    expect(await connection.execute(nothing)).toEqual({ type: "done" });
    expect(fake.node(2).frames).toHaveLength(1);
    await until(() => fake.node(0).connections === 0, "the first connection was closed");
  });

  test("it stays where it is when asked to", async () => {
    const fake = await cluster(2);
    fake.leader = fake.node(1);
    const connection = await connected(fake, { routing: "any" });
    expect(await connection.execute(nothing)).toEqual({ type: "done" });
    expect(connection.node).toBe(fake.node(0).url);
    expect(fake.node(1).hellos).toEqual([]);
  });

  test("it follows a change of leader, with what is under way", async () => {
    const fake = await cluster(3);
    const connection = await connected(fake);
    fake.node(0).policies.push("ignore");
    const waiting = connection.execute(nothing);
    await until(() => fake.node(0).frames.length === 1, "the command was sent");
    fake.elect(fake.node(1));
    expect(await waiting).toEqual({ type: "done" });
    expect(connection.node).toBe(fake.node(1).url);
    expect(fake.node(1).frames).toEqual(fake.node(0).frames);
  });

  test("a leader that cannot be reached leaves it where it is", async () => {
    const fake = await cluster(2);
    const connection = await connected(fake);
    await fake.node(1).stop();
    fake.elect(fake.node(1));
    expect(await connection.execute(nothing)).toEqual({ type: "done" });
    expect(connection.node).toBe(fake.node(0).url);
  });

  test("a leader that accepts and never speaks leaves it where it is, and the commands go on", async () => {
    const fake = await cluster(2);
    const connection = await connected(fake);
    fake.node(1).frozen = true;
    fake.elect(fake.node(1));
    await until(() => fake.node(1).connections === 1, "the leader was dialled");
    expect(await connection.execute(nothing)).toEqual({ type: "done" });
    expect(connection.node).toBe(fake.node(0).url);
  });

  test("changes of node can be watched", async () => {
    const fake = await cluster(2);
    const connection = await connected(fake);
    const events: string[] = [];
    const stop = connection.watch((event) => events.push(event.type === "connected" ? event.node : event.type));
    fake.leader = fake.node(1);
    fake.node(0).cutConnections();
    await until(() => connection.node === fake.node(1).url, "at the other node");
    expect(events).toEqual(["disconnected", fake.node(1).url]);
    stop();
    fake.elect(fake.node(0));
    await until(() => connection.node === fake.node(0).url, "back");
    expect(events).toHaveLength(2);
  });

  test("news of an older term is ignored", async () => {
    const fake = await cluster(2);
    fake.term = 5;
    const connection = await connected(fake);
    fake.node(0).tellAll({ type: "leader-changed", leader: "node2", leaderUrl: fake.node(1).url, term: 4 });
    expect(await connection.execute(nothing)).toEqual({ type: "done" });
    expect(fake.node(1).hellos).toEqual([]);
  });

  test("when the leader dies, another node is found and the commands go on", async () => {
    const fake = await cluster(3);
    const connection = await connected(fake);
    fake.node(0).policies.push("ignore");
    const waiting = connection.execute(nothing);
    await until(() => fake.node(0).frames.length === 1, "the command was sent");
    const dead = fake.node(0).stop();
    fake.elect(fake.node(2));
    expect(await waiting).toEqual({ type: "done" });
    await dead;
    await until(() => connection.node === fake.node(2).url, "at the new leader");
    expect(fake.executed).toHaveLength(1);
  });

  test("a node that goes silent is left, when something is awaited", async () => {
    const fake = await cluster(2);
    const connection = await connected(fake, { deadAfterMs: 300 });
    fake.node(0).frozen = true;
    fake.leader = fake.node(1);
    expect(await connection.execute(nothing)).toEqual({ type: "done" });
    expect(connection.node).toBe(fake.node(1).url);
  });

  test("a node that asks its clients to leave is left", async () => {
    const fake = await cluster(2);
    const connection = await connected(fake);
    fake.leader = fake.node(1);
    fake.node(0).tellAll({ type: "closing", code: "stopping", detail: "" });
    expect(await connection.execute(nothing)).toEqual({ type: "done" });
    await until(() => connection.node === fake.node(1).url, "at the other node");
  });

  test("a node that sends nonsense is left, and the commands go on", async () => {
    const fake = await cluster(2);
    const connection = await connected(fake);
    fake.leader = fake.node(1);
    fake.node(0).tellRaw(new Uint8Array([250, 1, 2]));
    expect(await connection.execute(nothing)).toEqual({ type: "done" });
    await until(() => connection.node === fake.node(1).url, "at the other node");
  });
});
