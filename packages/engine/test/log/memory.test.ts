import { Prng } from "@trivet/core";
import { MemoryClock, MemoryFiles, MemoryRandom } from "@trivet/engine";
import type { FileHandle, IoErrorCode, MemoryFilesOptions } from "@trivet/engine";
import { describe, expect, test } from "vitest";

describe("MemoryClock", () => {
  test("callbacks of one instant run in the order they were asked for, deferred ones first", () => {
    const clock = new MemoryClock(0);
    const order: string[] = [];
    for (const [delay, name] of [
      [5, "c"],
      [1, "a"],
      [5, "d"],
      [1, "b"],
    ] as const)
      clock.schedule(delay, () => order.push(`${name}@${clock.now()}`));
    clock.defer(() => order.push(`first@${clock.now()}`));
    clock.runUntil(4);
    expect(order).toEqual(["first@0", "a@1", "b@1"]);
    expect(clock.now()).toBe(4);
    clock.advance(1);
    expect(order.slice(3)).toEqual(["c@5", "d@5"]);
    expect(clock.nextAt()).toBeNull();
    expect(clock.step()).toBe(false);
  });

  test("keeps the order of thousands of timers", () => {
    const prng = new Prng(1);
    const clock = new MemoryClock(0);
    const due: number[] = [];
    const ran: number[] = [];
    for (let i = 0; i < 5000; i++) {
      const at = prng.below(1000);
      const timer = clock.schedule(at, () => ran.push(at));
      if (prng.chance(0.3)) timer.cancel();
      else due.push(at);
    }
    clock.runUntilIdle();
    expect(ran).toEqual(due.sort((a, b) => a - b));
  });

  test("stops a loop that never ends", () => {
    const clock = new MemoryClock();
    const again = (): void => clock.defer(again);
    again();
    expect(() => clock.runUntilIdle(() => false, 1000)).toThrow("still busy");
  });

  test("a view drifts, pauses and dies", () => {
    const clock = new MemoryClock(0);
    const fast = clock.view({ rate: 2, offsetMs: 100, wallOffsetMs: -1000 });
    const order: string[] = [];
    fast.schedule(100, () => order.push(`timer@${clock.now()}`));
    clock.runUntil(60);
    expect(order).toEqual(["timer@50"]);
    expect(fast.now()).toBe(220);
    expect(fast.wallNow()).toBe(clock.wallNow() - 1000);
    fast.jumpWallClock(500);
    expect(fast.wallNow()).toBe(clock.wallNow() - 500);

    fast.pause();
    fast.schedule(10, () => order.push("while paused"));
    const cancelled = fast.schedule(12, () => order.push("cancelled"));
    fast.defer(() => order.push("deferred"));
    clock.runUntil(100);
    cancelled.cancel();
    expect(order).toEqual(["timer@50"]);
    fast.resume();
    expect(order).toEqual(["timer@50"]);
    clock.runUntil(100);
    expect(order).toEqual(["timer@50", "deferred", "while paused"]);

    fast.schedule(1, () => order.push("never"));
    fast.kill();
    fast.resume();
    clock.advance(100);
    expect(fast.alive).toBe(false);
    expect(order.length).toBe(3);
  });
});

class Disk {
  readonly clock = new MemoryClock();
  readonly files: MemoryFiles;

  constructor(options: MemoryFilesOptions = {}) {
    this.files = new MemoryFiles(this.clock, options);
  }

  open(path: string, mode: "read" | "write" | "create" = "create"): FileHandle {
    let opened: FileHandle | undefined;
    this.files.open(path, mode, (_, handle) => {
      opened = handle;
    });
    this.clock.runUntilIdle();
    if (opened === undefined) throw new Error(`${path} did not open`);
    return opened;
  }

  /** The error code of one call, null = done. */
  code(run: (done: (error: { readonly code: IoErrorCode } | null) => void) => void): IoErrorCode | null | "no answer" {
    let outcome: IoErrorCode | null | "no answer" = "no answer";
    run((error) => {
      outcome = error === null ? null : error.code;
    });
    this.clock.runUntilIdle();
    return outcome;
  }
}

const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);

describe("MemoryFiles after a power loss", () => {
  test("keeps what was synced, and of the rest any sectors, each old or new as a whole", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 300; seed++) {
      const disk = new Disk();
      const handle = disk.open("a");
      disk.code((done) => handle.writeDurable(0, [filled(1000, 1)], done));
      disk.code((done) => disk.files.syncDirectory("", done));
      disk.code((done) => handle.write(500, [filled(1600, 2)], done));
      disk.files.crash(new Prng(seed));
      const bytes = disk.files.contents("a") ?? new Uint8Array(0);
      expect(bytes.length).toBeGreaterThanOrEqual(1000);
      expect(bytes.subarray(0, 500)).toEqual(filled(500, 1));
      const sectors: string[] = [];
      for (const [from, to] of [
        [500, 512],
        [512, 1000],
        [1000, 1024],
        [1024, 1536],
        [1536, 2048],
        [2048, 2100],
      ] as const) {
        const part = [...bytes.subarray(from, to)];
        expect(new Set(part).size).toBeLessThanOrEqual(1);
        sectors.push(`${part[0] ?? "-"}`);
      }
      // The two parts of one sector share its fate.
      if (sectors[1] === "2") expect(sectors[2]).toBe("2");
      seen.add(sectors.join(""));
    }
    expect(seen.has("222222")).toBe(true);
    expect(seen.has("11----")).toBe(true);
    // Later sectors without earlier ones; a size that came before its data.
    expect([...seen].some((state) => /0.*2/.test(state))).toBe(true);
    expect([...seen].some((state) => state.endsWith("0"))).toBe(true);
    expect(seen.size).toBeGreaterThan(15);
  });

  test("all or nothing on request", () => {
    for (const unsynced of ["all", "none"] as const) {
      const disk = new Disk();
      const handle = disk.open("a");
      disk.code((done) => handle.write(0, [filled(5000, 3)], done));
      disk.files.crash(new Prng(1), { unsynced });
      expect(disk.files.contents("a")?.length).toBe(unsynced === "all" ? 5000 : undefined);
    }
  });

  test("forgets names that were not synced, a rename as a whole", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      const disk = new Disk();
      const old = disk.open("name");
      disk.code((done) => old.writeDurable(0, [filled(1, 1)], done));
      disk.code((done) => disk.files.syncDirectory("", done));
      const fresh = disk.open("name.new");
      disk.code((done) => fresh.writeDurable(0, [filled(1, 2)], done));
      disk.code((done) => disk.files.rename("name.new", "name", done));
      disk.files.crash(new Prng(seed));
      seen.add(
        disk.files
          .paths()
          .map((path) => `${path}=${disk.files.contents(path)?.join() ?? ""}`)
          .join(" "),
      );
    }
    expect([...seen].sort()).toEqual(["name=1", "name=1 name.new=2", "name=2"]);
  });

  test("answers nothing that was asked before, and takes nothing from old handles", () => {
    const disk = new Disk({ latencyMs: () => 5 });
    const handle = disk.open("a");
    disk.code((done) => disk.files.syncDirectory("", done));
    let answered = false;
    handle.writeDurable(0, [filled(10, 1)], () => {
      answered = true;
    });
    disk.files.crash(new Prng(1), { unsynced: "none" });
    handle.write(0, [filled(10, 2)], () => {
      answered = true;
    });
    disk.clock.runUntilIdle();
    expect(answered).toBe(false);
    expect(disk.files.contents("a")?.length).toBe(0);
  });

  test("the lock is free again", () => {
    const disk = new Disk();
    expect(disk.code((done) => disk.files.lock("lock", done))).toBeNull();
    expect(disk.code((done) => disk.files.lock("lock", done))).toBe("locked");
    disk.files.endProcess();
    expect(disk.code((done) => disk.files.lock("lock", done))).toBeNull();
  });
});

describe("MemoryFiles with faults", () => {
  test("a failed sync loses its pages for good, though they can be read", () => {
    const disk = new Disk();
    const handle = disk.open("a");
    disk.code((done) => disk.files.syncDirectory("", done));
    disk.code((done) => handle.write(0, [filled(10, 1)], done));
    disk.files.options = { fault: ({ type }) => (type === "sync" ? { type: "error", code: "io" } : null) };
    expect(disk.code((done) => handle.sync(done))).toBe("io");
    disk.files.options = {};
    expect(disk.code((done) => handle.sync(done))).toBeNull();
    expect(disk.files.contents("a")?.length).toBe(10);
    disk.files.crash(new Prng(1), { unsynced: "all" });
    expect(disk.files.contents("a")?.length).toBe(0);
  });

  test("a lying sync, a stall, a delay, a full disk", () => {
    const disk = new Disk();
    const handle = disk.open("a");
    disk.code((done) => disk.files.syncDirectory("", done));
    disk.files.options = { fault: ({ type }) => (type === "write-durable" ? { type: "lie" } : null) };
    expect(disk.code((done) => handle.writeDurable(0, [filled(10, 1)], done))).toBeNull();
    disk.files.crash(new Prng(1), { unsynced: "none" });
    expect(disk.files.contents("a")?.length).toBe(0);

    const again = disk.open("a", "write");
    disk.files.options = { fault: () => ({ type: "stall" }) };
    expect(disk.code((done) => again.sync(done))).toBe("no answer");
    disk.files.options = { fault: () => ({ type: "delay", ms: 30 }) };
    const before = disk.clock.now();
    expect(disk.code((done) => again.sync(done))).toBeNull();
    expect(disk.clock.now() - before).toBe(30);
    disk.files.options = { quotaBytes: 100 };
    expect(disk.code((done) => again.write(0, [filled(150, 1)], done))).toBe("no-space");
    expect(disk.files.usedBytes()).toBe(100);
    expect(disk.code((done) => again.write(0, [filled(100, 2)], done))).toBeNull();
  });

  test("flipped bits and tampered files are what is read, before and after a crash", () => {
    const disk = new Disk();
    const handle = disk.open("a");
    disk.code((done) => handle.writeDurable(0, [filled(4, 0)], done));
    disk.code((done) => disk.files.syncDirectory("", done));
    disk.files.flipBit("a", 2, 3);
    expect([...(disk.files.contents("a") ?? [])]).toEqual([0, 0, 8, 0]);
    disk.files.crash(new Prng(1));
    expect([...(disk.files.contents("a") ?? [])]).toEqual([0, 0, 8, 0]);
    const copy = disk.files.copy();
    disk.files.tamper("a", () => null);
    disk.files.crash(new Prng(1), { unsynced: "all" });
    expect(disk.files.paths()).toEqual([]);
    expect(copy.paths()).toEqual(["a"]);
    copy.erase();
    expect(copy.paths()).toEqual([]);
  });
});

test("MemoryRandom repeats itself for a seed", () => {
  const [a, b, c] = [new MemoryRandom(1), new MemoryRandom(1), new MemoryRandom(2)];
  expect(a.hex(16)).toBe(b.hex(16));
  expect(a.nextUint32()).toBe(b.nextUint32());
  expect(a.hex(8)).not.toBe(c.hex(8));
  expect(a.hex(5)).toMatch(/^[0-9a-f]{10}$/);
});
