import type { NamespaceView } from "@trivet/core";
import { expect, vi } from "vitest";
import type { CacheCalls } from "../../src/cache/cache-calls.ts";
import type { WriteAnswer } from "../../src/cache/cache-writes.ts";
import { Writing } from "../../src/cache/writing.ts";
import { guard } from "../hosts/guard.ts";

const shards = 4;

guard("cache-invalidated-by-some", "M8: an invalidation is answered when every shard has applied it, not before", () => {
  const calls: Pick<CacheCalls, "call" | "find" | "later"> & { readonly host: unknown } = {
    host: { shards: { count: shards } },
    call: () => ({ deadline: 1_000 }),
    find: (_name, _call, _done, run) => run({ name: "pages", namespace: 1 } as NamespaceView),
    later: (run) => run(),
  };
  const writing = new Writing(calls as unknown as CacheCalls, { get: () => {} });
  const asked: ((answer: WriteAnswer) => void)[] = [];
  vi.spyOn(writing.commands, "invalidate").mockImplementation((_group, _namespace, _tag, _call, done) => void asked.push(done));
  const told: unknown[] = [];
  writing.invalidate("pages", null, { timeoutMs: 1_000 }, (outcome) => told.push(outcome));
  expect(asked).toHaveLength(shards);
  for (const [place, answer] of asked.entries()) {
    expect(told).toEqual([]);
    answer({ type: "answered", requestId: `r${place}`, result: { type: "cache-invalidated", version: place + 1 } });
  }
  expect(told).toEqual([{ type: "invalidated", shards }]);
});
