import { MemoryClock } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { Ticks } from "../../src/node/ticks.ts";
import { guard } from "./guard.ts";

const never = Number.POSITIVE_INFINITY;

class Bench {
  readonly clock = new MemoryClock(1_003);
  readonly at: number[] = [];
  dueAt = never;
  readonly ticks: Ticks;

  constructor(ticked: (bench: Bench) => void = () => undefined, beatOffsetMs = 0) {
    this.ticks = new Ticks(
      this.clock,
      { fineMs: 10, beatMs: 50, beatOffsetMs },
      {
        tick: (now) => {
          this.at.push(now);
          if (this.dueAt <= now) this.dueAt = never;
          ticked(this);
        },
        dueAt: () => this.dueAt,
      },
    );
    this.ticks.start();
  }

  /** Times of the ticks up to `time`. */
  upTo(time: number): readonly number[] {
    this.clock.runUntil(time);
    return this.at;
  }
}

describe("ticks", () => {
  test("with nothing to do they come at the beats alone, at the same times for whoever beats as fast", () => {
    expect(new Bench().upTo(1_210)).toEqual([1_050, 1_100, 1_150, 1_200]);
    expect(new Bench(undefined, 13).upTo(1_210)).toEqual([1_037, 1_087, 1_137, 1_187]);
    expect(new Bench(undefined, -13).upTo(1_210)).toEqual([1_013, 1_063, 1_113, 1_163]);
  });

  test("what is due comes at its time, but no faster than the fine pace, and the beats stay where they are", () => {
    const bench = new Bench(({ at }) => {
      if (at.length < 3) bench.dueAt = 0;
      else if (at.length === 4) bench.dueAt = 1_117;
    });
    expect(bench.upTo(1_160)).toEqual([1_050, 1_060, 1_070, 1_100, 1_117, 1_150]);
  });

  guard("host-rest-unhastened", "what comes up while they rest is not left to the next beat", () => {
    const bench = new Bench();
    bench.upTo(1_061);
    bench.dueAt = 1_072;
    bench.ticks.hasten();
    expect(bench.upTo(1_110)).toEqual([1_050, 1_072, 1_100]);
  });

  test("what is due later than the next tick puts nothing off", () => {
    const bench = new Bench();
    bench.dueAt = 1_400;
    bench.ticks.hasten();
    expect(bench.upTo(1_110)).toEqual([1_050, 1_100]);
  });

  test("a tick that takes longer than a beat is followed by another, and not by all that were missed", () => {
    const bench = new Bench(({ at, clock }) => {
      if (at.length === 1) clock.advance(130);
    });
    expect(bench.upTo(1_260)).toEqual([1_050, 1_200, 1_250]);
  });

  test("none comes after the end, not even after the one that brings it", () => {
    const bench = new Bench(({ ticks }) => ticks.stop());
    bench.ticks.start();
    expect(bench.upTo(2_000)).toEqual([1_050]);
    bench.ticks.hasten();
    bench.ticks.start();
    expect(bench.upTo(3_000)).toEqual([1_050]);
  });

  test("time that never comes to a beat exactly goes on all the same", () => {
    const base = new MemoryClock(1_000);
    // Of a clock that runs a third slower, hardly any beat is a number that can be told.
    const clock = base.view({ rate: 2 / 3, offsetMs: 0.1 });
    let ticked = 0;
    new Ticks(clock, { fineMs: 10, beatMs: 50, beatOffsetMs: 0 }, { tick: () => void ticked++, dueAt: () => never }).start();
    base.advance(75_000);
    expect(ticked).toBeGreaterThanOrEqual(999);
    expect(ticked).toBeLessThanOrEqual(1_100);
  });
});
