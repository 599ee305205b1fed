import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cliError, runCli, type Ran } from "./support.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-cli-access-"));
  file = join(folder, "access.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const trivet = (words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  runCli([...words, "--file", file], () => ({ body: { leader: "node1" } }), { env });
const good = async (...words: readonly string[]): Promise<string> => {
  const ran = await trivet(words);
  expect(ran.error, ran.stderr).toBeNull();
  return ran.stdout;
};

describe("trivet key and trivet role", () => {
  test("a key is shown once; the file holds its hash and is the owner's alone", async () => {
    const key = (await good("key", "create", "billing", "--role", "writer", "--days", "30")).trim();
    expect(key).toMatch(/^tvt_[a-z2-7]{10}_[A-Za-z0-9_-]{43}$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const text = readFileSync(file, "utf8");
    expect(text).not.toContain(key.slice(-43));
    const listed = JSON.parse(await good("key", "list", "--json")) as { keys: { id: string; name: string; role: string }[] };
    expect(listed.keys).toMatchObject([{ name: "billing", role: "writer" }]);
    const id = listed.keys[0]?.id ?? "";
    expect(cliError(await trivet(["key", "revoke", id])).exitCode).toBe(64);
    await good("key", "revoke", id, "--yes");
    expect(await good("key", "list")).toMatch(new RegExp(`${id} .*\\d{4}-\\d\\d-\\d\\d.*\\d{4}-\\d\\d-\\d\\d.*\\d{4}-\\d\\d-\\d\\d`));
    expect(cliError(await trivet(["key", "revoke", "nobody", "--yes"])).message).toMatch(/no key nobody/);
  });

  test("roles of one's own, by verbs, kind and prefix; a role that a key has cannot be removed", async () => {
    await good("role", "set", "orders", "--allow", "read,write:locks:orders/", "--allow", "read:queues");
    expect(await good("role", "list")).toMatch(/orders +read,write:locks:orders\/; read:queues/);
    await good("key", "create", "a", "--role", "orders");
    expect(cliError(await trivet(["role", "remove", "orders"])).why).toMatch(/has the role orders, which does not exist/);
    expect(await good("role", "list")).toMatch(/orders/);
    expect(cliError(await trivet(["role", "set", "bad", "--allow", "own:locks"])).why).toMatch(/verbs are any of read, write, admin/);
    expect(cliError(await trivet(["role", "set", "bad"])).message).toMatch(/without a rule/);
    expect(cliError(await trivet(["key", "create", "b", "--role", "nobody"])).message).toMatch(/no role nobody/);
  });

  test("owner and mode of the file stay, and a link stays a link", async () => {
    const real = join(folder, "real.json");
    symlinkSync(real, file);
    writeFileSync(real, '{"version":1,"keys":[]}');
    chmodSync(real, 0o640);
    // Only root may give a file away; what others may not do is refused below.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) chownSync(real, 1_234, 1_235);
    await good("key", "create", "a", "--role", "reader");
    const listed = JSON.parse(await good("key", "list", "--json")) as { keys: { id: string }[] };
    await good("key", "revoke", listed.keys[0]?.id ?? "", "--yes");
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(statSync(real).mode & 0o777).toBe(0o640);
    if (isRoot) expect([statSync(real).uid, statSync(real).gid]).toEqual([1_234, 1_235]);
    expect(readFileSync(real, "utf8")).toMatch(/"revoked": "2/);
    expect(readdirSync(folder).sort()).toEqual(["access.json", "real.json"]);
  });

  test.runIf(process.getuid?.() === 0)("a file that could not be given back to its owner is left as it was", async () => {
    await good("key", "create", "a", "--role", "reader");
    const before = readFileSync(file, "utf8");
    chownSync(file, 1_234, 1_234);
    chmodSync(file, 0o644);
    chmodSync(folder, 0o777);
    const { openStore } = await import("../src/access/store.ts");
    const store = await openStore(file);
    process.seteuid?.(4_321);
    try {
      expect(() => store.save(store.file)).toThrow(/cannot be given to the user it is for/);
    } finally {
      process.seteuid?.(0);
    }
    expect(readFileSync(file, "utf8")).toBe(before);
    expect(readdirSync(folder)).toEqual(["access.json"]);
  });

  test("a file that a node would refuse is not touched", async () => {
    writeFileSync(file, "{");
    expect(cliError(await trivet(["key", "create", "a", "--role", "admin"])).why).toMatch(/not valid JSON/);
    expect(readFileSync(file, "utf8")).toBe("{");
  });

  test("TRIVET_TOKEN goes with every call, and never into the output", async () => {
    const seen: string[] = [];
    const ran = await runCli(["leader", "transfer"], () => ({ body: { leader: "node2" } }), {
      env: { TRIVET_TOKEN: "tvt_secret" },
      headers: (headers) => void seen.push(headers.get("authorization") ?? ""),
    });
    expect(seen).toEqual(["Bearer tvt_secret"]);
    expect(ran.stdout + ran.stderr).not.toContain("tvt_secret");
  });
});

describe("TRIVET_TOKEN_FILE", () => {
  test("is read for each call, and goes before TRIVET_TOKEN; one that cannot be read is told, and nothing is sent", async () => {
    const path = join(folder, "token");
    const seen: string[] = [];
    const run = (): ReturnType<typeof runCli> =>
      runCli(["leader", "transfer"], () => ({ body: { leader: "node2" } }), {
        env: { TRIVET_TOKEN_FILE: path, TRIVET_TOKEN: "other" },
        headers: (headers) => void seen.push(headers.get("authorization") ?? ""),
      });
    const failed = cliError(await run());
    expect(failed).toMatchObject({ exitCode: 78, why: expect.stringMatching(/^TRIVET_TOKEN_FILE: .*ENOENT/) });
    writeFileSync(path, "first\n");
    await run();
    writeFileSync(path, "second\n");
    await run();
    expect(seen).toEqual(["Bearer first", "Bearer second"]);
  });
});
