import { expect, test } from "vitest";
import { guard } from "../hosts/guard.ts";
import { applyRequest, entries, MachineRig, WorkerRig } from "./store-rig.ts";

guard(
  "shard-hash-fails-batch",
  "a batch that is committed counts as applied, although there is no space for the state hash at its end",
  () => {
    const rig = WorkerRig.opened();
    rig.problems.full = true;
    expect(rig.ask(applyRequest(entries(1, 256)))).toMatchObject({ type: "applied", points: [] });
    expect(rig.ask(applyRequest(entries(257, 258)))).toMatchObject({ type: "applied" });
    rig.problems.full = false;
    expect(rig.ask(applyRequest(entries(259, 512)))).toMatchObject({ type: "applied", points: [[512, expect.any(String)]] });
  },
);

test("batches count as applied in their order, with space or without", () => {
  const bench = new MachineRig();
  const applied: number[] = [];
  bench.rig.problems.full = true;
  bench.apply(1, 256, () => applied.push(256));
  bench.apply(257, 258, () => applied.push(258));
  bench.settle();
  bench.rig.problems.full = false;
  bench.retry();
  expect(applied).toEqual([256, 258]);
});

test("the hash that a machine tells is of the entries that count as applied (rule W7)", () => {
  const bench = new MachineRig();
  let appliedTo = 0;
  const apply = (from: number, to: number): void => bench.apply(from, to, () => (appliedTo = to));
  apply(1, 250);
  bench.settle();
  bench.rig.problems.full = true;
  apply(251, 258);
  bench.settle();
  bench.rig.problems.full = false;
  bench.machine.stateHash();
  bench.settle();
  expect(bench.machine.stateHash()).toBe(hashAt(appliedTo));
  expect(hashAt(250)).not.toBe(hashAt(258));
});

test("a machine asks for its hash only when nothing is being applied", () => {
  const bench = new MachineRig();
  bench.apply(1, 2);
  bench.settle();
  bench.holding = true;
  bench.apply(3, 4);
  expect(bench.machine.stateHash()).toBeNull();
  expect(bench.sent).toHaveLength(1);
  for (const send of bench.sent.splice(0)) send();
  bench.settle();
  expect(bench.machine.stateHash()).toBeNull();
  expect(bench.sent).toHaveLength(1);
});

function hashAt(count: number): string | null {
  const bench = new MachineRig();
  bench.apply(1, count);
  bench.settle();
  bench.machine.stateHash();
  bench.settle();
  return bench.machine.stateHash();
}
