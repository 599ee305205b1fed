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

const trivet = (words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> => {
  const named = words[0] === "audit" ? words : [...words, "--file", file];
  return runCli(named, () => ({ body: { leader: "node1" } }), { env });
};
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

describe("trivet audit", () => {
  test("needs the key, and says which line is wrong", async () => {
    const { AuditLog } = await import("../../server/src/security/audit-log.ts");
    const log = join(folder, "audit.log");
    const ordinary: string[] = [];
    const audit = new AuditLog({ path: log, key: "0123456789abcdef", maxBytes: 1_000_000 }, "node1", {
      log: (_level, _event, text) => void ordinary.push(text),
      count: () => undefined,
      wallNow: () => Date.now(),
    });
    await audit.append("admin", { call: "POST /v1/raft/snapshot" });
    await audit.close();
    const key = { AUDIT_KEY: "0123456789abcdef" };
    expect(cliError(await trivet(["audit", "verify", log])).message).toBe("AUDIT_KEY is not set.");
    const ran = await trivet(["audit", "verify", log], key);
    expect(ran.stdout).toMatch(/2 records, none changed\. The last is 2:[0-9a-f]{64}/);
    expect(await good("audit", "tail", log)).toMatch(/POST \/v1\/raft\/snapshot/);
    const head = /2:[0-9a-f]{64}/.exec(ran.stdout)?.[0] ?? "";
    writeFileSync(log, `${readFileSync(log, "utf8").split("\n")[0]}\n`);
    expect((await trivet(["audit", "verify", log], key)).error).toBeNull();
    expect(cliError(await trivet(["audit", "verify", log, "--anchor", head], key))).toMatchObject({ exitCode: 13 });
    const node = join(folder, "node1.log");
    writeFileSync(node, ordinary.map((text) => `2026-01-01 INFO ${text}\n`).join(""));
    expect(cliError(await trivet(["audit", "verify", log, "--anchors-of", node], key)).message).toMatch(
      /record 2, of which there is an anchor/,
    );
    writeFileSync(log, readFileSync(log, "utf8").replace("node1", "node2"));
    expect(cliError(await trivet(["audit", "verify", log], key)).message).toMatch(/audit\.log, line 1: its code does not follow/);
  });

  test("takes what was put aside with it, and says where files begin that are given alone", async () => {
    const { AuditLog } = await import("../../server/src/security/audit-log.ts");
    const key = { AUDIT_KEY: "0123456789abcdef" };
    const log = join(folder, "audit.log");
    const tools = { log: () => undefined, count: () => undefined, wallNow: () => Date.now() };
    const audit = new AuditLog({ path: log, key: key.AUDIT_KEY, maxBytes: 300 }, "node1", tools);
    for (let n = 0; n < 6; n += 1) await audit.append("admin", { call: "POST /v1/raft/snapshot" });
    await audit.close();
    const all = JSON.parse((await trivet(["audit", "verify", log, "--json"], key)).stdout) as { files: string[]; begins_at: number };
    expect(all.files.length).toBeGreaterThan(1);
    expect(all.begins_at).toBe(1);
    rmSync(all.files[0] ?? "");
    expect((await trivet(["audit", "verify", log], key)).stdout).toMatch(/They begin with record [2-9]/);
  });
});
