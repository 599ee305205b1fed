import { expect, test } from "vitest";
import { newHolder } from "../../src/coherence/holder-state.ts";
import { stepHolder } from "../../src/coherence/holder.ts";
import { newHome } from "../../src/coherence/home-state.ts";
import type { HomeEffect, HomeEvent } from "../../src/coherence/home-state.ts";
import { stepHome } from "../../src/coherence/home.ts";
import { type CachedRecord, lineName, namespaceOf, nothingRecorded } from "../../src/coherence/messages.ts";
import { peek } from "../../src/coherence/reading.ts";
import { defaultCoherenceTiming, grantedMs, type Moment } from "../../src/coherence/timing.ts";
import { Script } from "./support/script.ts";
import { line } from "./support/world.ts";

const [a, b] = [0, 1] as const;
const at = (ms: number): Moment => ({ steady: ms, wall: ms });
const record = (version: number): CachedRecord => ({ ...nothingRecorded, version });

test("a line's name tells its namespace, whatever its key", () => {
  expect(namespaceOf(lineName("users", "a/b\u0000c"))).toBe("users");
  expect(lineName("a", "b")).not.toBe(lineName("ab", ""));
});

test("mode strict: every read asks, after a quorum round, and nothing is kept", () => {
  const s = Script.warm([]);
  const first = s.world.read(a, { type: "strict" });
  // Whoever comes while it is on its way gets one of its own.
  const second = s.world.read(a, { type: "strict" });
  s.arrives("fetch", a).arrives("data", a);
  expect([s.answers.get(first), s.answers.has(second)]).toEqual([0, false]);
  s.arrives("fetch", a).arrives("data", a);
  expect(s.answers.get(second)).toBe(0);
  expect([s.copy(a), s.state(a)]).toEqual([null, "I"]);
  expect(s.world.homes[0]?.state.entries.has(line)).toBe(false);
});

test("mode ttl: a copy is kept without a lease, for so long from when it was asked for", () => {
  const holder = newHolder("h", 1);
  const mode = { type: "ttl", staleMs: 100 } as const;
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  expect(stepHolder(holder, { type: "read", line, mode, waiter: 1, now: at(0) })).toMatchObject([
    { type: "send", message: { type: "fetch", confirmed: true, txn: 1 } },
  ]);
  stepHolder(holder, { type: "read", line, mode, waiter: 2, now: at(10) });
  const data = { type: "data", term: 1, incarnation: 1, line, txn: 1, grant: "none", record: record(4), sequence: 0 } as const;
  const effects = stepHolder(holder, { type: "message", message: data, now: at(60) });
  expect(effects.filter(({ type }) => type === "answer-read")).toMatchObject([{ waiter: 1 }, { waiter: 2 }]);
  expect(peek(holder, line, 99, 99)?.version).toBe(4);
  expect(peek(holder, line, 100, 100)).toBeUndefined();
  // Another home, another life: it is as stale as it may be anyway.
  stepHolder(holder, { type: "home", term: 2, now: at(61) });
  expect(peek(holder, line, 99, 99)?.version).toBe(4);
});

test("a holder that leaves is not waited for, and begins another life", () => {
  const s = Script.warm([a, b]);
  s.world.holder(b, { type: "leave", now: s.world.moment });
  expect(s.copy(b)).toBeNull();
  s.arrives("leave", b);
  s.world.write(a);
  s.arrives("write", a);
  expect(s.isProposed()).toBe(true);
  expect(s.world.holders[b]?.incarnation).toBe(2);
  s.ends();
});

test("a holder renews while it holds something, and asks for nothing when it does not", () => {
  const s = Script.warm([a]);
  s.passes(1).looks(a).looks(b);
  expect([s.isWaiting("renew", a), s.isWaiting("renew", b)]).toEqual([true, false]);
});

/** A home with its effects. */
class Home {
  readonly state = newHome();
  last: readonly HomeEffect[] = [];

  step(event: HomeEvent): this {
    this.last = stepHome(this.state, event);
    return this;
  }

  proposed(): number {
    const found = this.last.find((effect) => effect.type === "propose");
    if (found?.type !== "propose") throw new Error("nothing is proposed");
    return found.proposal;
  }

  /** Opens a session for `holder` in the way that is usual. */
  open(holder: string, now: number): this {
    this.step({ type: "message", from: holder, message: { type: "renew", term: 1, incarnation: 1, request: 1, processed: 0 }, now });
    this.step({ type: "applied", proposal: this.proposed(), outcome: null, record: null, now });
    const round = this.last.find((effect) => effect.type === "confirm");
    if (round?.type !== "confirm") throw new Error("no round is asked for");
    return this.step({ type: "confirmed", round: round.round, now });
  }

  read(holder: string, name: string, found: CachedRecord, now: number): this {
    this.step({
      type: "message",
      from: holder,
      message: { type: "fetch", term: 1, incarnation: 1, line: name, txn: now, confirmed: false },
      now,
    });
    return this.step({ type: "value", line: name, record: found, due: null, now });
  }
}

const elected = { type: "elected", term: 1, electedAt: 0, registered: [], barred: false, now: 0 } as const;

test("M6: a bar lasts twice as long when it follows the one before closely", () => {
  const home = new Home().step(elected);
  const { barMs } = defaultCoherenceTiming;
  const leaseMs = grantedMs(defaultCoherenceTiming);
  let now = 0;
  for (const [turn, lasts] of [barMs, 2 * barMs, 4 * barMs].entries()) {
    const incarnation = turn + 1;
    const message = { type: "renew", term: 1, incarnation, request: 1, processed: 0 } as const;
    home.step({ type: "message", from: "h", message, now });
    home.step({ type: "applied", proposal: home.proposed(), outcome: null, record: null, now });
    const round = home.last.find((effect) => effect.type === "confirm");
    home.step({ type: "confirmed", round: round?.type === "confirm" ? round.round : 0, now });
    const fetch = { type: "fetch", term: 1, incarnation, line, txn: turn + 1, confirmed: false } as const;
    home.step({ type: "message", from: "h", message: fetch, now }).step({ type: "value", line, record: record(1), due: null, now });
    home.step({ type: "write", line, id: turn, command: null, now });
    now += leaseMs;
    home.step({ type: "tick", now });
    expect(home.last).toContainEqual({ type: "answer", id: turn, outcome: null });
    expect(home.state.bars.get("h")).toEqual({ until: now + lasts, lastsMs: lasts });
    now += lasts;
    home.step({ type: "tick", now });
  }
});

test("a holder without a lease for long leaves the register, and gets none while that is in the log", () => {
  const home = new Home().step(elected).open("h", 0);
  const now = defaultCoherenceTiming.forgetAfterMs + 2000;
  home.step({ type: "tick", now: 1000 }).step({ type: "tick", now });
  const proposal = home.proposed();
  expect(home.last).toContainEqual({ type: "propose", proposal, what: { type: "forget-holder", holder: "h", incarnation: 1 } });
  const renew = { type: "renew", term: 1, incarnation: 2, request: 5, processed: 0 } as const;
  home.step({ type: "message", from: "h", message: renew, now });
  expect(home.last).toMatchObject([{ type: "send", message: { type: "refused", reason: "full" } }]);
  home.step({ type: "applied", proposal, outcome: null, record: null, now });
  home.step({ type: "message", from: "h", message: renew, now });
  expect(home.last).toMatchObject([{ type: "propose", what: { type: "register-holder", incarnation: 2 } }]);
});

test("M8: the invalidation of a tag takes the copies that carry it, and what is on its way", () => {
  const holder = newHolder("h", 1);
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  const mode = { type: "write-through" } as const;
  const names = ["tagged", "other", "filling"].map((key) => lineName("ns", key));
  const [tagged, other, filling] = names as [string, string, string];
  const elsewhere = lineName("xs", "tagged");
  for (const name of [tagged, other, elsewhere]) stepHolder(holder, { type: "read", line: name, mode, waiter: 1, now: at(0) });
  stepHolder(holder, { type: "message", message: { type: "renewed", term: 1, incarnation: 1, request: 1, sequence: 0 }, now: at(1) });
  for (const [place, name] of [tagged, other, elsewhere].entries()) {
    const found = { ...record(1), tags: name === other ? ["u"] : ["t"] };
    const message = { type: "data", term: 1, incarnation: 1, line: name, txn: place + 1, grant: "S", record: found, sequence: 0 } as const;
    stepHolder(holder, { type: "message", message, now: at(1) });
  }
  stepHolder(holder, { type: "read", line: filling, mode, waiter: 2, now: at(1) });
  const scope = { type: "namespace", namespace: "ns", tag: "t" } as const;
  stepHolder(holder, { type: "message", message: { type: "inv", term: 1, incarnation: 1, sequence: 1, scope }, now: at(2) });
  expect([tagged, other, elsewhere].map((name) => peek(holder, name, 3, 3)?.version)).toEqual([undefined, 1, 1]);
  expect(holder.lines.get(filling)?.state).toBe("IS_D_I");
});

test("M8: invalidations of one namespace go one after the other, and its lines wait; others do not", () => {
  const home = new Home().step(elected).open("h", 0).read("h", lineName("ns", "k"), record(1), 1);
  const command = new Uint8Array([1]);
  home.step({ type: "invalidate", namespace: "ns", tag: "t", id: 1, command, now: 1 });
  home.step({ type: "invalidate", namespace: "ns", tag: null, id: 2, command, now: 1 });
  home.read("h", lineName("ns", "other"), record(1), 2);
  expect(home.state.entries.get(lineName("ns", "other"))?.state).toBe("U");
  home.read("h", lineName("xs", "k"), record(1), 3);
  expect(home.state.entries.get(lineName("xs", "k"))?.state).toBe("X");
  const acknowledge = (sequence: number): Home =>
    home.step({ type: "message", from: "h", message: { type: "inv-ack", term: 1, incarnation: 1, sequence }, now: 4 });
  const outcome = { version: 2, answer: command };
  home.step({ type: "applied", proposal: acknowledge(1).proposed(), outcome, record: null, now: 4 });
  expect(home.last).toContainEqual({ type: "answer", id: 1, outcome });
  home.step({ type: "applied", proposal: acknowledge(2).proposed(), outcome, record: null, now: 4 });
  expect(home.last).toContainEqual({ type: "answer", id: 2, outcome });
  expect(home.last).toContainEqual({ type: "read", line: lineName("ns", "other") });
});

test("a hand-over that comes to nothing is taken back in the log before anybody gets a lease", () => {
  const home = new Home().step(elected).open("h", 0).step({ type: "close", now: 1 });
  const acknowledged = { type: "inv-ack", term: 1, incarnation: 1, sequence: 1 } as const;
  const barrier = home.step({ type: "message", from: "h", message: acknowledged, now: 1 }).proposed();
  home.step({ type: "resume", now: 1 });
  const resume = home.step({ type: "applied", proposal: barrier, outcome: null, record: null, now: 1 }).proposed();
  const renew = { type: "renew", term: 1, incarnation: 1, request: 2, processed: 1 } as const;
  expect(home.step({ type: "message", from: "h", message: renew, now: 1 }).last).toMatchObject([
    { message: { type: "refused", reason: "closing" } },
  ]);
  home.step({ type: "applied", proposal: resume, outcome: null, record: null, now: 1 });
  expect(home.step({ type: "message", from: "h", message: renew, now: 1 }).last).toMatchObject([{ type: "confirm" }]);
});

test("a home that is deposed gives back what was asked of it here, and answers nothing of that term later", () => {
  const home = new Home().step(elected).step({ type: "write", line, id: 7, command: new Uint8Array([1]), now: 1 });
  const proposal = home.proposed();
  expect(home.step({ type: "deposed", now: 2 }).last).toEqual([{ type: "abandoned", id: 7 }]);
  home.step({ ...elected, term: 2 });
  expect(home.step({ type: "applied", proposal, outcome: null, record: null, now: 3 }).last).toEqual([]);
});

test("race 22: a value whose time is over is ended before a reader is told what is there", () => {
  const home = new Home().step(elected).open("h", 0).open("i", 0).read("h", line, record(1), 1);
  home.step({ type: "message", from: "i", message: { type: "fetch", term: 1, incarnation: 1, line, txn: 1, confirmed: false }, now: 2 });
  const due = new Uint8Array([9]);
  home.step({ type: "value", line, record: record(1), due, now: 2 });
  expect(home.last).toMatchObject([{ type: "send", to: "h", message: { type: "inv" } }]);
  const acknowledged = { type: "inv-ack", term: 1, incarnation: 1, sequence: 1 } as const;
  const proposal = home.step({ type: "message", from: "h", message: acknowledged, now: 2 }).proposed();
  expect(home.last).toContainEqual({ type: "propose", proposal, what: { type: "write", command: due, asker: { type: "home" } } });
  home.step({ type: "applied", proposal, outcome: { version: 2, answer: due }, record: nothingRecorded, now: 2 });
  expect(home.last).toEqual([{ type: "read", line }]);
  home.step({ type: "value", line, record: nothingRecorded, due: null, now: 2 });
  expect(home.last).toMatchObject([{ type: "send", to: "i", message: { type: "data", grant: "E", record: { version: 0 } } }]);
});
