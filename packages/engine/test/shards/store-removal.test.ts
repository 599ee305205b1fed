import { groupId } from "@trivet/core";
import { describe, expect, test } from "vitest";
import { guard } from "../hosts/guard.ts";
import { applyRequest, entries, WorkerRig } from "./store-rig.ts";
import { Shards } from "./support.ts";

describe.each([undefined, 0])("with %s bytes of buffer", (bufferedBytes) => {
  test("a replica whose store turns out to be damaged as it is written is fetched again, and its node goes on (rule W6)", () => {
    const shards = new Shards(3, {}, bufferedBytes);
    const { cluster } = shards;
    shards.untilLed();
    shards.define("orders");
    shards.produce("n1", "a");
    cluster.run(5_000);
    const group = groupId(1 + (shards.queue % 4));
    const member = cluster.member("n3");
    const { host, storeProblems, telemetry } = member;
    const before = host.shards?.replica(group);
    storeProblems.damaged.add(`g${group}-0`);
    shards.produce("n1", "b");
    cluster.until("the damage is found", () => telemetry.lines.some(({ event }) => event === "storage.corrupt"));
    cluster.run(10_000);
    const now = host.shards?.replica(group) ?? null;
    expect([host.phase, member.failure]).toEqual(["running", null]);
    expect(now).not.toBe(before);
    expect(now?.group.raft.mayVote).toBe(true);
  });
});

test("a store whose damage shows as it is written can be given up and fetched anew (rule W6)", () => {
  const rig = WorkerRig.opened();
  rig.ask(applyRequest(entries(1, 20)));
  rig.problems.damaged.add("g1-0");
  expect(rig.ask({ type: "flush", group: 1 })).toMatchObject({ type: "failed", cause: "damaged" });
  expect(rig.ask({ type: "close", group: 1, remove: true })).toEqual({ type: "done" });
  expect(rig.stores.names).toEqual([]);
  expect(rig.ask({ type: "open", group: 1 })).toMatchObject({ type: "opened", mark: { index: 0 } });
});

test("a damaged store is closed although what is buffered cannot go into it, and can be opened again", () => {
  const rig = WorkerRig.opened();
  rig.ask(applyRequest(entries(1, 20)));
  rig.problems.damaged.add("g1-0");
  expect(rig.ask({ type: "close", group: 1, remove: false })).toMatchObject({ type: "failed", cause: "damaged" });
  rig.problems.damaged.clear();
  expect(rig.ask({ type: "open", group: 1 })).toMatchObject({ type: "opened" });
});

describe.each(["damaged", "full"])("%s", (what) => {
  test("a snapshot takes the place of a store that cannot take what is buffered", () => {
    const source = WorkerRig.opened();
    source.ask(applyRequest(entries(1, 100)));
    source.ask({ type: "cut", group: 1, cut: 1, index: 100 });
    const part = source.ask({ type: "cut-next", group: 1, cut: 1, maxBytes: 1_000_000 });
    if (part.type !== "chunk" || part.chunk === null) throw new Error(part.type);
    const rig = WorkerRig.opened();
    rig.ask(applyRequest(entries(1, 20)));
    const load = rig.load(100);
    expect(rig.ask({ type: "load-chunk", group: 1, load, chunk: part.chunk })).toEqual({ type: "done" });
    if (what === "damaged") rig.problems.damaged.add("g1-0");
    else rig.problems.fullStores.add("g1-0");
    expect(rig.ask({ type: "load-end", group: 1, load })).toMatchObject({ type: "opened", mark: { index: 100 } });
    expect(rig.stores.names).toEqual(["g1-100"]);
  });
});

guard("store-abandoned-is-written", "a shard that is given away while the disk is full leaves no store", () => {
  const rig = WorkerRig.opened();
  rig.ask(applyRequest(entries(1, 20)));
  rig.problems.full = true;
  expect(rig.ask({ type: "close", group: 1, remove: true })).toEqual({ type: "done" });
  expect(rig.stores.names).toEqual([]);
});
