import { describe, expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { Shards, text } from "./support.ts";

describe("shards of a cluster", () => {
  test("every shard gets a leader, and leaders and replicas are spread evenly", () => {
    const shards = new Shards();
    shards.untilLed();
    const [leader] = shards.cluster.members.values();
    const placement = leader?.host.machine?.placement();
    expect(placement?.shards.every((replicas) => replicas.length === 3)).toBe(true);
    shards.cluster.until("the wanted leaders lead", () => shards.leaders().every((name, shard) => name === placement?.shards[shard]?.[0]));
  });

  test("a message produced at one node is handed out at another, acknowledged at a third, and gone", () => {
    const shards = new Shards();
    shards.untilLed();
    shards.define("orders");
    shards.produce("n1", "a", "b");
    shards.produce("n2", "c");
    const handed = shards.consume("n3");
    expect(handed.map(text)).toEqual(["a", "b", "c"]);
    expect(shards.ack("n2", handed)).toEqual(["settled", "settled", "settled"]);
    expect(shards.consume("n1")).toEqual([]);
    expect(shards.query("n2", { type: "stats", queue: shards.queue, partition: 0 })).toMatchObject({
      type: "stats",
      stats: { messages: 0, produced: 3, groups: [{ group: "g", settled: 3, leased: 0 }] },
    });
  });

  test("what is not settled within its visibility is handed out again, by whoever leads", () => {
    const shards = new Shards();
    shards.untilLed();
    shards.define("orders");
    shards.produce("n1", "a");
    expect(shards.consume("n1", 1, { visibilityMs: 300 })).toHaveLength(1);
    expect(shards.consume("n1")).toEqual([]);
    let again: readonly unknown[] = [];
    shards.cluster.until("the lease ends", () => (again = shards.consume("n2")).length > 0);
    expect(again).toMatchObject([{ acquired: 2 }]);
  });

  test("a lease lasts its whole time, also when the shard had no lease for longer than that", () => {
    const shards = new Shards();
    shards.untilLed();
    shards.define("orders");
    shards.produce("n1", "a");
    shards.cluster.run(60_000);
    const handed = shards.consume("n1", 1, { visibilityMs: 30_000 });
    shards.cluster.run(25_000);
    expect(shards.consume("n2")).toEqual([]);
    expect(shards.ack("n3", handed)).toEqual(["settled"]);
  });

  test("acknowledged messages survive the death of the leader, and the death of all", () => {
    const shards = new Shards();
    shards.untilLed();
    shards.define("orders");
    shards.produce("n1", ...Array.from({ length: 50 }, (_, index) => `m${index}`));
    const leader = shards.leaders()[shards.queue % 4] ?? "n1";
    const other = ["n1", "n2", "n3"].find((name) => name !== leader) ?? "n1";
    shards.cluster.kill(leader);
    shards.produce(other, "after");
    expect(shards.consume(other, 60).map(text)).toEqual([...Array.from({ length: 50 }, (_, index) => `m${index}`), "after"]);
    for (const name of ["n1", "n2", "n3"]) if (name !== leader) shards.cluster.kill(name);
    for (const name of ["n1", "n2", "n3"]) shards.cluster.restart(name);
    shards.untilLed();
    let again: readonly unknown[] = [];
    shards.cluster.until("leases of before end", () => (again = [...again, ...shards.consume(leader)]).length >= 51, 120_000);
    expect(again).toHaveLength(51);
  });

  test("a fourth node takes its share by learner, catching up and promotion; a drained one gives its away", () => {
    const shards = new Shards();
    shards.untilLed();
    shards.define("orders");
    shards.produce("n1", ...Array.from({ length: 20 }, (_, index) => `m${index}`));
    const urls = ["http://n1", "http://n2", "http://n3"];
    shards.cluster.add("n4", "http://n4", { shards: 4, join: urls, peers: [] });
    const held = (name: string): number => [...(shards.cluster.member(name).host.shards?.all() ?? [])].length;
    const moved = (): boolean => {
      const placement = shards.cluster.member("n1").host.machine?.placement();
      return (
        placement?.shards.every((replicas, shard) => {
          const group = shards.cluster.member(shards.leaders()[shard] ?? "n1").host.shards?.replica((shard + 1) as never)?.group;
          return [...(group?.raft.membership.voters ?? [])].sort().join() === [...replicas].sort().join();
        }) === true
      );
    };
    shards.cluster.until("n4 has its share", () => held("n4") === 3 && held("n1") + held("n2") + held("n3") === 9 && moved(), 120_000);
    const handed = shards.consume("n4", 20);
    expect(handed.map(text)).toEqual(Array.from({ length: 20 }, (_, index) => `m${index}`));
    expect(shards.ack("n4", handed).every((outcome) => outcome === "settled")).toBe(true);
    const drained = new Told<unknown>();
    shards.cluster.member("n4").host.api.changeMembers({ drain: { nodes: ["n2"], draining: true } }, 60_000, drained.hear);
    shards.cluster.until("n2 has given all away", () => held("n2") === 0 && moved() && drained.value !== null, 120_000);
    expect(drained.value).toMatchObject({ type: "changed" });
    shards.produce("n2", "late");
    expect(shards.consume("n2").map(text)).toEqual(["late"]);
  });
});
