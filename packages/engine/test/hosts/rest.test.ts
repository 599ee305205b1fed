import { describe, expect, test, vi } from "vitest";
import type { GroupHost } from "../../src/groups/group-host.ts";
import { Caches } from "../shards/cache-support.ts";
import { acquire, Cluster, Told } from "./cluster.ts";
import { guard } from "./guard.ts";

const heartbeatMs = 50;
const fineMs = 10;

/** Three nodes whose wall clocks differ, so that they beat at different times. */
function unlikeClocks(withShards: boolean): Cluster {
  const cluster = new Cluster();
  cluster.withShards = withShards;
  const view = cluster.clock.view.bind(cluster.clock);
  let made = 0;
  cluster.clock.view = () => view({ wallOffsetMs: 17 * made++ });
  const peers = ["http://n1", "http://n2", "http://n3"];
  for (const [index, url] of peers.entries()) cluster.add(`n${index + 1}`, url, { peers });
  cluster.untilReady();
  return cluster;
}

/** What follows a start is over: shards are placed, snapshots taken, floors moved. */
const settleMs = 20_000;

describe("a node that nobody calls", () => {
  test("wakes for its heartbeats alone, and after a call again", () => {
    const cluster = unlikeClocks(true);
    cluster.run(settleMs);
    const ticks = [...cluster.members.values()].map(({ host }) => vi.spyOn(host.disk, "tick"));
    cluster.run(2_000);
    for (const tick of ticks) expect(tick.mock.calls.length).toBeLessThanOrEqual(2_000 / heartbeatMs + 2);
    expect(cluster.submit("n1", acquire("a", "alice"))).toMatchObject({ result: { type: "granted" } });
    cluster.run(500);
    for (const tick of ticks) tick.mockClear();
    cluster.run(2_000);
    for (const tick of ticks) expect(tick.mock.calls.length).toBeLessThanOrEqual(2_000 / heartbeatMs + 4);
  });

  test("has a turn for its own heartbeats and for those of others, and none for their answers", () => {
    const cluster = unlikeClocks(true);
    cluster.run(settleMs);
    const turns = [...cluster.members.values()].map(({ host }) => vi.spyOn(host.system as GroupHost, "pump"));
    cluster.run(2_000);
    for (const turn of turns) expect(turn.mock.calls.length).toBeLessThanOrEqual((3 * 2_000) / heartbeatMs + 20);
  });

  guard("host-heard-at-the-beat", "carries out at once what it hears: a read is answered long before the next heartbeat", () => {
    const cluster = unlikeClocks(false);
    cluster.run(settleMs);
    const { leader } = cluster.roles();
    let longest = 0;
    for (let read = 0; read < 10; read += 1) {
      const ready = new Told<boolean>();
      leader.host.system?.reads.barrier(5_000, ready.hear);
      leader.host.markDirty();
      const begun = cluster.clock.now();
      cluster.until("it is answered", () => ready.value === true);
      longest = Math.max(longest, cluster.clock.now() - begun);
      cluster.run(7);
    }
    expect(longest).toBeLessThanOrEqual(fineMs);
  });

  guard("host-rest-clock-stale", "counts the silence of its leader from when it heard it, not from its own last beat", () => {
    const cluster = unlikeClocks(false);
    cluster.run(settleMs);
    const { followers } = cluster.roles();
    let longest = 0;
    for (let passed = 0; passed < 500; passed += 1) {
      cluster.run(1);
      for (const { host, view } of followers) longest = Math.max(longest, view.now() - (host.system?.raft.lastQuorumContact ?? 0));
    }
    // A heartbeat's way, and its own time to the next millisecond.
    expect(longest).toBeLessThanOrEqual(heartbeatMs + fineMs + 2);
  });

  guard("cache-rest-without-renewal", "keeps its copies, also where heartbeats are rarer than a lease is long", () => {
    const caches = new Caches(3, { heartbeatMs: 800, electionMinMs: 4_000, electionMaxMs: 8_000 });
    caches.put("n1", "a", "1");
    caches.warm("a");
    const nodes = [...caches.cluster.members.keys()];
    const lapsed = (): readonly number[] =>
      nodes.map((node) => [...caches.cluster.member(node).host.caching.all()].reduce((sum, [, { lapses }]) => sum + lapses, 0));
    const before = lapsed();
    caches.cluster.run(10_000);
    expect(lapsed()).toEqual(before);
    for (const node of nodes) expect(caches.entry(node, "a").source).toBe("cache");
  });
});
