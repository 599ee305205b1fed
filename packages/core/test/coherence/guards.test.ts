import { expect } from "vitest";
import { barrierHolds } from "../../src/coherence/home-phase.ts";
import { newHome } from "../../src/coherence/home-state.ts";
import { stepHome } from "../../src/coherence/home.ts";
import { lineName, nothingRecorded } from "../../src/coherence/messages.ts";
import { isLeased, peek } from "../../src/coherence/reading.ts";
import { stepHolder } from "../../src/coherence/holder.ts";
import { defaultCoherenceTiming } from "../../src/coherence/timing.ts";
import { guard } from "../raft/guard.ts";
import { type Budget, explore, warm } from "./support/explore.ts";
import { Script } from "./support/script.ts";
import { type Letter, line } from "./support/world.ts";

const [a, b, c] = [0, 1, 2] as const;

/** Every state that a small world can reach keeps the rules; without the guard some state breaks one. */
function model(copies: readonly number[], budget: Budget): () => void {
  return () => {
    explore(warm(2, copies), budget, { most: 60_000, drainEvery: 3 });
  };
}

// ── Holders ──

guard("coherence-writer-reads-own-copy", "M5: a writer's copy is unreadable until its write is answered", model([a], { writes: 1 }));
guard("coherence-lapsed-copy-read", "a copy is not read without a lease", model([a, b], { writes: 1, ticks: 2, overtakings: 0 }));
guard("coherence-overtaken-fill-kept", "M5: a fill that an invalidation overtook is not kept", model([b], { reads: 1, writes: 1 }));
guard("coherence-fill-beside-write-kept", "M5: a fill from before an own write is not kept", model([], { reads: 1, writes: 1 }));
guard("coherence-older-flight-joined", "a reader does not join a flight from before an invalidation", model([b], { reads: 2, writes: 1 }));
guard("coherence-overtaken-exclusive-kept", "a grant that a downgrade overtook is kept as shared", model([a], { reads: 1, writes: 1 }));
guard(
  "coherence-abandoned-write-forgotten",
  "M5: a write whose caller has gone is not forgotten while the home may still do it behind a copy of its writer's",
  model([a], { reads: 1, writes: 1, abandons: 1, overtakings: 1 }),
);
guard("coherence-older-write-kept", "of several own writes only the newest leaves a copy", model([a], { writes: 1, deletes: 1 }));
guard("coherence-overtaken-write-kept", "M5: a written copy that an invalidation overtook is not kept", model([a, b], { writes: 2 }));
guard("coherence-write-sent-once", "a write that was lost is sent again", model([a], { writes: 1, drops: 1 }));
guard("coherence-flush-keeps-copies", "M4: nothing of a former home is kept", model([a], { writes: 1, depositions: 1, overtakings: 0 }));

guard("coherence-suspend-unnoticed", "a lease is over as soon as either clock says so", () => {
  const holder = Script.warm([a]).world.holders[a];
  if (holder === undefined) throw new Error("no holder");
  expect(isLeased(holder, 1, 1)).toBe(true);
  expect(peek(holder, line, 1, 5000)).toBeUndefined();
});

guard("coherence-lapse-survived", "M2: a lapse is the end of a life, and everything is I", () => {
  const holder = Script.warm([a]).world.holders[a];
  if (holder === undefined) throw new Error("no holder");
  stepHolder(holder, { type: "tick", now: { steady: 2, wall: 2 } });
  expect([holder.incarnation, holder.lines.size]).toEqual([2, 0]);
});

guard("coherence-lease-from-its-answer", "M2: a lease counts from when it was asked for", () => {
  const s = Script.cold();
  s.world.read(a);
  s.arrives("renew", a).commits().passes(1).arrives("renewed", a).quiet();
  s.world.read(a);
  s.quiet();
  expect(s.copy(a)).toBe(0);
  s.passes(1);
  expect(s.copy(a)).toBeNull();
});

guard("coherence-renewed-before-invalidation", "M2: a renewal does not count before what was withdrawn before it", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).passes(1).looks(b).arrives("renew", b).arrives("renewed", b).passes(1).homeLooks().commits();
});

guard("coherence-gap-unnoticed", "M2: a missing withdrawal is the end of a life", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).isLost("inv", b);
  withdrawal(s, b, 2, 1, 1);
  s.arrives("inv", b);
  if (s.isWaiting("inv-ack", b)) s.arrives("inv-ack", b);
  if (s.isProposed()) s.commits();
  expect(s.world.holders[b]?.incarnation).toBe(2);
});

guard("coherence-unleased-fill-used", "a fill without a lease answers nobody", () => {
  const s = Script.cold();
  s.world.read(a);
  s.arrives("renew", a).commits().isLost("renewed", a).arrives("fetch", a);
  const write = s.world.write(b);
  s.arrives("write", b).isLost("inv", a).passes(2).homeLooks().commits().arrives("done", b);
  expect(s.answers.get(write)).toBe(1);
  s.world.read(a);
  s.arrives("data", a).ends();
});

guard("coherence-unkept-fill-shared", "what a quorum confirmed is for those who asked before", () => {
  const s = Script.cold();
  s.world.read(a);
  s.arrives("fetch", a);
  s.world.write(b);
  s.arrives("write", b).commits().arrives("done", b);
  s.world.read(a);
  s.arrives("data", a).ends();
});

guard("coherence-former-home-believed", "M4: what a former home withdraws is not counted", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a);
  const late = s.world.letters.filter(({ message }) => message.type === "inv");
  s.world.elect(1, 0);
  staleByDoubledNumber(s, late);
});

guard("coherence-former-session-believed", "M2: what was sent to a former life is not counted", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a);
  const late = s.world.letters.filter(({ message }) => message.type === "inv");
  s.world.crashHolder(b);
  // Its first word tells that a new life has begun: nobody waits for the former, and nobody is barred.
  s.world.read(b);
  staleByDoubledNumber(s, late);
});

/** `b` has a copy again when `late` comes. Were it counted, the next withdrawal would pass for one that is known. */
function staleByDoubledNumber(s: Script, late: readonly Letter[]): void {
  s.world.letters = s.world.letters.filter((letter) => !late.includes(letter));
  s.ends().quiet();
  for (let turn = 0; turn < 2; turn++) {
    s.world.read(b);
    s.quiet();
  }
  expect(s.copy(b)).toBe(1);
  s.world.letters = [...late];
  s.quiet();
  s.world.read(b);
  s.quiet();
  s.world.write(a);
  s.ends();
}

function withdrawal(s: Script, holder: number, sequence: number, term: number, incarnation: number): void {
  const scope = { type: "line", line: lineName("ns", "other") } as const;
  const message = { type: "inv", term, incarnation, sequence, scope } as const;
  s.world.letters = [...s.world.letters, { toHome: false, holder, term, message }];
}

// ── The directory ──

guard("coherence-write-before-acknowledgements", "M3: a write waits for everybody else", model([a, b], { writes: 1 }));
guard(
  "coherence-silent-holder-not-waited-for",
  "M3: who is silent is waited for as long as it may read",
  model([a, b], {
    writes: 1,
    ticks: 1,
    overtakings: 0,
  }),
);
guard("coherence-granted-beside-a-write", "nothing is granted while a write is under way", model([a], { reads: 1, writes: 1 }));
guard("coherence-exclusive-not-withdrawn", "the only copy is told when there is another", model([a], { reads: 1, writes: 1 }));
guard("coherence-exclusive-beside-others", "nobody is told to be the only one who is not", model([a], { reads: 1 }));
guard(
  "coherence-exclusive-while-recovering",
  "M4: a new home does not know who is the only one",
  model([a, b], {
    reads: 1,
    depositions: 1,
    overtakings: 0,
  }),
);
guard("coherence-evicts-any-copy", "giving up an earlier copy does not touch a later one", model([a], { reads: 1, evictions: 1 }));
guard("coherence-scope-ignored-by-lines", "M8: no line is filled while its namespace is cleared", model([a], { reads: 1, clears: 1 }));

guard("coherence-entry-forgotten", "a line leaves the directory when its copies are withdrawn", () => {
  const s = Script.warm([a, b], 3, { directoryLines: 1 });
  s.world.reads.set(900, 0);
  s.world.holder(c, { type: "read", line: lineName("ns", "other"), mode: { type: "write-through" }, waiter: 900, now: s.world.moment });
  s.arrives("fetch", c).quiet();
});

guard("coherence-late-acknowledgement-counts", "an acknowledgement of an earlier withdrawal settles nothing", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.quiet();
  s.world.read(b);
  s.quiet();
  s.world.write(a);
  s.arrives("write", a);
  acknowledgement(s, b, 1, 1, 1);
  s.arrives("inv-ack", b);
  if (s.isProposed()) s.commits();
  s.ends();
});

guard("coherence-former-life-acknowledges", "an acknowledgement of a former life settles nothing", () => {
  const s = Script.warm([a, b]);
  s.world.crashHolder(b);
  for (let turn = 0; turn < 2; turn++) {
    s.world.read(b);
    s.quiet();
  }
  s.world.write(a);
  s.arrives("write", a);
  acknowledgement(s, b, 1, 1, 1);
  s.arrives("inv-ack", b);
  if (s.isProposed()) s.commits();
  s.ends();
});

guard("coherence-former-term-heard", "an acknowledgement of a former term settles nothing", () => {
  const s = Script.warm([a, b]);
  s.world.elect(0, 0);
  s.quiet();
  for (const reader of [a, b, b]) {
    s.world.read(reader);
    s.quiet();
  }
  s.world.write(a);
  s.arrives("write", a);
  acknowledgement(s, b, 1, 1, 1);
  s.arrives("inv-ack", b);
  if (s.isProposed()) s.commits();
  s.ends();
});

function acknowledgement(s: Script, holder: number, sequence: number, term: number, incarnation: number): void {
  s.world.letters = [...s.world.letters, { toHome: true, holder, term, message: { type: "inv-ack", term, incarnation, sequence } }];
}

// ── Leases ──

guard("coherence-lease-before-registration", "M1: a later home knows of every lease", () => {
  const s = Script.cold();
  s.world.read(a);
  s.arrives("renew", a);
  if (s.isWaiting("renewed", a)) s.arrives("renewed", a);
  s.arrives("fetch", a).arrives("data", a);
  s.world.elect(1, 0);
  s.homeLooks();
});

guard("coherence-lease-without-round", "L1: a deposed home gives nobody more time", () => {
  const s = Script.warm([a]);
  s.world.elect(1, 0);
  s.passes(1).looks(a).arrives("renew", a);
  expect(s.isWaiting("renewed", a)).toBe(false);
});

guard(
  "coherence-new-home-writes-at-once",
  "M4: a new home waits for leases of the former",
  model([a, b], {
    writes: 1,
    depositions: 1,
    overtakings: 0,
  }),
);

guard("coherence-new-life-waited-for", "who begins anew is not waited for", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a);
  s.world.crashHolder(b);
  s.world.read(b);
  s.arrives("renew", b);
  expect(s.isProposed()).toBe(true);
});

guard("coherence-suspect-prolonged", "M6: whom somebody had to wait for gets no more time", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).passes(1).looks(b).arrives("renew", b).arrives("renewed", b);
  s.world.letters = s.world.letters.filter(({ message }) => message.type !== "inv");
  // Its lease as of the invalidation is over; the home has prolonged it since, which counts for nothing at the holder.
  s.passes(1).homeLooks();
  const renew = { type: "renew", term: 1, incarnation: 1, request: 9, processed: 0 } as const;
  s.world.letters = [{ toHome: true, holder: b, term: 1, message: renew }];
  s.arrives("renew", b);
  expect(s.isWaiting("refused", b)).toBe(true);
});

guard("coherence-lapsed-holder-not-barred", "M6: who was waited for is barred for a while", () => {
  const s = Script.warm([a, b]);
  s.world.write(a);
  s.arrives("write", a).isLost("inv", b).passes(2).homeLooks().commits();
  s.world.read(b);
  s.arrives("renew", b).arrives("refused", b);
  expect(s.world.holders[b]?.askAgainAt).toBeGreaterThan(s.world.now);
});

guard("coherence-ended-session-reopened", "a session that is over is not opened again under its name", () => {
  const s = Script.cold();
  s.world.read(a);
  s.arrives("renew", a).commits().isLost("renewed", a).arrives("fetch", a).isLost("data", a);
  s.world.write(b);
  s.arrives("write", b).arrives("inv", a).arrives("inv-ack", a).commits().arrives("done", b);
  s.passes(3).homeLooks();
  // It has counted a withdrawal of the session that is over.
  for (let turn = 0; turn < 3; turn++) {
    s.looks(a).quiet();
    s.world.read(a);
    s.quiet();
  }
  s.world.write(b);
  s.ends();
});

guard("coherence-no-clock-margin", "M3: a holder's clock may run slower than the home's by ρ", () => {
  const home = newHome();
  const message = { type: "renew", term: 1, incarnation: 1, request: 1, processed: 0 } as const;
  stepHome(home, { type: "elected", term: 1, electedAt: 0, registered: [["h", 1]], barred: true, now: 0 });
  const [asked] = stepHome(home, { type: "message", from: "h", message, now: 0 });
  if (asked?.type !== "confirm") throw new Error("no round is asked for");
  stepHome(home, { type: "confirmed", round: asked.round, now: 0 });
  const fetch = { type: "fetch", term: 1, incarnation: 1, line, txn: 1, confirmed: false } as const;
  stepHome(home, { type: "message", from: "h", message: fetch, now: 0 });
  stepHome(home, { type: "value", line, record: nothingRecorded, due: null, now: 0 });
  stepHome(home, { type: "write", line, id: 1, command: new Uint8Array([1]), now: 0 });
  const { clockRateError, leaseMs } = defaultCoherenceTiming;
  expect(stepHome(home, { type: "tick", now: leaseMs })).toEqual([]);
  expect(stepHome(home, { type: "tick", now: leaseMs * (1 + clockRateError) })).toMatchObject([{ type: "propose" }]);
});

// ── Handing over ──

const handOver: Budget = { reads: 1, closings: 1, depositions: 1, overtakings: 0 };
guard("coherence-grants-while-closing", "M4: nobody gets a copy while leadership is handed over", model([a], handOver));
guard("coherence-barrier-unflushed", "M4: the barrier is logged when nobody has a copy", model([a], handOver));

guard(
  "coherence-close-stays-called-off",
  "M4: a hand-over that begins behind the barrier of one that was called off comes to its end",
  () => {
    const home = newHome();
    stepHome(home, { type: "elected", term: 1, electedAt: 0, registered: [], barred: true, now: 0 });
    const [barrier] = stepHome(home, { type: "close", now: 0 });
    if (barrier?.type !== "propose") throw new Error("no barrier is proposed");
    for (const type of ["resume", "close"] as const) stepHome(home, { type, now: 0 });
    const { proposal } = barrier;
    expect(stepHome(home, { type: "applied", proposal, outcome: null, record: null, now: 0 })).toEqual([{ type: "closed" }]);
  },
);

guard("coherence-resumed-twice", "M4: what called the former hand-over off does not open a home behind the next one's barrier", () => {
  const home = newHome();
  const proposed = (event: Parameters<typeof stepHome>[1]): readonly number[] =>
    stepHome(home, event).flatMap((effect) => (effect.type === "propose" ? [effect.proposal] : []));
  const applied = (proposal: number): readonly number[] => proposed({ type: "applied", proposal, outcome: null, record: null, now: 0 });
  stepHome(home, { type: "elected", term: 1, electedAt: 0, registered: [], barred: true, now: 0 });
  for (const proposal of proposed({ type: "close", now: 0 })) applied(proposal);
  // Called off; the next one is handed over at once, and called off as well.
  const resumes = [...proposed({ type: "resume", now: 0 }), ...proposed({ type: "resume", now: 0 })];
  applied(resumes[0] ?? 0);
  expect(proposed({ type: "close", now: 0 })).toHaveLength(1);
  for (const late of resumes.slice(1)) applied(late);
  expect(home.phase).toBe("closing");
});

guard("coherence-barrier-of-another-term", "M4: a barrier holds for the term that follows it alone", () => {
  expect(barrierHolds({ barrier: true, term: 3 }, 3)).toBe(true);
  expect(barrierHolds({ barrier: true, term: 3 }, 4)).toBe(false);
  expect(barrierHolds({ barrier: false, term: 3 }, 3)).toBe(false);
  expect(barrierHolds(null, 0)).toBe(false);
});
