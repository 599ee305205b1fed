import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cliError, runCli, type Ran } from "./support.ts";

let dir: string;
beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), "trivet-cert-")), "certs");
});
afterEach(() => rmSync(join(dir, ".."), { recursive: true, force: true }));

const cert = (...words: readonly string[]): Promise<Ran> => runCli(["cert", ...words, "--dir", dir], () => ({ status: 500 }));
const good = async (...words: readonly string[]): Promise<Ran> => {
  const ran = await cert(...words);
  expect(ran.error, ran.stderr).toBeNull();
  return ran;
};
const read = (name: string): string => readFileSync(join(dir, name), "utf8");
const ownerOf = (name: string): readonly number[] => [statSync(join(dir, name)).uid, statSync(join(dir, name)).gid];
const blocks = (text: string): number => text.split("-----BEGIN CERTIFICATE-----").length - 1;

describe("trivet cert", () => {
  test("makes an authority and certificates that a node accepts, with S2's file names, keys for the owner only", async () => {
    await good("init");
    const ran = await good("issue", "node1", "queue-node-1", "--host", "my.host", "--host", "10.1.2.3");
    expect(ran.stdout).toMatch(/^NAME +VALID UNTIL +FOR/);
    for (const name of ["ca", "node1", "queue-node-1"]) {
      expect(statSync(join(dir, `${name}.key`)).mode & 0o777).toBe(0o600);
      expect(read(`${name}.key`)).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    }
    expect(read("node1.csr")).toMatch(/^-----BEGIN CERTIFICATE REQUEST-----/);
    const leaf = new X509Certificate(read("node1.crt"));
    const authority = new X509Certificate(read("ca.crt"));
    expect(leaf.verify(authority.publicKey) && leaf.checkIssued(authority)).toBe(true);
    expect(leaf.subjectAltName).toBe(
      "DNS:node1, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:my.host, IP Address:10.1.2.3",
    );
    expect((await good("verify")).stdout).toMatch(/node1[^]*queue-node-1/);
  });

  test.runIf(process.getuid?.() === 0)(
    "gives keys to the user of the nodes where it is told to, and a renewed key stays that user's",
    async () => {
      await good("init");
      await good("issue", "node1");
      await good("issue", "node1", "node2", "--owner", "1000:1001");
      expect([ownerOf("node1.key"), ownerOf("node2.key"), ownerOf("node1.crt"), ownerOf("ca.key")]).toEqual([
        [1_000, 1_001],
        [1_000, 1_001],
        [0, 0],
        [0, 0],
      ]);
      const before = read("node1.key");
      await good("issue", "node1", "--renew");
      expect(read("node1.key")).not.toBe(before);
      expect(ownerOf("node1.key")).toEqual([1_000, 1_001]);
      expect((await cert("issue", "node3", "--owner", "node")).error).not.toBeNull();
    },
  );

  test("keeps what is good, and replaces what lacks a name, whose key is gone, or what it is told to", async () => {
    await good("init");
    await good("issue", "node1");
    const [authority, first] = [read("ca.crt"), read("node1.crt")];
    await good("init");
    await good("issue", "node1");
    expect(read("ca.crt")).toBe(authority);
    expect(read("node1.crt")).toBe(first);
    await good("issue", "node1", "--host", "db");
    const second = read("node1.crt");
    expect(second).not.toBe(first);
    // It has that name already.
    await good("issue", "node1");
    expect(read("node1.crt")).toBe(second);
    rmSync(join(dir, "node1.key"));
    await good("issue", "node1");
    expect(read("node1.crt")).not.toBe(second);
    const third = read("node1.crt");
    await good("issue", "node1", "--renew");
    expect(read("node1.crt")).not.toBe(third);
  });

  test("a certificate near its end is renewed by the same command, and none outlives its authority", async () => {
    await good("init", "--days", "60");
    await good("issue", "node1", "--days", "20");
    const first = read("node1.crt");
    await good("issue", "node1");
    expect(read("node1.crt")).not.toBe(first);
    const [leaf, authority] = [new X509Certificate(read("node1.crt")), new X509Certificate(read("ca.crt"))];
    expect(Date.parse(leaf.validTo)).toBeLessThanOrEqual(Date.parse(authority.validTo));
  });

  test("replaces an authority in three steps, in each of which old and new certificates are trusted", async () => {
    await good("init");
    await good("issue", "node1", "node2");
    await good("init", "--renew");
    expect(blocks(read("ca.crt"))).toBe(2);
    await good("verify");
    await good("issue", "node1");
    await good("verify");
    await good("issue", "node2");
    expect((await good("init", "--drop-old")).stdout).toMatch(/1 older authority is no longer trusted/);
    expect(blocks(read("ca.crt"))).toBe(1);
    await good("verify", "node1", "node2");
  });

  test("a client's certificate has no host name, so that it passes for no node", async () => {
    await good("init");
    await good("issue", "billing", "--client");
    expect(new X509Certificate(read("billing.crt")).subjectAltName).toBe("URI:trivet:client:billing");
    await good("verify");
    expect(cliError(await cert("verify", "billing")).message).toMatch(/expected DNS:billing/);
  });

  test("overwrites nothing of which half is missing, and says what to do without an authority", async () => {
    expect(cliError(await cert("issue", "node1"))).toMatchObject({ exitCode: 78, next: `trivet cert init --dir ${dir}` });
    await good("init");
    rmSync(join(dir, "ca.crt"));
    expect(cliError(await cert("init")).message).toMatch(/ca\.key is there, but ca\.crt is not/);
    rmSync(join(dir, "ca.key"));
    await good("init");
    rmSync(join(dir, "ca.key"));
    expect(cliError(await cert("issue", "node1")).message).toMatch(/ca\.crt is there, but ca\.key is not/);
  });

  test.each([
    ["issue", "ca"],
    ["issue", "../node1"],
    ["issue", "node1", "--host", "http://x"],
    ["init", "--days", "0"],
  ])("refuses %s %s", async (...words) => {
    expect((await cert(...words)).error).toMatchObject({ exitCode: 1 });
  });

  test("--json", async () => {
    const made = JSON.parse((await good("init", "--json")).stdout) as object;
    expect(made).toMatchObject({ version: 1, kind: "authority", made: true });
    expect(JSON.parse((await good("issue", "node1", "--json")).stdout)).toMatchObject({
      kind: "certificates",
      certificates: [{ name: "node1", made: true }],
    });
  });
});
