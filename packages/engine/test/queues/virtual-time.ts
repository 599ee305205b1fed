import type { MemoryClock, TestApi } from "@trivet/engine";
import type { expect as vitestExpect, test as vitestTest } from "vitest";

/** Drives virtual time while the body of a test waits for callbacks. */
export function underVirtualTime(test: typeof vitestTest, expect: typeof vitestExpect, clock: () => MemoryClock): TestApi {
  return {
    test: (name, body) =>
      test(name, async () => {
        const state = { settled: false };
        const running = body().finally(() => {
          state.settled = true;
        });
        while (!state.settled) {
          // Let the body act on what the last step brought, then take the next step.
          for (let i = 0; i < 40; i++) await Promise.resolve();
          clock().step();
        }
        await running;
      }),
    equal: (actual, expected) => expect(actual).toEqual(expected),
    ok: (condition, what) => expect(condition, what).toBe(true),
  };
}
