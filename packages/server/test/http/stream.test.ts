import type { CallerRoute, NodeHost } from "@trivet/engine";
import {
  CommandFrameBuilder,
  decodeServerFrame,
  encodeClientFrame,
  limits,
  streamProtocol,
  type ClientFrame,
  type Command,
  type ServerFrame,
} from "@trivet/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { scripted, serve, startTestNode, until, type Server } from "./harness.ts";

let host: NodeHost;
let server: Server;
let port: number;
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api);
  port = await server.http.listen();
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

type Of<Type extends ServerFrame["type"]> = Extract<ServerFrame, { type: Type }>;
class Client {
  readonly frames: ServerFrame[] = [];
  closed: { readonly code: number; readonly reason: string } | null = null;
  readonly socket: WebSocket;
  constructor(at: number) {
    this.socket = new WebSocket(`ws://127.0.0.1:${at}/v1/stream`, { perMessageDeflate: false });
    this.socket.on("message", (data: Buffer) => this.frames.push(decodeServerFrame(new Uint8Array(data))));
    this.socket.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
    });
    this.socket.on("error", () => undefined);
  }
  send(frame: ClientFrame): void {
    this.socket.send(encodeClientFrame(frame));
  }
  of<Type extends ServerFrame["type"]>(type: Type): Of<Type>[] {
    return this.frames.filter((frame): frame is Of<Type> => frame.type === type);
  }
  async frame<Type extends ServerFrame["type"]>(type: Type): Promise<Of<Type>> {
    await until(() => this.of(type).length > 0, `a frame ${type}, closed ${JSON.stringify(this.closed)}`);
    return this.of(type)[0] as Of<Type>;
  }
  async open(): Promise<this> {
    await until(() => this.socket.readyState === WebSocket.OPEN);
    return this;
  }
  async hello(session = 0): Promise<Of<"welcome">> {
    await this.open();
    this.send({ type: "hello", protocol: streamProtocol, caller: "client-1", label: "test", session });
    return this.frame("welcome");
  }
}
const clients: Client[] = [];
const connect = (at = port): Client => {
  const client = new Client(at);
  clients.push(client);
  return client;
};
afterAll(() => {
  for (const client of clients) client.socket.terminate();
});

const acquire = (name: string, owner: string, waitMs = 0): Command => ({
  type: "acquire",
  actor: { session: 0, principal: "anonymous", owner },
  keys: [{ name, mode: "exclusive", of: 0 }],
  ttlMs: 60_000,
  waitMs,
  reentrant: false,
  anonymous: false,
});
function frameOf(caller: string, first: number, notAfter: number, commands: readonly Command[]): Uint8Array {
  const builder = new CommandFrameBuilder();
  builder.begin(caller, "", notAfter, 0, first);
  for (const command of commands) builder.add(command);
  return builder.finish();
}

describe("GET /v1/stream", () => {
  test("hello is welcomed with cluster, leader, group time and limits", async () => {
    const welcome = await connect().hello();
    expect(welcome).toMatchObject({
      protocol: streamProtocol,
      node: "node1",
      leader: "node1",
      leaderUrl: "http://node1:8001",
      callerWindow: limits.callerWindow,
      maxFrameBytes: limits.maxFrameBytes,
    });
    expect(Math.abs(welcome.groupTime - Date.now())).toBeLessThan(60_000);
    expect(welcome.cluster).not.toBe("");
  });

  test("a batch of commands is answered in one frame of results", async () => {
    const client = connect();
    const { groupTime } = await client.hello();
    const commands = Array.from({ length: 100 }, (_, index) => acquire(`batch/${index}`, "a"));
    client.send({ type: "commands", frame: frameOf("lane-batch", 1, groupTime + 30_000, commands) });
    await until(() => client.of("results").flatMap((frame) => frame.results).length === 100);
    expect(client.of("results")).toHaveLength(1);
    expect(client.of("results")[0]?.results.map((answer) => answer.sequence)).toEqual(commands.map((_, index) => index + 1));
    expect(client.of("results")[0]?.results.every((answer) => answer.result.type === "granted")).toBe(true);
  });

  test("a wait is answered when the lock is handed over, and the same frame again changes nothing", async () => {
    const client = connect();
    const { groupTime } = await client.hello();
    const first = frameOf("lane-wait", 1, groupTime + 30_000, [acquire("handed", "a"), acquire("handed", "b", 10_000)]);
    client.send({ type: "commands", frame: first });
    await until(() => client.of("results").flatMap((frame) => frame.results).length === 1);
    client.send({ type: "commands", frame: first });
    client.send({
      type: "commands",
      frame: frameOf("lane-wait", 3, groupTime + 30_000, [
        { type: "release", actor: { session: 0, principal: "anonymous", owner: "a" }, name: "handed", fence: 0, anonymous: false },
      ]),
    });
    await until(() =>
      client
        .of("results")
        .flatMap((frame) => frame.results)
        .some((answer) => answer.sequence === 2),
    );
    const answers = client.of("results").flatMap((frame) => frame.results);
    const granted = answers.filter((answer) => answer.result.type === "granted");
    expect(new Set(granted.map((answer) => (answer.result.type === "granted" ? answer.result.fence : 0))).size).toBe(2);
  });

  test("keepalives answer which sessions live, and a lost session is told", async () => {
    const opened = await server.call("POST", "/v1/sessions", { ttl_ms: 60_000 });
    const session = Number((opened.json as unknown as { session_id: string }).session_id);
    const client = connect();
    await client.hello(session);
    client.send({ type: "keep-alive", batch: 7, sessions: [session, 999_999] });
    expect(await client.frame("keep-alive-answer")).toMatchObject({ batch: 7, alive: [session], lost: [999_999] });
    await server.call("DELETE", `/v1/sessions/${session}`);
    expect(await client.frame("session-event")).toMatchObject({ session, event: "closed" });
  });

  test("ping is answered with group time", async () => {
    const client = connect();
    await client.hello();
    client.send({ type: "ping", nonce: 42 });
    expect(await client.frame("pong")).toMatchObject({ nonce: 42 });
  });

  test("a reconnect takes over the answers of its caller", async () => {
    const first = connect();
    const { groupTime } = await first.hello();
    const frame = frameOf("lane-again", 1, groupTime + 30_000, [acquire("again", "a")]);
    first.send({ type: "commands", frame });
    await first.frame("results");
    first.socket.terminate();
    const second = connect();
    await second.hello();
    second.send({ type: "commands", frame });
    expect((await second.frame("results")).results[0]?.result).toEqual(first.of("results")[0]?.results[0]?.result);
  });

  test.each<[string, Command]>([
    ["expire", { type: "expire", kind: "grant", id: 1 }],
    ["set-node", { type: "set-node", node: "evil", storage: "s", url: "http://evil", roles: "lock", voter: true }],
    ["forget-node", { type: "forget-node", node: "node1" }],
    ["anchor-audit", { type: "anchor-audit", node: "node1", chain: "c", head: { seq: 1, mac: "0".repeat(64) }, before: null }],
  ])("%s is for nodes only: the whole frame is refused", async (type, command) => {
    const client = connect();
    const { groupTime } = await client.hello();
    client.send({ type: "commands", frame: frameOf(`lane-${type}`, 5, groupTime + 30_000, [acquire(`reserved/${type}`, "a"), command]) });
    expect(await client.frame("refused")).toMatchObject({ caller: `lane-${type}`, firstSequence: 5, count: 2, code: "forbidden" });
    expect((await server.call("GET", `/v1/locks/reserved%2F${type}`)).json).toMatchObject({ status: "available" });
  });

  test.each<[string, (client: Client) => void, string]>([
    ["a command before hello", (client) => client.send({ type: "ping", nonce: 1 }), "protocol"],
    ["a text message", (client) => client.socket.send("hello"), "protocol"],
    ["an empty message", (client) => client.socket.send(new Uint8Array(0)), "malformed"],
    ["bytes that are no frame", (client) => client.socket.send(new Uint8Array([250, 1, 2, 3])), "malformed"],
    [
      "a truncated hello",
      (client) => client.socket.send(encodeClientFrame({ type: "hello", protocol: 1, caller: "x", label: "y", session: 0 }).subarray(0, 4)),
      "malformed",
    ],
    ["an old protocol", (client) => client.send({ type: "hello", protocol: 0, caller: "x", label: "y", session: 0 }), "protocol"],
  ])("%s closes the stream with a reason", async (_name, send, code) => {
    const client = await connect().open();
    send(client);
    expect(await client.frame("closing")).toMatchObject({ code });
    await until(() => client.closed !== null);
    expect(client.closed?.reason).toBe(code);
  });

  test("hello twice, and a command frame that is none", async () => {
    const twice = connect();
    await twice.hello();
    twice.send({ type: "hello", protocol: 1, caller: "x", label: "y", session: 0 });
    expect(await twice.frame("closing")).toMatchObject({ code: "protocol" });
    const broken = connect();
    await broken.hello();
    broken.send({ type: "commands", frame: new Uint8Array([1, 0, 0]) });
    expect(await broken.frame("closing")).toMatchObject({ code: "malformed" });
  });

  test("a message over the limit closes the connection", async () => {
    const client = connect();
    await client.hello();
    client.socket.send(new Uint8Array(5_000_000));
    await until(() => client.closed !== null);
    expect(client.closed?.code).toBe(1009);
  });

  test("what the node refuses is told with the whole range of sequences", async () => {
    const node = scripted(host.api, {
      submitFrame: () => ({ type: "unavailable", code: "overloaded", retryAfterMs: 250, detail: "full" }),
    });
    const own = await serve(node, { settle: false });
    const client = connect(await own.http.listen());
    const { groupTime } = await client.hello();
    client.send({ type: "commands", frame: frameOf("lane-full", 9, groupTime + 1_000, [acquire("x", "a"), acquire("y", "a")]) });
    expect(await client.frame("refused")).toMatchObject({
      caller: "lane-full",
      firstSequence: 9,
      count: 2,
      code: "overloaded",
      retryAfterMs: 250,
      detail: "full",
    });
    await own.http.close(0);
  });

  test("a leader change is pushed, and so is a lost leader", async () => {
    let leader: string | null = "node2";
    const node = scripted(host.api, {
      status: () => {
        const now = host.api.status();
        return {
          ...now,
          groups: now.groups.map((group) => ({ ...group, role: "follower" as const, leader: leader as typeof group.leader })),
          peers: [
            {
              node: "node2" as never,
              address: "http://node2:8002",
              connected: true,
              matchIndex: 0,
              lag: 0,
              rttMs: 1,
              lastError: null,
              lastContactMsAgo: 1,
            },
          ],
        };
      },
    });
    const own = await serve(node, { settle: false });
    const client = connect(await own.http.listen());
    expect(await client.hello()).toMatchObject({ leader: "node2", leaderUrl: "http://node2:8002" });
    leader = null;
    expect(await client.frame("leader-changed")).toMatchObject({ leader: "", leaderUrl: "" });
    await own.http.close(0);
  });

  test("a client that does not read is disconnected, and what is queued for it stays bounded", async () => {
    let route: CallerRoute | null = null;
    const node = scripted(host.api, {
      submitFrame: () => null,
      route: (_caller, given) => {
        route = given;
      },
      endRoute: () => {
        route = null;
      },
    });
    const own = await serve(node, { settle: false });
    const client = connect(await own.http.listen());
    const { groupTime } = await client.hello();
    client.send({ type: "commands", frame: frameOf("lane-slow", 1, groupTime + 1_000, [acquire("x", "a")]) });
    await until(() => route !== null);
    client.socket.pause();
    const result = { type: "busy", waited: false, name: "n".repeat(500), holders: [], waiters: 0 } as const;
    let sequence = 0;
    // The route is taken away when the connection is given up.
    await until(() => {
      for (let index = 0; index < 1_000; index++) route?.answer(++sequence, result);
      route?.flush();
      return route === null;
    });
    // Four MiB of queue and what the sockets of both ends hold, not more.
    expect(sequence * 500).toBeLessThan(64 * 1024 * 1024);
    expect(await own.metrics.text()).toContain('stream_disconnects_total{reason="overloaded"} 1');
    await own.http.close(0);
  });

  test("closing the server tells every stream and ends it", async () => {
    const own = await serve(host.api);
    const client = connect(await own.http.listen());
    await client.hello();
    await own.http.close(1_000);
    await until(() => client.closed !== null);
    expect(client.of("closing")[0]).toMatchObject({ code: "stopping" });
  });
});
