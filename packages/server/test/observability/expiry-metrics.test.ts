import { afterAll, beforeAll, expect, test } from "vitest";
import type { NodeHost } from "@trivet/engine";
import { serve, startTestNode, until, type Server } from "../http/harness.ts";
import { parsePrometheus } from "./prometheus.ts";

let host: NodeHost;
let server: Server;
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api);
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

/** Weak origins called an expiry a detected deadlock (W-33). */
test("a lease that runs out is counted as that, never as a deadlock; nobody who waits for it is told of a deadlock", async () => {
  const sample = async (name: string): Promise<number> => parsePrometheus(await server.metrics.text()).get(name)?.samples[0]?.value ?? 0;
  await server.call("POST", "/v1/locks/e1/acquire", { owner: "a", ttl_ms: 100 });
  const waited = await server.call("POST", "/v1/locks/e1/acquire", { owner: "b", wait_ms: 10_000 });
  expect(waited).toMatchObject({ status: 200, json: { granted: true, owner: "b" } });
  await until(async () => (await sample("lock_expired_total")) === 1);
  expect(await sample("lock_deadlocks_total")).toBe(0);
  const { json } = await server.call("GET", "/v1/lock-graph");
  expect(json).toMatchObject({ edges: [], cycles: [], last_resolutions: [] });
});
