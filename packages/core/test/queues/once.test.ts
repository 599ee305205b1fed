import type { FrameHeader, ShardCommand } from "@trivet/wire";
import { expect, test } from "vitest";
import type { ShardAnswer } from "../../src/queues/answer.ts";
import { tables } from "../../src/queues/keys.ts";
import { guard } from "../raft/guard.ts";
import { Bench, consumption, definition, message, queue } from "./support/bench.ts";

/** One command in a frame of its own. */
function ask(b: Bench, sequence: number, command: ShardCommand, fields: Partial<FrameHeader> = {}): ShardAnswer {
  b.shard.beginEntry(b.now);
  const ids = {
    caller: "a",
    fingerprint: "",
    notAfter: b.now + 1000,
    ackedUpTo: 0,
    firstSequence: sequence,
    count: 1,
    ordered: false,
    bodyStart: 0,
  };
  const admission = b.shard.admit({ ...ids, ...fields });
  return "type" in admission ? admission : b.shard.once(admission, sequence, command);
}

const produce: ShardCommand = { type: "produce", queue, partition: 0, version: 1, messages: [message()], ifFence: null };
const refused = (reason: string): unknown => ({ type: "refused", reason });

guard("queue-dedupe-executes-twice", "a repeated command is executed once and answered the same, also after a restart", () => {
  const b = new Bench();
  const first = ask(b, 1, produce);
  b.reopen();
  expect(ask(b, 1, produce)).toEqual(first);
  expect(ask(b, 2, produce)).toMatchObject({ messages: [{ sequence: 2 }] });
  expect(b.shard.lookup("a", 1)).toEqual(first);
  expect(b.shard.lookup("a", 3)).toBe("unknown");
  b.check();
});

guard("queue-dedupe-acknowledged-executed", "what a caller has acknowledged is refused", () => {
  const b = new Bench();
  ask(b, 1, produce);
  ask(b, 2, produce, { ackedUpTo: 1 });
  expect(b.view.count(tables.answer)).toBe(1);
  expect(ask(b, 1, produce)).toEqual(refused("already-acknowledged"));
  b.check();
});

guard("queue-dedupe-late-executed", "past its not-after a command is not executed, but its answer is known", () => {
  const b = new Bench();
  const first = ask(b, 1, produce, { notAfter: 1500 });
  b.now = 1501;
  expect(ask(b, 1, produce, { notAfter: 1500 })).toEqual(first);
  expect(ask(b, 2, produce, { notAfter: 1500 })).toEqual(refused("past-deadline"));
  expect(ask(b, 1, produce, { notAfter: 1500, caller: "new" })).toEqual(refused("past-deadline"));
});

guard("queue-dedupe-window-unbounded", "at most so many commands of a caller are open", () => {
  const b = new Bench();
  expect(ask(b, 1025, produce)).toEqual(refused("window-full"));
  expect(ask(b, 1024, produce)).toMatchObject({ type: "produced" });
});

guard("queue-order-gap-executed", "what an ordered caller sent is executed behind what it sent before, or not at all", () => {
  const b = new Bench();
  const ordered = { ordered: true };
  expect(ask(b, 2, produce, ordered)).toEqual(refused("out-of-order"));
  expect(b.shard.lookup("a", 2)).toBe("unknown");
  expect(ask(b, 1, produce, ordered)).toMatchObject({ messages: [{ sequence: 1 }] });
  expect(ask(b, 3, produce, ordered)).toEqual(refused("out-of-order"));
  const second = ask(b, 2, produce, ordered);
  expect(second).toMatchObject({ messages: [{ sequence: 2 }] });
  expect(ask(b, 3, produce, ordered)).toMatchObject({ messages: [{ sequence: 3 }] });
  expect(ask(b, 2, produce, ordered)).toEqual(second);
  b.check();
});

test("an ordered caller's command is no gap once it is acknowledged, though it was never executed, and is not executed then", () => {
  const b = new Bench();
  expect(ask(b, 2, produce, { ordered: true, ackedUpTo: 1 })).toMatchObject({ messages: [{ sequence: 1 }] });
  expect(ask(b, 1, produce, { ordered: true })).toEqual(refused("already-acknowledged"));
  // A lane of which nothing is remembered any more goes on.
  expect(ask(b, 7, produce, { ordered: true, ackedUpTo: 6, caller: "b" })).toMatchObject({ messages: [{ sequence: 2 }] });
});

test("whoever does not ask for order is executed as it comes", () => {
  const b = new Bench();
  expect(ask(b, 2, produce)).toMatchObject({ messages: [{ sequence: 1 }] });
  expect(ask(b, 1, produce)).toMatchObject({ messages: [{ sequence: 2 }] });
});

guard("queue-dedupe-fingerprint-ignored", "an idempotency key with another body is refused", () => {
  const b = new Bench();
  ask(b, 1, produce, { fingerprint: "x" });
  expect(ask(b, 1, produce, { fingerprint: "y" })).toEqual(refused("other-body"));
});

guard("queue-dedupe-horizon-ignored", "a not-after too far ahead is refused", () => {
  const b = new Bench({}, { deadlineHorizonMs: 5000 });
  expect(ask(b, 1, produce, { notAfter: b.now + 5001 })).toMatchObject({ type: "malformed" });
});

guard("queue-dedupe-callers-unbounded", "callers are bounded, and their records go after their time", () => {
  const b = new Bench({}, { callers: 1 });
  ask(b, 1, produce);
  expect(ask(b, 1, produce, { caller: "b" })).toEqual(refused("too-many-callers"));
  b.pass(602_000);
  expect(ask(b, 1, produce, { caller: "b" })).toMatchObject({ type: "produced" });
});

guard("queue-dedupe-prolonged-forgotten", "a caller that goes on is remembered", () => {
  const b = new Bench();
  const first = ask(b, 1, produce);
  b.pass(600_000);
  ask(b, 2, produce);
  b.pass(2000);
  expect(ask(b, 1, produce)).toEqual(first);
  b.pass(700_000, 2);
  expect([tables.caller, tables.answer, tables.calendar].map((table) => b.view.count(table))).toEqual([0, 0, 0]);
});

guard("queue-dedupe-unconfigured-kept", "a command that came before its queue's definition is executed when it comes again", () => {
  const b = new Bench();
  const newer: ShardCommand = { ...produce, version: 2 };
  const keyed = { fingerprint: "body" };
  expect(ask(b, 1, newer, keyed)).toMatchObject({ type: "not-configured" });
  b.configure();
  expect(ask(b, 1, newer, keyed)).toMatchObject({ type: "produced" });
});

guard("queue-dedupe-unconfigured-copy-executed", "a late copy of a lane's command is not executed beside the one made again for it", () => {
  const b = new Bench();
  const newer: ShardCommand = { ...produce, version: 2 };
  expect(ask(b, 1, newer)).toMatchObject({ type: "not-configured" });
  b.configure();
  expect(ask(b, 2, newer)).toMatchObject({ type: "produced" });
  expect(ask(b, 1, newer)).toMatchObject({ type: "not-configured" });
});

guard("queue-dedupe-other-hand-out", "a repeated consume is answered with what that hand-out still holds", () => {
  const b = new Bench();
  b.produce({ headers: [["n", "v"]] }, {}, {});
  const command = consumption({ maxMessages: 3 });
  const first = ask(b, 1, command);
  expect(ask(b, 1, command)).toEqual(first);
  b.settle("ack", 2);
  b.settle("release", 3);
  b.take(1, { consumer: "other" });
  expect(ask(b, 1, command)).toMatchObject({ messages: [{ sequence: 1, headers: [["n", "v"]] }] });
});

guard("queue-dedupe-former-group", "a repeated consume is not answered with what the next group of the name holds", () => {
  const b = new Bench();
  b.produce({});
  const command = consumption();
  expect(ask(b, 1, command)).toMatchObject({ messages: [{ sequence: 1, incarnation: 1 }] });
  b.do({ type: "delete-group", queue, partition: 0, group: "g" });
  expect(b.consume()).toMatchObject([{ sequence: 1, acquired: 1, incarnation: 2 }]);
  expect(ask(b, 1, command)).toMatchObject({ type: "handed-out", messages: [] });
  expect(b.shard.lookup("a", 1)).toMatchObject({ incarnation: 1, messages: [{ sequence: 1, acquired: 1 }] });
});

guard("queue-dedupe-settled-again", "under a key a repeated consume tells apart what had nothing from what is settled", () => {
  const b = new Bench();
  const keyed = { fingerprint: "body" };
  const nothing = { type: "handed-out", messages: [] };
  const command = consumption();
  expect(ask(b, 1, command, keyed)).toMatchObject({ ...nothing, leaseMs: 30_000, more: false });
  expect(ask(b, 1, command, keyed)).toMatchObject({ ...nothing, leaseMs: 0, more: true });
  b.produce({}, {});
  expect(ask(b, 2, command, keyed)).toMatchObject({ messages: [{ sequence: 1 }] });
  expect(ask(b, 2, command, keyed)).toMatchObject({ leaseMs: 30_000, messages: [{ sequence: 1 }] });
  b.settle("ack", 1);
  expect(ask(b, 2, command, keyed)).toMatchObject({ ...nothing, leaseMs: 0, more: false });
  const auto = consumption({ autoAck: true });
  expect(ask(b, 3, auto, keyed)).toMatchObject({ messages: [{ sequence: 2 }] });
  expect(ask(b, 3, auto, keyed)).toMatchObject({ ...nothing, leaseMs: 0, more: false });
  // A lane asks on by `more` alone.
  expect(ask(b, 1, command, { caller: "lane" })).toMatchObject({ ...nothing, leaseMs: 30_000, more: false });
  expect(ask(b, 1, command, { caller: "lane" })).toMatchObject({ ...nothing, leaseMs: 30_000, more: false });
});

test("what was settled with its hand-out is not said twice", () => {
  const b = new Bench();
  b.produce({});
  const command = consumption({ autoAck: true });
  expect(ask(b, 1, command)).toMatchObject({ messages: [{ sequence: 1 }] });
  expect(ask(b, 1, command)).toMatchObject({ type: "handed-out", messages: [] });
});

test("refusals of commands are kept like answers", () => {
  const b = new Bench();
  const wrong: ShardCommand = { ...produce, partition: 9 };
  expect(ask(b, 1, wrong)).toMatchObject({ type: "malformed" });
  expect(ask(b, 1, wrong)).toMatchObject({ type: "malformed" });
  expect(ask(b, 2, { type: "configure-queue", queue, definition })).toMatchObject({ type: "malformed" });
});

const fenced = (b: Bench, fence: number, lock = "l"): string => b.tryProduce({ ifFence: { lock, fence } }, {}).type;

guard("queue-fence-behind-accepted", "a produce under a fence that is behind is refused", () => {
  const b = new Bench();
  expect(b.do({ type: "raise-fence", lock: "l", fence: 5 })).toEqual({ type: "counted", count: 1 });
  expect(b.tryProduce({ ifFence: { lock: "l", fence: 4 } }, {})).toEqual({ type: "fence-behind", lock: "l", highest: 5 });
  expect(b.do({ type: "raise-fence", lock: "l", fence: 4 })).toMatchObject({ type: "fence-behind" });
  expect([fenced(b, 5), fenced(b, 4, "other")]).toEqual(["produced", "produced"]);
});

guard("queue-fence-not-stored", "the fence of an accepted write is the highest seen", () => {
  const b = new Bench();
  expect([fenced(b, 5), fenced(b, 4), fenced(b, 6), fenced(b, 5)]).toEqual(["produced", "fence-behind", "produced", "fence-behind"]);
});

guard("queue-fence-floor-ignored", "below the floor every fence is behind, and registers go", () => {
  const b = new Bench({}, { clearedPerEntry: 2 });
  for (let fence = 1; fence <= 7; fence++) fenced(b, fence, `l${fence}`);
  expect(b.do({ type: "fence-floor", fence: 6 }, "leader")).toEqual({ type: "counted", count: 1 });
  b.pass(1, 6);
  expect(b.view.count(tables.fence)).toBe(2);
  expect(b.view.count(tables.job)).toBe(0);
  expect([fenced(b, 5, "l1"), fenced(b, 6, "l1")]).toEqual(["fence-behind", "produced"]);
});

guard("queue-fence-floor-lowered", "the floor never sinks", () => {
  const b = new Bench();
  b.do({ type: "fence-floor", fence: 6 }, "leader");
  expect(b.do({ type: "fence-floor", fence: 3 }, "leader")).toEqual({ type: "counted", count: 0 });
  expect(fenced(b, 5)).toBe("fence-behind");
});

guard("queue-fence-cleared-at-floor", "a register at the floor or above it stays", () => {
  const b = new Bench();
  for (const [lock, fence] of [
    ["behind", 5],
    ["live", 6],
    ["later", 9],
  ] as const)
    fenced(b, fence, lock);
  b.do({ type: "fence-floor", fence: 6 }, "leader");
  b.pass(1, 2);
  expect(b.view.count(tables.fence)).toBe(2);
  expect([fenced(b, 8, "later"), fenced(b, 6, "live"), fenced(b, 9, "later")]).toEqual(["fence-behind", "produced", "produced"]);
});

test("registers are looked at in pages; none while some are being cleared", () => {
  const b = new Bench({}, { clearedPerEntry: 1 });
  const look = (from: Uint8Array | null): ReturnType<typeof b.shard.fences> => b.shard.fences(from, 2);
  expect(look(null)).toEqual({ floor: 0, lowest: 0, next: null });
  for (const fence of [4, 3, 7, 5]) fenced(b, fence, `l${fence}`);
  const first = look(null);
  expect(first).toMatchObject({ floor: 0, lowest: 3 });
  const second = look(first.next);
  expect(second).toMatchObject({ lowest: 5 });
  expect(look(second.next)).toEqual({ floor: 0, lowest: 0, next: null });
  b.do({ type: "fence-floor", fence: 5 }, "leader");
  expect(look(null)).toEqual({ floor: 5, lowest: 0, next: null });
  b.pass(1, 6);
  expect(look(null)).toMatchObject({ floor: 5, lowest: 5 });
});
