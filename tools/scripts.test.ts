import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const scripts = join(dirname(fileURLToPath(import.meta.url)), "..", "scripts");
// The scripts are plain JavaScript, because they run before anything is installed.
const load = async (file: string): Promise<unknown> => import(pathToFileURL(join(scripts, file)).href);
const { whyInstall } = (await load("first-step.mjs")) as { readonly whyInstall: (folder: string) => string | null };
const { withLock } = (await load("lib/lock.mjs")) as {
  readonly withLock: <T>(directory: string, what: string, work: () => Promise<T>) => Promise<T>;
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-scripts-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const lockfile = (version: string): string =>
  JSON.stringify({
    packages: { "": {}, "node_modules/a": { version, integrity: "x" }, "node_modules/b": { version: "1.0.0", optional: true } },
  });

const install = (version: string): void => {
  mkdirSync(join(folder, "node_modules", "a"), { recursive: true });
  writeFileSync(join(folder, "node_modules", ".package-lock.json"), lockfile(version));
};

describe("the first step", () => {
  it("installs on a fresh clone", () => {
    writeFileSync(join(folder, "package-lock.json"), lockfile("1.0.0"));
    expect(whyInstall(folder)).toBe("node_modules is missing");
  });

  it("does nothing when node_modules is what the lockfile says", () => {
    writeFileSync(join(folder, "package-lock.json"), lockfile("1.0.0"));
    install("1.0.0");
    expect(whyInstall(folder)).toBeNull();
  });

  it("installs when the lockfile moved on, when a package is gone, and when an installation was broken off", () => {
    writeFileSync(join(folder, "package-lock.json"), lockfile("1.1.0"));
    install("1.0.0");
    expect(whyInstall(folder)).toBe("package-lock.json changed (a)");
    install("1.1.0");
    rmSync(join(folder, "node_modules", "a"), { recursive: true });
    expect(whyInstall(folder)).toBe("node_modules/a is missing");
    rmSync(join(folder, "node_modules", ".package-lock.json"));
    expect(whyInstall(folder)).toBe("node_modules was not installed completely");
  });
});

describe("the lock between processes of a checkout", () => {
  it("lets one in at a time", async () => {
    const directory = join(folder, "lock");
    const inside: number[] = [];
    let count = 0;
    const work = async (): Promise<void> => {
      count += 1;
      inside.push(count);
      await new Promise((resolve) => setImmediate(resolve));
      count -= 1;
    };
    await Promise.all([withLock(directory, "works", work), withLock(directory, "works", work), withLock(directory, "works", work)]);
    expect(inside).toEqual([1, 1, 1]);
  });

  it("is taken over from a holder that died", async () => {
    const directory = join(folder, "lock");
    const dead = spawnSync(process.execPath, ["-e", ""]);
    mkdirSync(directory);
    writeFileSync(join(directory, "pid"), String(dead.pid));
    expect(await withLock(directory, "works", async () => "done")).toBe("done");
  });

  it("is given back when the work fails", async () => {
    const directory = join(folder, "lock");
    await expect(withLock(directory, "works", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await withLock(directory, "works", async () => "done")).toBe("done");
  });
});
