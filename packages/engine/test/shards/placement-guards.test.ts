import { describe, expect, test, vi } from "vitest";
import { guard } from "../hosts/guard.ts";
import { Told } from "../hosts/cluster.ts";
import { ask, count, groupsOf, holds, isMember, isPlaced } from "./placement-support.ts";
import { Shards, withMessage } from "./support.ts";

/** Four nodes, each with shards. */
function four(): Shards {
  const shards = new Shards(4);
  shards.untilLed();
  shards.cluster.until("n4 holds shards", () => groupsOf(shards, "n4", "voters").length > 0, 60_000);
  shards.cluster.run(2_000);
  return shards;
}

/** Looks at every step; the cluster must never be seen without the node while a shard counts it. */
function removed(shards: Shards, told: { readonly value: unknown }, node: string): void {
  shards.cluster.until(
    `${node} is removed`,
    () => {
      if (!isMember(shards, node)) expect(holds(shards, node)).toBe(false);
      return told.value !== null;
    },
    60_000,
  );
  expect(told.value).toMatchObject({ type: "changed" });
  expect(isMember(shards, node)).toBe(false);
}

/** One that leads nothing: its removal is asked of another. */
const leaving = (shards: Shards): string => ["n4", "n3"].find((node) => shards.cluster.leader()?.config.node !== node) ?? "";

describe("a node that holds shards (G4)", () => {
  guard("host-removed-with-shards", "is removed only when no shard counts it any more", () => {
    const shards = four();
    const node = leaving(shards);
    removed(shards, ask(shards, { remove: [node] }), node);
  });

  guard("host-removed-by-the-map", "is not removed either when the map has ceased to name it, and the shards have not followed yet", () => {
    const shards = four();
    const node = leaving(shards);
    ask(shards, { drain: { nodes: [node], draining: true } });
    shards.cluster.until("the map does not name it", () => !isPlaced(shards, node));
    expect(holds(shards, node)).toBe(true);
    removed(shards, ask(shards, { remove: [node] }), node);
  });

  guard("host-drained-by-the-map", "is empty when the shards say so", () => {
    const shards = four();
    const node = leaving(shards);
    const told = ask(shards, { drain: { nodes: [node], draining: true } });
    shards.cluster.until("it is drained", () => told.value !== null, 60_000);
    expect(told.value).toMatchObject({ type: "changed" });
    expect(holds(shards, node)).toBe(false);
  });

  guard("shard-member-unconfirmed", "is not said to be without a shard by a leader that nobody has confirmed", () => {
    const shards = new Shards(3);
    shards.untilLed();
    const name = shards.leaders()[0] ?? "";
    const { shards: hosts } = shards.cluster.member(name).host;
    for (const node of ["n1", "n2", "n3"]) if (node !== name) shards.cluster.kill(node);
    const told = new Told<boolean | null | "nothing">();
    told.value = "nothing";
    hosts?.placement.hasMember({ group: 1, node: "n9" }, told.hear);
    shards.cluster.until("an answer", () => told.value !== "nothing");
    expect(told.value).toBe(null);
  });
});

describe("a shard's group (G4)", () => {
  guard("shard-removal-leaves-minority", "keeps a replica that the others are no majority without", () => {
    const { cluster, shards } = withMessage();
    cluster.kill("n2");
    cluster.run(70_000);
    const told = new Told<unknown>();
    cluster.member("n1").host.api.changeMembers({ drain: { nodes: ["n3"], draining: true } }, 5_000, told.hear);
    cluster.until("the drain is answered", () => told.value !== null, 60_000);
    const produced = shards.begin("n1", {
      type: "produce",
      queue: shards.queue,
      partition: 0,
      version: 1,
      messages: [{ key: "", body: new Uint8Array(1), headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "" }],
      ifFence: null,
    });
    cluster.until("produced or not", () => produced.value !== null, 60_000);
    expect(produced.value).toMatchObject({ type: "answered" });
  });

  guard("shard-voter-before-caught-up", "lets a new replica vote only when it has what the others have", () => {
    const shards = new Shards();
    const { cluster } = shards;
    shards.untilLed();
    cluster.add("n4", "http://n4", { join: ["http://n1"], shards: count });
    for (let step = 0; step < 60_000 && groupsOf(shards, "n4", "learners").length === 0; step += 1) cluster.run(1);
    const added = groupsOf(shards, "n4", "learners");
    expect(added.length).toBeGreaterThan(0);
    cluster.kill("n4");
    cluster.run(2_000);
    expect(groupsOf(shards, "n4", "voters")).toEqual([]);
  });

  guard("shard-placed-at-non-members", "is placed at members only", () => {
    const shards = new Shards();
    const { cluster } = shards;
    shards.untilLed();
    const { leader } = cluster.roles();
    // Registered with its disk and linked, and the next step of its joining is still to come.
    const { members } = leader.host;
    if (members === null) throw new Error("the leader has no members");
    const held = vi.spyOn(members, "join").mockImplementation(() => ({ ok: false, reason: "later" }));
    const { host } = cluster.add("n4", "http://n4", { join: ["http://n1", "http://n2", "http://n3"], shards: count });
    cluster.run(500);
    const node = { node: "n4", storage: host.storage, url: "http://n4", roles: "queue", voter: true };
    leader.host.propose([{ type: "set-node", ...node }]);
    cluster.run(3_000);
    expect(isPlaced(shards, "n4")).toBe(false);
    held.mockRestore();
    cluster.until("it is a member, and placed", () => isMember(shards, "n4") && isPlaced(shards, "n4"), 30_000);
  });
});

test("a removed node's shards are whole elsewhere", () => {
  const shards = four();
  shards.define("orders");
  shards.produce("n1", "a", "b");
  const node = leaving(shards);
  removed(shards, ask(shards, { remove: [node] }), node);
  expect(shards.consume("n1")).toHaveLength(2);
});
