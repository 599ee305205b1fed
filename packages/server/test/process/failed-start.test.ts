import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { loadConfig, startNode } from "../../src/index.ts";
import { given } from "../config/given.ts";

const exporting = vi.hoisted(() => ({ begun: 0, ended: 0 }));
// The exporter's packages are whoever's who installs them; what is looked at here is what becomes of an exporter.
vi.mock("../../src/observability/trace-export.ts", async (original) => ({
  ...(await original<object>()),
  startExport: async () => {
    exporting.begun += 1;
    return async () => void (exporting.ended += 1);
  },
}));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-failed-start-"));
  Object.assign(exporting, { begun: 0, ended: 0 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function start(env: Record<string, string>): Promise<unknown> {
  const all = { NODE_ID: "node1", HTTP_PORT: "0", DATA_DIR: join(folder, "data"), LOG_DIR: join(folder, "logs"), TRACING: "otlp", ...env };
  return startNode(loadConfig(given({ env: all })).config, { write: () => {} });
}

test("a start that fails once all is built ends the exporter of spans", async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as AddressInfo;
  try {
    await expect(start({ HTTP_PORT: String(port) })).rejects.toThrow("is in use");
    expect(exporting).toEqual({ begun: 1, ended: 1 });
  } finally {
    await new Promise((resolve) => holder.close(resolve));
  }
});

test("and so does one that fails while it is built", async () => {
  await expect(
    start({ REDIS_URL: "rediss://127.0.0.1:1", QUEUE_BACKEND: "redis", REDIS_TLS_CA_FILE: join(folder, "absent.crt") }),
  ).rejects.toThrow("cannot be read");
  expect(exporting).toEqual({ begun: 1, ended: 1 });
});
