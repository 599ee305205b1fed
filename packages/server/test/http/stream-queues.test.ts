import type { CallerRoute, NodeHost, ShardAccess } from "@trivet/engine";
import {
  CommandFrameBuilder,
  decodeServerFrame,
  decodeShardAnswer,
  encodeClientFrame,
  streamProtocol,
  type ClientFrame,
  type NewMessage,
  type ServerFrame,
  type ShardCommand,
} from "@trivet/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { scripted, serve, until, type Server } from "./harness.ts";
import { startQueueNode } from "./queue-node.ts";

let host: NodeHost;
let server: Server;
let port: number;
beforeAll(async () => {
  host = await startQueueNode();
  server = await serve(host.api);
  port = await server.http.listen();
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

/** The same node, told of its queues. */
async function waitingPort(): Promise<number> {
  const told = await serve(host.api, { queues: host.queues });
  waiting.push(told);
  return told.http.listen();
}
const waiting: Server[] = [];
afterAll(() => Promise.all(waiting.map(({ http }) => http.close(0))));

type Of<Type extends ServerFrame["type"]> = Extract<ServerFrame, { type: Type }>;
class Client {
  readonly frames: ServerFrame[] = [];
  groupTime = 0;
  readonly socket: WebSocket;
  private constructor(at: number) {
    this.socket = new WebSocket(`ws://127.0.0.1:${at}/v1/stream`, { perMessageDeflate: false });
    this.socket.on("message", (data: Buffer) => this.frames.push(decodeServerFrame(new Uint8Array(data))));
    this.socket.on("error", () => undefined);
  }
  static async open(at = port, protocol = streamProtocol): Promise<Client> {
    const client = new Client(at);
    clients.push(client);
    await until(() => client.socket.readyState === WebSocket.OPEN);
    client.send({ type: "hello", protocol, caller: "c", label: "test", session: 0 });
    ({ groupTime: client.groupTime } = await client.frame("welcome"));
    return client;
  }
  send(frame: ClientFrame): void {
    this.socket.send(encodeClientFrame(frame));
  }
  of<Type extends ServerFrame["type"]>(type: Type): Of<Type>[] {
    return this.frames.filter((frame): frame is Of<Type> => frame.type === type);
  }
  async frame<Type extends ServerFrame["type"]>(type: Type, count = 1): Promise<Of<Type>> {
    await until(() => this.of(type).length >= count, `${count} frames ${type}`);
    return this.of(type).at(-1) as Of<Type>;
  }
  async resolve(name: string, create = true): Promise<Of<"queue-resolved">> {
    const count = this.of("queue-resolved").length + 1;
    this.send({ type: "resolve-queue", request: count, name, create });
    return this.frame("queue-resolved", count);
  }
  commands(group: number, caller: string, ...commands: readonly ShardCommand[]): void {
    const builder = new CommandFrameBuilder();
    builder.begin(caller, "", this.groupTime + 60_000, 0, 1);
    for (const command of commands) builder.add(command);
    this.send({ type: "shard-commands", group, frame: builder.finish() });
  }
  /** Everything answered so far. */
  answers(): ReturnType<typeof decodeShardAnswer>[] {
    return this.of("shard-results").flatMap(({ results }) => results.map(({ bytes }) => decodeShardAnswer(bytes)));
  }
}
const clients: Client[] = [];
afterAll(() => {
  for (const client of clients) client.socket.terminate();
});

const message = (text: string): NewMessage => ({
  key: "",
  body: new TextEncoder().encode(text),
  headers: [],
  priority: 0,
  delayMs: 0,
  dueAt: 0,
  ttlMs: 0,
  dedupId: "",
});
const produce = (queue: number, partition: number, ...texts: readonly string[]): ShardCommand => ({
  type: "produce",
  queue,
  partition,
  version: 1,
  messages: texts.map(message),
  ifFence: null,
});
const consume = (queue: number, consumer: string): ShardCommand => ({
  type: "consume",
  queue,
  partition: 0,
  group: "g",
  consumer,
  maxMessages: 10,
  maxBytes: 0,
  visibilityMs: 600_000,
  autoAck: false,
  start: { type: "earliest" },
});
let lanes = 0;
const lane = (): string => `lane-${++lanes}`;

/** A queue that its shard has heard of. */
async function madeQueue(client: Client, name: string): Promise<{ readonly queue: number; readonly group: number }> {
  const { queue, shards } = await client.resolve(name);
  const group = 1 + (queue % shards);
  await until(async () => {
    const before = client.answers().length;
    client.commands(group, lane(), { type: "create-group", queue, partition: 0, group: "g", start: { type: "earliest" } });
    await until(() => client.answers().length > before);
    return client.answers().at(-1)?.type === "counted";
  });
  return { queue, group };
}

describe("queues on GET /v1/stream", () => {
  test("names become numbers; one that is not there is made only when asked for", async () => {
    const client = await Client.open();
    expect(await client.resolve("names/none", false)).toMatchObject({ refusal: "unknown" });
    const made = await client.resolve("names/some");
    expect(made).toMatchObject({ refusal: "none", partitions: 1, shards: 4, backend: "embedded" });
    expect(await client.resolve("names/some", false)).toMatchObject({ refusal: "none", queue: made.queue });
    expect(await client.resolve("")).toMatchObject({ refusal: "invalid" });
    // With what this node's settings say, as over HTTP; one that is there keeps its own.
    const many = await serve(host.api, { env: { QUEUE_PARTITIONS: "3", QUEUE_MAX_DELIVERIES: "9" } });
    const third = await Client.open(await many.http.listen());
    expect(await third.resolve("names/many")).toMatchObject({ refusal: "none", partitions: 3 });
    expect(host.machine?.queue("names/many")?.definition).toMatchObject({ maxDeliveries: 9, visibilityMs: 30_000 });
    expect(await third.resolve("names/some")).toMatchObject({ refusal: "none", queue: made.queue, partitions: 1 });
    await many.http.close(0);
    const strict = await serve(host.api, { env: { QUEUE_AUTO_CREATE: "false" } });
    const other = await Client.open(await strict.http.listen());
    expect(await other.resolve("names/other")).toMatchObject({ refusal: "unknown" });
    await strict.http.close(0);
  });

  test("commands of a shard are answered, the same frame again changes nothing, and who watches is told", async () => {
    const [client, watcher] = [await Client.open(), await Client.open()];
    const { queue, group } = await madeQueue(client, "hints");
    watcher.commands(group, lane(), consume(queue, "w"));
    await until(() => watcher.answers().length === 1);
    watcher.send({ type: "watch-queue", queue, group: "g", consumer: "w", on: true });
    watcher.send({ type: "ping", nonce: 1 });
    await watcher.frame("pong");
    const caller = lane();
    const before = client.answers().length;
    for (let times = 1; times <= 2; times++) {
      client.commands(group, caller, produce(queue, 0, "a", "b"));
      await until(() => client.answers().length === before + times);
    }
    expect(client.answers().slice(before)).toEqual(
      Array.from({ length: 2 }, () => ({
        type: "produced",
        partition: 0,
        messages: [1, 2].map((sequence) => ({ sequence, duplicate: false })),
      })),
    );
    expect(await watcher.frame("queue-ready")).toEqual({ type: "queue-ready", queue, partition: 0, group: "g" });
    expect(client.of("queue-ready")).toEqual([]);
  });

  test("what a consumer holds is handed out again when its stream ends, unless it has said goodbye or is here again", async () => {
    const client = await Client.open();
    const { queue, group } = await madeQueue(client, "gone");
    client.commands(group, lane(), produce(queue, 0, "a"));
    const takeWith = async (holder: Client, consumer: string): Promise<number> => {
      const before = holder.answers().length;
      holder.commands(group, lane(), consume(queue, consumer));
      await until(() => holder.answers().length > before);
      const answer = holder.answers().at(-1);
      return answer?.type === "handed-out" ? answer.messages.length : -1;
    };
    const watch = (holder: Client, on = true): void => holder.send({ type: "watch-queue", queue, group: "g", consumer: "me", on });
    const first = await Client.open();
    watch(first);
    await until(async () => (await takeWith(first, "me")) === 1);
    const second = await Client.open();
    watch(second);
    second.send({ type: "ping", nonce: 1 });
    await second.frame("pong");
    first.socket.terminate();
    expect(await takeWith(client, "other")).toBe(0);
    second.socket.terminate();
    await until(async () => (await takeWith(client, "other")) === 1, "handed out again");
  });

  test("a node gives up what its streams' consumers held, each once, with what they said that they had begun", async () => {
    const given: unknown[] = [];
    const shards: ShardAccess = {
      spread: () => ({ backend: "embedded", shards: 4 }),
      route: () => undefined,
      endRoute: () => undefined,
      submitFrame: () => null,
      watchReady: () => () => undefined,
      consumerGone: (_queue, _partitions, consumer, begun) => void given.push([consumer, begun]),
    };
    const own = await serve(scripted(host.api, { shards }), { settle: false });
    const at = await own.http.listen();
    const { queue } = await (await Client.open()).resolve("begun");
    const open = async (): Promise<Client> => {
      const client = await Client.open(at);
      const watch = (consumer: string, group = "g"): void => client.send({ type: "watch-queue", queue, group, consumer, on: true });
      const say = (consumer: string, messages: number, partitions: readonly number[], group = "g"): void =>
        client.send({ type: "consumer-begun", queue, group, consumer, begun: { messages, partitions } });
      watch("silent");
      watch("one");
      say("one", 1, []);
      say("one", 2, [1, 3]);
      say("stranger", 1, [0]);
      for (const group of ["g", "h"]) watch("both", group);
      say("both", 1, [0, 2]);
      say("both", 3, [1, 2], "h");
      for (const group of ["g", "h"]) watch("half", group);
      say("half", 1, [0]);
      client.send({ type: "ping", nonce: 1 });
      await client.frame("pong");
      return client;
    };
    (await open()).socket.terminate();
    await until(() => given.length === 4, "given up");
    expect(given.splice(0)).toEqual([
      ["silent", null],
      ["one", { messages: 2, partitions: [1, 3] }],
      ["both", { messages: 3, partitions: [0, 1, 2] }],
      ["half", null],
    ]);
    // A node that stops is no failure of what was begun; who never says what that is has all that it held counted.
    await open();
    await own.http.close(0);
    await until(() => given.length === 4, "given up by a node that stops");
    expect(given).toEqual([
      ["silent", null],
      ["one", { messages: 0, partitions: [] }],
      ["both", { messages: 0, partitions: [] }],
      ["half", null],
    ]);
  });

  test("what is begun is not of protocol 6", async () => {
    const client = await Client.open(port, 6);
    client.send({ type: "consumer-begun", queue: 1, group: "g", consumer: "c", begun: { messages: 1, partitions: [0] } });
    expect(await client.frame("closing")).toMatchObject({ code: "protocol" });
  });

  test.each<[string, (client: Client) => void, string]>([
    ["a shard that is none", (client) => client.commands(9, lane(), consume(1, "c")), "malformed"],
    ["group 0", (client) => client.commands(0, lane(), consume(1, "c")), "malformed"],
    ["a frame that is none", (client) => client.send({ type: "shard-commands", group: 1, frame: new Uint8Array([1, 0, 0]) }), "malformed"],
  ])("%s closes the stream with a reason", async (_name, send, code) => {
    const client = await Client.open();
    send(client);
    expect(await client.frame("closing")).toMatchObject({ code });
  });

  test("a name is waited for: at its time it is unknown, and found as soon as there is one", async () => {
    const client = await Client.open(await waitingPort());
    client.send({ type: "await-queue", request: 1, name: "never", waitMs: 1 });
    expect(await client.frame("queue-resolved")).toMatchObject({ request: 1, refusal: "unknown" });
    client.send({ type: "await-queue", request: 2, name: "awaited", waitMs: 600_000 });
    client.send({ type: "resolve-queue", request: 3, name: "awaited", create: false });
    expect(await client.frame("queue-resolved", 2)).toMatchObject({ request: 3, refusal: "unknown" });
    client.send({ type: "resolve-queue", request: 4, name: "awaited", create: true });
    await client.frame("queue-resolved", 4);
    const [made, told] = [4, 2].map((request) => client.of("queue-resolved").find((frame) => frame.request === request));
    expect(made).toMatchObject({ refusal: "none", partitions: 1 });
    expect(told).toEqual({ ...made, request: 2 });
    client.send({ type: "await-queue", request: 5, name: "awaited", waitMs: 600_000 });
    expect(await client.frame("queue-resolved", 5)).toMatchObject({ request: 5, refusal: "none" });
  });

  test("many names that are waited for at once are all answered, some of them to ask again", async () => {
    const client = await Client.open(await waitingPort());
    for (let request = 1; request <= 300; request++) client.send({ type: "await-queue", request, name: `many-${request}`, waitMs: 1 });
    await client.frame("queue-resolved", 300);
    expect(client.of("closing")).toEqual([]);
    expect(new Set(client.of("queue-resolved").map(({ refusal }) => refusal))).toEqual(new Set(["unknown", "unavailable"]));
  });

  test.each([1, 2])("protocol %i has no queues, and goes on without", async (protocol) => {
    const client = await Client.open(port, protocol);
    expect((await client.frame("welcome")).protocol).toBe(protocol);
    client.send({ type: "ping", nonce: 1 });
    await client.frame("pong");
    client.send({ type: "resolve-queue", request: 1, name: "q", create: true });
    expect(await client.frame("closing")).toMatchObject({ code: "protocol" });
  });

  test.each<ShardCommand>([
    {
      type: "expire-leases",
      leases: [{ queue: 1, group: "g", receipt: { partition: 0, sequence: 1, acquired: 1, incarnation: 1 }, extended: 0 }],
    },
    {
      type: "expire-leases",
      leases: [{ queue: 1, group: "g", receipt: { partition: 0, sequence: 1, acquired: 1, incarnation: 0 }, extended: 0 }],
    },
    { type: "drop-queue", queue: 1, version: 1 },
    { type: "redrive", queue: 1, partition: 0, sequences: [], limit: 1, bounded: false },
    { type: "fence-floor", fence: 1 },
    { type: "adopt-rules", rules: 1 },
  ])("$type is for nodes only: the whole frame is refused", async (command) => {
    const client = await Client.open();
    client.commands(1, "reserved", produce(1, 0, "a"), command);
    expect(await client.frame("shard-refused")).toMatchObject({
      group: 1,
      caller: "reserved",
      firstSequence: 1,
      count: 2,
      code: "forbidden",
    });
  });

  test("of more lanes than a stream has room for the longest unused goes: one that is in use keeps its answers", async () => {
    const ended: string[] = [];
    const shards: ShardAccess = {
      spread: () => ({ backend: "embedded", shards: 4 }),
      route: () => undefined,
      endRoute: (_group, caller) => void ended.push(caller),
      submitFrame: () => null,
      watchReady: () => () => undefined,
      consumerGone: () => undefined,
    };
    const own = await serve(scripted(host.api, { shards }), { settle: false });
    const client = await Client.open(await own.http.listen());
    const use = (caller: string): void => client.commands(1, caller, consume(1, "c"));
    use("first");
    for (let n = 1; n < 4_096; n += 1) use(`other ${n}`);
    use("first");
    use("one more");
    await until(() => ended.length > 0, "one is ended");
    expect(ended).toEqual(["other 1"]);
    client.socket.terminate();
    await own.http.close(0);
  });

  test("a client that does not read gets no more to read, and what is queued for it stays bounded", async () => {
    const routes: CallerRoute<Uint8Array>[] = [];
    let submitted = 0;
    const shards: ShardAccess = {
      spread: () => ({ backend: "embedded", shards: 4 }),
      route: (_group, _caller, route) => void routes.push(route),
      endRoute: () => undefined,
      submitFrame: () => {
        submitted += 1;
        return null;
      },
      watchReady: () => () => undefined,
      consumerGone: () => undefined,
    };
    const own = await serve(scripted(host.api, { shards }), { settle: false });
    const client = await Client.open(await own.http.listen());
    client.commands(1, "slow", consume(1, "c"));
    await until(() => submitted === 1);
    client.socket.pause();
    let sequence = 0;
    let sent = 1;
    // More and more frames are not taken: too much waits to be read. That is told behind what does.
    await until(() => {
      routes[0]?.answer(++sequence, new Uint8Array(10_000));
      routes[0]?.flush();
      client.commands(1, "slow", consume(1, "c"));
      return ++sent - submitted > 100;
    });
    expect(sequence * 10_000).toBeLessThan(64 * 1024 * 1024);
    client.socket.resume();
    expect(await client.frame("shard-refused")).toMatchObject({ caller: "slow", firstSequence: 1, count: 1, code: "overloaded" });
    expect(client.of("closing")).toEqual([]);
    await own.http.close(0);
  });
});
