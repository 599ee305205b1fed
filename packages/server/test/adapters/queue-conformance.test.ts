import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultHostConfig, MemoryTelemetry, NodeHost, queuesConformance, type TestApi } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BrotliPacking, NodeClock, NodeCrypto, NodeFiles, NodeRandom, NodeTransport, ThreadApplyWorker } from "../../src/adapters/index.ts";
import { until } from "../http/harness.ts";

const shards = 4;
const clock = new NodeClock();

/** A node as it is put together for users, but for HTTP: files, sockets, and shards in LMDB behind a thread. */
class RealNode {
  readonly name: string;
  readonly server: Server = createServer();
  readonly transport = new NodeTransport();
  private readonly files: NodeFiles;
  private readonly folder: string;
  private started: NodeHost | null = null;

  constructor(name: string, folder: string) {
    this.name = name;
    this.folder = join(folder, name);
    this.files = new NodeFiles(this.folder);
    this.server.on("upgrade", (request, socket, head) => {
      if (!this.transport.handleUpgrade(request, socket, head)) socket.destroy();
    });
  }

  get host(): NodeHost {
    if (this.started === null) throw new Error(`${this.name} was not started`);
    return this.started;
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async start(url: string, peers: readonly string[], fatal: (error: Error) => void): Promise<void> {
    const ports = {
      clock,
      crypto: new NodeCrypto(),
      files: this.files,
      packing: new BrotliPacking(),
      random: new NodeRandom(),
      telemetry: new MemoryTelemetry(),
      transport: this.transport,
      applyWorker: new ThreadApplyWorker(join(this.folder, "shards"), fatal),
    };
    const host = new NodeHost(ports, { ...defaultHostConfig, node: this.name, url, peers, shards }, fatal);
    this.started = host;
    await new Promise<void>((resolve, reject) => host.start((error) => (error === null ? resolve() : reject(error))));
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => (this.started === null ? resolve() : this.started.api.stop(resolve)));
    this.transport.close();
    this.files.unlock();
    this.server.close();
  }

  leads(): number {
    const groups = Array.from({ length: shards }, (_, at) => at + 1);
    return groups.filter((group) => this.host.shards?.replica(group as never)?.group.isLeader === true).length;
  }
}

describe("queues in the shards of three nodes, each with LMDB behind its apply worker's thread", () => {
  const failures: Error[] = [];
  let folder: string;
  let nodes: readonly RealNode[] = [];
  /** It leads no more shards than any other: most calls are forwarded. */
  let asked: NodeHost;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "trivet-queues-"));
    nodes = ["node1", "node2", "node3"].map((name) => new RealNode(name, folder));
    const urls = await Promise.all(nodes.map((node) => node.listen()));
    await Promise.all(nodes.map((node, at) => node.start(urls[at] ?? "", urls, (error) => void failures.push(error))));
    await until(() => nodes.reduce((led, node) => led + node.leads(), 0) === shards, "every shard led", 60_000);
    asked = nodes.toSorted((a, b) => a.leads() - b.leads())[0]?.host as NodeHost;
  }, 120_000);
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    rmSync(folder, { recursive: true, force: true });
    expect(failures).toEqual([]);
  }, 60_000);

  const api: TestApi = {
    test: (name, body) => test(name, body),
    equal: (actual, expected) => expect(actual).toEqual(expected),
    ok: (condition, what) => expect(condition, what).toBe(true),
  };
  queuesConformance(api, { ifFence: true }, async () => ({
    queues: asked.queues,
    sleep: (ms) => new Promise((resolve) => void clock.schedule(ms, resolve)),
    wallNow: () => asked.groupTime.now(),
  }));
});
