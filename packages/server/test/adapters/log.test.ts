import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { groupId, logIndex, term } from "@trivet/core";
import { NullTelemetry, openWal } from "@trivet/engine";
import type { WalOpened } from "@trivet/engine";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeClock } from "../../src/adapters/clock.ts";
import { NodeCrypto } from "../../src/adapters/crypto.ts";
import { NodeFiles } from "../../src/adapters/files.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "trivet-log-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function open(): Promise<WalOpened> {
  const ports = { files: new NodeFiles(root), clock: new NodeClock(), crypto: new NodeCrypto(), telemetry: new NullTelemetry() };
  return new Promise((resolve, reject) => {
    openWal(ports, { directory: "wal", segmentBytes: 100_000 }, reject, (error, opened) =>
      opened === null ? reject(error ?? new Error("no log")) : resolve(opened),
    );
  });
}

const group = groupId(0);

test("a log on real files comes back after close", async () => {
  const first = await open();
  for (let i = 1; i <= 500; i++) {
    const entry = { index: logIndex(i), term: term(1), kind: "command", payload: new Uint8Array(i * 3).fill(i) } as const;
    const durable = new Promise<void>((resolve) =>
      first.wal.write({ group, hardState: null, truncateFrom: logIndex(0), append: [entry], commit: logIndex(i) }, resolve),
    );
    if (i % 50 === 0) await durable;
  }
  await new Promise<void>((resolve) => first.wal.close(resolve));
  expect(first.wal.stats().segments).toBeGreaterThan(2);
  const second = await open();
  expect(second.findings).toEqual([]);
  const entries = second.groups.get(group)?.entries ?? [];
  expect(entries.length).toBe(500);
  expect(entries.every(({ index, payload }) => payload.length === index * 3 && payload.every((byte) => byte === (index & 0xff)))).toBe(
    true,
  );
  await new Promise<void>((resolve) => second.wal.close(resolve));
});

test("everything a killed process reported durable is there", async () => {
  let reported = 0;
  for (let round = 1; round <= 3; round++) {
    const child = fork(fileURLToPath(new URL("log-writer.ts", import.meta.url)), [root], {
      execArgv: ["--conditions=source", "--import", "tsx"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const exit = new Promise<void>((resolve) => void child.once("exit", () => resolve()));
    const goal = reported + 200 * round;
    child.on("message", (index) => {
      reported = Math.max(reported, Number(index));
      if (reported >= goal) child.kill("SIGKILL");
    });
    await exit;
    expect(reported).toBeGreaterThanOrEqual(goal);
    const opened = await open();
    for (const finding of opened.findings) expect(finding).toMatchObject({ type: "torn-tail", partialRecord: true });
    const entries = opened.groups.get(group)?.entries ?? [];
    expect(entries.length).toBeGreaterThanOrEqual(reported);
    expect(entries.every(({ index }, i) => index === i + 1)).toBe(true);
    reported = entries.length;
    await new Promise<void>((resolve) => opened.wal.close(resolve));
  }
});
