import { type SystemState, describeSystem } from "@trivet/core";
import type { Command, Result } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { nobody } from "../../src/system/ledger.ts";
import { Bench } from "./support.ts";

function member(node: string, storage = `disk of ${node}`, url = "http://a"): Command {
  return { type: "set-node", node, storage, url, roles: "lock,queue", voter: true };
}
function place(epoch: number, shards: readonly (readonly string[])[], replication = 3): Command {
  return { type: "set-placement", epoch, replication, shards };
}
/** A cluster of three nodes, and a fourth that was only announced. */
function cluster(): Bench {
  const bench = new Bench();
  for (const node of ["n1", "n2", "n3"]) bench.propose(member(node));
  bench.propose(member("n4", ""));
  return bench;
}
function tell(bench: Bench, command: Command): Result | number {
  return bench.state.applyCommand(command, "", 0, bench);
}
function restored(state: SystemState): SystemState {
  const cursor = state.beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(64); chunk !== null; chunk = cursor.next(64)) chunks.push(chunk);
  return restoreSystem(chunks);
}

describe("placement", () => {
  test("the first names the founders with their disks; later ones move shards, and never change who founded them", () => {
    const bench = cluster();
    expect(bench.state.placement()).toBeNull();
    const first = [
      ["n1", "n2"],
      ["n2", "n1"],
    ];
    expect(tell(bench, place(0, first))).toEqual({ type: "placement-set", epoch: 1 });
    const hash = bench.state.stateHash();
    const founders = first.map((nodes) => nodes.map((node) => ({ node, storage: `disk of ${node}` })));
    expect(bench.state.placement()).toEqual({ epoch: 1, replication: 3, founders, shards: first });
    bench.propose(member("n2", "another disk"));
    const second = [["n3", "n2"], ["n2"]];
    expect(tell(bench, place(1, second, 2))).toEqual({ type: "placement-set", epoch: 2 });
    expect(bench.state.placement()).toEqual({ epoch: 2, replication: 2, founders, shards: second });
    expect(bench.state.stateHash()).not.toBe(hash);
    expect(["n1", "n2", "n3", "n4"].map((node) => bench.state.placementNames(node))).toEqual([false, true, true, false]);
    expect(bench.events).toEqual([
      { type: "placement-changed", epoch: 1 },
      { type: "placement-changed", epoch: 2 },
    ]);
  });

  test("a map derived from another placement changes nothing", () => {
    const bench = cluster();
    expect(tell(bench, place(1, [["n1"]]))).toEqual({ type: "placement-refused", epoch: 0 });
    tell(bench, place(0, [["n1"]]));
    const before = describeSystem(bench.state);
    expect(tell(bench, place(0, [["n2"]]))).toEqual({ type: "placement-refused", epoch: 1 });
    expect(tell(bench, place(2, [["n2"]]))).toEqual({ type: "placement-refused", epoch: 1 });
    expect(describeSystem(bench.state)).toEqual(before);
  });

  test("shards lie on known nodes with a disk, each once, and their number stays", () => {
    const bench = cluster();
    for (const shards of [[], [[]], [["n1", "n1"]], [["n9"]], [["n1"], ["n4"]]]) {
      expect(tell(bench, place(0, shards))).toMatchObject({ type: "malformed" });
    }
    expect(tell(bench, place(0, [["n1"]], 0))).toMatchObject({ type: "malformed" });
    expect(bench.state.placement()).toBeNull();
    tell(bench, place(0, [["n1"], ["n2"]]));
    for (const shards of [[["n1"]], [["n1"], ["n2"], ["n3"]], [["n1"], ["n9"]]]) {
      expect(tell(bench, place(1, shards))).toMatchObject({ type: "malformed" });
    }
  });

  test("only a leader places shards", () => {
    const bench = cluster();
    expect(bench.ask(place(0, [["n1"]])).type).toBe("malformed");
    expect(bench.state.placement()).toBeNull();
  });

  test("a node is emptied by name, stays so when it moves, and only a leader says so", () => {
    const bench = cluster();
    const draining = (): readonly string[] =>
      bench.state
        .nodes()
        .filter((each) => each.draining)
        .map((each) => each.node);
    expect(bench.ask({ type: "drain-node", node: "n1", draining: true }).type).toBe("malformed");
    expect(tell(bench, { type: "drain-node", node: "n9", draining: true })).toEqual({ type: "not-found", what: "node" });
    expect(draining()).toEqual([]);
    const hash = bench.state.stateHash();
    bench.propose({ type: "drain-node", node: "n1", draining: true });
    bench.propose({ type: "drain-node", node: "n1", draining: true });
    expect(bench.state.stateHash()).not.toBe(hash);
    bench.propose(member("n1", "disk of n1", "http://b"));
    expect(draining()).toEqual(["n1"]);
    expect(restored(bench.state).nodes()).toEqual(bench.state.nodes());
    bench.propose({ type: "drain-node", node: "n1", draining: false });
    expect(draining()).toEqual([]);
    expect(bench.events).toEqual([
      { type: "node-draining", node: "n1", draining: true },
      { type: "node-draining", node: "n1", draining: false },
    ]);
  });

  test("a snapshot carries the placement", () => {
    const bench = cluster();
    tell(bench, place(0, [["n1", "n2"], ["n2"]]));
    tell(bench, place(1, [["n3"], ["n2", "n1"]]));
    const other = restored(bench.state);
    expect(describeSystem(other)).toEqual(describeSystem(bench.state));
    expect(other.stateHash()).toBe(bench.state.stateHash());
    expect(other.applyCommand(place(1, [["n1"], ["n2"]]), "", 0, nobody)).toEqual({ type: "placement-refused", epoch: 2 });
  });
});
