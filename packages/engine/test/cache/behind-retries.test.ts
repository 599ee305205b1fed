import { describe, expect, test } from "vitest";
import { BehindRetries } from "../../src/cache/behind-retries.ts";
import { behindFirstRetryMs } from "../../src/cache/limits.ts";

/** Until when `namespace` rests, found by asking each moment. */
function restsFor(retries: BehindRetries, namespace: number, from: number): number {
  let until = from;
  while (retries.restingAt(until).includes(namespace)) until++;
  return until - from;
}

describe("a namespace of which no write was taken", () => {
  test("rests once for all writes of one try, and twice as long after the next", () => {
    const retries = new BehindRetries();
    for (let write = 0; write < 3; write++) retries.rest(1, 1_000, true);
    expect(restsFor(retries, 1, 1_000)).toBe(behindFirstRetryMs);
    const next = 1_000 + behindFirstRetryMs;
    for (let write = 0; write < 3; write++) retries.rest(1, next, true);
    expect(restsFor(retries, 1, next)).toBe(2 * behindFirstRetryMs);
  });

  test("rests no longer than at first where trying again costs nothing", () => {
    const retries = new BehindRetries();
    retries.rest(1, 1_000, false);
    retries.rest(1, 1_000 + behindFirstRetryMs, false);
    expect(restsFor(retries, 1, 1_000 + behindFirstRetryMs)).toBe(behindFirstRetryMs);
  });

  test("begins anew after an answer", () => {
    const retries = new BehindRetries();
    retries.rest(1, 1_000, true);
    const next = 1_000 + behindFirstRetryMs;
    retries.answered(1, next);
    retries.rest(1, next, true);
    expect(restsFor(retries, 1, next)).toBe(behindFirstRetryMs);
  });
});
