/** Point 10: S2's flow over HTTPS with certificates made by one command; a wrong authority and a wrong MAC key are refused. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hasEngine } from "../support/containers.ts";
import { repository, run } from "../support/processes.ts";
import { everyNodeIsScraped } from "../support/prometheus.ts";
import { inContainers, testsOf } from "./targets.ts";

testsOf("seven nodes as S2 lays them out, HTTPS without -k; a wrong authority, a wrong name, a CN-only certificate", "test/tls.test.ts");
testsOf("a wrong SHARED_MAC_KEY, and other settings that do not fit", "test/mismatch.test.ts");
testsOf("how the key is changed", "test/key-rotation.test.ts");

describe.skipIf(!hasEngine)("containers", { timeout: 900_000 }, () => {
  it("S2's services over HTTPS by Compose, in the script of their own", async () => {
    const { code, output } = await run("bash", [join(repository, "test", "acceptance", "s2-https-containers.sh")], { cwd: repository });
    expect(code, output).toBe(0);
  });
});

inContainers((containers) => {
  it("S0's cluster over HTTPS: Prometheus has its three nodes over TLS, and none is down", async () => {
    const { folder, settings, down } = containers();
    settings("COMPOSE_FILE=docker-compose.yml:docker-compose.tls.yml\nCOMPOSE_PROFILES=monitoring\n");
    const made = await run("bash", [join(repository, "scripts", "gen_certs.sh"), "--compose", "--dir", join(folder, "certs")], {
      cwd: folder,
    });
    expect(made.code, made.output).toBe(0);
    try {
      await containers().run("cd docker\ndocker-compose up -d redis node1 node2 node3 prometheus");
      await everyNodeIsScraped(3);
      const { code, output } = await run("curl", ["--silent", "--cacert", "certs/ca.crt", "https://localhost:8002/health"], {
        cwd: folder,
      });
      expect(code, output).toBe(0);
      expect(JSON.parse(output)).toMatchObject({ status: "ok" });
    } finally {
      settings(null);
      await down();
    }
  });
});
