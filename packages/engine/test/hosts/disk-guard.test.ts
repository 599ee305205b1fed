import { type DoneWith, MemoryTelemetry } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { DiskGuard } from "../../src/groups/disk-guard.ts";
import { acquire, Cluster } from "./cluster.ts";

const kib = 1024;

/** A disk whose system is asked, and answers when the test says so. */
function rig() {
  const state = { taken: 0, now: 0 };
  const asked: DoneWith<number>[] = [];
  const telemetry = new MemoryTelemetry();
  const files = { freeBytes: (done: DoneWith<number>) => void asked.push(done) };
  // A reserve of 256 KiB.
  const guard = new DiskGuard(files as never, { now: () => state.now } as never, telemetry, 64 * kib, () => state.taken);
  const poll = (): void => guard.tick((state.now += 50));
  const answer = (free: number | null): void => {
    const done = asked.shift();
    if (done === undefined) throw new Error("nobody asked");
    if (free === null) done(new Error("no answer") as never, undefined);
    else done(null, free);
  };
  return { state, asked, telemetry, guard, poll, answer };
}

describe("the guard of the disk", () => {
  test("counts what the log has taken since the system was asked, also while it does not answer", () => {
    const { answer, asked, guard, poll, state, telemetry } = rig();
    poll();
    answer(2_048 * kib);
    expect(guard.low).toBe(false);
    poll();
    // Once into the log, once into a store.
    state.taken += 950 * kib;
    expect([guard.low, guard.critical]).toEqual([true, false]);
    expect(guard.detail).toContain("148 KiB left");
    state.taken += 70 * kib;
    expect(guard.critical).toBe(true);
    poll();
    expect(asked).toHaveLength(1);
    expect(telemetry.lines.map(({ event }) => event)).toEqual(["storage.low"]);
  });

  test("trusts a newer answer, less what was taken while it was on its way", () => {
    const { answer, guard, poll, state, telemetry } = rig();
    poll();
    state.taken += 300 * kib;
    answer(1_000 * kib);
    expect(guard.low).toBe(false);
    state.taken += 100 * kib;
    expect(guard.low).toBe(true);
    poll();
    answer(1_000 * kib);
    expect(guard.low).toBe(false);
    expect(telemetry.lines.map(({ event }) => event)).toEqual(["storage.low", "storage.room"]);
  });

  test("looks once in a second while the log takes nothing, and at once when it does, or when the disk is low", () => {
    const { answer, asked, guard, poll, state } = rig();
    poll();
    answer(1_000 * kib);
    for (let looks = 0; looks < 19; looks += 1) poll();
    expect(asked).toHaveLength(0);
    poll();
    expect(asked).toHaveLength(1);
    answer(1_000 * kib);
    state.taken += kib;
    poll();
    expect(asked).toHaveLength(1);
    answer(200 * kib);
    expect(guard.low).toBe(true);
    poll();
    expect(asked).toHaveLength(1);
    answer(1_000 * kib);
    expect(guard.low).toBe(false);
  });

  test("does not call a disk full that the system cannot say anything of", () => {
    const { answer, guard, poll, state } = rig();
    poll();
    answer(null);
    state.taken += 1e12;
    expect(guard.low).toBe(false);
    poll();
    answer(600 * kib);
    for (let round = 0; round < 10; round += 1) {
      state.taken += 100 * kib;
      poll();
      answer(null);
      expect(guard.low).toBe(false);
    }
  });
});

test("a burst between two looks at the disk is refused before it runs into the end of it", () => {
  const cluster = Cluster.of(1, { walSegmentBytes: 64 * kib });
  cluster.until("a leader", () => cluster.leader() !== null);
  const { files, host } = cluster.member("n1");
  files.options = { ...files.options, quotaBytes: files.usedBytes() + 400 * kib };
  cluster.run(500);
  expect(host.disk.low).toBe(false);
  // The system is asked, and does not answer any more.
  files.freeBytes = () => undefined;
  cluster.run(100);
  for (let turn = 0; turn < 2_000; turn += 1) {
    const owner = "o".repeat(200);
    cluster.begin("n1", acquire(`${"n".repeat(400)}-${turn}`, owner), { timeoutMs: 5_000 });
    if (turn % 20 === 0) cluster.run(1);
  }
  cluster.run(1_000);
  expect(cluster.member("n1").failure).toBeNull();
  expect(host.disk.low).toBe(true);
});
