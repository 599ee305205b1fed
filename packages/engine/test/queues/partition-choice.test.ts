import { partitionOf } from "@trivet/engine";
import { expect, test } from "vitest";
import { newMessage } from "../../src/conformance/queues/kit.ts";
import { PartitionChoice } from "../../src/queues/partition-choice.ts";

test("the partition of a text never changes", () => {
  expect(["a", "b", "order-17", "ü"].map((text) => partitionOf(text, 1024))).toEqual([941, 335, 140, 872]);
});

test("texts spread over all partitions", () => {
  const counts = Array.from({ length: 8 }, () => 0);
  for (let number = 0; number < 8000; number++) {
    const at = partitionOf(`customer-${number}`, 8);
    counts[at] = (counts[at] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(200);
});

test("a message goes by its key, else by its dedupe id, else by the request", () => {
  const choice = new PartitionChoice();
  const messages = [newMessage({ key: "a", dedupId: "b" }), newMessage({ dedupId: "b" }), newMessage(), newMessage({ key: "a" })];
  const shares = choice.shares(messages, 1000, "request");
  expect(shares.map(({ partition, places }) => [partition, places])).toEqual([
    [partitionOf("a", 1000), [0, 3]],
    [partitionOf("b", 1000), [1]],
    [partitionOf("request", 1000), [2]],
  ]);
  expect(choice.shares(messages, 1000, "request")).toEqual(shares);
});

test("what has none of these takes turns, a request together", () => {
  const choice = new PartitionChoice();
  const places = Array.from({ length: 4 }, () => choice.shares([newMessage(), newMessage()], 3, "").map(({ partition }) => partition));
  expect(places).toEqual([[0], [1], [2], [0]]);
});
