import { expect, test } from "vitest";
import { stepHolder } from "../../src/coherence/holder.ts";
import { lineName } from "../../src/coherence/messages.ts";
import { isLeased, peek } from "../../src/coherence/reading.ts";
import { Script } from "./support/script.ts";
import { line } from "./support/world.ts";

/** The races of the study by their numbers, 1 to 16. Those of values alone (2, 21, 23, 26 in apply) are in values.test.ts. */

const [a, b, c] = [0, 1, 2] as const;

test("race 1: an invalidation overtakes a fill: it answers those who came before and is not kept", () => {
  const s = Script.warm([b]);
  const read = s.world.read(a);
  s.arrives("fetch", a);
  s.world.write(b);
  s.arrives("write", b).arrives("inv", a);
  expect(s.state(a)).toBe("IS_D_I");
  s.arrives("data", a);
  expect(s.answers.get(read)).toBe(0);
  expect(s.state(a)).toBe("I");
  s.ends();
});

test("race 3: a reader's downgrade overtakes the answer to the write: the copy is kept as shared", () => {
  const s = Script.warm([a]);
  s.world.write(a);
  s.arrives("write", a).commits();
  s.world.read(b);
  s.arrives("fetch", b).arrives("share", a).arrives("done", a);
  expect(s.state(a)).toBe("S");
  s.arrives("data", b);
  expect([s.copy(a), s.copy(b)]).toEqual([1, 1]);
});

test("race 4: an acknowledgement of an earlier invalidation does not stand for a later one", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).arrives("inv", b);
  // It is repeated while the next write goes on.
  s.arrives("inv-ack", b).commits().arrives("done", a);
  s.world.read(b);
  s.arrives("fetch", b).arrives("data", b).arrives("share", a).quiet();
  s.world.write(a);
  s.arrives("write", a);
  s.world.letters = [
    ...s.world.letters,
    { toHome: true, holder: b, term: 1, message: { type: "inv-ack", term: 1, incarnation: 1, sequence: 1 } },
  ];
  s.arrives("inv-ack", b);
  expect(s.isProposed()).toBe(false);
  s.ends();
});

test("race 5: an acknowledgement that comes twice is counted once", () => {
  const s = Script.warm([a, b, c]);
  s.world.write(a);
  s.arrives("write", a).arrives("inv", b).arrivesTwice("inv-ack", b);
  expect(s.isProposed()).toBe(false);
  s.arrives("inv", c).arrives("inv-ack", c);
  expect(s.isProposed()).toBe(true);
  s.ends();
});

test("race 6: of two upgrades the second loses its copy and wins the next turn", () => {
  const s = Script.warm([a, b]);
  const [first, second] = [s.world.write(a), s.world.write(b)];
  s.arrives("write", a).arrives("write", b).arrives("inv", b);
  expect(s.state(b)).toBe("IM_D");
  s.arrives("inv-ack", b).commits().arrives("inv", a).arrives("done", a);
  expect(s.state(a)).toBe("I");
  s.arrives("inv-ack", a).commits().arrives("done", b);
  expect([s.state(a), s.state(b), s.copy(b)]).toEqual(["I", "M", 2]);
  expect([s.answers.get(first), s.answers.get(second)]).toEqual([1, 2]);
});

test("race 7: a write of somebody without a copy withdraws all copies", () => {
  const s = Script.warm([a, b]);
  s.world.write(c);
  s.quiet();
  expect([s.copy(a), s.copy(b), s.state(c), s.copy(c)]).toEqual([null, null, "M", 1]);
});

test("race 8: an owner gives its copy up while that is being withdrawn", () => {
  const s = Script.warm([a]);
  s.world.write(a);
  s.quiet();
  s.world.write(b);
  s.arrives("write", b);
  s.world.evict(a);
  s.arrives("inv", a).arrives("inv-ack", a).commits().arrives("done", b).arrives("evict", a);
  expect([s.copy(a), s.copy(b)]).toEqual([null, 2]);
});

test("race 9: giving up an earlier copy does not touch a later one", () => {
  const s = Script.warm([a]);
  s.world.evict(a);
  s.world.read(a);
  s.arrives("fetch", a).arrives("data", a).arrives("evict", a);
  expect(s.copy(a)).toBe(0);
  s.world.write(b);
  s.arrives("write", b);
  expect(s.isWaiting("inv", a)).toBe(true);
  s.ends();
});

test("race 10: the last sharer gives up while somebody else gets the copy", () => {
  const s = Script.warm([a]);
  s.world.evict(a);
  s.world.read(b);
  s.arrives("fetch", b).arrives("evict", a).arrives("data", b);
  expect(s.copy(b)).toBe(0);
  s.world.write(c);
  s.quiet();
  expect([s.copy(b), s.copy(c)]).toEqual([null, 1]);
});

test("race 11: a writer dies before its write is committed: it is done or not, and nobody sees it before", () => {
  for (const surviving of [0, 1]) {
    const s = Script.warm([a, b]);
    s.world.write(a);
    s.arrives("write", a).arrives("inv", b).arrives("inv-ack", b);
    expect(s.isProposed()).toBe(true);
    s.world.crashHolder(a);
    s.world.crashHome(0);
    s.world.elect(1, surviving);
    const read = s.world.read(b);
    s.ends();
    expect(s.answers.get(read)).toBe(surviving);
  }
});

test("race 12: a holder dies with an invalidation on its way: the write ends, at the latest with its lease", () => {
  const s = Script.warm([a, b]);
  const write = s.world.write(a);
  s.arrives("write", a).isLost("inv", b);
  s.world.crashHolder(b);
  s.passes(1).homeLooks();
  expect(s.isProposed()).toBe(false);
  s.passes(1).homeLooks();
  expect(s.isProposed()).toBe(true);
  s.commits().arrives("done", a);
  expect(s.answers.get(write)).toBe(1);
});

test("race 13: a stopped sharer delays one write by its lease, and misses when it goes on", () => {
  const s = Script.warm([a, b]);
  const write = s.world.write(a);
  s.arrives("write", a).passes(2).homeLooks().commits().arrives("done", a);
  expect(s.answers.get(write)).toBe(1);
  const read = s.world.read(b);
  expect(s.answers.has(read)).toBe(false);
  s.ends();
  expect(s.answers.get(read)).toBe(1);
});

test("race 14: renewals pass and invalidations do not: a renewal does not count before what was withdrawn before it", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).passes(1).looks(b).arrives("renew", b).isLost("inv", b).isLost("inv", b).arrives("renewed", b);
  s.passes(1);
  expect(s.copy(b)).toBeNull();
  s.homeLooks().commits();
  // Somebody waited for it: it gets no more time under this life, and is barred afterwards.
  s.world.read(b);
  expect(s.world.holders[b]?.incarnation).toBe(2);
  s.arrives("renew", b).arrives("refused", b);
  expect(s.world.holders[b]?.askAgainAt).toBeGreaterThan(s.world.now);
  s.ends();
});

test("race 15: a renewal that is late counts from when it was asked for", () => {
  const s = Script.warm([b]);
  s.passes(1).looks(b).arrives("renew", b);
  s.passes(1);
  expect(s.copy(b)).toBeNull();
  s.passes(1).arrives("renewed", b);
  expect(s.copy(b)).toBeNull();
});

test("race 15: a fill of a session that is over is thrown away, and those who wait ask again", () => {
  const s = Script.warm([]);
  const read = s.world.read(a);
  s.arrives("fetch", a);
  s.world.write(b);
  s.arrives("write", b).passes(2).homeLooks().commits().arrives("done", b);
  s.arrives("data", a);
  expect(s.answers.has(read)).toBe(false);
  s.ends();
  expect(s.answers.get(read)).toBe(1);
});

test("race 16: a suspended machine's lease is over by its wall clock; a clock that is set back prolongs nothing", () => {
  const s = Script.warm([a]);
  const holder = s.world.holders[a];
  if (holder === undefined) throw new Error("no holder");
  const { now } = s.world;
  expect(peek(holder, line, now + 1, now + 1)?.version).toBe(0);
  expect(peek(holder, line, now + 1, now + 5000)).toBeUndefined();
  expect(peek(holder, line, now + 2, now - 5000)).toBeUndefined();
  expect(isLeased(holder, now + 1, now - 5000)).toBe(true);
  stepHolder(holder, { type: "tick", now: { steady: now + 1, wall: now + 5000 } });
  expect(holder.incarnation).toBe(2);
  expect(holder.lines.size).toBe(0);
});

test("race 28: two withdrawals arrive in the wrong order: the life that they are of ends, and nothing of it is read", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a);
  const scope = { type: "line", line: lineName("ns", "other") } as const;
  const later = { type: "inv", term: 1, incarnation: 1, sequence: 2, scope } as const;
  s.world.letters = [...s.world.letters, { toHome: false, holder: b, term: 1, message: later }];
  s.arrives("inv", b, 1);
  expect([s.copy(b), s.world.holders[b]?.incarnation]).toEqual([null, 2]);
  // The earlier one is of a life that is over.
  s.arrives("inv", b);
  expect([s.copy(b), s.isWaiting("inv-ack", b)]).toEqual([null, false]);
  s.ends();
});
