import { type LaneFrame, OrderedFrames } from "@trivet/wire";
import { expect, test } from "vitest";

function frame(name: string, caller = "c"): { open: number; readonly name: string } & LaneFrame {
  return {
    name,
    caller,
    firstSequence: 1,
    count: 1,
    notAfter: 0,
    bytes: new Uint8Array(),
    ackedUpTo: 0,
    isOrdered: true,
    open: 1,
    sends: 0,
  };
}
function taken(order: OrderedFrames): readonly string[] {
  return order.take().map((one) => (one as ReturnType<typeof frame>).name);
}
function with3(): {
  readonly order: OrderedFrames;
  readonly frames: readonly [ReturnType<typeof frame>, ReturnType<typeof frame>, ReturnType<typeof frame>];
} {
  const order = new OrderedFrames();
  const frames = [frame("1"), frame("2"), frame("3")] as const;
  for (const one of frames) order.add(one);
  return { order, frames };
}

test("several frames are under way, each once", () => {
  const { order } = with3();
  expect(taken(order)).toEqual(["1", "2", "3"]);
  order.add(frame("4"));
  expect(order.isWaiting).toBe(true);
  expect(taken(order)).toEqual(["4"]);
  expect([order.isWaiting, taken(order)]).toEqual([false, []]);
});

test("behind a refused one nothing goes until the hold is over; then all from it on go again, in their order", () => {
  const { order, frames } = with3();
  taken(order);
  expect(order.hold(frames[1])).toBe(true);
  order.add(frame("4"));
  expect([order.isWaiting, taken(order)]).toEqual([false, []]);
  expect(order.hold(frames[2])).toBe(false);
  order.release();
  expect(taken(order)).toEqual(["2", "3", "4"]);
  expect(order.hold(null)).toBe(true);
  frames[1].open = 0;
  order.release();
  expect(taken(order)).toEqual(["1", "3", "4"]);
});

test("a new connection carries all that has no answer, held or not", () => {
  const { order, frames } = with3();
  taken(order);
  frames[0].open = 0;
  order.hold(frames[1]);
  order.restart();
  expect(taken(order)).toEqual(["2", "3"]);
});

test("the next lane begins when the one before has all its answers", () => {
  const { order, frames } = with3();
  order.add(frame("other", "d"));
  expect(taken(order)).toEqual(["1", "2", "3"]);
  for (const one of [frames[0], frames[2]]) one.open = 0;
  expect([order.isWaiting, taken(order)]).toEqual([true, []]);
  frames[1].open = 0;
  expect(taken(order)).toEqual(["other"]);
});
