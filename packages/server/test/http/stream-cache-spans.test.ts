import type { HomeMessage, ToHomes } from "@trivet/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StreamCacheSpans } from "../../src/http/stream/stream-cache-spans.ts";
import { Tracing } from "../../src/observability/tracing.ts";
import { noFault, rememberSpans } from "../observability/spans.ts";

let kept: ReturnType<typeof rememberSpans>;
let now: number;
let spans: StreamCacheSpans;
beforeEach(() => {
  kept = rememberSpans();
  now = 0;
  spans = new StreamCacheSpans(new Tracing("node1", "0.1.0", noFault), () => now);
});
afterEach(() => kept.remove());

const line = "1\u0000k";
const asked = (txn: number): ToHomes["messages"][number] => ({
  group: 2,
  message: { type: "fetch", term: 1, incarnation: 1, line, txn, confirmed: false },
});
const record = { version: 1, value: null, tags: [], ttlMs: 0, asOf: 1 };
const answer = (txn: number): HomeMessage => ({ type: "data", term: 1, incarnation: 1, line, txn, grant: "S", record, sequence: 0 });
function pass(...txns: readonly number[]): void {
  let passed = 0;
  spans.pass(txns.map(asked), [], () => (passed += 1));
  expect(passed).toBe(1);
}
const outcomes = (): readonly unknown[] => kept.ended.map(({ attributes }) => attributes["trivet.outcome"]);

test("what has had no answer for a minute ends with the next frame; an answer after that ends nothing", () => {
  pass(1, 2);
  pass(3);
  now = 1;
  pass(4);
  spans.told(2, answer(1));
  now = 59_999;
  pass(5);
  expect(outcomes()).toEqual([]);
  now = 60_000;
  pass(6);
  expect(outcomes()).toEqual(["unknown", "unknown"]);
  for (const txn of [1, 2, 3]) spans.told(2, answer(txn));
  expect(outcomes()).toHaveLength(2);
  spans.told(2, answer(4));
  expect(outcomes()).toEqual(["unknown", "unknown", "answered"]);
});
