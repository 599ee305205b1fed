import { CallerLanes, CodecError, type Command, FrameCursor, type LaneFrame, checkFrame } from "@trivet/wire";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hex } from "./arbitraries.ts";

interface Context {
  readonly id: number;
  delivered: number;
  givenUp: boolean;
}
const window = 8;

function place(lanes: CallerLanes<Context>, command: Parameters<typeof lanes.submit>[0]): void {
  lanes.submit(command, 1, 1, { id: 0, delivered: 0, givenUp: false });
}

/** A command that carries its own number, so that the far end can tell commands apart; `wait` sends it to the patient lane. */
function numbered(id: number, wait: boolean): Command {
  if (!wait) return { type: "close-session", session: id };
  const actor = { session: id, principal: "", owner: "" };
  const keys = [{ name: "a", mode: "exclusive", of: 0 }] as const;
  return { type: "acquire", actor, keys, ttlMs: 0, waitMs: 10, reentrant: false, anonymous: false };
}
function numberOf(command: Command): number {
  if (command.type === "close-session") return command.session;
  if (command.type === "acquire") return command.actor.session;
  throw new Error(`unexpected ${command.type}`);
}

function countingCallers(): () => string {
  let count = 0;
  return () => `caller-${count++}`;
}

/** The lanes under test, and a far end that remembers everything it ever saw. */
class Trial {
  readonly lanes = new CallerLanes<Context>({ newCaller: countingCallers(), window, maxLanes: 4 });
  readonly contexts: Context[] = [];
  readonly frames: { readonly frame: LaneFrame; readonly hex: string; readonly notAfter: number }[] = [];
  /** What each (caller, sequence) was seen to be, for ever. */
  private readonly seen = new Map<string, number>();
  private readonly settled = new Map<string, "answered" | "given-up">();
  now = 0;

  submit(wait: boolean, timeout: number): void {
    const context = { id: this.contexts.length, delivered: 0, givenUp: false };
    const open = this.lanes.openCount;
    const sequence = this.lanes.submit(numbered(context.id, wait), 1000 + this.now + timeout, this.now + timeout, context);
    expect(this.lanes.openCount).toBe(sequence === 0 ? open : open + 1);
    if (sequence === 0) return;
    this.contexts.push(context);
    expect(this.lanes.isOpen(this.lanes.caller, sequence)).toBe(true);
    const key = `${this.lanes.caller}/${sequence}`;
    expect(this.seen.has(key), `${key} was used before`).toBe(false);
    this.seen.set(key, context.id);
  }

  collect(): void {
    this.lanes.collect((frame) => {
      const header = checkFrame(frame.bytes);
      expect(header).toMatchObject({
        caller: frame.caller,
        firstSequence: frame.firstSequence,
        count: frame.count,
        notAfter: frame.notAfter,
      });
      for (let sequence = 1; sequence <= header.ackedUpTo; sequence++) {
        expect(this.settled.get(`${frame.caller}/${sequence}`), "acknowledged, therefore answered").toBe("answered");
      }
      expect(frame.firstSequence + frame.count - 1 - header.ackedUpTo).toBeLessThanOrEqual(window);
      this.frames.push({ frame, hex: hex(frame.bytes), notAfter: frame.notAfter });
    });
    expect(this.lanes.hasPending).toBe(false);
  }

  /** The far end reads frame `at` and answers all of it, or the part that `which` picks; `delayed` gives the answers twice. */
  answer(at: number, which: number, twice: boolean): void {
    const sent = this.frames[at % Math.max(1, this.frames.length)];
    if (sent === undefined) return;
    expect(hex(sent.frame.bytes), "a retry is the same bytes").toBe(sent.hex);
    const cursor = new FrameCursor();
    const { caller } = cursor.open(sent.frame.bytes);
    while (cursor.next()) {
      const id = numberOf(cursor.decode());
      expect(this.seen.get(`${caller}/${cursor.sequence}`), "one sequence is one command").toBe(id);
      if (which % 2 === 1 && (id + which) % 3 === 0) continue;
      for (let time = 0; time < (twice ? 2 : 1); time++) this.deliver(caller, cursor.sequence, id);
    }
  }

  private deliver(caller: string, sequence: number, id: number): void {
    const key = `${caller}/${sequence}`;
    const context = this.lanes.answer(caller, sequence);
    if (context === undefined) {
      expect(this.settled.has(key), "only what is settled is ignored").toBe(true);
      return;
    }
    expect(context.id).toBe(id);
    expect(this.settled.has(key)).toBe(false);
    context.delivered++;
    this.settled.set(key, "answered");
  }

  giveUp(elapsed: number): void {
    this.now += elapsed;
    for (const { context, sequence, frame } of this.lanes.due(this.now)) {
      // Some are postponed instead, for good: only an answer ends them.
      if (context.id % 3 === 0) {
        this.lanes.postpone(frame.caller, sequence, Number.POSITIVE_INFINITY);
        continue;
      }
      expect(this.lanes.giveUp(frame.caller, sequence)?.context).toBe(context);
      expect(context.delivered).toBe(0);
      expect(context.givenUp).toBe(false);
      context.givenUp = true;
      this.settled.set(`${frame.caller}/${sequence}`, "given-up");
    }
    expect(this.lanes.due(this.now)).toEqual([]);
  }

  check(): void {
    const open = this.contexts.filter((context) => context.delivered === 0 && !context.givenUp);
    expect(this.lanes.openCount).toBe(open.length);
    expect(this.contexts.every((context) => context.delivered + (context.givenUp ? 1 : 0) <= 1)).toBe(true);
    const unanswered = this.lanes.unansweredFrames();
    const expected = this.frames.filter(({ frame }) => this.settledCount(frame) < frame.count).map(({ frame }) => frame);
    expect(unanswered, "unanswered frames, in the order of their first sending").toEqual(expected);
    for (const frame of unanswered) expect(this.lanes.unansweredFrame(frame.caller, frame.firstSequence)).toBe(frame);
  }

  private settledCount(frame: LaneFrame): number {
    let count = 0;
    for (let i = 0; i < frame.count; i++) if (this.settled.has(`${frame.caller}/${frame.firstSequence + i}`)) count++;
    return count;
  }
}

type Step =
  | { readonly do: "submit"; readonly wait: boolean; readonly timeout: number }
  | { readonly do: "collect" }
  | { readonly do: "answer"; readonly at: number; readonly which: number; readonly twice: boolean }
  | { readonly do: "give-up"; readonly elapsed: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("submit"), wait: fc.boolean(), timeout: fc.integer({ min: 1, max: 100 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("collect") }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("answer"), at: fc.nat(50), which: fc.nat(20), twice: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("give-up"), elapsed: fc.nat(60) }) },
);

function run(trial: Trial, step: Step): void {
  switch (step.do) {
    case "submit":
      return trial.submit(step.wait, step.timeout);
    case "collect":
      return trial.collect();
    case "answer":
      return trial.answer(step.at, step.which, step.twice);
    case "give-up":
      return trial.giveUp(step.elapsed);
  }
}

describe("exactly once, whatever is lost, repeated or late", () => {
  test("no sequence is used twice, no window is passed, retries are the same bytes, contexts come back once", () => {
    let rotations = 0;
    let full = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 150 }), (steps) => {
        const trial = new Trial();
        for (const step of steps) run(trial, step);
        trial.collect();
        trial.check();
        if (trial.lanes.laneCount > 2) rotations++;
        if (trial.lanes.laneCount === 4) full++;
        // In the end everything is answered, in any order: nothing may stay open.
        for (let at = trial.frames.length - 1; at >= 0; at--) trial.answer(at, 0, true);
        trial.check();
        expect(trial.lanes.openCount).toBe(0);
        expect(trial.lanes.unansweredFrames()).toEqual([]);
      }),
      { numRuns: 400 },
    );
    expect(rotations, "trials that rotated lanes").toBeGreaterThan(10);
    expect(full, "trials that used all lanes").toBeGreaterThan(0);
  });
});

function contextsOf(lanes: CallerLanes<Context>, count: number, wait = false): number[] {
  return Array.from({ length: count }, (_, id) => lanes.submit(numbered(id, wait), 1000, 1000, { id, delivered: 0, givenUp: false }));
}
function collected(lanes: CallerLanes<Context>): LaneFrame[] {
  const frames: LaneFrame[] = [];
  lanes.collect((frame) => frames.push(frame));
  return frames;
}

describe("lanes", () => {
  test("the commands of one turn are one frame", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers() });
    expect(contextsOf(lanes, 3)).toEqual([1, 2, 3]);
    const frames = collected(lanes);
    expect(frames).toHaveLength(1);
    expect(frames[0]).toMatchObject({ caller: "caller-0", firstSequence: 1, count: 3, open: 3 });
    expect(collected(lanes)).toEqual([]);
  });

  test("a full window parks the lane until its oldest command is answered", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers(), window: 4, maxLanes: 2 });
    expect(contextsOf(lanes, 10)).toEqual([1, 2, 3, 4, 1, 2, 3, 4, 0, 0]);
    expect(collected(lanes).map((frame) => frame.caller)).toEqual(["caller-0", "caller-1"]);
    // Answers behind the oldest one make no room.
    lanes.answer("caller-0", 2);
    expect(contextsOf(lanes, 1)).toEqual([0]);
    lanes.answer("caller-0", 1);
    expect(contextsOf(lanes, 3)).toEqual([5, 6, 0]);
    expect(lanes.caller).toBe("caller-0");
    const [frame] = collected(lanes);
    expect(frame && checkFrame(frame.bytes)).toMatchObject({ ackedUpTo: 2, firstSequence: 5, count: 2 });
  });

  test("commands that wait do not block those that do not", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers(), window: 4, maxLanes: 2 });
    contextsOf(lanes, 3, true);
    for (let round = 0; round < 20; round++) {
      const [sequence = 0] = contextsOf(lanes, 1);
      expect(sequence).toBe(round + 1);
      lanes.collect(() => {});
      expect(lanes.answer(lanes.caller, sequence)).toBeDefined();
    }
    expect(lanes.openCount).toBe(3);
    expect(lanes.laneCount).toBe(2);
  });

  test("frames of one turn go out in the order in which they were begun", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers(), window: 2 });
    const order = [true, false, true, true, false];
    order.forEach((wait, id) => lanes.submit(numbered(id, wait), 1, 1, { id, delivered: 0, givenUp: false }));
    const ids = collected(lanes).map((frame) => {
      const cursor = new FrameCursor();
      cursor.open(frame.bytes);
      const inFrame: number[] = [];
      while (cursor.next()) inFrame.push(numberOf(cursor.decode()));
      return inFrame;
    });
    expect(ids).toEqual([[0, 2], [1, 4], [3]]);
  });

  test("the deadline of a frame is the latest of its commands", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers() });
    for (const notAfter of [50, 70, 60]) lanes.submit({ type: "nothing" }, notAfter, notAfter, { id: 0, delivered: 0, givenUp: false });
    const [frame] = collected(lanes);
    expect(frame?.notAfter).toBe(70);
    expect(frame && checkFrame(frame.bytes).notAfter).toBe(70);
  });

  test("a command given up is never acknowledged and ends its lane", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers() });
    contextsOf(lanes, 3);
    lanes.collect(() => {});
    lanes.answer("caller-0", 1);
    expect(lanes.giveUp("caller-0", 2)).toMatchObject({ sequence: 2, context: { id: 1 } });
    expect(lanes.giveUp("caller-0", 2)).toBeUndefined();
    expect(lanes.answer("caller-0", 2)).toBeUndefined();
    expect(lanes.unansweredFrames()).toHaveLength(1);
    contextsOf(lanes, 1);
    expect(lanes.caller).toBe("caller-1");
    expect(lanes.laneCount).toBe(2);
    lanes.answer("caller-0", 3);
    expect(lanes.laneCount, "a finished lane is dropped").toBe(1);
    expect(lanes.unansweredFrames()).toEqual([]);
  });

  test("what was given up before it was sent is never sent", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers() });
    contextsOf(lanes, 2);
    expect(lanes.due(999)).toEqual([]);
    expect(lanes.due(1000).map((command) => command.context.id)).toEqual([0, 1]);
    expect(lanes.due(1000), "named again until they are dealt with").toHaveLength(2);
    expect(lanes.giveUpDue(1000).map((command) => command.sequence)).toEqual([1, 2]);
    expect(lanes.due(1000)).toEqual([]);
    expect(lanes.hasPending).toBe(true);
    expect(collected(lanes)).toEqual([]);
    contextsOf(lanes, 1);
    expect(collected(lanes)).toMatchObject([{ caller: "caller-1", firstSequence: 1 }]);
    expect(lanes.laneCount).toBe(1);
  });

  test("what comes after the frames were closed is not of those that are given up", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers() });
    contextsOf(lanes, 1);
    lanes.closeFrames();
    contextsOf(lanes, 1);
    lanes.giveUp("caller-0", 1);
    expect(collected(lanes)).toMatchObject([{ caller: "caller-0", firstSequence: 2, count: 1 }]);
  });

  test("a command that cannot be encoded takes no sequence", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers() });
    const context = { id: 0, delivered: 0, givenUp: false };
    expect(() => lanes.submit({ type: "forget-node", node: "\ud800" }, 1, 1, context)).toThrow(CodecError);
    expect(lanes.openCount).toBe(0);
    expect(lanes.hasPending).toBe(false);
    expect(lanes.submit({ type: "nothing" }, 1, 1, context)).toBe(1);
    expect(collected(lanes)[0]).toMatchObject({ count: 1 });
  });

  test("large commands are spread over frames", () => {
    const lanes = new CallerLanes<Context>({ newCaller: countingCallers(), targetFrameBytes: 1000 });
    const node = "n".repeat(250);
    for (let id = 0; id < 9; id++) lanes.submit({ type: "forget-node", node }, 1, 1, { id, delivered: 0, givenUp: false });
    expect(collected(lanes).map((frame) => [frame.firstSequence, frame.count])).toEqual([
      [1, 4],
      [5, 4],
      [9, 1],
    ]);
  });

  test("a caller id that is not fresh is a bug and is told", () => {
    const lanes = new CallerLanes<Context>({ newCaller: () => "same", window: 1 });
    contextsOf(lanes, 1);
    expect(() => contextsOf(lanes, 1)).toThrow(RangeError);
  });

  describe("that order produces", () => {
    const message = { key: "", body: new Uint8Array(), headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "" };
    const produce = { type: "produce", queue: 1, partition: 0, version: 1, messages: [message], ifFence: null } as const;

    test("have a lane of their own for them, whose frames are ordered", () => {
      const lanes = new CallerLanes<Context>({ newCaller: countingCallers(), ordersProduces: true });
      for (const command of [produce, { type: "nothing" }, produce] as const) place(lanes, command);
      expect(
        collected(lanes).map(({ caller, count, isOrdered, bytes }) => ({ caller, count, isOrdered, same: checkFrame(bytes).ordered })),
      ).toEqual([
        { caller: "caller-0", count: 2, isOrdered: true, same: true },
        { caller: "caller-1", count: 1, isOrdered: false, same: false },
      ]);
      const others = new CallerLanes<Context>({ newCaller: countingCallers() });
      for (const command of [produce, { type: "nothing" }] as const) place(others, command);
      expect(collected(others).map(({ count, isOrdered }) => [count, isOrdered])).toEqual([[2, false]]);
    });

    test("let what was taken back be no gap: the lane goes on, and what is behind it says so when it is sent again", () => {
      const lanes = new CallerLanes<Context>({ newCaller: countingCallers(), ordersProduces: true });
      const frames = [0, 1, 2].flatMap(() => {
        place(lanes, produce);
        return collected(lanes);
      });
      const acknowledged = (): readonly number[] =>
        frames.map((frame) => {
          lanes.refresh(frame);
          return checkFrame(frame.bytes).ackedUpTo;
        });
      expect(acknowledged()).toEqual([0, 0, 0]);
      expect(lanes.takeBack("caller-0", 2)).toMatchObject({ sequence: 2 });
      expect(lanes.takeBack("caller-0", 2)).toBeUndefined();
      expect(acknowledged()).toEqual([0, 0, 0]);
      lanes.answer("caller-0", 1);
      expect(acknowledged()).toEqual([0, 0, 2]);
      place(lanes, produce);
      expect(collected(lanes)).toMatchObject([{ caller: "caller-0", firstSequence: 4 }]);
    });

    test.each([
      ["before", [1, 2]],
      ["after", [2, 1]],
    ] as const)(
      "let what was taken back be no gap where one before it was given up, %s: the lane ends, and what it has goes on",
      (_, ends) => {
        const lanes = new CallerLanes<Context>({ newCaller: countingCallers(), ordersProduces: true });
        const frames = [1, 2, 3].flatMap(() => {
          place(lanes, produce);
          return collected(lanes);
        });
        for (const sequence of ends) {
          expect(checkFrame(frames[2]?.bytes ?? new Uint8Array()).ackedUpTo).toBe(0);
          if (sequence === 1) lanes.giveUp("caller-0", 1);
          else lanes.takeBack("caller-0", 2);
          for (const frame of frames) lanes.refresh(frame);
        }
        expect(frames.map(({ bytes }) => checkFrame(bytes).ackedUpTo)).toEqual([0, 0, 2]);
        place(lanes, produce);
        expect(collected(lanes)).toMatchObject([{ caller: "caller-1", firstSequence: 1 }]);
      },
    );

    test("never acknowledge what was given up and has nothing behind it that was taken back (X3)", () => {
      const lanes = new CallerLanes<Context>({ newCaller: countingCallers(), ordersProduces: true });
      const frames = [1, 2, 3].flatMap(() => {
        place(lanes, produce);
        return collected(lanes);
      });
      lanes.takeBack("caller-0", 1);
      lanes.giveUp("caller-0", 2);
      for (const frame of frames) lanes.refresh(frame);
      expect(frames.map(({ bytes }) => checkFrame(bytes).ackedUpTo)).toEqual([0, 1, 1]);
    });
  });
});
