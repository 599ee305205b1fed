import { describe, expect, test } from "vitest";
import type { NodeHost } from "../../src/node/node-host.ts";
import { KnownMap } from "../../src/shards/known-map.ts";
import { guard } from "../hosts/guard.ts";

/** What `KnownMap` sees of its host: a follower of group 0. */
function follower() {
  const answers: ((isApplied: boolean) => void)[] = [];
  const system = {
    raft: { term: 3, commitIndex: 10 },
    appliedIndex: 10,
    stateDoubted: false,
    hears: true,
    leader: () => (system.hears ? "n1" : null),
    reads: { barrier: (_timeoutMs: number, done: (isApplied: boolean) => void) => void answers.push(done) },
  };
  const host = { config: { electionMaxMs: 600 }, markDirty: () => undefined, ports: { clock: { now: () => 0 } }, system };
  const known = new KnownMap(host as unknown as NodeHost);
  /** All questions asked so far. */
  const answer = (): void => {
    for (const done of answers.splice(0)) done(true);
  };
  return { answer, known, system };
}

function confirmed() {
  const it = follower();
  it.known.look();
  it.answer();
  expect(it.known.isOfNow()).toBe(true);
  return it;
}

describe("the map that a node knows", () => {
  guard("shard-known-map-lags", "is that of now when what was known to be committed a look ago is applied", () => {
    const { known, system } = confirmed();
    const at = (commitIndex: number, appliedIndex: number): void => {
      system.raft.commitIndex = commitIndex;
      system.appliedIndex = appliedIndex;
    };
    // Under steady traffic it always lags by a little.
    at(10, 9);
    known.look();
    at(12, 11);
    known.look();
    expect(known.isOfNow()).toBe(true);
    // And here by more and more.
    at(20, 11);
    known.look();
    known.look();
    expect(known.isOfNow()).toBe(false);
    at(20, 20);
    expect(known.isOfNow()).toBe(true);
  });

  test("is asked for anew in each term", () => {
    const { answer, known, system } = confirmed();
    system.raft.term = 4;
    expect(known.isOfNow()).toBe(false);
    answer();
    expect(known.isOfNow()).toBe(true);
  });

  guard("shard-known-map-outlives-a-cut", "is asked for anew when no leader was heard, whenever it was asked for", () => {
    const { answer, known, system } = confirmed();
    system.hears = false;
    expect(known.isOfNow()).toBe(false);
    system.hears = true;
    expect(known.isOfNow()).toBe(false);
    // It is cut off again before the answer comes.
    system.hears = false;
    known.look();
    system.hears = true;
    answer();
    expect(known.isOfNow()).toBe(false);
    answer();
    expect(known.isOfNow()).toBe(true);
  });

  test("is none while its state is in doubt (rule W7)", () => {
    const { known, system } = confirmed();
    system.stateDoubted = true;
    expect(known.isOfNow()).toBe(false);
  });
});
