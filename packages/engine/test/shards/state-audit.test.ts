import { groupId, type GroupId } from "@trivet/core";
import { CommandFrameBuilder, encodeEntryPayload } from "@trivet/wire";
import { describe, expect, test, vi } from "vitest";
import { type Member, Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { message, type Shards, withMessage } from "./support.ts";

const mismatches = "trivet_raft_state_hash_mismatch_total";

interface Bench {
  readonly shards: Shards;
  readonly group: GroupId;
  readonly leader: Member;
  readonly bad: Member;
}

function bench(): Bench {
  const { group, leader, shards } = withMessage();
  const bad = ["n1", "n2", "n3"].find((node) => node !== leader) ?? "";
  return { shards, group, leader: shards.cluster.member(leader), bad: shards.cluster.member(bad) };
}

function replica({ host }: Member, group: GroupId) {
  const found = host.shards?.replica(group);
  if (found === null || found === undefined) throw new Error("no replica");
  return found;
}

const problem = (member: Member, group: GroupId): string | null => replica(member, group).group.audit?.problem ?? null;
const hash = (member: Member, group: GroupId): string | null => replica(member, group).group.machine.stateHash();
const alarms = ({ telemetry }: Member): readonly string[] =>
  telemetry.lines.filter(({ event }) => event === "state.differs").map(({ text }) => text);

/** Where the next entry should go, this replica applies another one. */
function corrupt({ shards, group, leader, bad }: Bench): void {
  const builder = new CommandFrameBuilder();
  builder.begin("", "", 0, 0, 1);
  builder.add({ type: "drop-queue", queue: 77, version: 1 });
  const { group: host } = replica(bad, group);
  const payload = encodeEntryPayload(1, [builder.finish()]);
  const entry = { index: host.appliedIndex + 1, term: host.term(), kind: "command" as const, payload };
  bad.host.shards?.worker.call({ type: "apply", group, entries: [entry], attended: 0, routed: [], unrouted: [] }, () => undefined);
  shards.produce(leader.config.node, "everywhere but there");
}

/** Questions about shards that leave any node within so many milliseconds. */
function questions({ shards }: Bench, ms: number): number {
  let asked = 0;
  const spies = [...shards.cluster.members.values()].map(({ host }) => {
    const { hub } = host;
    const send = hub.send.bind(hub);
    return vi.spyOn(hub, "send").mockImplementation((to, frame, urgent) => {
      if (frame.type === "call" && frame.method === "state-hashes" && !frame.json.includes('"group":0')) asked += 1;
      return send(to, frame, urgent);
    });
  });
  shards.cluster.run(ms);
  for (const spy of spies) spy.mockRestore();
  return asked;
}

describe("W7: replicas of a shard compare their states", () => {
  test("about once a second while something changes, and not at all at rest", () => {
    const it = bench();
    it.shards.cluster.run(5_000);
    expect(questions(it, 5_000)).toBe(0);
    it.shards.produce("n1", "b");
    const asked = questions(it, 3_000);
    // Three replicas, each two others, once or twice until all have applied it.
    expect(asked).toBeGreaterThanOrEqual(6);
    expect(asked).toBeLessThanOrEqual(12);
    for (const member of it.shards.cluster.members.values()) expect(alarms(member)).toEqual([]);
  });

  test("one that differs says so, mends itself from the leader, and goes on", () => {
    const it = bench();
    const { bad, group, leader, shards } = it;
    corrupt(it);
    shards.cluster.until("it is noticed", () => problem(bad, group) !== null);
    expect(alarms(bad)).toEqual([expect.stringContaining(`this node's state of shard ${group} differs from that of`)]);
    expect(bad.telemetry.counters.get(mismatches)).toBe(1);
    shards.cluster.until("it is mended", () => problem(bad, group) === null);
    expect(hash(bad, group)).toBe(hash(leader, group));
    expect(bad.files.paths().filter((path) => path.startsWith("state-in-doubt"))).toEqual([]);
    shards.produce(bad.config.node, "b");
    expect(shards.consume(bad.config.node).length).toBe(3);
    // The other shards were never in question.
    expect(bad.host.shards?.replica(groupId(1 + (group % 4)))?.group.snapshots.installedCount).toBe(0);
  });

  test("what is known to be wrong is still known after a restart, before anybody is asked", () => {
    const it = bench();
    const { bad, group, leader, shards } = it;
    corrupt(it);
    const marked = (): boolean => bad.files.paths().includes(`state-in-doubt-${group}.json`);
    // In small steps: the replacement is over within milliseconds.
    for (let step = 0; step < 50_000 && !marked(); step += 1) shards.cluster.run(0.1);
    shards.cluster.run(0.3);
    shards.cluster.kill(bad.config.node);
    shards.cluster.restart(bad.config.node);
    for (let step = 0; step < 50_000 && (bad.host.shards?.replica(group) ?? null) === null; step += 1) shards.cluster.run(0.1);
    expect(problem(bad, group)).toContain("differs from that of");
    expect(replica(bad, group).group.stateDoubted).toBe(true);
    shards.cluster.until("it is mended", () => problem(bad, group) === null);
    expect(hash(bad, group)).toBe(hash(leader, group));
  });

  guard("shard-w7-doubtful-tells", "what is in its hands when the doubt comes up is answered by the state that takes its place", () => {
    const { bad, group, shards } = bench();
    const body = { type: "produce", queue: shards.queue, partition: 0, version: 1, messages: [message("c")], ifFence: null } as const;
    const told = shards.begin(bad.config.node, body);
    const { group: host } = replica(bad, group);
    for (let step = 0; step < 2_000 && host.handedIndex === host.appliedIndex; step += 1) shards.cluster.run(0.01);
    expect(host.handedIndex).toBeGreaterThan(host.appliedIndex);
    host.doubtState();
    shards.cluster.run(100);
    expect(told.value).toBe(null);
  });

  test("a query finds no state in doubt", () => {
    const { bad, group, shards } = bench();
    replica(bad, group).group.doubtState();
    const told = new Told<unknown>();
    bad.host.queueStorage.query({ type: "stats", queue: shards.queue, partition: 0 }, 1_000, told.hear);
    shards.cluster.until("an answer", () => told.value !== null);
    expect(told.value).toMatchObject({ type: "unavailable" });
  });
});
