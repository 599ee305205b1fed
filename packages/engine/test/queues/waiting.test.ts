import type { StorageOutcome } from "@trivet/engine";
import { expect, test } from "vitest";
import { got, SlowRig } from "./slow-storage.ts";

const down: StorageOutcome = { type: "unavailable", code: "no_leader", retryAfterMs: 100, detail: "" };

function rig(partitions = 1): SlowRig {
  const made = new SlowRig();
  made.define({ partitions });
  return made;
}

test("where nothing is known to be one consume of a partition is under way at a time, and an empty answer is for all who came before it was asked", () => {
  const r = rig();
  const first = r.consume();
  const second = r.consume();
  const third = r.consume();
  expect(r.held.length).toBe(1);
  r.held[0]?.go();
  expect(got(first)).toEqual([]);
  // They came after the question: somebody has to ask again, once.
  expect([got(second), got(third), r.held.length]).toEqual([null, null, 2]);
  r.held[1]?.go();
  expect([got(second), got(third), r.held.length]).toEqual([[], [], 2]);
});

test("those who wait are served in the order they came, as long as there is more", () => {
  const r = rig();
  const waiting = [1, 2, 3].map(() => r.consume({ waitMs: 10_000 }));
  r.held[0]?.go();
  r.held[1]?.go();
  expect(r.held.length).toBe(2);
  r.produce(2);
  expect(r.held.length).toBe(3);
  r.held[2]?.go();
  expect(waiting.map((one) => got(one)?.length)).toEqual([1, undefined, undefined]);
  // There was one, and there is more: two at once.
  expect(r.held.length).toBe(5);
  r.held[3]?.go();
  expect(waiting.map((one) => got(one)?.length)).toEqual([1, 1, undefined]);
  r.held[4]?.go();
  expect(waiting.map((one) => got(one)?.length)).toEqual([1, 1, undefined]);
  expect(r.held.length).toBe(5);
});

test("as long as consumes find messages, each answer lets one more go at once; those in vain halve it", () => {
  const r = rig();
  r.produce(7);
  const waiting = Array.from({ length: 12 }, () => r.consume({ waitMs: 10_000 }));
  const underWay: number[] = [];
  for (let answered = 0; answered < 7; answered++) {
    underWay.push(r.held.length - answered);
    r.held[answered]?.go();
  }
  expect(underWay).toEqual([1, 2, 3, 4, 5, 6, 6]);
  expect(waiting.filter((one) => got(one)?.length === 1).length).toBe(7);
  // The rest was under way and finds nothing; nobody asks after it.
  expect(r.held.length).toBe(12);
  for (const late of r.held.slice(7)) late.go();
  expect(r.held.length).toBe(12);
  // One message comes for five that wait: not each of them is an entry in vain.
  r.produce(1);
  expect(r.held.length).toBe(13);
  r.held[12]?.go();
  expect(waiting.filter((one) => got(one)?.length === 1).length).toBe(8);
});

test("who is told that there is more, where nothing was known to be, asks again without a hint", () => {
  const r = rig();
  r.consume();
  r.held[0]?.go();
  const waiting = r.consume({ waitMs: 10_000 });
  r.held[1]?.go({
    type: "answered",
    result: { type: "handed-out", messages: [], leaseMs: 0, more: true },
    requestId: "",
    durability: "memory",
  });
  expect([got(waiting), r.held.length]).toEqual([null, 3]);
});

test("a hint that comes while a question is under way is not lost with its answer", () => {
  const r = rig();
  const waiting = r.consume({ waitMs: 10_000 });
  r.hintAll();
  r.held[0]?.go();
  expect(r.held.length).toBe(2);
  r.held[1]?.go();
  expect([got(waiting), r.held.length]).toEqual([null, 2]);
  r.hintAll();
  expect(r.held.length).toBe(3);
});

test("the partitions of a queue are asked in turn until one has something", () => {
  const r = rig(3);
  r.produce(1, "a");
  const asked = r.consume();
  for (let at = 0; got(asked) === null; at++) {
    expect(at).toBeLessThan(3);
    r.held[at]?.go();
  }
  expect(got(asked)?.length).toBe(1);
  expect(new Set(r.held.map(({ partition }) => partition)).size).toBe(r.held.length);
});

test("what comes for a caller who went away is released", () => {
  const r = rig();
  r.produce(1);
  const asked = r.consume();
  asked.submission.abandon();
  r.settle();
  expect(got(asked)).toBeNull();
  r.held[0]?.go();
  expect(got(asked)).toEqual([]);
  expect(r.seen).toEqual(["produce", "consume", "settle"]);
  const next = r.consume();
  r.held[1]?.go();
  expect(got(next)).toMatchObject([{ acquired: 2, deliveries: 0 }]);
});

test("a caller who goes away while it waits is told at once, once", () => {
  const r = rig();
  const asked = r.consume({ waitMs: 10_000 });
  r.held[0]?.go();
  asked.submission.abandon();
  asked.submission.abandon();
  r.settle();
  expect(got(asked)).toEqual([]);
  r.clock.advance(60_000);
  expect(got(asked)).toEqual([]);
  expect(r.held.length).toBe(1);
});

test("a partition without a leader does not keep a caller from the others, and is asked again while there is time", () => {
  const r = rig(2);
  const short = r.consume();
  r.held[0]?.go(down);
  r.held[1]?.go();
  expect(got(short)).toBe("unavailable");
  r.clock.advance(1000);
  const long = r.consume({ waitMs: 10_000 });
  r.held[2]?.go(down);
  r.held[3]?.go();
  expect([got(long), r.held.length]).toEqual([null, 4]);
  r.produce(1);
  r.produce(1);
  r.clock.advance(100);
  expect(r.held.length).toBeGreaterThan(4);
  r.held[4]?.go();
  expect(got(long)?.length).toBe(1);
});

test("a repeat of a consume with a key is handed the same again, and what it is told says nothing of now", () => {
  const r = rig();
  r.open = true;
  const keyed = { idempotency: { key: "k", fingerprint: "f" } };
  expect(got(r.consume({}, 60_000, keyed))).toEqual([]);
  r.produce(2);
  // Told from memory that there is nothing, it looks itself.
  const first = got(r.consume({}, 60_000, keyed));
  expect(first?.length).toBe(1);
  const other = { idempotency: { key: "other", fingerprint: "f" } };
  const second = got(r.consume({}, 60_000, other));
  expect(second?.length).toBe(1);
  expect(got(r.consume({}, 60_000, other))).toEqual(second);
});

const key = (name: string) => ({ idempotency: { key: name, fingerprint: "f" } });

test("a repeat of a long poll with a key is handed what its later look found, and no more once that is settled", () => {
  const r = rig(3);
  r.open = true;
  const first = r.consume({ waitMs: 10_000 }, 60_000, key("k"));
  for (let message = 0; message < 6; message++) r.produce(1, `key-${message}`);
  const handed = got(first);
  expect(handed?.length).toBe(1);
  for (let send = 0; send < 3; send++) expect(got(r.consume({ waitMs: 10_000 }, 60_000, key("k")))).toEqual(handed);
  r.service.settle(
    {
      queue: "q",
      receipts: (handed as readonly { readonly receipt: string }[]).map(({ receipt }) => receipt),
      settlement: "ack",
      delayMs: -1,
      reason: "",
    },
    { timeoutMs: 5000 },
    () => undefined,
  );
  r.settle();
  for (let send = 0; send < 3; send++) expect(got(r.consume({ waitMs: 10_000 }, 60_000, key("k")))).toEqual([]);
  expect(got(r.consume())?.length).toBe(1);
});

test("a repeat of a consume with a key that settles at once takes nothing more", () => {
  const r = rig();
  r.open = true;
  r.produce(4);
  expect(got(r.consume({ autoAck: true }, 60_000, key("k")))?.length).toBe(1);
  for (let send = 0; send < 3; send++) expect(got(r.consume({ autoAck: true }, 60_000, key("k")))).toEqual([]);
  expect(got(r.consume({ maxMessages: 10 }))?.length).toBe(3);
});

test("what was handed out under a key to a caller who went away is not released: a repeat may have been told of it", () => {
  const r = rig();
  r.produce(1);
  const asked = r.consume({}, 60_000, key("k"));
  asked.submission.abandon();
  r.settle();
  r.held[0]?.go();
  expect(got(asked)).toEqual([]);
  expect(r.seen).toEqual(["produce", "consume"]);
  const again = r.consume({}, 60_000, key("k"));
  r.held[1]?.go();
  expect(got(again)).toMatchObject([{ acquired: 1 }]);
});

test("a consume with a key waits for the partition whose turn it is, so that a repeat looks in the same order", () => {
  const r = rig(2);
  r.produce(1, "a");
  r.produce(1, "b");
  const asked = r.consume({ waitMs: 10_000 }, 60_000, key("k"));
  const [first] = r.held;
  first?.go(down);
  expect([got(asked), r.held.length]).toEqual([null, 1]);
  r.clock.advance(500);
  expect(r.held[1]?.partition).toBe(first?.partition);
  r.held[1]?.go();
  if (got(asked) === null) r.held[2]?.go();
  expect(got(asked)?.length).toBe(1);
});

test("a consume with a key does not stand before a partition that is not there for longer than it would wait, and is told of it", () => {
  const r = rig(2);
  for (let at = 0; at < 32; at++) r.produce(1, `key-${at}`);
  const asked = [1, 2, 3, 4].map((at) => r.consume({}, 10_000, key(`k${at}`)));
  // Whatever was asked at the one is refused, and at the other answered.
  const bad = r.held[0]?.partition;
  for (let at = 0; at < r.held.length; at++) {
    const one = r.held[at];
    one?.go(one.partition === bad ? down : undefined);
  }
  const told = asked.map((one) => got(one));
  expect(told).not.toContain(null);
  expect(told).toContain("unavailable");
  for (const one of told) if (typeof one !== "string") expect(one?.length).toBe(1);
});

test("a consume with a key that only ever looks in vain ends after so many looks", () => {
  const r = rig();
  const asked = r.consume({ waitMs: 50_000 }, 60_000, key("k"));
  for (let at = 0; at < 100 && got(asked) === null; at++) {
    r.held[at]?.go();
    r.hintAll();
  }
  expect(got(asked)).toEqual([]);
  expect(r.held.length).toBe(16);
});

test("a queue without a rate that has to pass by many messages of a busy key is asked on at once", () => {
  const r = rig();
  r.open = true;
  for (let batch = 0; batch < 5; batch++) r.produce(1000, "busy");
  r.produce(1, "free");
  expect(got(r.consume())).toMatchObject([{ key: "busy" }]);
  expect(got(r.consume())).toMatchObject([{ key: "free" }]);
});

test("a hand-out whose fate is unknown is told so", () => {
  const r = rig();
  const asked = r.consume({ waitMs: 10_000 });
  r.held[0]?.go({ type: "unknown", requestId: "x" });
  expect(got(asked)).toBe("unknown");
});

test("a group at its rate is asked less and less often, not all the time", () => {
  const r = rig();
  r.open = true;
  r.define({ ratePerSecond: 1 });
  r.produce(3);
  r.clock.advance(2000);
  expect(got(r.consume({ maxMessages: 10 }))?.length).toBe(1);
  const before = r.seen.length;
  const waiting = r.consume({ maxMessages: 10, waitMs: 10_000 });
  r.clock.advance(1500);
  expect(got(waiting)?.length).toBe(1);
  expect(r.seen.length - before).toBeLessThan(12);
});

test("a long poll ends in time for its answer, and forgets its timers", () => {
  const r = rig();
  r.open = true;
  const asked = r.consume({ waitMs: 60_000 }, 20_000);
  r.clock.advance(18_000);
  expect(got(asked)).toBeNull();
  r.clock.advance(2000);
  expect(got(asked)).toEqual([]);
  expect(r.clock.nextAt()).toBeNull();
});

test("who waits for a queue that is deleted waits for another of its name, and else is told that there is nothing", () => {
  const r = rig();
  r.open = true;
  const asked = r.consume({ waitMs: 10_000 });
  const other = r.consume({ waitMs: 20_000 });
  r.service.remove("q", { timeoutMs: 1000 }, () => undefined);
  r.settle();
  expect([got(asked), got(other)]).toEqual([null, null]);
  r.clock.advance(10_000);
  expect([got(asked), got(other)]).toEqual([[], null]);
  r.define();
  r.produce(1);
  expect(got(other)?.length).toBe(1);
});

test("an answer of a queue that was deleted meanwhile does not keep its caller at that queue", () => {
  const r = rig();
  const asked = r.consume({ waitMs: 20_000 });
  r.service.remove("q", { timeoutMs: 1000 }, () => undefined);
  r.settle();
  // As if it had been executed before the queue was dropped.
  r.held[0]?.go({
    type: "answered",
    requestId: "x",
    durability: "memory",
    result: { type: "handed-out", leaseMs: 1, messages: [], more: false },
  });
  r.open = true;
  r.define();
  r.produce(1);
  expect(got(asked)?.length).toBe(1);
});

test("who waits for a queue that does not exist asks nobody meanwhile, and leaves no timers", () => {
  const r = new SlowRig();
  const asked = r.consume({ waitMs: 60_000 }, 20_000);
  const gone = r.consume({ waitMs: 60_000 }, 90_000);
  r.clock.advance(18_000);
  expect([got(asked), got(gone), r.seen]).toEqual([null, null, []]);
  r.clock.advance(1000);
  expect(got(asked)).toEqual([]);
  gone.submission.abandon();
  gone.submission.abandon();
  r.settle();
  expect([got(gone), r.clock.nextAt()]).toEqual([[], null]);
});

test("a queue that appears and has nothing is waited at for the rest of the time", () => {
  const r = new SlowRig();
  r.open = true;
  const asked = r.consume({ waitMs: 10_000 });
  r.clock.advance(4000);
  r.define();
  expect([got(asked), r.seen]).toEqual([null, ["consume"]]);
  r.clock.advance(5999);
  expect(got(asked)).toBeNull();
  r.clock.advance(1);
  expect([got(asked), r.clock.nextAt()]).toEqual([[], null]);
});

test("a shard that has not heard of a queue is told it", () => {
  const r = rig();
  // As if another node's definition had come here and not to the shard.
  r.inner.configure(1, null);
  r.open = true;
  const asked = r.consume({ waitMs: 10_000 }, 1500);
  r.clock.advance(2000);
  // Dropped for good there: no number of tries helps, and it does not try for ever.
  expect(got(asked)).toBe("unavailable");
});
