import { connect, type TrivetConnection } from "@trivet/client";
import type { CacheFailure, CacheOrigin, NodeHost, OriginAnswer, OriginWrite, OriginWritten } from "@trivet/engine";
import { cacheShardOf, type ClientFrame, decodeServerFrame, encodeClientFrame, type ServerFrame, streamProtocol } from "@trivet/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { serve, until, type Server } from "./harness.ts";
import { startQueueNode } from "./queue-node.ts";

let host: NodeHost;
let server: Server;
let port: number;
const connections: TrivetConnection[] = [];

/** An outside system of values, which others write to as well. */
class Outside implements CacheOrigin {
  readonly timeoutMs = 2_000;
  readonly values = new Map<string, string>();
  isAway = false;

  load(_namespace: string, key: string, done: (answer: OriginAnswer) => void): void {
    const value = this.values.get(key);
    const found: OriginAnswer = value === undefined ? { type: "absent" } : { type: "value", value: Buffer.from(value) };
    setImmediate(() => done(this.isAway ? { type: "failed", reason: "away" } : found));
  }

  write(writes: readonly OriginWrite[], told: (place: number, outcome: OriginWritten) => void): void {
    setImmediate(() => {
      for (const [place, { key, value }] of writes.entries()) {
        if (value === null) this.values.delete(key);
        else this.values.set(key, Buffer.from(value).toString());
        told(place, { type: "written" });
      }
    });
  }
}
const outside = new Outside();
beforeAll(async () => {
  host = await startQueueNode(undefined, { redis: outside });
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

function compressing(compressOver: number, mode: "create" | "update"): Promise<string> {
  return administer((done) => host.cache.defineNamespace("settings", { compressOver }, mode, { timeoutMs: 10_000 }, done));
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

  test("a program reads a value whose time is nearly over from its copy, and has it loaded again by that", async () => {
    const settings = { origin: "redis", ttlMs: 50, revalidateMs: 60_000 } as const;
    const define = (done: (outcome: { readonly type: string }) => void): void =>
      host.cache.defineNamespace("soon", settings, "create", { timeoutMs: 10_000 }, done);
    expect(await administer(define)).toBe("defined");
    outside.values.set("s", "1");
    const cache = (await program()).cache<number>("soon");
    await until(async () => (await cache.get("s")).source === "copy", "it has a copy");
    await until(() => cache.peek("s")?.isStale === true, "its time is over");
    expect(cache.peek("s")).toMatchObject({ value: 1, source: "copy" });
    outside.values.set("s", "2");
    await until(async () => (await cache.get("s")).value === 2, "it was loaded again");
  });

  test("loaders of several programs run one at a time; one whose program is gone is not waited for", async () => {
    const programs = await Promise.all([program(), program(), program()]);
    const [first, second, third] = programs.map((connection) => connection.cache<number>("default"));
    let [runs, finish] = [0, (): void => {}];
    const loader = (): Promise<number> => {
      runs += 1;
      return new Promise((resolve) => (finish = () => resolve(runs)));
    };
    const begun = first?.getOrLoad("shared", loader);
    await until(() => Promise.resolve(runs === 1), "the first loads");
    const others = [second?.getOrLoad("shared", loader), third?.getOrLoad("shared", loader)];
    // As long as a read takes, and more: the others have found nothing, and asked.
    for (let reads = 0; reads < 20; reads++) await second?.get("shared", { strict: true });
    finish();
    expect(await Promise.all([begun, ...others])).toEqual([1, 1, 1]);
    expect(runs).toBe(1);
    const lost = first?.getOrLoad("gone", loader).catch((error: unknown) => (error as { readonly code: string }).code);
    await until(() => Promise.resolve(runs === 2), "the first loads again");
    const next = second?.getOrLoad("gone", () => 9);
    await programs[0]?.close();
    expect(await next).toBe(9);
    finish();
    expect(await lost).toBe("closed");
  });

  test("a thousand loaders of a program at a time are one for each key, and hold up nothing else", async () => {
    const [first, second] = await Promise.all([program(), program()]);
    const keys = Array.from({ length: 1_000 }, (_, n) => `many ${n}`);
    let [runs, open] = [0, (): void => {}];
    const gate = new Promise<void>((resolve) => (open = resolve));
    const loader = async (key: string): Promise<string> => {
      runs += 1;
      await gate;
      return key;
    };
    const load = (connection: TrivetConnection): Promise<(string | null)[]> => {
      const cache = connection.cache<string>("default");
      return Promise.all(keys.map((key) => cache.getOrLoad(key, loader, { timeoutMs: 30_000 })));
    };
    const all = [load(first), load(second)];
    await until(() => runs >= 1_000, "each key has a loader");
    await second.cache("default").invalidateTag("beside", { timeoutMs: 5_000 });
    open();
    expect(await Promise.all(all)).toEqual([keys, keys]);
    expect(runs).toBe(1_000);
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

  test("values of an origin are loaded for programs, and again where they ask for it, as over HTTP", async () => {
    const settings = { origin: "redis", compressOver: 100 } as const;
    expect(await administer((done) => host.cache.defineNamespace("pages", settings, "create", { timeoutMs: 10_000 }, done))).toBe(
      "defined",
    );
    const cache = (await program()).cache("pages");
    const long = "long ".repeat(100);
    outside.values.set("a", JSON.stringify(long));
    expect(await cache.get("a")).toMatchObject({ found: "value", value: long });
    expect(await cache.get("nothing")).toMatchObject({ found: "negative" });
    outside.values.set("a", "2");
    expect((await cache.get("a")).value).toBe(long);
    expect((await cache.get("a", { revalidate: "behind" })).value).toBe(long);
    await until(async () => (await cache.get("a")).value === 2, "it is loaded again");
    outside.values.set("a", "3");
    expect((await cache.get("a", { revalidate: "wait" })).value).toBe(3);
    outside.values.set("a", "4");
    const read = (how: string) => server.call("GET", `/v1/cache/a?namespace=pages&revalidate=${how}`);
    expect(await read("wait")).toMatchObject({ status: 200, json: { value: 4, source: "origin" } });
    expect((await cache.get("a")).value).toBe(4);
    expect(await server.call("GET", "/v1/cache/a?revalidate=wait")).toMatchObject({ status: 400, json: { code: "bad_request" } });
    await expect((await program()).cache("default").get("a", { revalidate: "wait" })).rejects.toMatchObject({ code: "bad_request" });
    outside.isAway = true;
    expect(await read("wait")).toMatchObject({ status: 503, json: { code: "origin_unavailable", reason: "away" } });
    await expect(cache.get("a", { revalidate: "wait" })).rejects.toMatchObject({ code: "origin_unavailable", retryable: true });
    expect((await cache.get("a", { revalidate: "behind" })).value).toBe(4);
    outside.isAway = false;
  });

  test("what the origin has now, and there is no room for, is not told beside the older value that others go on to read", async () => {
    const settings = { origin: "redis", maxBytes: 4_096 } as const;
    expect(await administer((done) => host.cache.defineNamespace("narrow", settings, "create", { timeoutMs: 10_000 }, done))).toBe(
      "defined",
    );
    const cache = (await program()).cache<string>("narrow");
    outside.values.set("v", JSON.stringify("short"));
    expect((await cache.get("v")).value).toBe("short");
    outside.values.set("v", JSON.stringify("long ".repeat(2_000)));
    expect(await server.call("GET", "/v1/cache/v?namespace=narrow&revalidate=wait")).toMatchObject({
      status: 507,
      json: { code: "cache_full" },
    });
    await expect(cache.get("v", { revalidate: "wait" })).rejects.toMatchObject({ code: expect.stringMatching(/full/) });
    expect((await cache.get("v")).value).toBe("short");
    // What nobody has stored has no older value.
    outside.values.set("w", JSON.stringify("long ".repeat(2_000)));
    expect(await server.call("GET", "/v1/cache/w?namespace=narrow&revalidate=wait")).toMatchObject({ status: 200 });
  });

  test("increments and conditions of a key that only the origin has begin with what it has", async () => {
    const settings = { origin: "redis", write: "behind" } as const;
    expect(await administer((done) => host.cache.defineNamespace("rows", settings, "create", { timeoutMs: 10_000 }, done))).toBe("defined");
    const cache = (await program()).cache<number>("rows");
    outside.values.set("n", "41");
    expect(await cache.increment("n")).toBe(42);
    await until(() => outside.values.get("n") === "42", "the origin has it");
    outside.values.set("c", "5");
    const { swapped, version } = await cache.compareAndSet("c", 0, 6);
    expect(swapped).toBe(false);
    expect((await cache.get("c")).value).toBe(5);
    expect(await cache.compareAndSet("c", version, 6)).toMatchObject({ swapped: true });
    await until(() => outside.values.get("c") === "6", "the origin has it");
    outside.isAway = true;
    await expect(cache.increment("away")).rejects.toMatchObject({ code: "origin_unavailable", retryable: true });
    outside.isAway = false;
    expect(await cache.increment("away", 2)).toBe(2);
  });

  test("a program hears of new settings of its namespace, and reads what it and others have compressed", async () => {
    expect(await compressing(0, "create")).toBe("defined");
    const cache = (await program()).cache<string>("settings");
    const long = "long ".repeat(100);
    await cache.set("k", long);
    expect(await compressing(100, "update")).toBe("defined");
    await until(async () => {
      await cache.set("k", long);
      const told = new Promise<number>((resolve) =>
        host.cache.namespace("settings", 1_000, (found) => resolve(found.type === "namespace" ? found.namespace.namespace : 0)),
      );
      const namespace = await told;
      const group = cacheShardOf(namespace, "k", host.shards?.count ?? 1);
      const replica = host.shards?.replica(group as never);
      const request = { type: "cache-read", group, keys: [[namespace, "k"]], now: 0 } as const;
      return new Promise<boolean>((resolve) =>
        replica?.machine.ask(request, (reply) => resolve(reply.type === "cache-values" && reply.values[0]?.record.packing === "brotli")),
      );
    }, "the program compresses");
    expect((await cache.get("k", { strict: true })).value).toBe(long);
    expect(await server.call("GET", "/v1/cache/k?namespace=settings")).toMatchObject({ status: 200, json: { value: long } });
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

  test("a program that keeps no copies reads its node's, and what it and others have written", async () => {
    const bare = (await program()).cache<number>("default", { maxEntries: 0 });
    const other = (await program()).cache<number>("default");
    for (let value = 0; value < 100; value += 2) {
      await other.set("bare", value);
      expect((await bare.get("bare")).value).toBe(value);
      await bare.set("bare", value + 1);
      expect([(await bare.get("bare")).value, (await other.get("bare")).value]).toEqual([value + 1, value + 1]);
    }
    const before = host.cache.statistics().hits;
    await until(async () => (await bare.get("bare"), host.cache.statistics().hits > before), "the node has a copy");
    expect(bare.statistics()).toMatchObject({ entries: 0, hits: 0 });
    expect(bare.peek("bare")).toBeUndefined();
    expect((await bare.get("nothing")).found).toBe("absent");
    expect((await bare.get("bare", { strict: true })).value).toBe(99);
  });

  test("a claim that is given back before its home has answered holds up nobody; a number that is in use ends the stream", async () => {
    const held = (await program()).cache<number>("default");
    const finish: (() => void)[] = [];
    const loader = (): Promise<number> => new Promise((_, reject) => finish.push(() => reject(new Error("away"))));
    const begun = held.getOrLoad("early", loader);
    await until(() => finish.length === 1, "a loader runs");
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`, { perMessageDeflate: false });
    const frames: ServerFrame[] = [];
    socket.on("message", (data: Buffer) => frames.push(decodeServerFrame(new Uint8Array(data))));
    await until(() => socket.readyState === WebSocket.OPEN);
    const send = (frame: ClientFrame): void => socket.send(encodeClientFrame(frame));
    const claim = { type: "load-cached", request: 1, name: "default", key: "early", how: "claim", timeoutMs: 30_000 } as const;
    send({ type: "hello", protocol: streamProtocol, caller: "c", label: "", session: 0 });
    send(claim);
    send({ ...claim, how: "release" });
    // Answered after both were taken.
    send({ ...claim, request: 2, key: "other" });
    await until(() => frames.some((frame) => frame.type === "cache-loaded" && frame.request === 2), "the other is answered");
    finish[0]?.();
    await expect(begun).rejects.toThrow("away");
    expect(await held.getOrLoad("early", () => 5, { timeoutMs: 5_000 })).toBe(5);
    send({ ...claim, request: 2, key: "third" });
    await until(() => frames.some(({ type }) => type === "closing"), "the end");
    expect(frames.at(-1)).toMatchObject({ type: "closing", code: "protocol" });
    socket.terminate();
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
