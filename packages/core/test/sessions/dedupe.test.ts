import { Prng, describeSystem } from "@trivet/core";
import type { Command, Result } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { Bench, acquire, frameOf, release } from "../system/support.ts";

const open: Command = { type: "open-session", ttlMs: 1000, lockDelayMs: 0, principal: "p", label: "" };

/** Answers since the last look, by "caller/sequence". */
class Asker {
  readonly bench: Bench;
  constructor(bench: Bench) {
    this.bench = bench;
  }
  send(...frames: Uint8Array[]): Record<string, Result> {
    this.bench.answers.clear();
    this.bench.entry(...frames);
    return Object.fromEntries(this.bench.answers);
  }
}

const late = { type: "refused", reason: "past-deadline" };

describe("exactly once within the window (X1)", () => {
  test("a repeated frame is not executed again and gets the stored answers", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    const frame = frameOf("n", 1, [open, open], { notAfter: bench.now + 1000 });
    const first = asker.send(frame);
    expect(first).toEqual({
      "n/1": { type: "session-opened", session: 1, ttlMs: 1000 },
      "n/2": { type: "session-opened", session: 2, ttlMs: 1000 },
    });
    expect(asker.send(frame)).toEqual(first);
    expect(bench.state.sessionCount()).toBe(2);
  });

  test("a duplicate that comes after its deadline still gets the stored answer: it did take effect", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    const frame = frameOf("n", 1, [open], { notAfter: bench.now + 1000 });
    const first = asker.send(frame);
    bench.now += 5000;
    expect(asker.send(frame)).toEqual(first);
  });

  test("a command past its deadline is refused and leaves no trace", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    expect(asker.send(frameOf("n", 1, [open], { notAfter: bench.now - 1 }))).toEqual({ "n/1": late });
    expect(bench.state.sessionCount()).toBe(0);
    expect(bench.state.dedupe.size).toBe(0);
    expect(bench.state.lookup("n", 1)).toBe("unknown");
    asker.send(frameOf("n", 1, [open], { notAfter: bench.now }));
    expect(asker.send(frameOf("n", 2, [open], { notAfter: bench.now - 1 }))).toEqual({ "n/2": late });
  });

  test("records drop ten minutes after the latest deadline, and a later duplicate is refused, never executed again", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    const notAfter = bench.now + 1000;
    const frame = frameOf("n", 1, [open], { notAfter });
    const first = asker.send(frame);
    bench.now = notAfter + 600_000;
    expect(asker.send(frame)).toEqual(first);
    bench.now = notAfter + 600_000 + 8192;
    expect(asker.send(frame)).toEqual({ "n/1": late });
    expect(bench.state.dedupe.size).toBe(0);
    expect(bench.state.lookup("n", 1)).toBe("unknown");
    expect(bench.state.sessionCount()).toBe(1);
  });

  test("a later deadline keeps the record longer", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    const frame = frameOf("n", 1, [open], { notAfter: bench.now });
    const first = asker.send(frame);
    asker.send(frameOf("n", 2, [{ type: "nothing" }], { notAfter: bench.now + 60_000 }));
    bench.now += 620_000;
    expect(asker.send(frame)).toEqual(first);
  });

  test("a sequence at or below acknowledged-up-to is refused and its answer forgotten", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    const notAfter = bench.now + 1000;
    const old = frameOf("n", 1, [open], { notAfter });
    asker.send(old);
    asker.send(frameOf("n", 2, [{ type: "nothing" }], { notAfter, ackedUpTo: 1 }));
    const refused = { type: "refused", reason: "already-acknowledged" };
    expect(asker.send(old)).toEqual({ "n/1": refused });
    expect(bench.state.lookup("n", 1)).toEqual(refused);
    expect(bench.state.sessionCount()).toBe(1);
  });

  test("at most 1024 open: a sequence beyond the window is refused, and accepted once it has moved", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    const notAfter = bench.now + 1000;
    const at = (sequence: number, ackedUpTo: number): Result | undefined =>
      asker.send(frameOf("n", sequence, [{ type: "nothing" }], { notAfter, ackedUpTo }))[`n/${sequence}`];
    expect(at(1024, 0)).toEqual({ type: "done" });
    expect(at(1025, 0)).toEqual({ type: "refused", reason: "window-full" });
    expect(at(1025, 1)).toEqual({ type: "done" });
    expect(at(1024, 1)).toEqual({ type: "done" });
  });

  test("the same key with another body is refused", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    const notAfter = bench.now + 1000;
    asker.send(frameOf("n", 1, [open], { notAfter, fingerprint: "one" }));
    const other = { type: "refused", reason: "other-body" };
    expect(asker.send(frameOf("n", 1, [open], { notAfter, fingerprint: "two" }))).toEqual({ "n/1": other });
    expect(asker.send(frameOf("n", 2, [open], { notAfter }))).toEqual({ "n/2": other });
    expect(bench.state.sessionCount()).toBe(1);
  });

  test("the number of callers is bounded, and those who are known go on", () => {
    const bench = new Bench({ callers: 2 });
    const asker = new Asker(bench);
    const notAfter = bench.now + 1000;
    const ask = (caller: string, sequence: number): Result | undefined =>
      asker.send(frameOf(caller, sequence, [{ type: "nothing" }], { notAfter }))[`${caller}/${sequence}`];
    expect(ask("a", 1)).toEqual({ type: "done" });
    expect(ask("b", 1)).toEqual({ type: "done" });
    expect(ask("d", 1)).toEqual({ type: "refused", reason: "too-many-callers" });
    expect(ask("a", 2)).toEqual({ type: "done" });
  });

  test("a deadline that lies absurdly far ahead is malformed: it would pin memory", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    asker.send(frameOf("m", 1, [{ type: "nothing" }], { notAfter: bench.now }));
    const answer = asker.send(frameOf("n", 1, [open], { notAfter: bench.now + 90_000_000 }));
    expect(answer["n/1"]?.type).toBe("malformed");
    expect(bench.state.sessionCount()).toBe(0);
  });

  test("a queued acquire is pending; its duplicates answer nothing, and its record is filled when it is granted", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    const session = bench.open();
    const fence = bench.take("x", "exclusive", { session, owner: "a" });
    const frame = frameOf("n", 1, [acquire("x", "exclusive", { session, owner: "b" }, { waitMs: 1000 })], { notAfter: bench.now + 1000 });
    expect(asker.send(frame)).toEqual({});
    expect(asker.send(frame)).toEqual({});
    expect(bench.waiters("x")).toEqual(["b"]);
    expect(bench.state.lookup("n", 1)).toBe("pending");
    const granted = { type: "granted", fence: fence + 1, owner: "b", mode: "exclusive", depth: 1, more: [] };
    const released = asker.send(frameOf("m", 1, [release("x", fence, { session, owner: "a" })], { notAfter: bench.now + 1000 }));
    expect(released["n/1"]).toEqual(granted);
    expect(bench.state.lookup("n", 1)).toEqual(granted);
    expect(asker.send(frame)).toEqual({ "n/1": granted });
    expect(bench.holders("x")).toEqual(["b"]);
  });

  test("a leader's own frames have no caller: nothing is remembered and nothing answered", () => {
    const bench = new Bench();
    const asker = new Asker(bench);
    expect(asker.send(frameOf("", 1, [open], { notAfter: 0 }))).toEqual({});
    expect(asker.send(frameOf("", 1, [open], { notAfter: 0 }))).toEqual({});
    expect(bench.state.sessionCount()).toBe(2);
    expect(bench.state.dedupe.size).toBe(0);
  });

  test("memory of ended callers comes back in bounded steps, and their names may be used again at once", () => {
    const bench = new Bench();
    bench.checked = false;
    const notAfter = bench.now;
    for (let i = 0; i < 2000; i++) bench.entry(frameOf(`n${i}`, 1, [{ type: "nothing" }], { notAfter }));
    bench.now += 700_000;
    bench.answers.clear();
    bench.entry(frameOf("n1999", 1, [open], { notAfter: bench.now }));
    expect(bench.answers.get("n1999/1")?.type).toBe("session-opened");
    expect(bench.state.dedupe.size).toBe(1);
    const physical = (): number => bench.state.dedupe.shards.reduce((sum, shard) => sum + shard.size, 0);
    expect(physical()).toBeGreaterThan(1000);
    for (let i = 0; i < 10; i++) bench.entry();
    expect(physical()).toBe(1);
    expect(bench.state.lookup("n1999", 1)).toMatchObject({ type: "session-opened" });
  });

  test("whatever is repeated, in whatever order, each command takes effect once and is always answered alike", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new Prng(seed);
      const bench = new Bench();
      const asker = new Asker(bench);
      const answers = new Map<string, Result>();
      const frames: Uint8Array[] = [];
      const next = [1, 1, 1];
      let sent = 0;
      for (let i = 0; i < 200; i++) {
        bench.now += random.below(50);
        if (frames.length === 0 || random.chance(0.5)) {
          const caller = random.below(3);
          const count = random.between(1, 4);
          const first = next[caller] ?? 1;
          next[caller] = first + count;
          sent += count;
          frames.push(
            frameOf(
              `n${caller}`,
              first,
              Array.from({ length: count }, () => open),
              { notAfter: bench.now + 10_000 },
            ),
          );
        }
        // Three times out of four the newest, which may be new; else any older one again.
        const frame = random.chance(0.75) ? (frames.at(-1) as Uint8Array) : random.pick(frames);
        for (const [key, answer] of Object.entries(asker.send(frame))) {
          expect(answers.get(key) ?? answer).toEqual(answer);
          answers.set(key, answer);
        }
      }
      for (const frame of frames) for (const [key, answer] of Object.entries(asker.send(frame))) answers.set(key, answer);
      expect(answers.size).toBe(sent);
      expect(bench.state.sessionCount()).toBe(sent);
    }
  });

  test("equal states have equal hashes whatever their history", () => {
    const one = new Bench();
    const two = new Bench();
    const notAfter = one.now + 1000;
    one.entry(frameOf("n", 1, [open, { type: "nothing" }], { notAfter }));
    two.entry(frameOf("n", 1, [open], { notAfter: notAfter - 500 }));
    expect(two.state.stateHash()).not.toBe(one.state.stateHash());
    two.entry(frameOf("n", 2, [{ type: "nothing" }], { notAfter }));
    expect(describeSystem(two.state)).toEqual(describeSystem(one.state));
    expect(two.state.stateHash()).toBe(one.state.stateHash());
  });
});
