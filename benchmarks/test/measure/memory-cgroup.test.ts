import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bytesOnDisk } from "../../src/measure/folder.ts";
import { memoryCgroup, oomKillsIn } from "../../src/measure/memory-cgroup.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-measure-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("a memory cgroup", () => {
  it("is refused with the reason where there is no controller", () => {
    expect(memoryCgroup("0", 2 ** 30, folder)).toContain("no memory controller is mounted");
    writeFileSync(join(folder, "cgroup.controllers"), "cpu io\n");
    expect(memoryCgroup("0", 2 ** 30, folder)).toContain("no memory controller is mounted");
  });

  it("is that of the version whose controller there is; what cannot be limited is refused and leaves nothing behind", () => {
    mkdirSync(join(folder, "memory"));
    writeFileSync(join(folder, "memory", "memory.limit_in_bytes"), "");
    // No kernel makes the files of a new group here.
    expect(memoryCgroup("0", 2 ** 30, folder)).toContain("cgroup v1 cannot be used: ENOENT");
    expect(readdirSync(join(folder, "memory"))).toEqual(["memory.limit_in_bytes"]);
    writeFileSync(join(folder, "cgroup.controllers"), "cpu memory\n");
    expect(memoryCgroup("0", 2 ** 30, folder)).toContain("cgroup v2 cannot be used: ENOENT");
  });

  it("counts what the kernel has killed inside, in the words of either version", () => {
    expect(oomKillsIn("low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 0\n")).toBe(2);
    expect(oomKillsIn("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")).toBe(1);
    expect(oomKillsIn("oom_kill_disable 0\nunder_oom 0\n")).toBe(0);
  });
});

describe("the bytes of a folder", () => {
  it("are those on the disk, of all that is below it; holes and what is gone take none", () => {
    mkdirSync(join(folder, "a", "b"), { recursive: true });
    writeFileSync(join(folder, "a", "b", "full"), Buffer.alloc(64 * 1024, 1));
    writeFileSync(join(folder, "a", "hole"), "");
    truncateSync(join(folder, "a", "hole"), 2 ** 30);
    expect(bytesOnDisk(folder)).toBeGreaterThanOrEqual(64 * 1024);
    expect(bytesOnDisk(folder)).toBeLessThan(2 ** 20);
    expect(bytesOnDisk(join(folder, "never"))).toBe(0);
  });
});
