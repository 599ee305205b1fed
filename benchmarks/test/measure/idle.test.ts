import { describe, expect, it } from "vitest";
import { atRest, isWithin } from "../../src/idle.ts";

const usage = (cpu_s: number | null, rss_bytes: number | null) => ({ cpu_s, rss_bytes, rss_anon_bytes: 1_048_576, written_bytes: 0 });

const node = (cpu: number | null, rss: number | null) => atRest("follower", usage(0, 0), usage(cpu, rss), 100);

describe("a node at rest", () => {
  it("is told by the processor time between two looks, and the memory at the second", () => {
    expect(atRest("leader", usage(10, 0), usage(10.6, 140 * 1_048_576), 60)).toEqual({
      role: "leader",
      cpuPercent: 1,
      rssMib: 140,
      anonymousMib: 1,
    });
  });

  it("counts by itself, in processor time and in memory; what is not known is not within", () => {
    const small = 100 * 1_048_576;
    expect(isWithin([node(2, small), node(1.4, small), node(1.9, small)])).toBe(true);
    expect(isWithin([node(1.2, small), node(2.1, small), node(1.3, small)])).toBe(false);
    expect(isWithin([node(0.1, 141 * 1_048_576)])).toBe(false);
    expect(isWithin([node(null, small)])).toBe(false);
    expect(isWithin([node(0.1, null)])).toBe(false);
  });
});
