import { describe, expect, it } from "vitest";
import { ArrivalSchedule, tickMsFor } from "../../src/driver/schedule.ts";

function takeAll(schedule: ArrivalSchedule, nowMs: number): number[] {
  const due: number[] = [];
  for (let next = schedule.take(nowMs); next !== null; next = schedule.take(nowMs)) due.push(next);
  return due;
}

describe("the schedule of an open loop", () => {
  it("hands out every request once, at its own time, and none early", () => {
    const schedule = new ArrivalSchedule(1000, 100, 50);
    expect(takeAll(schedule, 999)).toEqual([]);
    expect(takeAll(schedule, 1000)).toEqual([1000]);
    expect(takeAll(schedule, 1019.9)).toEqual([1010]);
    expect(takeAll(schedule, 5000)).toEqual([1020, 1030, 1040]);
    expect(schedule.finished).toBe(true);
    expect(schedule.total).toBe(5);
  });

  it("keeps the due times of a stall, so the wait of each request is counted (no coordinated omission)", () => {
    const schedule = new ArrivalSchedule(0, 1000, 1000);
    takeAll(schedule, 100);
    const afterStall = takeAll(schedule, 600);
    expect(afterStall).toHaveLength(500);
    expect(600 - (afterStall[0] ?? 0)).toBe(499);
    expect(600 - (afterStall.at(-1) ?? 0)).toBe(0);
  });

  it("offers at least one request and refuses a rate or a time of nothing", () => {
    expect(new ArrivalSchedule(0, 0.5, 10).total).toBe(1);
    expect(() => new ArrivalSchedule(0, 0, 10)).toThrow(RangeError);
    expect(() => new ArrivalSchedule(0, 10, 0)).toThrow(RangeError);
  });

  it("wakes at every arrival, in bunches once they come closer than a fifth of a millisecond", () => {
    expect(tickMsFor(100)).toBe(10);
    expect(tickMsFor(1_000_000)).toBe(0.2);
  });
});
