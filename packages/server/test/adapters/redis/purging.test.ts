import { expect, test } from "vitest";
import { fateOf, LinkDown } from "../../../src/adapters/redis/link.ts";
import { purge } from "../../../src/adapters/redis/purging.ts";
import { Fields, type Reply } from "../../../src/adapters/redis/replies.ts";

const command = { type: "purge-queue", queue: 1, partition: 0, dead: false } as const;
/** So many removed, and more to look at. */
const step = (count: number): Reply => ({ dueInMs: 0, type: "counted", answer: new Fields(["counted", count, [0, 4_097]]) });

test("a purge that ends half-way is not one of which nothing happened", async () => {
  let steps = 0;
  const breaks = (after: number) => async (): Promise<Reply> => {
    if (steps++ < after) return step(300);
    throw new LinkDown("Redis went away");
  };
  expect(await purge(breaks(0), command, { timeoutMs: 1_000 }).catch(fateOf)).toBe("unsent");
  steps = 0;
  const error: unknown = await purge(breaks(1), command, { timeoutMs: 1_000 }).catch((thrown: unknown) => thrown);
  expect(fateOf(error)).toBe("lost");
  expect(String(error)).toMatch(/after 300 were removed: Redis went away/);
});
