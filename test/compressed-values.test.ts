import { randomBytes } from "node:crypto";
import { connect, type TrivetConnection } from "@trivet/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster } from "./support/cluster.ts";

/** One value as JSON text; it compresses to a few per cent. */
const page = (number: number): unknown => ({ number, rows: Array.from({ length: 400 }, (_, at) => ({ at, name: `row ${at}`, ok: true })) });

describe("compressed values on real nodes", () => {
  let cluster: TestCluster;
  let trivet: TrivetConnection;

  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
    trivet = await connect(cluster.nodes.map(({ url }) => url));
    const settings = { compress_over: 512, max_bytes: 20_000 };
    const made = await cluster.nodes[0]?.call("/v1/cache-namespaces/pages", { method: "PUT", body: settings });
    expect(made).toMatchObject({ body: { settings } });
  });
  afterAll(async () => {
    await trivet.close();
    await cluster.destroy();
  });

  const through = (node: number, path: string, body?: unknown, method = "PUT") => {
    const asked = cluster.nodes[node];
    if (asked === undefined) throw new Error(`no node ${node}`);
    return asked.call(`/v1/cache/${path}`, body === undefined ? {} : { method, body });
  };

  it("come back byte for byte over HTTP and to programs, whoever has written them", async () => {
    const bytes = Buffer.concat([Buffer.alloc(10_000, 7), randomBytes(50)]);
    await through(0, "json?namespace=pages", { value: page(1) });
    await through(1, "bytes?namespace=pages", { value_base64: bytes.toString("base64") });
    const cache = trivet.cache("pages");
    await cache.set("program", page(2));
    for (const node of [0, 1, 2]) {
      expect(await through(node, "json?namespace=pages")).toMatchObject({ status: 200, body: { value: page(1) } });
      expect(await through(node, "json?namespace=pages&allow_stale=1")).toMatchObject({ status: 200, body: { value: page(1) } });
      expect(await through(node, "program?namespace=pages")).toMatchObject({ body: { value: page(2) } });
      expect(await through(node, "bytes?namespace=pages&encoding=base64")).toMatchObject({
        body: { value_base64: bytes.toString("base64") },
      });
    }
    expect((await cache.get("json")).value).toEqual(page(1));
    const asItIs = { contentType: "", encode: (value: Uint8Array) => value, decode: (value: Uint8Array) => value };
    expect(Buffer.from((await trivet.cache("pages", { codec: asItIs }).get("bytes")).value ?? [])).toEqual(bytes);
  });

  it("count as what is stored, and numbers are counted with as ever", async () => {
    // Each has more bytes than the namespace may have in a shard.
    for (let number = 0; number < 10; number++) {
      expect(await through(number % 3, `many${number}?namespace=pages`, { value: page(number) })).toMatchObject({ status: 200 });
    }
    const full = await through(0, "random?namespace=pages", { value_base64: randomBytes(21_000).toString("base64") });
    expect(full).toMatchObject({ status: 507, body: { code: "cache_full", limit: "bytes" } });
    await through(0, "n?namespace=pages", { value: 41 });
    expect(await through(1, "n/increment?namespace=pages", {}, "POST")).toMatchObject({ body: { value: 42 } });
    expect(await trivet.cache("pages").increment("n", 8)).toBe(50);
  });
});
