import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Histogram } from "../../src/driver/histogram.ts";
import { percentileOf } from "../../src/driver/statistics.ts";

const latencies = fc.array(fc.double({ min: 0, max: 100_000, noNaN: true }), { minLength: 1, maxLength: 300 });
const fractions = fc.constantFrom(0.01, 0.5, 0.9, 0.99, 0.999, 1);

describe("a histogram", () => {
  it("gives percentiles at most one per cent away from the exact ones", () => {
    fc.assert(
      fc.property(latencies, fractions, (values, fraction) => {
        const histogram = new Histogram();
        for (const value of values) histogram.record(value);
        const exact = percentileOf(values, fraction) ?? Number.NaN;
        const told = histogram.percentile(fraction) ?? Number.NaN;
        expect(told).toBeGreaterThanOrEqual(exact * 0.99 - 0.0001);
        expect(told).toBeLessThanOrEqual(exact * 1.01 + 0.0001);
      }),
    );
  });

  it("merges to what one histogram of all values would have been", () => {
    fc.assert(
      fc.property(latencies, latencies, fractions, (first, second, fraction) => {
        const [a, b, all] = [new Histogram(), new Histogram(), new Histogram()];
        for (const value of first) a.record(value);
        for (const value of second) b.record(value);
        for (const value of [...first, ...second]) all.record(value);
        const merged = Histogram.from(JSON.parse(JSON.stringify(a.toData())) as ReturnType<Histogram["toData"]>);
        merged.merge(b.toData());
        expect(merged.percentile(fraction)).toBe(all.percentile(fraction));
        expect(merged.count).toBe(all.count);
        expect(merged.summary().max_ms).toBe(all.summary().max_ms);
      }),
    );
  });

  it("counts values beyond its range as its largest, and keeps the true maximum", () => {
    const histogram = new Histogram();
    histogram.record(1e9);
    expect(histogram.summary()).toMatchObject({ count: 1, max_ms: 1e9 });
    expect(histogram.percentile(0.5)).toBeGreaterThan(200_000);
  });

  it("says nothing when it is empty", () => {
    expect(new Histogram().summary()).toEqual({ count: 0, mean_ms: null, p50_ms: null, p99_ms: null, p999_ms: null, max_ms: null });
  });

  it("refuses what cannot be a latency and data that is not its own", () => {
    expect(() => new Histogram().record(-1)).toThrow(RangeError);
    expect(() => new Histogram().record(Number.NaN)).toThrow(RangeError);
    expect(() => Histogram.from({ counts: [[1e6, 1]], max_ms: 1, sum_ms: 1 })).toThrow(RangeError);
  });
});
