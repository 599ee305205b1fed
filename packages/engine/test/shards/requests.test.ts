import type { NodeApi, StorageCommand, StorageOutcome } from "@trivet/engine";
import { parseRequestId } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { message, Shards } from "./support.ts";

type RequestOutcome = Parameters<Parameters<NodeApi["request"]>[1]>[0];

/** What became of a request, on that node's word. */
function fate(shards: Shards, node: string, requestId: string): RequestOutcome {
  const asked = new Told<RequestOutcome>();
  shards.cluster.member(node).host.api.request(requestId, asked.hear);
  shards.cluster.until(`${node} tells the fate of ${requestId}`, () => asked.value !== null, 5_000);
  if (asked.value === null) throw new Error("no answer");
  return asked.value;
}

function keyed(
  shards: Shards,
  node: string,
  key: string,
  command: StorageCommand,
  timeoutMs = 5_000,
): { id: string; told: Told<StorageOutcome> } {
  const told = new Told<StorageOutcome>();
  const place = { queue: shards.queue, partition: 0 };
  const options = { timeoutMs, idempotency: { key, fingerprint: "f" } };
  const { requestId } = shards.cluster.member(node).host.queueStorage.submit(place, command, options, told.hear);
  return { id: requestId, told };
}

function commands(queue: number): { readonly produce: StorageCommand; readonly consume: StorageCommand; readonly settle: StorageCommand } {
  const produce = { type: "produce", queue, partition: 0, version: 1, messages: [message("a")], ifFence: null } as const;
  const who = { group: "g", consumer: "c", start: { type: "earliest" } } as const;
  const consume = { type: "consume", queue, partition: 0, ...who, maxMessages: 10, maxBytes: 0, visibilityMs: 0, autoAck: false } as const;
  const receipts = [{ partition: 0, sequence: 1, acquired: 1, incarnation: 1 }];
  const settle = { type: "settle", queue, group: "g", settlement: "ack", delayMs: 0, reason: "", receipts } as const;
  return { produce, consume, settle };
}

function ready(size = 3): { readonly shards: Shards; readonly leader: string; readonly others: readonly string[] } {
  const shards = new Shards(size);
  shards.untilLed();
  shards.define("orders");
  // The shard has heard of the queue from here on.
  shards.consume("n1");
  const leader = shards.leaders()[shards.queue % 4] ?? "";
  return { shards, leader, others: [...shards.cluster.members.keys()].filter((node) => node !== leader) };
}

describe("the outcome of a shard's command, asked for later (rule X3)", () => {
  test("is told by every node, with a replica of the shard and without", () => {
    const { shards, leader } = ready(5);
    const { consume, produce, settle } = commands(shards.queue);
    const ids = [produce, consume, settle].map((command, at) => {
      const { id, told } = keyed(shards, `n${at + 1}`, `key${at}`, command);
      shards.cluster.until("its answer", () => told.value !== null);
      expect(told.value).toMatchObject({ type: "answered", requestId: id });
      return id;
    });
    expect(parseRequestId(ids[0] ?? "")?.group).toBe(1 + (shards.queue % 4));
    for (const node of [leader, ...shards.cluster.members.keys()]) {
      expect(ids.map((id) => fate(shards, node, id))).toEqual([
        { type: "shard-answered", answer: { type: "produced", partition: 0, messages: [{ sequence: 1, duplicate: false }] } },
        {
          type: "shard-answered",
          answer: {
            type: "handed-out",
            leaseMs: expect.any(Number),
            incarnation: 1,
            more: false,
            messages: [{ sequence: 1, acquired: 1 }],
          },
        },
        { type: "shard-answered", answer: { type: "settled", outcomes: ["settled"] } },
      ]);
    }
  });

  test("is told although the answer was lost, also by the next leader", () => {
    const { leader, others, shards } = ready();
    const [entry = "", other = ""] = others;
    const { options } = shards.cluster.network;
    const entryUrl = shards.cluster.member(entry).url;
    // What is sent to the entry node never arrives: its command is executed, and it does not hear of it.
    shards.cluster.network.options = { fate: ({ to }) => ({ delaysMs: to === entryUrl ? [] : [0.2] }) };
    const { id, told } = keyed(shards, entry, "key", commands(shards.queue).produce, 1_000);
    shards.cluster.until("its deadline", () => told.value !== null);
    expect(told.value).toEqual({ type: "unknown", requestId: id });
    const executed = { type: "shard-answered", answer: { type: "produced", messages: [{ sequence: 1 }] } };
    expect(fate(shards, other, id)).toMatchObject(executed);
    shards.cluster.network.options = options;
    shards.cluster.network.retransmit();
    shards.cluster.kill(leader);
    shards.untilLed();
    shards.cluster.until("told by the next leader", () => fate(shards, other, id).type === "shard-answered");
    expect(fate(shards, other, id)).toMatchObject(executed);
  });

  test("`not-executed` is final: what it was said of does not happen any more", () => {
    const { others, shards } = ready();
    const [entry = "", other = ""] = others;
    const { options } = shards.cluster.network;
    const entryUrl = shards.cluster.member(entry).url;
    // What the entry node sends is stuck in its sockets until retransmitted.
    shards.cluster.network.options = { fate: ({ from }) => ({ delaysMs: from === entryUrl ? [] : [0.2] }) };
    const { id, told } = keyed(shards, entry, "key", commands(shards.queue).produce, 1_000);
    expect(fate(shards, other, id)).toEqual({ type: "pending" });
    shards.cluster.until("its deadline", () => told.value !== null);
    expect(told.value).toMatchObject({ type: "unknown" });
    shards.cluster.until("it is decided", () => fate(shards, other, id).type === "not-executed", 5_000);
    shards.cluster.network.options = options;
    shards.cluster.network.retransmit();
    shards.cluster.run(3_000);
    shards.untilLed();
    expect(fate(shards, entry, id)).toEqual({ type: "not-executed" });
    expect(shards.query(other, { type: "stats", queue: shards.queue, partition: 0 })).toMatchObject({ stats: { produced: 0 } });
  });

  test("is forgotten after a while, and nobody guesses", () => {
    const { leader, shards } = ready(1);
    const { id, told } = keyed(shards, leader, "key", commands(shards.queue).produce, 1_000);
    shards.cluster.until("its answer", () => told.value !== null);
    shards.cluster.run(610_000);
    expect(fate(shards, leader, id)).toEqual({ type: "gone" });
  });

  test("of a shard that does not exist there is nothing to ask", () => {
    const { shards } = ready();
    expect(fate(shards, "n1", "5.1.zz.caller")).toEqual({ type: "invalid" });
    expect(fate(shards, "n1", "nonsense")).toEqual({ type: "invalid" });
  });

  test("without a leader nobody can tell, and says so", () => {
    const { leader, others, shards } = ready();
    const { id } = keyed(shards, leader, "key", commands(shards.queue).produce, 1_000);
    shards.cluster.run(500);
    const [left = "", dead = ""] = others;
    for (const node of [leader, dead]) shards.cluster.kill(node);
    expect(fate(shards, left, id)).toMatchObject({ type: "unavailable", code: "no_leader" });
  });
});
