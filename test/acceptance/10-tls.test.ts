/** Point 10: S2's flow over HTTPS with certificates made by one command; a wrong authority and a wrong MAC key are refused. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hasEngine } from "../support/containers.ts";
import { repository, run } from "../support/processes.ts";
import { testsOf } from "./targets.ts";

testsOf("seven nodes as S2 lays them out, HTTPS without -k; a wrong authority, a wrong name, a CN-only certificate", "test/tls.test.ts");
testsOf("a wrong SHARED_MAC_KEY, and other settings that do not fit", "test/mismatch.test.ts");
testsOf("how the key is changed", "test/key-rotation.test.ts");

describe.skipIf(!hasEngine)("containers", { timeout: 900_000 }, () => {
  it("S2's services over HTTPS by Compose, in the script of their own", async () => {
    const { code, output } = await run("bash", [join(repository, "test", "acceptance", "s2-https-containers.sh")], { cwd: repository });
    expect(code, output).toBe(0);
  });
});
