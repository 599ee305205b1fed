import { expect, test } from "vitest";
import { GatheredWrites } from "../src/index.ts";

function gathering(): { readonly writes: GatheredWrites; readonly seen: string[]; readonly over: () => void } {
  const seen: string[] = [];
  const later: (() => void)[] = [];
  const socket = { cork: () => void seen.push("cork"), uncork: () => void seen.push("uncork") };
  const writes = new GatheredWrites(socket, (run) => void later.push(run));
  const over = (): void => {
    expect(later).toHaveLength(1);
    later.pop()?.();
  };
  return { writes, seen, over };
}

test("what is written in one callback is held until that is over, and then again", () => {
  const { writes, seen, over } = gathering();
  writes.add(10);
  writes.add(10);
  expect(seen).toEqual(["cork"]);
  over();
  expect(seen).toEqual(["cork", "uncork"]);
  writes.add(10);
  over();
  expect(seen).toEqual(["cork", "uncork", "cork", "uncork"]);
});

test("large writes do not wait for each other", () => {
  const { writes, seen, over } = gathering();
  writes.add(64 * 1024);
  expect(seen).toEqual(["cork"]);
  writes.add(10);
  expect(seen).toEqual(["cork", "uncork", "cork"]);
  over();
  expect(seen).toEqual(["cork", "uncork", "cork", "uncork"]);
});

test("what must leave at once does, and nothing is let go twice", () => {
  const { writes, seen, over } = gathering();
  writes.add(10);
  writes.end();
  writes.end();
  expect(seen).toEqual(["cork", "uncork"]);
  over();
  expect(seen).toEqual(["cork", "uncork"]);
});
