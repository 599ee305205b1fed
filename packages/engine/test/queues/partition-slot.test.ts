import { expect, test } from "vitest";
import { PartitionSlot } from "../../src/queues/partition-slot.ts";

test("answers that come in another order than their questions say what was last so", () => {
  const slot = new PartitionSlot(0);
  slot.handedOut(1, true, 5);
  slot.handedOut(0, false, 4);
  // The later question saw that there is more.
  expect([slot.mayHave, slot.isNewsFor(5), slot.isNewsFor(3)]).toEqual([true, true, false]);
  slot.handedOut(1, false, 7);
  slot.handedOut(1, true, 6);
  expect([slot.mayHave, slot.isNewsFor(7)]).toEqual([false, false]);
});

test("a hint outlasts the answers to what was asked before it, and not those to what was asked after it", () => {
  const slot = new PartitionSlot(0);
  slot.hinted(3);
  slot.handedOut(0, false, 2);
  expect(slot.mayHave).toBe(true);
  slot.handedOut(0, false, 4);
  expect(slot.mayHave).toBe(false);
});

test("the window opens by one with each answer that had messages, halves with each that had none, and closes when the partition fails", () => {
  const slot = new PartitionSlot(0);
  const room = (): number => {
    let count = 0;
    for (; slot.hasRoom; count++) slot.asked();
    for (let at = 0; at < count; at++) slot.answered();
    return count;
  };
  expect(room()).toBe(1);
  for (let moment = 1; moment <= 9; moment++) slot.handedOut(1, true, moment);
  expect(room()).toBe(10);
  slot.handedOut(0, true, 10);
  expect(room()).toBe(5);
  for (let moment = 11; moment <= 200; moment++) slot.handedOut(1, true, moment);
  expect(room()).toBe(64);
  // Where nothing is known to be, one looks for all.
  slot.handedOut(1, false, 201);
  expect(room()).toBe(1);
  slot.hinted(202);
  expect(room()).toBe(64);
  slot.failed();
  expect([room(), slot.isIdle]).toEqual([1, true]);
});

test("an answer that may be old says nothing of now", () => {
  const slot = new PartitionSlot(0);
  slot.handedOut(0, false, null);
  expect([slot.mayHave, slot.isNewsFor(0)]).toEqual([true, true]);
});
