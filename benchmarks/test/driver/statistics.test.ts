import { describe, expect, it } from "vitest";
import { median, percentileOf, ratio, rotated } from "../../src/driver/statistics.ts";

describe("statistics over rounds", () => {
  it("takes the middle, or the mean of the two in the middle, and ignores rounds without a value", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([null, 7, null])).toBe(7);
    expect(median([null])).toBeNull();
    expect(median([Number.NaN, 1])).toBe(1);
  });

  it("takes the nearest rank of single events: p99 of 100 is the second largest", () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentileOf(values, 0.99)).toBe(99);
    expect(percentileOf(values, 1)).toBe(100);
    expect(percentileOf(values, 0.5)).toBe(50);
    expect(percentileOf([5], 0.99)).toBe(5);
    expect(percentileOf([], 0.5)).toBeNull();
  });

  it("has no ratio where a figure is missing", () => {
    expect(ratio(6, 3)).toBe(2);
    expect(ratio(null, 3)).toBeNull();
    expect(ratio(6, undefined)).toBeNull();
    expect(ratio(6, 0)).toBeNull();
  });

  it("begins every round with another subject and never loses one", () => {
    const subjects = ["a", "b", "c"];
    expect([0, 1, 2, 3].map((round) => rotated(subjects, round)[0])).toEqual(["a", "b", "c", "a"]);
    expect(rotated(subjects, 2)).toEqual(["c", "a", "b"]);
    expect(rotated([], 1)).toEqual([]);
  });
});
