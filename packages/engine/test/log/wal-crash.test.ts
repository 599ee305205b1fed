import { Prng } from "@trivet/core";
import type { WalOpened } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { OperationSource, WalRig, aboveFloors, applyToModel, ask, lastOf, modelOf, render } from "./wal-rig.ts";
import type { LogModel } from "./wal-rig.ts";

interface Life {
  /** Models after 0, 1, 2 … operations of this life. */
  readonly models: LogModel[];
  durable: number;
}

/** Asks for `count` operations, a few per turn, until the process dies. */
function live(rig: WalRig, { wal }: WalOpened, source: OperationSource, prng: Prng, start: LogModel, count: number): Life {
  const life: Life = { models: [start], durable: 0 };
  for (let i = 0; i < count && !rig.dead; i++) {
    const operation = source.next(life.models.at(-1) ?? start);
    life.models.push(applyToModel(life.models.at(-1) ?? start, operation));
    const number = i + 1;
    ask(wal, operation, () => {
      expect(life.durable, "in order, each once").toBe(number - 1);
      life.durable = number;
    });
    // Sometimes several operations share a turn, sometimes one waits for the disk.
    if (prng.chance(0.5)) for (let steps = prng.below(6); steps > 0 && !rig.dead; steps--) rig.clock.step();
  }
  rig.run();
  return life;
}

/** The log must be in the state after some operation at or behind the last one that was reported durable. */
function recovered(opened: WalOpened, life: Life): LogModel {
  for (const finding of opened.findings) {
    expect(finding, JSON.stringify(finding)).toMatchObject({ type: "torn-tail", partialRecord: true });
  }
  expect(opened.mayVote).toBe(true);
  const found = modelOf(opened.groups);
  const text = render(found);
  const possible = life.models.slice(life.durable).map(render);
  const at = possible.indexOf(text);
  if (at < 0) expect(text, `one of the ${possible.length} states from the last durable one on`).toBe(possible[0]);
  for (const [group, { commit, floor, entries, mayVote }] of opened.groups) {
    expect(mayVote).toBe(true);
    expect(commit).toBeGreaterThanOrEqual(floor?.index ?? 0);
    expect(commit).toBeLessThanOrEqual(lastOf(found.get(group) ?? { floor, entries, hardState: { term: 0 as never, vote: null } }));
  }
  return found;
}

function crashRun(seed: number, crash: (rig: WalRig, prng: Prng) => void, stopAt: number, lives = 3): { operations: number } {
  const prng = new Prng(seed);
  const rig = new WalRig(prng.pick([600, 1500, 4000]));
  rig.roomBytes = prng.pick([0, 100, 700, 4096]);
  const source = new OperationSource(prng, 3);
  rig.stopAt = stopAt;
  let model: LogModel = new Map();
  let opened = rig.open();
  let operations = 0;
  for (let number = 0; number < lives; number++) {
    const life = opened === null ? { models: [model], durable: 0 } : live(rig, opened, source, prng, model, 40);
    if (number === 0) operations = rig.operations;
    expect(rig.fatals.map(String)).toEqual([]);
    crash(rig, prng);
    // Recovery may die, too: any number of times, at any operation.
    do {
      rig.stopAt = prng.chance(0.5) ? rig.operations + prng.between(1, 12) : Number.POSITIVE_INFINITY;
      opened = rig.open();
      if (opened === null) crash(rig, prng);
    } while (opened === null);
    model = recovered(opened, life);
    source.forget(model);
    rig.stopAt = rig.operations + prng.between(1, 60);
  }
  return { operations };
}

describe("a log that dies at every file operation, and again in recovery, keeps what it reported durable and nothing void", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])("power loss, seed %i", (seed) => {
    const { operations } = crashRun(seed, (rig, prng) => rig.powerLoss(prng), Number.POSITIVE_INFINITY, 1);
    expect(operations).toBeGreaterThan(20);
    for (let at = 1; at <= operations; at++) crashRun(seed, (rig, prng) => rig.powerLoss(prng), at);
  });

  test("power loss, many seeds", () => {
    for (let seed = 100; seed < 250; seed++) crashRun(seed, (rig, prng) => rig.powerLoss(prng), new Prng(seed).between(1, 80), 5);
  });

  test("kill -9, followed by power loss: what recovery read from the cache is durable when it says so", () => {
    for (let seed = 1000; seed < 1150; seed++) {
      crashRun(
        seed,
        (rig, prng) => {
          if (prng.chance(0.5)) rig.kill();
          else rig.powerLoss(prng);
        },
        new Prng(seed).between(1, 80),
        5,
      );
    }
  });
});

describe("a disk that lies about syncs", () => {
  test("loses what it promised, but the log then says an earlier state, or knows that it is damaged", () => {
    let distrusted = 0;
    let shorter = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const prng = new Prng(seed);
      const rig = new WalRig(prng.pick([600, 1500]));
      rig.roomBytes = prng.pick([0, 700]);
      const opened = rig.mustOpen();
      const lies = prng.next();
      rig.fault = () => (prng.chance(lies) ? { type: "lie" } : null);
      const life = live(rig, opened, new OperationSource(prng, 3), prng, new Map(), 40);
      rig.fault = null;
      rig.powerLoss(prng);
      const { mayVote, groups } = rig.mustOpen();
      if (!mayVote) {
        distrusted++;
        continue;
      }
      const at = life.models.map((model) => render(aboveFloors(model))).indexOf(render(aboveFloors(modelOf(groups))));
      expect(at, `seed ${seed}: a state that was`).toBeGreaterThanOrEqual(0);
      if (at < life.durable) shorter++;
    }
    expect(distrusted).toBeGreaterThan(0);
    expect(shorter).toBeGreaterThan(0);
  });
});
