import { expect, test } from "vitest";
import type { HomeEffect, HomeEvent, HomeState } from "../../src/coherence/home-state.ts";
import { newHome } from "../../src/coherence/home-state.ts";
import { stepHome } from "../../src/coherence/home.ts";
import { type HolderMessage, lineName, nothingRecorded } from "../../src/coherence/messages.ts";
import { workOf } from "./support/work.ts";

/**
 * A program sends what it likes, and a frame has room for tens of thousands of messages. What each of them costs the home must not grow with how many
 * there were before: twice as many may cost twice as much.
 */

type Said = HolderMessage extends infer M ? (M extends HolderMessage ? Omit<M, "term" | "incarnation"> : never) : never;

const outcome = { version: null, answer: new Uint8Array() };
const many = 400;

/** A home, a host that answers at once, and a program `p` with a lease. */
class Bench {
  readonly home: HomeState = newHome();
  /** Effects that nobody here acts upon, while `holds`. */
  readonly held: HomeEffect[] = [];
  holds = false;
  now = 0;

  constructor(opens = true) {
    this.step({ type: "elected", term: 1, electedAt: 0, registered: opens ? [] : [["other", 1]], barred: false, now: 0 });
    this.leases("p");
  }

  leases(holder: string): void {
    this.says({ type: "renew", request: 1, processed: 0 }, holder);
  }

  says(message: Said, holder = "p", incarnation = 1): void {
    this.step({ type: "message", from: holder, message: { ...message, term: 1, incarnation } as HolderMessage, now: this.now });
  }

  step(event: HomeEvent): void {
    for (const effect of stepHome(this.home, event)) {
      if (this.holds) this.held.push(effect);
      else this.answer(effect);
    }
  }

  private answer(effect: HomeEffect): void {
    const { now } = this;
    if (effect.type === "confirm") this.step({ type: "confirmed", round: effect.round, now });
    else if (effect.type === "read") this.step({ type: "value", line: effect.line, record: nothingRecorded, due: null, now });
    else if (effect.type === "propose") {
      const isWrite = effect.what.type === "write";
      const record = isWrite ? nothingRecorded : null;
      this.step({ type: "applied", proposal: effect.proposal, outcome: isWrite ? outcome : null, record, now });
    }
  }
}

const lineOf = (number: number, namespace = "1"): string => lineName(namespace, String(number));
const command = new Uint8Array([1]);

const floods: Readonly<Record<string, (count: number) => void>> = {
  "reads that a quorum is to confirm": (count) => {
    const bench = new Bench();
    bench.holds = true;
    for (let txn = 0; txn < count; txn++) bench.says({ type: "fetch", line: lineOf(txn), txn, confirmed: true });
  },
  "reads of one line while its store is read": (count) => {
    const bench = new Bench();
    bench.holds = true;
    for (let txn = 0; txn < count; txn++) bench.says({ type: "fetch", line: lineOf(0), txn, confirmed: false });
  },
  "writes of one line": (count) => {
    const bench = new Bench();
    bench.holds = true;
    for (let txn = 0; txn < count; txn++) bench.says({ type: "write", line: lineOf(0), txn, command, keep: true });
  },
  "leases under ever new names": (count) => {
    const bench = new Bench();
    bench.holds = true;
    for (let name = 0; name < count; name++) bench.leases(`q${name}`);
  },
  "renewals while withdrawals are not acknowledged": (count) => {
    const bench = withdrawn(count);
    for (let request = 2; request < count; request++) bench.says({ type: "renew", request, processed: 0 });
  },
  "acknowledgements one by one": (count) => {
    const bench = withdrawn(count);
    for (let sequence = 1; sequence <= count; sequence++) bench.says({ type: "inv-ack", sequence });
  },
  "an acknowledgement again and again": (count) => {
    const bench = withdrawn(count);
    for (let turn = 1; turn <= count; turn++) bench.says({ type: "inv-ack", sequence: 1 });
  },
  "messages while an invalidation of another namespace waits for a line of its own": (count) => {
    const bench = withdrawn(count);
    bench.leases("r");
    bench.says({ type: "fetch", line: lineOf(0, "2"), txn: 1, confirmed: false }, "r");
    bench.says({ type: "write", line: lineOf(0, "2"), txn: 7, command, keep: true }, "w");
    bench.step({ type: "invalidate", namespace: "2", tag: null, id: 1, command, now: 0 });
    for (let turn = 0; turn < count; turn++) bench.says({ type: "inv-ack", sequence: 0 });
  },
};

/** `p` has copies of so many lines, all of them are being written, and it acknowledges nothing. */
function withdrawn(count: number): Bench {
  const bench = new Bench();
  for (let txn = 0; txn < count; txn++) bench.says({ type: "fetch", line: lineOf(txn), txn, confirmed: false });
  bench.holds = true;
  for (let txn = 0; txn < count; txn++) bench.says({ type: "write", line: lineOf(txn), txn, command, keep: true }, "w");
  return bench;
}

test.each(Object.entries(floods))("%s cost the same each, however many there were", (_, flood) => {
  const once = workOf(() => flood(many));
  const twice = workOf(() => flood(2 * many));
  expect(twice).toBeLessThan(2.5 * once);
});

test("what a frame makes wait at one line is bounded, and what comes beyond it is sent again by its holder", () => {
  const bench = new Bench(false);
  const most = bench.home.limits.waitingPerLine;
  for (let txn = 0; txn < most + 10; txn++) bench.says({ type: "write", line: lineOf(0), txn, command, keep: true });
  expect(bench.home.entries.get(lineOf(0))?.queue.length).toBe(most);
  // Nothing is remembered of what was not taken.
  expect(bench.home.asked.size).toBe(most);
});

test("a renewal brings what is not acknowledged again, the next one at once does not, a later one does", () => {
  const bench = withdrawn(3);
  const again = (): number => {
    const before = bench.held.length;
    bench.says({ type: "renew", request: 2, processed: 0 });
    return bench.held.slice(before).filter((effect) => effect.type === "send" && effect.message.type === "inv").length;
  };
  expect([again(), again()]).toEqual([3, 0]);
  bench.now += bench.home.timing.renewEveryMs;
  expect(again()).toBe(3);
});

test("what is asked is forgotten when it is answered", () => {
  const bench = new Bench();
  bench.says({ type: "fetch", line: lineOf(0), txn: 1, confirmed: false });
  bench.says({ type: "write", line: lineOf(0), txn: 2, command, keep: true });
  bench.holds = true;
  bench.says({ type: "fetch", line: lineOf(1), txn: 3, confirmed: true });
  bench.says({ type: "fetch", line: lineOf(1), txn: 3, confirmed: true });
  const reads = bench.held.flatMap((effect) => (effect.type === "read-confirmed" ? [effect.read] : []));
  expect(reads.length).toBe(1);
  bench.step({ type: "confirmed-value", read: reads[0] ?? 0, record: nothingRecorded, now: 0 });
  expect(bench.home.asked.size).toBe(0);
});
