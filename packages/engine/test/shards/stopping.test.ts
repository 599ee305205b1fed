import { groupId } from "@trivet/core";
import type { Consumed, QueueFailure, StorageOutcome } from "@trivet/engine";
import type { Produce } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { type Member, Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { consumption, longPoll, message, Shards } from "./support.ts";

function started(): Shards {
  const shards = new Shards();
  shards.untilLed();
  shards.define("orders", { partitions: 4 });
  // Every shard has heard of the queue.
  for (let partition = 0; partition < 4; partition += 1) shards.ask("n1", produce(shards, partition));
  return shards;
}

const produce = ({ queue }: Shards, partition: number): Produce => ({
  type: "produce",
  queue,
  partition,
  version: 1,
  messages: [message("m")],
  ifFence: null,
});

/** Of group 0 and the four shards, as one node knows them. */
const terms = ({ host }: Member): readonly number[] =>
  [0, 1, 2, 3, 4].map((id) => (id === 0 ? host.system : host.shards?.replica(groupId(id))?.group)?.term() ?? -1);

/** That waited for a leader's silence. */
const elections = (shards: Shards, groups: readonly number[] = [0, 1, 2, 3, 4]): readonly string[] =>
  [...shards.cluster.members.values()]
    .flatMap(({ telemetry }) => telemetry.lines)
    .filter(
      ({ event, fields }) => event === "raft.role" && fields["reason"] === "election timeout" && groups.includes(Number(fields["group"])),
    )
    .map(({ text }) => text);

/** The node that leads most shards. */
function busiest(shards: Shards): Member {
  const led = shards.leaders();
  const [most] = [...new Set(led)].sort((a, b) => led.filter((node) => node === b).length - led.filter((node) => node === a).length);
  return shards.cluster.member(most ?? "nobody");
}

describe("a graceful stop of a node that leads shards", () => {
  test("hands each of them over, so that nobody waits for an election; what is produced meanwhile succeeds", () => {
    const shards = started();
    const leaving = busiest(shards);
    const others = [...shards.cluster.members.values()].filter((member) => member !== leaving);
    const [one, two] = others as [Member, Member];
    const led = [...(leaving.host.shards?.all() ?? [])].filter(({ group }) => group.isLeader).map(({ id }) => id);
    expect(led.length).toBeGreaterThan(0);
    const before = { terms: terms(one), elections: elections(shards).length, leadsSystem: leaving.host.system?.isLeader === true };

    const produced: Told<StorageOutcome>[] = [];
    let stopped = false;
    for (let round = 0; round < 200; round += 1) {
      if (round === 20) leaving.host.api.stop(() => (stopped = true));
      for (const { config } of round < 20 ? shards.cluster.members.values() : others) {
        produced.push(shards.begin(config.node, produce(shards, round % 4)));
      }
      shards.cluster.run(5);
    }
    shards.cluster.until("all is answered", () => produced.every(({ value }) => value !== null));

    expect(stopped).toBe(true);
    const failures = produced.map(({ value }) => value).filter((value) => value?.type !== "answered" || value.result.type !== "produced");
    expect(failures).toEqual([]);
    expect(elections(shards).length).toBe(before.elections);
    // One transfer each, of what the node led, and nothing else.
    const rises = (group: number): number => (group === 0 ? Number(before.leadsSystem) : Number(led.includes(group)));
    expect(terms(one)).toEqual(before.terms.map((term, group) => term + rises(group)));
    expect(terms(two)).toEqual(terms(one));
    const handed = leaving.telemetry.lines.filter(
      ({ event, text }) => event === "raft.transfer" && text.startsWith("leadership handed to"),
    );
    for (const group of led) expect(handed.map(({ fields }) => fields["group"])).toContain(group);
  });

  test("answers who waits there for messages, and what was under way", () => {
    const shards = started();
    for (let partition = 0; partition < 4; partition += 1) {
      shards.ask("n1", consumption(shards.queue, { partition, maxMessages: 100, visibilityMs: 60_000, autoAck: true }));
    }
    const leaving = busiest(shards);
    const waiting = new Told<Consumed | QueueFailure>();
    leaving.host.queues.consume(longPoll, { timeoutMs: 70_000 }, waiting.hear);
    shards.cluster.run(200);
    expect(waiting.value).toBeNull();
    const underWay = shards.begin(leaving.config.node, produce(shards, 1));
    shards.cluster.run(0);
    let stopped = false;
    leaving.host.api.stop(() => (stopped = true));
    const late = new Told<Consumed | QueueFailure>();
    leaving.host.queues.consume(longPoll, { timeoutMs: 70_000 }, late.hear);
    shards.cluster.until("it has stopped", () => stopped, 5_000);
    expect(underWay.value).toMatchObject({ type: "answered" });
    expect(waiting.value).toEqual({ type: "consumed", messages: [], leaseMs: 0 });
    expect(late.value).toMatchObject({ type: "unavailable", code: "stopping" });
  });

  guard("shard-led-by-who-stops", "is not made leader again by those that would like it to lead", () => {
    const shards = started();
    const leaving = busiest(shards);
    const [shard] = [...(leaving.host.shards?.all() ?? [])].filter(({ group }) => group.isLeader);
    const other = [...shards.cluster.members.values()].find((member) => member !== leaving);
    expect(other?.host.peering.mayLead(leaving.host.system?.raft.self as never)).toBe(true);
    // Its last answer does not come: it goes on for a while as a follower.
    Object.defineProperty(leaving.host.shards, "openCommands", { get: () => 1 });
    leaving.host.api.stop(() => undefined);
    shards.cluster.until(
      "another leads",
      () =>
        shards.cluster
          .member("n1")
          .host.shards?.replica(groupId(shard?.id ?? 0))
          ?.group.leader() !== leaving.config.node,
    );
    expect(other?.host.peering.mayLead(leaving.host.system?.raft.self as never)).toBe(false);
    for (let round = 0; round < 20; round += 1) {
      shards.cluster.run(90);
      expect([...(leaving.host.shards?.all() ?? [])].filter(({ group }) => group.isLeader).map(({ id }) => id)).toEqual([]);
    }
  });

  test("tries another when the first dies over it, and stays for as long as its vote is needed", () => {
    const shards = started();
    const leaving = busiest(shards);
    const led = [...(leaving.host.shards?.all() ?? [])].filter(({ group }) => group.isLeader).map(({ group }) => group);
    const [group] = led;
    if (group === undefined) throw new Error("it leads nothing");
    let stopped = false;
    leaving.host.api.stop(() => (stopped = true));
    const first = group.raft.transferring ?? "nobody";
    shards.cluster.kill(first);
    const heirs = [...shards.cluster.members.values()].filter((member) => member !== leaving && member.config.node !== first);
    const handed = led.map(({ id }) => id);
    const before = elections(shards, handed);
    shards.cluster.until("it has stopped", () => stopped, 5_000);
    for (const { id } of led) expect(heirs.map(({ host }) => host.shards?.replica(id)?.group.isLeader)).toEqual([true]);
    expect(elections(shards, handed)).toEqual(before);
    expect(leaving.telemetry.lines.map(({ event }) => event)).not.toContain("node.not-relieved");
  });

  test("goes anyway when nobody can take over", () => {
    const shards = started();
    // It has just heard of them: it waits for those that it asks to take over no longer than it believes that it leads.
    for (let partition = 0; partition < 4; partition += 1) shards.ask("n1", produce(shards, partition));
    for (const node of ["n2", "n3"]) shards.cluster.kill(node);
    // At once: it still leads what it led.
    const { host, telemetry } = shards.cluster.member("n1");
    const led = [...(host.shards?.all() ?? [])].filter(({ group }) => group.isLeader).map(({ id }) => id);
    expect(led.length).toBeGreaterThan(0);
    let stopped = false;
    host.api.stop(() => (stopped = true));
    shards.cluster.until("it has stopped", () => stopped, 5_000);
    expect(telemetry.lines.find(({ event }) => event === "node.not-relieved")?.fields["groups"]).toEqual(expect.arrayContaining(led));
  });
});
