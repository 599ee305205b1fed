import { encodeMembershipPayload, nodeId } from "@trivet/core";
import { newestLevel } from "@trivet/wire";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ChosenGroup, RecoveryPlan } from "../../src/backup/recover.ts";
import { RestoreRefused } from "../../src/backup/restore-refused.ts";
import { called, definition, FormerCluster, own, t0 } from "./former-cluster.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-recover-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const five = ["a", "b", "c", "d", "e"];
const groupIn = (plan: RecoveryPlan, group: number): ChosenGroup => {
  const found = plan.groups.find((one) => one.group === group);
  if (found === undefined) throw new Error(`the plan has no group ${group}`);
  return found;
};
describe("what recovery is for", () => {
  it("a shard that lost its majority can be recovered, although group 0 has one; every group is judged by itself", async () => {
    const former = await FormerCluster.make(folder, five, 6);
    const lost = former.holders(1).slice(0, 2);
    const left = five.filter((node) => !lost.includes(node));
    const plan = await former.plan(left);
    expect(groupIn(plan, 0)).toMatchObject({ hasMajority: true, voters: five, whole: left });
    expect(groupIn(plan, 1)).toMatchObject({ hasMajority: false, voters: former.holders(1), whole: [former.holders(1)[2]] });
    for (let shard = 1; shard <= 6; shard += 1) {
      const whole = former.holders(shard).filter((node) => left.includes(node));
      expect(groupIn(plan, shard).hasMajority).toBe(whole.length >= 2);
      expect([...groupIn(plan, shard).whole].sort()).toEqual(whole);
    }
    expect(plan.missing).toEqual(lost);
    expect((await former.carryOut(left)).directories).toEqual([join(folder, "recovered", "a")]);
  });

  it("a shard of which no directory has anything is told, with who voted in it, and begins empty", async () => {
    const former = await FormerCluster.make(folder, five, 1);
    const left = five.filter((node) => !former.holders(1).includes(node));
    const shard = groupIn(await former.plan(left), 1);
    expect(shard).toMatchObject({ from: null, stateFrom: null, end: null, whole: [], hasMajority: false });
    expect([...shard.voters].sort()).toEqual(former.holders(1));
    await former.carryOut(left);
    expect((await former.recovered(1, 1)).messages).toBe(0);
  });

  it("is refused where every group has a majority that is whole", async () => {
    const former = await FormerCluster.make(folder, ["a", "b", "c"], 2);
    const refused = former.plan(["a", "c"]);
    await expect(refused).rejects.toThrow(RestoreRefused);
    await expect(refused).rejects.toThrow(/a and c are a majority of a, b, c in every group/);
  });

  it("goes by the newest configuration that a group's log tells, both halves of one that is being changed", async () => {
    const former = await FormerCluster.make(folder, ["a", "b", "c"], 1);
    const change = encodeMembershipPayload({
      voters: [nodeId("a"), nodeId("d"), nodeId("e")],
      outgoing: [nodeId("a"), nodeId("b"), nodeId("c")],
      learners: [],
      learnersNext: [],
      autoLeave: true,
    });
    await former.append("a", 1, [change], "config");
    const plan = await former.plan(["a", "b"]);
    expect(groupIn(plan, 0).hasMajority).toBe(true);
    expect(groupIn(plan, 1)).toMatchObject({ hasMajority: false, voters: ["a", "d", "e", "b", "c"], whole: ["a", "b"] });
    await former.append("a", 0, [change], "config");
    expect(groupIn(await former.plan(["a", "b"]), 0).hasMajority).toBe(false);
  });
});

describe("which copy recovery takes", () => {
  it("of equal logs that of a node whose state is not in doubt, whatever the order of the directories", async () => {
    const former = await FormerCluster.make(folder, five, 1);
    const [one = "", two = ""] = former.holders(1);
    await former.doubt(one, 1);
    await former.doubt(one, 0);
    for (const from of [
      [one, two],
      [two, one],
    ]) {
      const plan = await former.plan(from);
      for (const group of [0, 1]) {
        expect(groupIn(plan, group)).toMatchObject({ from: former.directory(two), stateFrom: former.directory(two), isInDoubt: false });
      }
    }
    expect(groupIn(await former.plan([one]), 1)).toMatchObject({ from: former.directory(one), isInDoubt: true });
  });

  it("the furthest log, but upon a sound state, where its own is in doubt", async () => {
    const former = await FormerCluster.make(folder, ["a", "b", "c", "d"], 1);
    const made = ["x", "y"].map((name) => own({ type: "define-queue", name, mode: "create", settings: {}, principal: "p" }));
    await former.append("a", 0, made);
    await former.append("b", 0, made.slice(0, 1));
    await former.doubt("a", 0);
    const system = groupIn(await former.plan(["a", "b"]), 0);
    expect(system).toMatchObject({ from: former.directory("a"), stateFrom: former.directory("b"), isInDoubt: false, leftOut: null });
    await former.carryOut(["a", "b"]);
    const { system: state } = await former.recovered(1, 1);
    const [x = 0, y = 0] = [state.queue("x")?.queue, state.queue("y")?.queue];
    expect([x > 0, y]).toEqual([true, x + 1]);
  });

  it("not a log of a doubtful state that goes on from no sound one; it tells what is left out", async () => {
    const former = await FormerCluster.make(folder, ["a", "b", "c", "d"], 1);
    const [one = "", two = ""] = former.holders(1);
    const configure = own({ type: "configure-queue", queue: 1, definition });
    await former.append(one, 1, [configure, configure]);
    await former.trim(one, 1);
    await former.append(one, 1, [configure]);
    await former.doubt(one, 1);
    const shard = groupIn(await former.plan([one, two]), 1);
    expect(shard).toMatchObject({ from: former.directory(two), stateFrom: former.directory(two), isInDoubt: false });
    expect(shard.leftOut).toMatchObject({ from: former.directory(one) });
  });
});

describe("a group 0 that is behind its shards", () => {
  it("keeps a queue that only a shard knows, with its messages", async () => {
    const former = await FormerCluster.make(folder, ["a", "b", "c"], 1);
    // A number that group 0 gave after what this copy of it has.
    const queue = Math.floor(((t0 + 5_000) * 2 ** 20) / 1_000);
    const message = { key: "k", body: Uint8Array.from([7]), headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "" };
    await former.append("a", 1, [
      own({ type: "configure-queue", queue, definition: { ...definition, backoffMs: 7 } }),
      called({ type: "produce", queue, partition: 0, version: 1, messages: [message], ifFence: null }, 1),
    ]);
    const told: string[] = [];
    const { adopted } = await former.carryOut(["a"], told);
    expect(adopted).toEqual(["queue orders is kept: only shards know it"]);
    expect(told).toEqual(expect.arrayContaining([...adopted]));
    const { messages, system } = await former.recovered(1, queue);
    expect(system.queue("orders")).toMatchObject({ queue, definition: { backoffMs: 7 } });
    expect(messages).toBe(1);
  });
});

describe("a log of a later version", () => {
  it("is refused where its level says so, and nothing is made", async () => {
    const former = await FormerCluster.make(folder, ["a", "b", "c"], 1);
    await former.append("a", 0, [own({ type: "raise-level", level: newestLevel + 1 })]);
    const refused = former.plan(["a"]);
    await expect(refused).rejects.toThrow(RestoreRefused);
    await expect(refused).rejects.toThrow(new RegExp(`feature level ${newestLevel + 1}, and this version .* knows ${newestLevel}`));
  });

  it("is refused where a shard has commands of which group 0's copy does not know yet", async () => {
    const former = await FormerCluster.make(folder, ["a", "b", "c"], 1);
    const unknown = own({ type: "drop-queue", queue: 1, version: 1 });
    // The command's number, behind its length: the last of the frame's four bytes for this one.
    const at = unknown.lastIndexOf(65);
    unknown[at] = 255;
    await former.append("a", 1, [own({ type: "configure-queue", queue: 1, definition }), unknown]);
    await expect(former.carryOut(["a"])).rejects.toThrow(/command 255 at index \d+, which this version/);
  });
});
