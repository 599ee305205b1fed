import { expect } from "vitest";
import { newHolder } from "../../src/coherence/holder-state.ts";
import { stepHolder } from "../../src/coherence/holder.ts";
import { type HomeEffect, newHome } from "../../src/coherence/home-state.ts";
import { stepHome } from "../../src/coherence/home.ts";
import { nothingRecorded } from "../../src/coherence/messages.ts";
import { peek } from "../../src/coherence/reading.ts";
import { defaultCoherenceTiming, type Moment } from "../../src/coherence/timing.ts";
import { guard } from "../raft/guard.ts";
import { Script } from "./support/script.ts";
import { line } from "./support/world.ts";

const [a, b] = [0, 1] as const;
const at = (ms: number): Moment => ({ steady: ms, wall: ms });

guard("coherence-copy-outlives-its-time", "a copy of the mode ttl is read no longer than it may be stale, by either clock", () => {
  const holder = newHolder("h", 1);
  stepHolder(holder, { type: "home", term: 1, now: at(0) });
  stepHolder(holder, { type: "read", line, mode: { type: "ttl", staleMs: 100 }, waiter: 1, now: at(0) });
  const record = { ...nothingRecorded, version: 4 };
  const data = { type: "data", term: 1, incarnation: 1, line, txn: 1, grant: "none", record, sequence: 0 } as const;
  stepHolder(holder, { type: "message", message: data, now: at(60) });
  expect(peek(holder, line, 99, 99)?.version).toBe(4);
  expect([peek(holder, line, 100, 99), peek(holder, line, 99, 100)]).toEqual([undefined, undefined]);
});

guard(
  "coherence-bar-not-doubled",
  "M6: who lapses again soon is barred twice as long, up to a bound, and is forgiven after a while",
  () => {
    const s = Script.warm([a, b]);
    /** `b` is silent while a write waits for it; how long it is told to stay away then. */
    const barredFor = (): number => {
      s.world.write(a);
      s.arrives("write", a);
      s.world.letters = s.world.letters.filter(({ message }) => message.type !== "inv");
      s.passes(2).homeLooks().quiet();
      s.looks(b);
      s.world.read(b);
      s.quiet();
      return (s.world.holders[b]?.askAgainAt ?? 0) - s.world.now;
    };
    const returns = (): void => {
      for (let turn = 0; turn < 2; turn++) {
        s.looks(b);
        s.looks(a);
        s.homeLooks();
        for (const reader of [a, b]) s.world.read(reader);
        s.quiet();
      }
      expect(s.copy(b)).not.toBeNull();
    };
    const bars: number[] = [];
    for (const waits of [4, 8, 8]) {
      bars.push(barredFor());
      s.passes(waits);
      returns();
    }
    expect(bars).toEqual([4, 8, 8]);
    s.passes(8).homeLooks();
    returns();
    expect(barredFor()).toBe(4);
  },
);

guard("coherence-leaver-leased", "M1: who is being taken out of the register gets no lease until that is decided", () => {
  const { forgetAfterMs, leaseMs } = defaultCoherenceTiming;
  const home = newHome();
  stepHome(home, { type: "elected", term: 1, electedAt: 0, registered: [["h", 1]], barred: true, now: 0 });
  const asks = (request: number, now: number): readonly HomeEffect[] =>
    stepHome(home, { type: "message", from: "h", message: { type: "renew", term: 1, incarnation: 1, request, processed: 0 }, now });
  // It asks just before it is forgotten; the quorum's word comes after that.
  const [asked] = asks(1, forgetAfterMs - 1);
  if (asked?.type !== "confirm") throw new Error("no round is asked for");
  const [forgets] = stepHome(home, { type: "tick", now: forgetAfterMs });
  expect(forgets).toMatchObject({ type: "propose", what: { type: "forget-holder", holder: "h" } });
  expect(stepHome(home, { type: "confirmed", round: asked.round, now: forgetAfterMs })).toEqual([]);
  expect(asks(2, forgetAfterMs)).toMatchObject([{ type: "send", message: { type: "refused", reason: "full", retryMs: leaseMs } }]);
  if (forgets?.type !== "propose") throw new Error("nothing is proposed");
  stepHome(home, { type: "applied", proposal: forgets.proposal, outcome: null, record: null, now: forgetAfterMs });
  expect(home.sessions.size).toBe(0);
  // Then it registers again.
  expect(asks(3, forgetAfterMs)).toMatchObject([{ type: "propose", what: { type: "register-holder", holder: "h" } }]);
});
