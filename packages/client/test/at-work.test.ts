import { expect, test } from "vitest";
import { AtWork } from "../src/queues/at-work.ts";

const message = (partition: number): { readonly partition: number } => ({ partition });

test("a bound is told again only when it no longer holds", () => {
  const work = new AtWork<ReturnType<typeof message>>();
  expect(work.begun).toEqual({ messages: 0, partitions: [] });
  const [a, b, c] = [message(3), message(3), message(1)];
  expect(work.begins(a)).toBe(true);
  expect(work.begun).toEqual({ messages: 1, partitions: [3] });
  work.ends(a);
  expect(work.begins(b)).toBe(false);
  expect(work.begins(c)).toBe(true);
  expect(work.begun).toEqual({ messages: 2, partitions: [1, 3] });
  work.ends(b);
  // Still within what was told.
  expect(work.begins(message(3))).toBe(false);
  work.ends(c);
  // Another partition: what is over elsewhere is not said again.
  expect(work.begins(message(0))).toBe(true);
  expect(work.begun).toEqual({ messages: 2, partitions: [0, 3] });
  work.lost();
  expect(work.begun).toEqual({ messages: 0, partitions: [] });
  expect(work.begins(message(0))).toBe(true);
});
