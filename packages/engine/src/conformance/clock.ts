import type { Clock } from "../ports/clock.ts";
import type { TestApi } from "./api.ts";

/** What every Clock must do. */
export function clockConformance(api: TestApi, make: () => Clock): void {
  const { test, equal, ok } = api;

  test("a timer runs once, later, and not before its time", async () => {
    const clock = make();
    const started = clock.now();
    let runs = 0;
    const elapsed = await new Promise<number>((resolve) => {
      clock.schedule(20, () => {
        runs++;
        resolve(clock.now() - started);
      });
      equal(runs, 0);
    });
    ok(elapsed >= 20, `20 ms have passed: ${elapsed}`);
    await new Promise<void>((resolve) => void clock.schedule(30, resolve));
    equal(runs, 1);
  });

  test("timers of one delay run in the order they were set, and none after cancel", async () => {
    const clock = make();
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      clock.schedule(10, () => order.push("a"));
      const cancelled = clock.schedule(10, () => order.push("cancelled"));
      clock.schedule(10, () => order.push("b"));
      clock.schedule(0, () => order.push("first"));
      clock.schedule(40, resolve);
      cancelled.cancel();
      cancelled.cancel();
    });
    equal(order, ["first", "a", "b"]);
  });

  test("deferred calls run in order after the current turn, and what they defer runs after them", async () => {
    const clock = make();
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      clock.defer(() => {
        order.push("a");
        clock.defer(() => {
          order.push("c");
          resolve();
        });
      });
      clock.defer(() => order.push("b"));
      order.push("turn");
    });
    equal(order, ["turn", "a", "b", "c"]);
  });

  test("monotonic time does not go back, and wall time is after 2020", async () => {
    const clock = make();
    let last = clock.now();
    for (let i = 0; i < 100; i++) {
      await new Promise<void>((resolve) => clock.defer(resolve));
      ok(clock.now() >= last, "not back");
      last = clock.now();
    }
    ok(clock.wallNow() > 1_577_836_800_000, "wall clock in Unix milliseconds");
  });

  test("a very long timer can be set and cancelled", async () => {
    const clock = make();
    let ran = false;
    const timer = clock.schedule(2 ** 40, () => {
      ran = true;
    });
    await new Promise<void>((resolve) => void clock.schedule(5, resolve));
    timer.cancel();
    equal(ran, false);
  });
}
