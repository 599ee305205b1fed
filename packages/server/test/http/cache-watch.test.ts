import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, until, type Server } from "./harness.ts";
import { MemoryCache } from "./memory-cache.ts";
import { follow } from "./sse.ts";

let host: NodeHost;
let server: Server;
let port: number;
const cache = new MemoryCache();
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api, { cache });
  port = await server.http.listen();
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
const put = (path: string, value: unknown) => server.call("PUT", path, { value });
const watching = (): number => cache.store.watchers.size;

describe("GET /v1/cache-watch", () => {
  test("changes of keys with the prefix, in their order, each with the position to go on from", async () => {
    const watch = await follow(port, "/v1/cache-watch?prefix=w%3A");
    expect(watch.type).toBe("text/event-stream");
    await until(() => watching() === 1);
    await put("/v1/cache/w:1", 1);
    await put("/v1/cache/other", 1);
    await server.call("DELETE", "/v1/cache/w:1");
    await server.call("POST", "/v1/cache-invalidate", { tag: "t" });
    await until(() => watch.events.length === 3, "three events");
    expect(watch.events).toMatchObject([
      { event: "put", id: "p1", data: { namespace: "default", key: "w:1", tag: null, version: "1" } },
      { event: "delete", id: "p3", data: { key: "w:1" } },
      { event: "invalidate", data: { key: null, tag: "t" } },
    ]);
    watch.close();
    await until(() => watching() === 0, "the cache to be told that nobody watches");
  });
  test.each([
    ["the query", "/v1/cache-watch?from=p2", {}],
    ["Last-Event-ID, as browsers send it when they connect again", "/v1/cache-watch", { "last-event-id": "p2" }],
  ])("goes on from a position in %s", async (_where, path, headers) => {
    const watch = await follow(port, path, headers);
    await until(() => watch.events.length >= 2);
    expect(watch.events[0]).toMatchObject({ event: "delete", id: "p3" });
    watch.close();
    await until(() => watching() === 0);
  });
  test("a position that is no longer known is 410, an unknown namespace 404", async () => {
    cache.store.oldest = 2;
    expect(await server.call("GET", "/v1/cache-watch?from=p1")).toMatchObject({ status: 410, json: { code: "position_gone" } });
    expect(await server.call("GET", "/v1/cache-watch?namespace=none")).toMatchObject({ status: 404, json: { code: "namespace_unknown" } });
  });
  test("what ends it later is told in an event `closed` with the code", async () => {
    const watch = await follow(port, "/v1/cache-watch");
    await until(() => watching() === 1);
    for (const watcher of cache.store.watchers) watcher.ended({ type: "position-gone" });
    await watch.ended;
    expect(watch.events.at(-1)).toMatchObject({ event: "closed", data: { code: "position_gone", reason: expect.any(String) } });
  });
  test("a stop of the node ends it", async () => {
    const own = await serve(host.api, { cache: new MemoryCache() });
    const watch = await follow(await own.http.listen(), "/v1/cache-watch");
    await own.http.close(1_000);
    await watch.ended;
    expect(watch.events.at(-1)).toMatchObject({ event: "closed", data: { reason: "the node is stopping" } });
  });
});
