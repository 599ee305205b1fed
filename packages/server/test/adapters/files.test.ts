import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { FileHandle, IoError } from "@trivet/engine";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NodeFiles } from "../../src/adapters/files.ts";

let root = "";
let files: NodeFiles;
const children: ChildProcess[] = [];
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "trivet-files-"));
  files = new NodeFiles(root);
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  files.unlock();
  rmSync(root, { recursive: true });
});

const lock = (store: NodeFiles): Promise<IoError | null> => new Promise((resolve) => store.lock("lock", resolve));

/** Another process that holds the lock of `root`, or was refused it. */
function lockHolder(): Promise<{ child: ChildProcess; answer: string }> {
  const script = fileURLToPath(new URL("lock-holder.ts", import.meta.url));
  const child = fork(script, [root], {
    execArgv: ["--conditions=source", "--import", "tsx"],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.once("message", (answer: unknown) => resolve({ child, answer: answer as string }));
    child.once("exit", (code) => reject(new Error(`the lock holder ended with ${code}`)));
  });
}

const ended = (child: ChildProcess): Promise<void> => new Promise((resolve) => void child.once("exit", () => resolve()));

describe("the lock of a data directory", () => {
  test("is refused while another process lives, and free when that was killed", async () => {
    const { child, answer } = await lockHolder();
    expect(answer).toBe("locked");
    const refused = await lock(files);
    expect(refused?.code).toBe("locked");
    expect(refused?.message).toContain(root);
    expect(refused?.message).toContain(`(pid ${child.pid} on `);
    expect(refused?.message).toContain("two nodes cannot share a data directory");
    const death = ended(child);
    child.kill("SIGKILL");
    await death;
    expect(await lock(files)).toBeNull();
    expect((JSON.parse(readFileSync(path.join(root, "lock"), "utf8")) as { pid: number }).pid).toBe(process.pid);
    expect((await lockHolder()).answer).toContain("in use by another process");
  });

  test("a lock file left behind means nothing", async () => {
    writeFileSync(path.join(root, "lock"), '{"pid":1}\n');
    expect(await lock(files)).toBeNull();
  });

  test("is given back, and belongs to one directory", async () => {
    expect(await lock(files)).toBeNull();
    files.unlock();
    expect(await lock(files)).toBeNull();
    mkdirSync(path.join(root, "other"));
    const other = new NodeFiles(path.join(root, "other"));
    expect(await lock(other)).toBeNull();
    other.unlock();
  });

  test("one directory under two names is one directory", async () => {
    expect(await lock(files)).toBeNull();
    const again = new NodeFiles(path.join(root, "..", path.basename(root)));
    expect((await lock(again))?.code).toBe("locked");
  });
});

const open = (name: string): Promise<FileHandle | IoError> =>
  new Promise((resolve) => files.open(name, "read", (error, handle) => resolve(handle ?? (error as IoError))));

describe("errors of the system", () => {
  test("carry a code, the operation, the whole path and the cause", async () => {
    const error = await open("none");
    expect(error).toMatchObject({ code: "not-found", operation: "open", path: path.join(root, "none"), cause: { code: "ENOENT" } });
    expect((error as IoError).message).toContain("ENOENT");
  });

  test("a directory is made with its parents when it is the root", async () => {
    const deep = new NodeFiles(path.join(root, "a", "b"));
    const made = (): Promise<IoError | null> => new Promise((resolve) => deep.makeDirectory("", resolve));
    expect(await made()).toBeNull();
    expect((await made())?.code).toBe("exists");
  });

  test("a file that lost its name is still written", async () => {
    const handle = await new Promise<FileHandle | undefined>((resolve) => files.open("a", "create", (_, opened) => resolve(opened)));
    await new Promise((resolve) => files.remove("a", resolve));
    expect(await new Promise<IoError | null>((resolve) => handle?.writeDurable(0, [Uint8Array.of(1, 2)], resolve))).toBeNull();
    expect(await new Promise<number | undefined>((resolve) => handle?.size((_, size) => resolve(size)))).toBe(2);
    await new Promise((resolve) => handle?.close(resolve));
  });

  test("a full device says so", async () => {
    const full = new NodeFiles("/dev");
    const handle = await new Promise<FileHandle | undefined>((resolve) => full.open("full", "write", (_, opened) => resolve(opened)));
    const error = await new Promise<IoError | null>((resolve) => handle?.write(0, [new Uint8Array(10)], resolve));
    expect(error).toMatchObject({ code: "no-space", operation: "write" });
    const durable = await new Promise<IoError | null>((resolve) => handle?.writeDurable(0, [new Uint8Array(10)], resolve));
    expect(durable?.code).toBe("no-space");
    await new Promise((resolve) => handle?.close(resolve));
  });
});
