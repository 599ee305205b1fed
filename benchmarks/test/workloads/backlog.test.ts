import { describe, expect, it } from "vitest";
import type { RunningNode, RunningSubject, Vitals } from "../../src/subjects/subject.ts";
import { waitFor } from "../../src/waiting.ts";
import { leastStored, NodeWatch } from "../../src/workloads/node-watch.ts";
import { duration, Pace } from "../../src/workloads/pace.ts";
import { Periodic } from "../../src/workloads/periodic.ts";
import { VitalsTally } from "../../src/workloads/vitals-tally.ts";

describe("the pace of a long step", () => {
  it("is that of its last minute, and says how long the rest takes", () => {
    const pace = new Pace(1_000_000, 1000);
    expect([pace.perSecond, pace.leftMs]).toEqual([null, null]);
    pace.saw(21_000, 400_000);
    expect([pace.perSecond, pace.leftMs]).toEqual([20_000, 30_000]);
    for (const at of [41, 61, 81, 101, 121]) pace.saw(at * 1000, 400_000 + (at - 21) * 1000);
    expect(pace.perSecond).toBe(1000);
    expect(pace.words("filled")).toBe("filled 500 000 of 1 000 000 (50 %), 1 000 messages/s, about 8 min left");
  });

  it("does not guess while nothing moves", () => {
    const pace = new Pace(10, 0);
    for (const at of [0, 30_000, 60_000, 90_000]) pace.saw(at, 5);
    expect(pace.leftMs).toBeNull();
    expect(pace.words("drained")).toBe("drained 5 of 10 (50 %), 0 messages/s, nothing moves");
    expect([0, 89_000, 90_000, 3_570_000, 3_599_000, 7_500_000].map(duration)).toEqual([
      "0 s",
      "89 s",
      "2 min",
      "1 h 00 min",
      "1 h 00 min",
      "2 h 05 min",
    ]);
  });
});

function vitals(changes: Partial<Vitals>): Vitals {
  return { leaderChanges: 0, heartbeatsMissed: 0, leaderless: 0, loopDelayMs: 0, ...changes };
}

describe("what nodes go through", () => {
  it("is counted from when every group has a leader, at all nodes", () => {
    const tally = new VitalsTally();
    expect(tally.ordeal).toEqual({ leaderChanges: null, heartbeatsMissed: null, longestLoopDelayMs: null, unanswered: 0 });
    tally.look(
      new Map([
        ["a", vitals({ leaderChanges: 1, loopDelayMs: 900 })],
        ["b", vitals({ leaderless: 1 })],
      ]),
    );
    tally.look(
      new Map([
        ["a", vitals({ leaderChanges: 4 })],
        ["b", null],
      ]),
    );
    expect(tally.ordeal).toMatchObject({ leaderChanges: null, unanswered: 1 });
    tally.look(
      new Map([
        ["a", vitals({ leaderChanges: 5, heartbeatsMissed: 2, loopDelayMs: 700 })],
        ["b", vitals({ leaderChanges: 2 })],
      ]),
    );
    expect(tally.ordeal).toEqual({ leaderChanges: 0, heartbeatsMissed: 0, longestLoopDelayMs: 0, unanswered: 1 });
    // A leader may be missing later: that is what is looked for.
    tally.look(
      new Map([
        ["a", vitals({ leaderChanges: 5, heartbeatsMissed: 3, loopDelayMs: 40 })],
        ["b", vitals({ leaderChanges: 4, leaderless: 2, loopDelayMs: 60 })],
      ]),
    );
    expect(tally.ordeal).toEqual({ leaderChanges: 2, heartbeatsMissed: 1, longestLoopDelayMs: 60, unanswered: 1 });
  });

  it("keeps what a node had said before it died", () => {
    const tally = new VitalsTally();
    tally.look(
      new Map([
        ["a", vitals({})],
        ["b", vitals({})],
      ]),
    );
    tally.look(
      new Map([
        ["a", vitals({ heartbeatsMissed: 3 })],
        ["b", vitals({})],
      ]),
    );
    tally.look(
      new Map([
        ["a", null],
        ["b", vitals({ leaderChanges: 1 })],
      ]),
    );
    expect(tally.ordeal).toMatchObject({ heartbeatsMissed: 3, leaderChanges: 1, unanswered: 1 });
  });
});

describe("something done again and again", () => {
  it("is never under way twice, and its end waits for it and tells what went wrong", async () => {
    let underWay = 0;
    let most = 0;
    let times = 0;
    const periodic = new Periodic(1, async () => {
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => setTimeout(resolve, 10));
      underWay--;
      if (++times === 3) throw new Error("the third");
    });
    await waitFor("four times", 5000, () => Promise.resolve(times >= 4 ? true : null), 1);
    await expect(periodic.stop()).rejects.toThrow("the third");
    expect([underWay, most]).toEqual([0, 1]);
  });
});

/** Of the watch's interest are only its nodes. */
function subjectOf(nodes: readonly RunningNode[]): RunningSubject {
  return {
    nodes,
    leadership: () => Promise.resolve(null),
    healthy: () => Promise.resolve(),
    participants: () => Promise.resolve([]),
    fsyncs: () => Promise.resolve(null),
    target: () => Promise.resolve({ kind: "trivet", urls: [] }),
    queueLeader: () => Promise.resolve(null),
    stop: () => Promise.resolve(),
  };
}

const node = (name: string, pid: number, more: Partial<RunningNode> = {}): RunningNode => {
  return { name, pid, kill: () => Promise.resolve(), restart: () => undefined, ...more };
};
/** Above what the kernel gives out. */
const nobody = 2 ** 22 + 1;

describe("the watch over the nodes", () => {
  it("sees who has died, and asks those who answer", async () => {
    let changes = 0;
    const talking = { vitals: () => Promise.resolve(vitals({ leaderChanges: changes++ })), storedBytes: () => 300 };
    const silent = { storedBytes: () => 200 };
    const running = subjectOf([node("a", process.pid, talking), node("b", nobody, silent)]);
    const watch = new NodeWatch(running);
    await watch.begin();
    const seen = await watch.finish();
    expect(seen).toMatchObject({ died: 1, ordeal: { leaderChanges: 1, unanswered: 0 } });
    expect(seen.memory.every((bytes) => bytes > 0)).toBe(true);
    expect(leastStored(running.nodes)).toBe(200);
    expect(leastStored([node("c", nobody)])).toBeNull();
  });

  it("counts a node that does not answer, and knows nothing of subjects that say nothing", async () => {
    const mute = new NodeWatch(subjectOf([node("a", process.pid, { vitals: () => Promise.reject(new Error("no answer")) })]));
    await mute.begin();
    expect((await mute.finish()).ordeal).toMatchObject({ leaderChanges: null, unanswered: 2 });
    const plain = new NodeWatch(subjectOf([node("a", process.pid)]));
    await plain.begin();
    expect((await plain.finish()).ordeal).toEqual({ leaderChanges: null, heartbeatsMissed: null, longestLoopDelayMs: null, unanswered: 0 });
  });
});
