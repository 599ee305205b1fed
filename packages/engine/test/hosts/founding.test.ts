import { expect, test } from "vitest";
import {
  defaultHostConfig,
  MemoryClock,
  MemoryCrypto,
  MemoryFiles,
  MemoryNetwork,
  MemoryPacking,
  MemoryRandom,
  MemoryTelemetry,
  NodeHost,
} from "@trivet/engine";
import type { Preparation } from "../../src/members/bootstrap.ts";
import { writeJsonFile } from "../../src/log/json-file.ts";

function fail(error: Error | null): void {
  if (error !== null) throw error;
}

test("G2: a founding of other members is another cluster, not the one accepted before", () => {
  const clock = new MemoryClock();
  const view = clock.view();
  const files = new MemoryFiles(view, { latencyMs: () => 0.1 });
  const crypto = new MemoryCrypto();
  // n2 has accepted n1's founding of C = {n1, n2, n3}; n1 and n3 committed it and run. n2 missed the commit.
  const founders = ["n1", "n2", "n3"].map((node) => ({ node, storage: `s-${node}`, url: `http://${node}`, roles: "" }));
  const accepted: Preparation = { cluster: "C", storage: "s-n2", shards: 8, founders };
  writeJsonFile(files, crypto, "founding.json", accepted, fail);
  clock.advance(100);
  const transport = new MemoryNetwork(clock).transport("http://n2");
  const ports = {
    clock: view,
    crypto,
    files,
    packing: new MemoryPacking(),
    random: new MemoryRandom(1),
    telemetry: new MemoryTelemetry(),
    transport,
  };
  const host = new NodeHost(ports, { ...defaultHostConfig, node: "n2", url: "http://n2", peers: [] }, fail);
  host.start(fail);
  clock.advance(3_000);
  // The disk of the accepted founding, so that file was read.
  expect(host.identity?.storage).toBe("s-n2");
  expect(host.identity?.founders.length).toBe(1);
  expect(host.identity?.cluster).not.toBe("C");
});
