import { expect, test } from "vitest";
import { Prng, type LogIndex } from "@trivet/core";
import { Cluster } from "./cluster.ts";

const names = ["a", "b", "c", "d", "e"];

/** Is what is known to be committed on the disk of another node, running or not? Else losing this one's end loses it for good. */
function othersHaveIt(c: Cluster, id: string): boolean {
  const index: LogIndex = c.checker.lastCommitted;
  const inTerm = c.checker.committedAt(index)?.term;
  if (inTerm === undefined) return true;
  return [...c.nodes.values()].some(
    ({ id: other, disk }) => other !== id && disk.entries.some((e) => e.index === index && e.term === inTerm),
  );
}

/**
 * Nodes lose the last write of their logs at any moment, several at once, while messages are lost and others restart. As long as one disk
 * keeps what was committed, it stays committed, votes given are not given again, and the cluster comes back.
 */
function run(seed: number): { readonly compared: number; readonly torn: number } {
  const prng = new Prng(seed);
  const voters = names.slice(0, prng.between(3, 5));
  const c = new Cluster({ voters, seed });
  let torn = 0;
  let compared = 0;
  const restart = (id: string): void => {
    compared += c.node(id).noticesOf("compared").length;
    c.restart(id);
  };
  for (let round = 0; round < 6; round++) {
    c.heal();
    c.run(3000, () => c.leader !== null);
    for (let i = prng.below(6); i >= 0; i--) {
      c.propose(c.leader?.id ?? "a", `${round}.${i}`);
      for (let steps = prng.below(12); steps > 0; steps--) {
        if (prng.chance(0.5)) c.deliverOne();
        else c.flushOne(c.node(prng.pick(voters)));
      }
    }
    // The power goes everywhere, at once or over some time, in which the rest goes on.
    const order = [...voters].sort(() => (prng.chance(0.5) ? 1 : -1));
    for (const id of order) {
      if (prng.chance(0.8) && othersHaveIt(c, id)) {
        c.tearTail(id);
        torn += 1;
      } else c.crash(id, prng.below(3));
      if (prng.chance(0.2)) c.run(prng.below(300));
    }
    c.network = [];
    const loss = prng.chance(0.5) ? 0.3 : 0;
    c.cut = () => prng.chance(loss);
    for (const id of order) {
      restart(id);
      if (prng.chance(0.3)) c.run(prng.below(1500));
    }
    c.run(prng.below(3000));
    // In the middle of it, one more loses its end.
    const victim = prng.pick(voters);
    if (prng.chance(0.5) && othersHaveIt(c, victim)) {
      c.tearTail(victim);
      torn += 1;
      restart(victim);
    }
  }
  c.heal();
  const back = c.run(60_000, () => c.leader !== null && c.running.every((node) => node.group.mayVote));
  if (!back) throw new Error("does not come back");
  c.propose(c.leader?.id ?? "a", "end");
  if (!c.run(10_000, () => voters.every((id) => c.values(id).includes("end")))) throw new Error("does not commit");
  c.checkAgreement();
  for (const id of voters) compared += c.node(id).noticesOf("compared").length;
  return { compared, torn };
}

test("ends of logs are lost on any number of nodes: nothing that one disk kept is lost, and the cluster comes back (W3)", () => {
  const total = { compared: 0, torn: 0 };
  for (let seed = 1; seed <= 60; seed++) {
    try {
      const { compared, torn } = run(seed);
      total.compared += compared;
      total.torn += torn;
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
  expect(total.torn).toBeGreaterThan(200);
  expect(total.compared).toBeGreaterThan(100);
});
