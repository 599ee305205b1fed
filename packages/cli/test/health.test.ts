import { describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

const well = { body: { status: "ok", node_id: "node1", leader: "node2", term: 4 } };

describe("trivet health", () => {
  it.each([
    ["HTTP_PORT", { HTTP_PORT: "8001" }, 8001],
    ["PORT (S0)", { PORT: "8002" }, 8002],
    ["INTERNAL_PORT (S2)", { INTERNAL_PORT: "8003" }, 8003],
    ["a name, but no port", { NODE_ID: "node1" }, 8000],
  ])("asks the node of the environment: %s", async (_name, env, port) => {
    const ran = await runCli(["health"], () => well, { env });
    expect(ran.error).toBeNull();
    expect(ran.calls).toEqual([`GET http://127.0.0.1:${port}/health`]);
    expect(ran.stdout).toContain("node1 is well.");
  });

  it("finds the cluster that trivet status finds where nothing is configured", async () => {
    const up = await runCli(["health"], (_method, url) => (url.includes(":8002") ? well : { fails: "ECONNREFUSED" }), {
      env: { PORT: "" },
    });
    expect(up.error).toBeNull();
    expect(up.calls).toEqual(["GET http://127.0.0.1:8001/health", "GET http://127.0.0.1:8002/health"]);
    const unwell = cliError(await runCli(["health"], () => ({ status: 503, body: { status: "no_leader" } })));
    expect(unwell.message).toContain("http://127.0.0.1:8001 is not well");
    const down = cliError(await runCli(["health"], () => ({ fails: "ECONNREFUSED" })));
    expect(down.why.split("\n")).toHaveLength(4);
    expect(down).toMatchObject({ exitCode: 69, code: "not_healthy" });
  });

  it.each([
    ["CERT_PATH (S4)", { CERT_PATH: "certs" }],
    ["CERT_FILE and KEY_FILE (S2)", { CERT_FILE: "c.crt", KEY_FILE: "c.key" }],
    ["TLS_MODE", { TLS_MODE: "mutual", CERT_PATH: "certs" }],
    ["another name of TLS_MODE", { ENABLE_ENCRYPTION: "true", CERT_PATH: "certs" }],
  ])("asks over HTTPS where the node has certificates, which it needs for that: %s", async (_name, env) => {
    const error = cliError(await runCli(["health"], () => well, { env: { ...env, NODE_ID: "node1" } }));
    // The files are not there: that they are asked for is what shows the way.
    expect(error).toMatchObject({ code: "configuration", message: expect.stringMatching(/^--ca .*ca\.crt cannot be read/) });
  });

  it("asks over HTTP where TLS is off, whatever certificates there are", async () => {
    const ran = await runCli(["health"], () => well, { env: { TLS_MODE: "off", CERT_PATH: "certs", PORT: "8001" } });
    expect(ran.calls).toEqual(["GET http://127.0.0.1:8001/health"]);
  });

  it("asks the one node that is named, and whether it lives, where that is the question", async () => {
    const ran = await runCli(["--url", "http://a:1,http://b:2", "health", "--live"], () => well, { env: { PORT: "8001" } });
    expect(ran.calls).toEqual(["GET http://a:1/v1/health/live"]);
  });

  it.each([
    ["has no leader", { status: 503, body: { status: "no_leader" } }, "no_leader"],
    ["is silent", { fails: "ECONNREFUSED" }, "connection refused"],
    ["is another program", { status: 404, body: {} }, "HTTP 404"],
  ])("fails with exit 69 when the node %s", async (_name, reply, why) => {
    const error = cliError(await runCli(["health"], () => reply));
    expect(error).toMatchObject({ exitCode: 69, code: "not_healthy" });
    expect(error.why).toContain(why);
  });
});
