import { expect, test } from "vitest";
import { lineName } from "../../src/coherence/messages.ts";
import { isEvictable } from "../../src/coherence/reading.ts";
import { guard } from "../raft/guard.ts";
import { Script } from "./support/script.ts";
import { line } from "./support/world.ts";

/** The races of the study by their numbers, 17 to 35. Those of values alone (2, 21, 23, 26 in apply) are in values.test.ts. */

const [a, b, c] = [0, 1, 2] as const;

test("race 17: a deposed home prolongs nothing, and is outlived by nothing that it granted", () => {
  const s = Script.warm([a]);
  s.world.elect(1, 0);
  const write = s.world.write(b);
  s.passes(1).looks(a).arrives("renew", a);
  expect(s.isWaiting("renewed", a)).toBe(false);
  // The flush to `a` is on its way for ever; the other's write waits for the lease of before.
  s.arrives("flush", b).arrives("write", b, 1).homeLooks();
  expect(s.isProposed()).toBe(false);
  s.passes(1).homeLooks();
  expect(s.isProposed()).toBe(true);
  s.commits();
  expect(s.copy(a)).toBeNull();
  s.ends();
  expect(s.answers.get(write)).toBe(1);
});

test("race 18: a fill by a home that lags is not believed once another one is known", () => {
  const s = Script.warm([]);
  s.world.read(a);
  s.arrives("fetch", a);
  s.world.elect(1, 0);
  s.arrives("flush", a).arrives("flush", b).arrives("flush", c).arrives("flush-ack", a).arrives("flush-ack", b).arrives("flush-ack", c);
  s.world.write(b);
  s.arrives("write", b).commits().arrives("data", a);
  expect(s.state(a)).toBe("IS_D");
  s.ends();
});

test("race 19: a write is asked of two homes and done once", () => {
  const s = Script.warm([a]);
  const write = s.world.write(a);
  s.arrives("write", a);
  s.world.elect(1, 1);
  s.ends();
  expect(s.answers.get(write)).toBe(1);
  expect(s.world.committed.version).toBe(1);
});

test("race 20: what was meant for a former life settles nothing", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).arrives("inv", b);
  s.world.crashHolder(b);
  const read = s.world.read(b);
  s.arrives("renew", b);
  // The new life says that the former is over: nobody waits for its lease.
  expect(s.isProposed()).toBe(true);
  s.arrives("inv-ack", b).commits().ends();
  expect(s.answers.get(read)).toBe(1);
});

test("race 22: a copy is not read beyond its value's own time, nor after the home has ended it", () => {
  const s = Script.warm([]);
  s.world.read(a);
  s.arrives("fetch", a);
  const letter = s.world.letters.find(({ message }) => message.type === "data");
  if (letter?.message.type !== "data") throw new Error("no data");
  const timed = { ...letter, message: { ...letter.message, record: { ...letter.message.record, ttlMs: 1 } } };
  s.world.letters = [timed];
  s.arrives("data", a);
  expect(s.copy(a)).toBe(0);
  s.passes(1);
  expect(s.copy(a)).toBeNull();
  s.world.home(0, { type: "expire", line, command: new Uint8Array([99, 0]), now: s.world.now });
  expect(s.isProposed()).toBe(false);
  s.arrives("inv", a).arrives("inv-ack", a);
  expect(s.isProposed()).toBe(true);
});

test("race 23: a create overtakes a fill of nothing: neither that nor a copy of nothing is read after it", () => {
  const s = Script.warm([c]);
  const early = s.world.read(a);
  s.arrives("fetch", a).arrives("share", c).arrives("inv-ack", c);
  const create = s.world.write(b);
  s.arrives("write", b).arrives("inv", c).arrives("inv-ack", c).arrives("inv", a).arrives("inv-ack", a).commits().arrives("done", b);
  expect([s.answers.get(create), s.copy(c)]).toEqual([1, null]);
  s.arrives("data", a);
  expect([s.answers.get(early), s.copy(a)]).toEqual([0, null]);
  const late = [s.world.read(a), s.world.read(c)];
  s.ends();
  expect(late.map((read) => s.answers.get(read))).toEqual([1, 1]);
});

test("race 24: a namespace is cleared while a fill is on its way", () => {
  const s = Script.warm([b]);
  s.world.read(a);
  s.arrives("fetch", a);
  s.world.clear();
  s.arrives("inv", a).arrives("inv-ack", a);
  // The holder of a copy dies meanwhile: the clearing ends with its lease.
  s.world.crashHolder(b);
  s.passes(2).homeLooks().commits();
  s.arrives("data", a);
  expect([s.copy(a), s.copy(b)]).toEqual([null, null]);
  s.ends();
});

test("race 25: who comes after an invalidation does not join the flight of before", () => {
  const s = Script.warm([b]);
  const early = s.world.read(a);
  s.arrives("fetch", a);
  s.world.write(b);
  s.arrives("write", b).arrives("inv", a).arrives("inv-ack", a).commits().arrives("done", b);
  const late = s.world.read(a);
  s.arrives("data", a);
  expect(s.answers.get(early)).toBe(0);
  expect(s.answers.has(late)).toBe(false);
  s.ends();
  expect(s.answers.get(late)).toBe(1);
});

test("race 26: a write whose answer is lost is sent again and done once", () => {
  const s = Script.warm([a, b]);
  const write = s.world.write(a);
  s.arrives("write", a).arrives("inv", b).arrives("inv-ack", b).commits().isLost("done", a);
  s.ends();
  expect(s.answers.get(write)).toBe(1);
  expect(s.world.committed.version).toBe(1);
});

test("races 27 and 28: a lost or overtaken invalidation is a gap: everything is given up", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).isLost("inv", b).passes(1);
  s.looks(b);
  const other = lineName("ns", "other");
  s.world.letters = [
    ...s.world.letters,
    {
      toHome: false,
      holder: b,
      term: 1,
      message: { type: "inv", term: 1, incarnation: 1, sequence: 2, scope: { type: "line", line: other } },
    },
  ];
  s.arrives("inv", b);
  expect(s.world.holders[b]?.incarnation).toBe(2);
  expect(s.copy(b)).toBeNull();
  s.ends();
});

test("race 29: nothing is granted while the end of a write is not known", () => {
  const s = Script.warm([a]);
  s.world.write(a);
  s.arrives("write", a);
  const read = s.world.read(b);
  s.arrives("fetch", b);
  expect(s.isWaiting("data", b)).toBe(false);
  s.commits().arrives("data", b);
  expect(s.answers.get(read)).toBe(1);
});

test.each([0, 1])(
  "race 29: a home is deposed while a reader waits for the end of a write: the next one tells what survived (%i)",
  (survived) => {
    const s = Script.warm([a]);
    s.world.write(a);
    s.arrives("write", a);
    const read = s.world.read(b);
    s.arrives("fetch", b);
    s.world.elect(1, survived);
    // The former home never hears what became of the write, and tells nobody anything, whether it knows that it is deposed or not.
    s.passes(1);
    s.world.home(0, { type: "tick", now: s.world.now });
    expect(s.isWaiting("data", b)).toBe(false);
    s.world.home(0, { type: "deposed", now: s.world.now });
    expect(s.isWaiting("data", b)).toBe(false);
    s.arrives("flush", b).arrives("fetch", b).arrives("data", b);
    expect(s.answers.get(read)).toBe(survived);
    s.ends();
    expect(s.world.committed.version).toBe(1);
  },
);

test("race 30: a line leaves the directory only when its copies are withdrawn", () => {
  const s = Script.warm([a, b], 3, { directoryLines: 1 });
  const home = s.world.homes[0]?.state;
  if (home === undefined) throw new Error("no home");
  s.world.holder(c, { type: "read", line: lineName("ns", "other"), mode: { type: "write-through" }, waiter: 900, now: s.world.moment });
  s.world.reads.set(900, 0);
  s.arrives("fetch", c);
  expect(s.world.homes[0]?.state.entries.has(line)).toBe(true);
  s.quiet();
  expect(s.world.homes[0]?.state.entries.has(line)).toBe(false);
  expect([s.copy(a), s.copy(b)]).toEqual([null, null]);
});

test("race 31: a line with something on its way is not given up", () => {
  const s = Script.warm([a]);
  const holder = s.world.holders[a];
  if (holder === undefined) throw new Error("no holder");
  expect(isEvictable(holder, line)).toBe(true);
  s.world.write(a);
  const writing = s.world.holders[a];
  if (writing === undefined) throw new Error("no holder");
  expect(isEvictable(writing, line)).toBe(false);
  expect(() => s.world.evict(a)).toThrow("coherence-line-transition");
});

test("race 31: a line that went with a lapse is no longer there to be given up", () => {
  const s = Script.warm([a]).passes(2);
  s.world.evict(a);
  expect(s.isWaiting("evict", a)).toBe(false);
  expect(s.copy(a)).toBeNull();
});

guard("coherence-writes-go-first", "race 32: two writers take turns for ever, and every reader is served", () => {
  const s = Script.warm([a, b]);
  for (let turn = 0; turn < 10; turn++) {
    const [one, other] = turn % 2 === 0 ? [a, b] : [b, a];
    s.world.write(one);
    s.arrives("write", one);
    const read = s.world.read(c);
    s.arrives("fetch", c);
    // There is always one more write when one ends.
    s.world.write(other);
    s.arrives("write", other);
    if (s.isWaiting("inv", other)) s.arrives("inv", other).arrives("inv-ack", other);
    s.commits();
    expect(s.isWaiting("data", c)).toBe(true);
    s.arrives("data", c);
    expect(s.answers.has(read)).toBe(true);
    s.quiet();
  }
});

test("race 33: who sees a later write of one line does not see an older copy of another", () => {
  const s = Script.warm([a, b]);
  const y = lineName("ns", "y");
  // `a` writes x, and y when that is answered; `b` has x. Nobody can have seen y before x is withdrawn everywhere.
  const write = s.world.write(a);
  s.arrives("write", a);
  expect(s.copy(b)).toBe(0);
  expect(s.answers.has(write)).toBe(false);
  s.arrives("inv", b).arrives("inv-ack", b).commits().arrives("done", a);
  s.world.writes.add(901);
  s.world.holder(a, { type: "write", line: y, command: new Uint8Array([250, 0]), keep: true, waiter: 901, now: s.world.moment });
  expect(s.copy(b)).toBeNull();
});

test("race 34: a writer does not read its own old copy while its committed write is unanswered", () => {
  const s = Script.warm([a]);
  s.world.write(a);
  s.arrives("write", a).commits();
  expect(s.state(a)).toBe("SM_D");
  expect(s.copy(a)).toBeNull();
  const read = s.world.read(b);
  s.arrives("fetch", b).arrives("data", b);
  expect(s.answers.get(read)).toBe(1);
  const own = s.world.read(a);
  expect(s.answers.has(own)).toBe(false);
  s.ends();
  expect(s.answers.get(own)).toBe(1);
});

test("race 35: a strict reader sees a commit, and a reader at the owner afterwards never less", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).arrives("inv", b).arrives("inv-ack", b).commits();
  const strict = s.world.read(c, { type: "strict" });
  s.arrives("fetch", c).arrives("data", c);
  expect(s.answers.get(strict)).toBe(1);
  const [owner, other] = [s.world.read(a), s.world.read(b)];
  s.ends();
  expect([s.answers.get(owner), s.answers.get(other)]).toEqual([1, 1]);
});
