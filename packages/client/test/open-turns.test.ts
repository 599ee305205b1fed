import type { LaneFrame } from "@trivet/wire";
import { expect, test } from "vitest";
import { OpenTurns } from "../src/open-turns.ts";

function frame(): { open: number } & LaneFrame {
  return {
    caller: "c",
    firstSequence: 1,
    count: 1,
    notAfter: 0,
    bytes: new Uint8Array(),
    ackedUpTo: 0,
    isOrdered: false,
    open: 1,
    sends: 1,
  };
}

test("two turns without an answer keep the cluster busy, however many shards each went to", () => {
  const open = new OpenTurns();
  const [first, second, third] = [frame(), frame(), frame()];
  open.sent([first, second], 0);
  expect(open.isBusy(0)).toBe(false);
  open.sent([third], 1);
  expect(open.isBusy(1)).toBe(true);
  first.open = 0;
  open.answered(2);
  expect(open.isBusy(2)).toBe(true);
  second.open = 0;
  open.answered(3);
  expect(open.isBusy(3)).toBe(false);
});

test("patience is about as long as an answer takes, within bounds", () => {
  const open = new OpenTurns();
  expect(open.patienceMs).toBe(1);
  const answer = (afterMs: number): void => {
    const one = frame();
    open.sent([one], 0);
    one.open = 0;
    open.answered(afterMs);
  };
  for (let turn = 0; turn < 50; turn++) answer(4);
  expect(open.patienceMs).toBeCloseTo(4, 1);
  // As after a change of leader.
  for (let turn = 0; turn < 50; turn++) answer(900);
  expect(open.patienceMs).toBe(10);
  for (let turn = 0; turn < 20; turn++) answer(2);
  expect(open.patienceMs).toBeLessThan(5);
});

test("a turn that is not answered for a second keeps nobody waiting any more", () => {
  const open = new OpenTurns();
  open.sent([frame()], 0);
  open.sent([frame()], 0);
  expect([open.isBusy(999), open.isBusy(1_000)]).toEqual([true, false]);
  open.sent([frame()], 1_001);
  expect(open.isBusy(1_001)).toBe(false);
  open.answered(1_002);
  open.sent([frame()], 1_003);
  expect(open.isBusy(1_003)).toBe(true);
});

test("where nothing is ever answered no more is remembered than of the last second", () => {
  const open = new OpenTurns();
  for (let now = 0; now < 10_000; now++) open.sent([frame()], now);
  expect(open.size).toBe(1_000);
});
