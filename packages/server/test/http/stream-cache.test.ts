import { connect, type TrivetConnection } from "@trivet/client";
import type { CacheFailure, NodeHost } from "@trivet/engine";
import { type ClientFrame, decodeServerFrame, encodeClientFrame, type ServerFrame, streamProtocol } from "@trivet/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { serve, until, type Server } from "./harness.ts";
import { startQueueNode } from "./queue-node.ts";

let host: NodeHost;
let server: Server;
let port: number;
const connections: TrivetConnection[] = [];
beforeAll(async () => {
  host = await startQueueNode();
  server = await serve(host.api, { queues: host.queues, cache: host.cache, programs: host.caching.programs });
  port = await server.http.listen();
});
afterAll(async () => {
  await Promise.all(connections.map((connection) => connection.close()));
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

async function program(): Promise<TrivetConnection> {
  const connection = await connect(`http://127.0.0.1:${port}`);
  connections.push(connection);
  return connection;
}

function put(key: string, value: string): Promise<void> {
  const request = { namespace: "default", key, value: Buffer.from(value), tags: ["t"], ttlMs: 0, condition: { type: "always" } } as const;
  return new Promise((resolve, reject) => {
    host.cache.put({ ...request, token: null, ifFence: null }, { timeoutMs: 10_000 }, (outcome) => {
      if (outcome.type === "written") resolve();
      else reject(new Error(JSON.stringify(outcome)));
    });
  });
}

function administer(run: (done: (outcome: { readonly type: string } | CacheFailure) => void) => void): Promise<string> {
  return new Promise((resolve) => run(({ type }) => resolve(type)));
}

function defineAged(staleMs: number, mode: "create" | "update"): Promise<string> {
  return administer((done) => host.cache.defineNamespace("aged", { mode: "ttl", staleMs }, mode, { timeoutMs: 10_000 }, done));
}

describe("programs with copies of their own, through a real node", () => {
  test("what the node, or another program, was answered for is what the next read gives", async () => {
    const [one, other] = [(await program()).cache<number>("default"), (await program()).cache<number>("default")];
    for (let value = 0; value < 300; value += 3) {
      await put("k", String(value));
      expect([(await one.get("k")).value, (await other.get("k")).value]).toEqual([value, value]);
      await one.set("k", value + 1);
      expect([(await other.get("k")).value, one.peek("k")?.value ?? value + 1]).toEqual([value + 1, value + 1]);
      expect(await other.increment("k")).toBe(value + 2);
      expect((await one.get("k")).value).toBe(value + 2);
    }
    await until(() => one.peek("k") !== undefined || (void one.get("k"), false), "a copy");
    expect(one.statistics().hits).toBeGreaterThan(0);
  });

  test("compare-and-set, deletion, tags, and what does not exist", async () => {
    const cache = (await program()).cache<string>("default");
    expect(await cache.compareAndSet("c", 0, "a", { tags: ["red"] })).toMatchObject({ swapped: true });
    expect(await cache.compareAndSet("c", 0, "b")).toMatchObject({ swapped: false });
    await cache.set("d", "d", { tags: ["blue"] });
    await cache.getMany(["c", "d"]);
    expect(await cache.invalidateTag("red")).toBe(host.caching.programs.shards);
    expect((await cache.getMany(["c", "d"])).map(({ found }) => found)).toEqual(["absent", "value"]);
    expect(await cache.delete("d")).toBe(true);
    await cache.set("e", "e");
    await cache.invalidate();
    expect((await cache.get("e", { strict: true })).found).toBe("absent");
    const nobody = (await program()).cache("nobody");
    await expect(nobody.get("k")).rejects.toMatchObject({ code: "namespace_unknown" });
  });

  test("a loader after an invalidation brings what is there now", async () => {
    const cache = (await program()).cache<number>("default");
    let source = 1;
    expect(await cache.getOrLoad("l", () => source, { tags: ["loaded"] })).toBe(1);
    for (source = 2; source < 20; source++) {
      await cache.invalidateTag("loaded");
      expect(await cache.getOrLoad("l", () => source, { tags: ["loaded"] })).toBe(source);
    }
  });

  test("a namespace made again under its name is another one", async () => {
    const define = (): Promise<string> =>
      administer((done) => host.cache.defineNamespace("again", {}, "create", { timeoutMs: 10_000 }, done));
    expect(await define()).toBe("defined");
    const cache = (await program()).cache<number>("again");
    await cache.set("k", 1);
    expect((await cache.get("k")).value).toBe(1);
    expect(await administer((done) => host.cache.removeNamespace("again", { timeoutMs: 10_000 }, done))).toBe("removed");
    expect(await define()).toBe("defined");
    await cache.set("k", 2);
    expect((await cache.get("k")).value).toBe(2);
  });

  test("a bound on how old a value may be that is lowered is that of the next copies", async () => {
    expect(await defineAged(3_600_000, "create")).toBe("defined");
    const [reader, writer] = [(await program()).cache<number>("aged"), (await program()).cache<number>("aged")];
    const afterWrite = async (key: string): Promise<number | null> => {
      await writer.set(key, 1);
      await reader.get(key);
      await writer.set(key, 2);
      return (await reader.get(key)).value;
    };
    expect(await afterWrite("k")).toBe(1);
    expect(await defineAged(1, "update")).toBe("defined");
    let keys = 0;
    await until(async () => (await afterWrite(`k${keys++}`)) === 2, "a value of now");
  });

  test("what no program may say ends its stream", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`, { perMessageDeflate: false });
    const frames: ServerFrame[] = [];
    socket.on("message", (data: Buffer) => frames.push(decodeServerFrame(new Uint8Array(data))));
    await until(() => socket.readyState === WebSocket.OPEN);
    const send = (frame: ClientFrame): void => socket.send(encodeClientFrame(frame));
    send({ type: "hello", protocol: streamProtocol, caller: "c", label: "", session: 0 });
    send({ type: "to-homes", program: "p", messages: [{ group: 200, message: { type: "flush-ack", term: 1, incarnation: 1 } }] });
    await until(() => frames.some(({ type }) => type === "closing"), "the end");
    expect(frames.at(-1)).toMatchObject({ type: "closing", code: "malformed" });
    socket.terminate();
  });
});
