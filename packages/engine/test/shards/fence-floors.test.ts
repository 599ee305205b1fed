import { groupId } from "@trivet/core";
import type { StorageCommand } from "@trivet/engine";
import { expect, test } from "vitest";
import { acquire } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { message, type Shards, withMessage } from "./support.ts";
import type { WorkerReply } from "../../src/shards/worker-protocol.ts";

/** Twice what a leader takes until it looks, and the sweep. */
const aWhileMs = 12_000;

function take(shards: Shards, name: string): number {
  const outcome = shards.cluster.submit("n1", acquire(name, "a"), 10_000);
  if (outcome.type !== "answered" || outcome.result.type !== "granted") throw new Error(JSON.stringify(outcome));
  return outcome.result.fence;
}

function release(shards: Shards, name: string, fence: number): void {
  const actor = { session: 0, principal: "test", owner: "a" };
  shards.cluster.submit("n1", { type: "release", actor, name, fence, anonymous: false }, 10_000);
}

const fenced = (shards: Shards, lock: string, fence: number): StorageCommand => ({
  type: "produce",
  queue: shards.queue,
  partition: 0,
  version: 1,
  messages: [message("x")],
  ifFence: { lock, fence },
});

/** What the leader's store has of them. */
function registers({ cluster, group, leader }: ReturnType<typeof withMessage>): Extract<WorkerReply, { readonly type: "fences" }> {
  let told: WorkerReply | null = null;
  cluster
    .member(leader)
    .host.shards?.replica(group)
    ?.ask({ type: "fences", group, from: null, most: 1_000 }, (reply) => {
      told = reply;
    });
  cluster.until("the registers are told", () => told !== null);
  if ((told as WorkerReply | null)?.type !== "fences") throw new Error(JSON.stringify(told));
  return told as unknown as Extract<WorkerReply, { readonly type: "fences" }>;
}

const lastIndex = ({ cluster, group, leader }: ReturnType<typeof withMessage>): number =>
  cluster.member(leader).host.shards?.replica(groupId(group))?.group.raft.lastIndex ?? 0;

test("registers of locks that nobody holds go, those of live grants stay, and their holders write on", () => {
  const begun = withMessage();
  const { cluster, shards } = begun;
  const gone = take(shards, "gone");
  expect(shards.ask("n1", fenced(shards, "gone", gone))).toMatchObject({ type: "produced" });
  const kept = take(shards, "kept");
  const unused = take(shards, "unused");
  expect(shards.ask("n1", fenced(shards, "kept", kept))).toMatchObject({ type: "produced" });
  release(shards, "gone", gone);
  cluster.until("the floor is raised", () => registers(begun).floor === kept, aWhileMs);
  cluster.run(1_000);
  expect(registers(begun)).toEqual({ type: "fences", floor: kept, lowest: kept, next: null });
  expect(shards.ask("n2", fenced(shards, "gone", gone))).toMatchObject({ type: "fence-behind" });
  // Also of a lock under which nothing has been written yet, and of one that is taken again.
  for (const [lock, fence] of [
    ["kept", kept],
    ["unused", unused],
    ["gone", take(shards, "gone")],
  ] as const)
    expect(shards.ask("n2", fenced(shards, lock, fence))).toMatchObject({ type: "produced" });
});

guard(
  "fence-floor-at-rest",
  "a cluster at rest writes nothing: neither without registers, nor where all are of live grants, nor once all are gone",
  () => {
    const begun = withMessage();
    const { cluster, shards } = begun;
    const settled = (): void => {
      cluster.run(aWhileMs);
      const before = lastIndex(begun);
      cluster.run(aWhileMs);
      expect(lastIndex(begun)).toBe(before);
    };
    settled();
    const fence = take(shards, "l");
    expect(shards.ask("n1", fenced(shards, "l", fence))).toMatchObject({ type: "produced" });
    settled();
    expect(registers(begun).lowest).toBe(fence);
    release(shards, "l", fence);
    settled();
    expect(registers(begun)).toEqual({ type: "fences", floor: fence + 1, lowest: 0, next: null });
    expect(take(shards, "l")).toBe(fence + 1);
    expect(shards.ask("n1", fenced(shards, "l", fence + 1))).toMatchObject({ type: "produced" });
  },
);

guard("fence-floor-of-doubtful-state", "nothing is proposed on the word of a state in doubt (W7)", () => {
  const begun = withMessage();
  const { cluster, leader, shards } = begun;
  const fence = take(shards, "l");
  expect(shards.ask("n1", fenced(shards, "l", fence))).toMatchObject({ type: "produced" });
  release(shards, "l", fence);
  const system = cluster.member(leader).host.system;
  if (system === null) throw new Error("no group 0");
  system.stateDoubted = true;
  cluster.run(aWhileMs);
  expect(registers(begun).floor).toBe(0);
});
