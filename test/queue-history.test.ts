import { describe, expect, it } from "vitest";
import {
  judgeLossyQueue,
  judgeQueue,
  type Acked,
  type Acking,
  type Delivery,
  type QueueRecord,
  type Sent,
} from "./support/queue-history.ts";

const sent = (content: string, place: number, other: Partial<Sent> = {}): Sent => ({
  type: "sent",
  content,
  key: "k",
  place,
  outcome: "stored",
  id: `id-${content}`,
  ...other,
});
const came = (content: string, call: number, other: Partial<Delivery> = {}): Delivery => ({
  type: "delivered",
  id: `id-${content}`,
  content,
  key: "k",
  acquired: 1,
  consumer: "consumer-1",
  call,
  ret: call + 1,
  ...other,
});
const acking = (content: string, call: number, acquired = 1): Acking => ({ type: "acking", id: `id-${content}`, acquired, call });
const acked = (content: string, ret: number, acquired = 1, outcome: Acked["outcome"] = "ok"): Acked => ({
  type: "acked",
  id: `id-${content}`,
  acquired,
  outcome,
  ret,
});
const unknown = { outcome: "unknown", id: "" } as const;
/** Delivered in the first millisecond, settled by the third. */
const settled = (content: string, at: number): readonly QueueRecord[] => [
  came(content, at),
  acking(content, at + 2),
  acked(content, at + 3),
];

function withKey(key: string): (record: QueueRecord) => QueueRecord {
  return (record) => (record.type === "delivered" ? { ...record, key } : record);
}
/** The second hand-out, settled. */
function again(content: string, at: number): readonly QueueRecord[] {
  return [came(content, at, { acquired: 2 }), acking(content, at + 2, 2), acked(content, at + 3, 2)];
}

describe("the judge of queue histories finds nothing in", () => {
  const fine: readonly (readonly [what: string, records: readonly QueueRecord[]])[] = [
    ["nothing", []],
    ["two messages of a key, one after the other", [sent("a", 0), sent("b", 1), ...settled("a", 10), ...settled("b", 20)]],
    ["two keys in any order", [sent("a", 0), sent("b", 0, { key: "l" }), ...settled("b", 10).map(withKey("l")), ...settled("a", 20)]],
    [
      "a hand-out that was lost with its consumer, and the next",
      [sent("a", 0), came("a", 10), came("a", 20, { acquired: 2 }), acking("a", 30, 2), acked("a", 31, 2)],
    ],
    [
      "an ack that came too late and was refused",
      [sent("a", 0), came("a", 10), acking("a", 15), acked("a", 16, 1, "stale"), ...again("a", 20)],
    ],
    ["an ack whose answer was lost", [sent("a", 0), sent("b", 1), came("a", 10), acking("a", 12), ...settled("b", 20)]],
    [
      "a consume that was under way when the message was settled",
      [sent("a", 0), ...settled("a", 10), came("a", 12, { acquired: 2, ret: 30 })],
    ],
    ["messages of unknown fate, delivered or not", [sent("a", 0, unknown), sent("b", 1, unknown), ...settled("b", 10)]],
    ["a refused message that never comes", [sent("a", 0, { outcome: "refused", id: "" })]],
  ];
  it.each(fine)("%s", (_what, records) => {
    expect(judgeQueue(records)).toEqual([]);
  });
});

describe("the judge of queue histories finds", () => {
  const bad: readonly (readonly [what: string, problem: RegExp, records: readonly QueueRecord[]])[] = [
    ["a lost message", /id-b .*never came/, [sent("a", 0), sent("b", 1), ...settled("a", 10)]],
    [
      "a message that left without being settled",
      /never settled/,
      [sent("a", 0), came("a", 10), acking("a", 12), acked("a", 13, 1, "stale")],
    ],
    ["a message that nobody tried to settle", /never settled/, [sent("a", 0), came("a", 10)]],
    ["an invented message", /nobody sent/, [...settled("a", 10)]],
    ["a refused message", /which was refused/, [sent("a", 0, { outcome: "refused", id: "" }), ...settled("a", 10)]],
    ["a message under another id", /stored as id-x and came as id-a/, [sent("a", 0, { id: "id-x" }), ...settled("a", 10)]],
    ["a message stored twice", /stored twice/, [sent("a", 0, unknown), ...settled("a", 10), came("a", 20, { id: "id-x" })]],
    [
      "a message with another's content",
      /more than one content/,
      [sent("a", 0), sent("b", 1), ...settled("b", 10), came("b", 12, { id: "id-a" }), ...settled("a", 20)],
    ],
    ["another key", /sent with key k and came with l/, [sent("a", 0), ...settled("a", 10).map(withKey("l"))]],
    ["a key out of order", /id-b came before id-a/, [sent("a", 0), sent("b", 1), ...settled("b", 10), ...settled("a", 20)]],
    [
      "two messages of a key out at a time",
      /id-b came while id-a was out/,
      [sent("a", 0), sent("b", 1), came("a", 10), ...settled("b", 12), acking("a", 20), acked("a", 21)],
    ],
    [
      "a successor of a message whose ack was refused",
      /id-b came while id-a was out/,
      [sent("a", 0), sent("b", 1), came("a", 10), acking("a", 12), acked("a", 13, 1, "stale"), ...settled("b", 20), ...again("a", 30)],
    ],
    [
      "a delivery after the ack",
      /settled and handed out again, to consumer-2/,
      [sent("a", 0), ...settled("a", 10), came("a", 20, { acquired: 2, consumer: "consumer-2" })],
    ],
    [
      "an ack of a hand-out that was over",
      /settled by hand-out 1 although consumer-1 had hand-out 2/,
      [sent("a", 0), came("a", 10), came("a", 20, { acquired: 2 }), acking("a", 30), acked("a", 31)],
    ],
    [
      "two acks of one message",
      /settled 2 times/,
      [
        sent("a", 0),
        came("a", 10),
        came("a", 11, { acquired: 2 }),
        acking("a", 11.5),
        acking("a", 14, 2),
        acked("a", 15),
        acked("a", 16, 2),
      ],
    ],
    ["a hand-out for two", /hand-out 1 of id-a went to/, [sent("a", 0), ...settled("a", 10), came("a", 11, { consumer: "consumer-2" })]],
    ["a hand-out number that falls", /number 2, and later as 1/, [sent("a", 0), came("a", 10, { acquired: 2 }), ...settled("a", 20)]],
    ["a history that cannot be judged", /sent twice/, [sent("a", 0), sent("a", 1), ...settled("a", 10)]],
  ];
  it.each(bad)("%s", (_what, problem, records) => {
    expect(judgeQueue(records).join("\n")).toMatch(problem);
  });

  it("an answer to an ack that was not sent, which is a mistake of the recorder", () => {
    expect(() => judgeQueue([sent("a", 0), came("a", 10), acked("a", 12)])).toThrow(/was not sent/);
  });
});

describe("the judge of histories of a queue that may lose what it has not confirmed", () => {
  const fine: readonly (readonly [what: string, records: readonly QueueRecord[]])[] = [
    [
      "a message of unknown fate that is lost",
      [sent("a", 0), sent("b", 1, unknown), sent("c", 2), ...settled("a", 10), ...settled("c", 20)],
    ],
    ["a settlement that is undone", [sent("a", 0), ...settled("a", 10), ...settled("a", 20)]],
    [
      "a repeat that is stored again, as the first copy is lost",
      [sent("a", 0, { id: "id-x" }), came("a", 10), ...settled("a", 20).map((record) => ({ ...record, id: "id-x" }))],
    ],
  ];
  it.each(fine)("finds nothing in %s", (_what, records) => {
    expect(judgeLossyQueue(records)).toEqual([]);
  });

  const bad: readonly (readonly [what: string, problem: RegExp, records: readonly QueueRecord[]])[] = [
    ["a confirmed message that is lost", /id-b .*never came/, [sent("a", 0), sent("b", 1), ...settled("a", 10)]],
    [
      "a confirmed message that left unsettled",
      /never settled/,
      [sent("a", 0), came("a", 10), acking("a", 12), acked("a", 13, 1, "stale")],
    ],
    ["an invented message", /nobody sent/, [...settled("a", 10)]],
    ["a key out of order", /id-b came before id-a/, [sent("a", 0), sent("b", 1), ...settled("b", 10), ...settled("a", 20)]],
    [
      "a number that was given twice",
      /more than one content/,
      [sent("a", 0, unknown), sent("b", 1, unknown), came("a", 10), came("b", 20, { id: "id-a" })],
    ],
  ];
  it.each(bad)("finds %s", (_what, problem, records) => {
    expect(judgeLossyQueue(records).join("\n")).toMatch(problem);
  });
});
