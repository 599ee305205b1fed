import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@trivet/client";
import { context, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { expect, test } from "vitest";
import { loadConfig, startNode, type RunningNode } from "../../src/index.ts";
import { given } from "../config/given.ts";
import { until } from "../http/harness.ts";
import { rememberSpans, type Ended } from "../observability/spans.ts";

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

/** As a program has it that embeds nodes, over real sockets, files and threads. */
test("three nodes and a program: what it asks of one node is one trace to the logs and homes at the others", async () => {
  const spans = rememberSpans();
  const folder = mkdtempSync(join(tmpdir(), "trivet-traced-"));
  const ports = [await freePort(), await freePort(), await freePort()];
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const nodes: RunningNode[] = [];
  try {
    for (const [at, port] of ports.entries()) {
      const node = `node${at + 1}`;
      const env = {
        NODE_ID: node,
        HTTP_PORT: String(port),
        PEERS: urls.map((url, of) => `node${of + 1}=${url}`).join(","),
        DATA_DIR: join(folder, node),
        LOG_DIR: join(folder, "logs"),
      };
      const { config } = loadConfig(given({ env: { ...env, TRACING: "on", SHARDS: "4" } }));
      nodes.push(await startNode(config, { write: () => undefined }));
    }
    await using trivet = await connect(urls, { routing: "any", connectTimeoutMs: 30_000, commandTimeoutMs: 30_000 });
    const queue = trivet.queue<number>("orders");
    await queue.ensure({ partitions: 8 });
    const items = trivet.cache<number>("default");
    const entry = `node${1 + urls.indexOf(trivet.node ?? "")}`;
    const below = ({ spanId }: Ended, name: string): readonly Ended[] =>
      spans.ended.filter((span) => span.parent === spanId && span.name === name);
    const isElsewhere = ({ attributes }: Ended): boolean => attributes["trivet.node"] !== entry;

    /** Work at another node that is below a frame of this name, which is itself of the program's request. */
    const wentOn = (request: { readonly traceId: string }, frame: string, ...path: readonly string[]): boolean => {
      let found: readonly Ended[] = spans.ended.filter(({ name, traceId }) => name === frame && traceId === request.traceId);
      for (const name of path) found = found.flatMap((span) => below(span, name));
      return found.some(isElsewhere);
    };
    // Nodes have to have asked each other, and led by others have to be some of the shards: both come with time.
    await until(
      async () => {
        const request = trace.getTracer("program").startSpan("request");
        await context.with(trace.setSpan(ROOT_CONTEXT, request), async () => {
          await queue.produceMany(Array.from({ length: 32 }, (_, n) => ({ body: n, key: `k${n}` })));
          await Promise.all(Array.from({ length: 16 }, (_, n) => items.set(`k${n}`, n)));
        });
        request.end();
        const of = request.spanContext();
        return wentOn(of, "stream produce", "log.commit") && wentOn(of, "stream cache", "home.write", "log.commit");
      },
      "spans at other nodes",
      45_000,
    );
    expect(JSON.stringify(spans.ended)).not.toContain('"k1"');
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    rmSync(folder, { recursive: true, force: true });
    spans.remove();
  }
});
