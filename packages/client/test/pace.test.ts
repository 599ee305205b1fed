import { expect, test } from "vitest";
import { Pace } from "../src/cache/pace.ts";

test("each name passes once in a second, and so many of them", () => {
  const pace = new Pace();
  expect([pace.lets("a", 0), pace.lets("a", 999), pace.lets("b", 999), pace.lets("a", 1_000)]).toEqual([true, false, true, true]);
  let passed = 0;
  for (let name = 0; name < 2_000; name++) if (pace.lets(`n${name}`, 1_500)) passed++;
  expect(passed).toBe(1_023);
  expect([pace.lets("late", 1_900), pace.lets("late", 2_500)]).toEqual([false, true]);
});
