import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-doctor-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const settings = (): NodeJS.ProcessEnv => ({
  NODE_ID: "node1",
  HTTP_PORT: "0",
  DATA_DIR: join(folder, "data"),
  LOG_DIR: "off",
  PEERS: "node1=http://127.0.0.1:8001,node2=http://127.0.0.1:8002",
});

describe("trivet doctor", () => {
  it("shows the token of TRIVET_TOKEN_FILE to the nodes it asks", async () => {
    const file = join(folder, "token");
    writeFileSync(file, "tvt_a_b\n");
    const shown: (string | null)[] = [];
    await runCli(["doctor"], () => ({ body: { node_id: "node2" } }), {
      env: { ...settings(), TRIVET_TOKEN_FILE: file },
      headers: (headers) => shown.push(headers.get("authorization")),
    });
    expect(shown).toEqual(["Bearer tvt_a_b"]);
  });

  it("says so where that file is not there", async () => {
    const env = { ...settings(), TRIVET_TOKEN_FILE: join(folder, "none") };
    expect(cliError(await runCli(["doctor"], () => ({}), { env }))).toMatchObject({ code: "configuration" });
  });

  it("asks with the node's own certificates, or with those that are named", async () => {
    const env = { ...settings(), CERT_PATH: join(folder, "certs") };
    // They are not there: that they are looked for is what shows the way.
    expect((await runCli(["doctor"], () => ({}), { env })).stdout).toContain(`open '${join(folder, "certs", "ca.crt")}'`);
    expect((await runCli(["--ca", "mine.crt", "doctor"], () => ({}), { env })).stdout).toMatch(/open '.*mine\.crt'/);
  });
});
