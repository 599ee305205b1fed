import type { Delivery, NamedMessage, PartitionTally, Produced, ReceiptEvent, SentInOrder } from "@trivet/simulator";
import {
  checkAckFinality,
  checkConservation,
  checkDedupe,
  checkKeyOrder,
  checkSendOrder,
  checkLeasesKept,
  checkReceipts,
  checkTotalQueue,
} from "@trivet/simulator";
import { describe, expect, test } from "vitest";

const at = { queue: 1, partition: 0 };
const produced = (sequence: number, key = "k"): Produced => ({ ...at, sequence, value: `m${sequence}`, key, order: sequence });
const delivery = (sequence: number, order: number, more: Partial<Delivery> = {}): Delivery => ({
  ...at,
  sequence,
  group: "g",
  acquired: 1,
  key: "k",
  order,
  at: order,
  endedAt: order + 1,
  ...more,
});

describe("total queue", () => {
  const attempted = new Set(["a", "b", "c"]);

  test("takes duplicates, and messages whose produce was never answered", () => {
    expect(checkTotalQueue("q", { attempted, acknowledged: ["a", "b"], found: ["a", "b", "b", "c"] })).toBeNull();
  });
  test("takes it that a message of unknown fate is nowhere", () => {
    expect(checkTotalQueue("q", { attempted, acknowledged: ["a"], found: ["a"] })).toBeNull();
  });
  test("finds an acknowledged message that nobody got", () => {
    expect(checkTotalQueue("q", { attempted, acknowledged: ["a", "b"], found: ["a", "c"] })?.invariant).toBe("queue-lost");
  });
  test("finds a message that nobody produced", () => {
    expect(checkTotalQueue("q", { attempted, acknowledged: ["a"], found: ["a", "d"] })?.invariant).toBe("queue-unexpected");
  });
});

describe("order of a key", () => {
  const three = [produced(1), produced(2), produced(3)];

  test("takes messages one after the other, and one that is handed out again", () => {
    const again = delivery(1, 20, { acquired: 2, endedAt: 29 });
    expect(checkKeyOrder(three, [delivery(1, 10), again, delivery(2, 30), delivery(3, 40)])).toBeNull();
  });
  test("takes it that groups, keys and messages without one go their own ways", () => {
    const others = [delivery(2, 10), delivery(1, 11, { group: "h" }), delivery(1, 12, { key: "" })];
    expect(checkKeyOrder([produced(1), produced(2)], others)).toBeNull();
  });
  test("finds a successor that was handed out first", () => {
    expect(checkKeyOrder(three, [delivery(2, 10), delivery(1, 20)])?.invariant).toBe("queue-key-fifo");
  });
  test("finds two of a key in hand at a time", () => {
    expect(checkKeyOrder(three, [delivery(1, 10, { endedAt: 21 }), delivery(2, 20)])?.invariant).toBe("queue-key-alone");
    expect(checkKeyOrder(three, [delivery(1, 10, { endedAt: null }), delivery(2, 20)])?.invariant).toBe("queue-key-alone");
  });
});

const sent = (id: string, sequence: number | null, lane = "s1 to 1/0"): SentInOrder => ({ id, lane, sequence });

describe("order of sending", () => {
  test("takes what is not there, and programs and partitions apart", () => {
    expect(checkSendOrder([sent("a", 1), sent("b", null), sent("c", 3), sent("d", 2, "s2 to 1/0"), sent("e", 4)])).toBeNull();
  });
  test("finds what was stored before what was sent earlier", () => {
    expect(checkSendOrder([sent("a", 1), sent("b", 3), sent("c", null), sent("d", 2)])).toEqual({
      invariant: "queue-send-order",
      detail: "s1 to 1/0: d was stored at 2, before b at 3, which was sent earlier",
    });
  });
});

describe("acknowledgements are final", () => {
  const ack = { ...at, sequence: 1, group: "g", ret: 100 };

  test("takes hand-outs from before the answer, and of other groups", () => {
    expect(checkAckFinality([ack], [delivery(1, 99), delivery(1, 200, { group: "h" }), delivery(2, 200)])).toBeNull();
  });
  test("finds a hand-out that began after it", () => {
    expect(checkAckFinality([ack], [delivery(1, 99), delivery(1, 101, { acquired: 2 })])?.invariant).toBe("queue-ack-final");
  });
});

const event = (type: ReceiptEvent["type"], acquired: number, order: number, more: Partial<ReceiptEvent> = {}): ReceiptEvent => ({
  ...at,
  sequence: 1,
  type,
  group: "g",
  acquired,
  order,
  extends: false,
  ...more,
});

describe("receipts are fenced", () => {
  const good = [
    event("given", 1, 1),
    event("settled", 1, 2, { extends: true }),
    event("ended", 1, 3),
    event("given", 2, 4),
    event("settled", 2, 5),
  ];

  test("takes hand-outs that are extended, end, and begin anew", () => {
    expect(checkReceipts(good)).toBeNull();
  });
  test("finds a settlement by the hand-out of before", () => {
    expect(checkReceipts([...good.slice(0, 4), event("settled", 1, 5)])?.invariant).toBe("queue-receipt-fenced");
  });
  test("finds one after the lease is over", () => {
    expect(checkReceipts([...good.slice(0, 3), event("settled", 1, 4)])?.invariant).toBe("queue-receipt-fenced");
  });
  test("finds a message settled twice", () => {
    expect(checkReceipts([...good, event("settled", 2, 6)])?.invariant).toBe("queue-receipt-fenced");
  });
  test("finds two holders at a time, and two hand-outs of one number", () => {
    expect(checkReceipts([event("given", 1, 1), event("given", 2, 2)])?.invariant).toBe("queue-two-holders");
    expect(checkReceipts([event("given", 1, 1), event("ended", 1, 2), event("given", 1, 3)])?.invariant).toBe("queue-receipt-unique");
  });
});

describe("conservation", () => {
  const group = { group: "g", ready: 1, leased: 1, settled: 3, dead: 1, expired: 0, purged: 0 };
  const tally = (more: Partial<PartitionTally> = {}): PartitionTally => ({
    name: "q/0",
    produced: 7,
    delayed: 1,
    messages: 3,
    returned: 0,
    acked: 3,
    died: 1,
    expired: 0,
    purged: 0,
    dropped: 0,
    groups: [group],
    logged: { produced: 7, settled: new Map([["g", 3]]), leased: new Map([["g", 1]]), whole: true },
    ...more,
  });

  test("takes counts that add up", () => {
    expect(checkConservation([tally()])).toBeNull();
  });
  test("finds a message that is nowhere, and one that is there twice", () => {
    expect(checkConservation([tally({ groups: [{ ...group, dead: 0 }] })])?.invariant).toBe("queue-conservation");
    expect(checkConservation([tally({ groups: [{ ...group, ready: 2 }] })])?.invariant).toBe("queue-conservation");
  });
  test("finds a message of the partition that left without being counted", () => {
    expect(checkConservation([tally({ acked: 2 })])?.invariant).toBe("queue-conservation");
    expect(checkConservation([tally({ messages: 4 })])?.invariant).toBe("queue-conservation");
  });
  test("finds counters that the log does not bear out", () => {
    expect(checkConservation([tally({ produced: 8 })])?.invariant).toBe("queue-conservation");
    expect(checkConservation([tally({ groups: [{ ...group, settled: 4, dead: 0 }] })])?.invariant).toBe("queue-conservation");
    expect(checkConservation([tally({ groups: [{ ...group, leased: 2, ready: 0 }] })])?.invariant).toBe("queue-conservation");
  });
});

const named = (id: string, sequence: number, duplicate: boolean, by: string): NamedMessage => ({ id, sequence, duplicate, by });

describe("dedupe", () => {
  test("takes one message under one id, told as a duplicate to the later ones", () => {
    expect(checkDedupe([named("a", 1, false, "x"), named("a", 1, true, "y"), named("b", 2, false, "y")])).toBeNull();
  });
  test("finds one id that became two messages", () => {
    expect(checkDedupe([named("a", 1, false, "x"), named("a", 2, false, "y")])?.invariant).toBe("queue-dedupe");
  });
  test("finds one that was new twice", () => {
    expect(checkDedupe([named("a", 1, false, "x"), named("a", 1, false, "y")])?.invariant).toBe("queue-dedupe");
  });
});

describe("leases are kept", () => {
  const relied = { ...at, sequence: 1, group: "g", acquired: 1, from: 100, until: 200 };
  const ranOut = (time: number, more: object = {}) => ({ ...at, sequence: 1, group: "g", acquired: 1, at: time, ...more });

  test("takes ends after the time, of before it was known, and of other hand-outs", () => {
    expect(checkLeasesKept([relied], [ranOut(200)])).toBeNull();
    expect(checkLeasesKept([relied], [ranOut(90)])).toBeNull();
    expect(checkLeasesKept([relied], [ranOut(150, { acquired: 2 }), ranOut(250)])).toBeNull();
  });
  test("finds one that ran out under its holder", () => {
    expect(checkLeasesKept([relied], [ranOut(150)])?.invariant).toBe("queue-lease-kept");
  });
});
