import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Samples, which hold no secret (packages/server/test/config/sample-files.test.ts). */
const samples = new Set([".env.example", ".env.node1", ".env.node2", ".env.node3", "env.example"]);

/** With what is in it: tests of certificates have the first line alone. */
const wholeKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}/;

const git = (...args: readonly string[]) => spawnSync("git", [...args], { cwd: root, encoding: "utf8" });
const isCheckout = git("rev-parse", "--is-inside-work-tree").status === 0;

it.skipIf(!isCheckout)("no private key and no env file that is somebody's own is tracked", () => {
  const files = git("ls-files", "-z")
    .stdout.split("\0")
    .filter((path) => path !== "");
  expect(files.length).toBeGreaterThan(100);
  for (const path of files) {
    const name = path.split("/").at(-1) ?? "";
    if (name.startsWith(".env")) expect([...samples]).toContain(path);
    expect(path).not.toMatch(/(?:^|\/)certs\/|\.(?:key|pem|p12|pfx|crt)$/);
    expect(readFileSync(join(root, path), "latin1"), path).not.toMatch(wholeKey);
  }
});

it.skipIf(!isCheckout)("what a user makes in the clone is not tracked by accident", () => {
  const made = [
    ".env",
    ".env.production",
    "certs/ca.key",
    "certs/node1.key",
    "access.json",
    "access/access.json",
    "access/scrape.token",
    "data/node1/x",
    "logs/node1.log",
  ];
  for (const path of made) expect(git("check-ignore", "-q", path).status, path).toBe(0);
});
