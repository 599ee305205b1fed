import { nodeId } from "@trivet/core";
import type { NodeHost } from "@trivet/engine";
import type { JoinRequest } from "../../src/members/member-requests.ts";
import { decodePeerFrame, encodeHello, type PeerHello } from "../../src/peers/peer-frames.ts";
import { CommandFrameBuilder, levelBeforeLevels, newestLevel, type Command } from "@trivet/wire";
import { describe, expect, test, vi } from "vitest";
import { acquire, Cluster, ready, Told } from "./cluster.ts";
import { guard } from "./guard.ts";

const define: Command = { type: "define-namespace", name: "users", mode: "ensure", settings: {}, principal: "" };
const urls = ["http://n1", "http://n2", "http://n3"];

/** Three nodes, of which `n3` says that it knows the first level only, or `featureLevel`. */
function mixed(featureLevel = 1, withShards = false): Cluster {
  const cluster = new Cluster();
  cluster.withShards = withShards;
  for (const [at, url] of urls.entries()) cluster.add(`n${at + 1}`, url, { peers: urls, shards: 2, ...(at === 2 ? { featureLevel } : {}) });
  cluster.untilReady();
  cluster.until("a level", () => levels(cluster).every((level) => level !== null));
  return cluster;
}
function levels(cluster: Cluster): readonly (number | null)[] {
  return [...cluster.members.values()].map(({ host }) => host.machine?.features.told ?? null);
}
/** The same node with another version. */
function restartAs(cluster: Cluster, node: string, featureLevel: number): void {
  cluster.kill(node);
  startAs(cluster, node, featureLevel);
}
function startAs(cluster: Cluster, node: string, featureLevel: number): void {
  const member = cluster.member(node);
  cluster.members.set(node, { ...member, config: { ...member.config, featureLevel } });
  cluster.restart(node);
}
/** The snapshots have level 2 and the shards; the log behind them says more. */
function raisedBehindSnapshots(): Cluster {
  const cluster = mixed(2, true);
  const hosts = (): readonly NodeHost[] => [...cluster.members.values()].map(({ host }) => host);
  cluster.until("the shards", () => hosts().every(({ shards }) => [...(shards?.all() ?? [])].length === 2), 60_000);
  for (const { api } of hosts()) {
    const taken = new Told<unknown>();
    api.snapshot(taken.hear);
    cluster.until("a snapshot", () => taken.value !== null);
  }
  restartAs(cluster, "n3", newestLevel);
  cluster.until("the level", () => levels(cluster).every((level) => level === newestLevel));
  cluster.run(3_000);
  return cluster;
}
/** Three, and `n4` of an older version, which was a member and keeps its links. It is too old to know that it has to stop. */
function withFormerMember(levelOfN3: number): Cluster {
  const cluster = new Cluster();
  const all = [...urls, "http://n4"];
  const featureLevels = [newestLevel, newestLevel, levelOfN3, 2];
  for (const [at, url] of all.entries()) cluster.add(`n${at + 1}`, url, { peers: all, featureLevel: featureLevels[at] ?? newestLevel });
  cluster.untilReady();
  cluster.until("the founders' level", () => levels(cluster).every((level) => level === 2));
  vi.spyOn(cluster.member("n4").host.features, "problem").mockReturnValue(null);
  const told = new Told<unknown>();
  cluster.leader()?.host.members?.changeMembers({ remove: ["n4"] }, 5_000, told.hear);
  cluster.until("n4 is removed", () => told.value !== null);
  expect(told.value).toMatchObject({ ok: true });
  cluster.until("a leader beside it", () => (cluster.leader()?.host.config.node ?? "n4") !== "n4");
  return cluster;
}
/** A leader with the raise in its log that nobody else can make committed, linked to a former member that does not know the level. */
function raisingWithoutFollowers(): { readonly leader: NodeHost; readonly request: JoinRequest } {
  const cluster = withFormerMember(2);
  const { host } = cluster.leader() ?? cluster.member("n1");
  for (const node of ["n1", "n2", "n3"]) if (node !== host.config.node) cluster.kill(node);
  host.propose([{ type: "raise-level", level: newestLevel }]);
  cluster.run(5);
  expect(host.hub.helloOf(nodeId("n4"))?.level).toBe(2);
  expect(host.system?.raft.lastIndex).toBeGreaterThan(host.system?.raft.commitIndex ?? 0);
  const { storage } = cluster.member("n4").host;
  return { leader: host, request: { node: "n4", storage, url: "http://n4", roles: "lock", voter: true, level: 2 } };
}

describe("feature levels", () => {
  test("a cluster of one version is at that version's level with its first members", () => {
    const cluster = ready();
    cluster.until("the level", () => levels(cluster).every((level) => level === newestLevel));
    expect(cluster.leader()?.host.api.status().features).toEqual({ cluster: newestLevel, own: newestLevel });
  });

  guard("host-level-not-asked", "what not every member knows is refused with a code and who keeps it back; what all know works", () => {
    const cluster = mixed();
    expect(levels(cluster)).toEqual([1, 1, 1]);
    for (const node of ["n1", "n2", "n3"]) {
      const outcome = cluster.submit(node, define);
      expect(outcome).toMatchObject({ type: "unavailable", code: "feature_level" });
      if (outcome.type === "unavailable") expect(outcome.detail).toMatch(/needs feature level 2.*at 1.*n3/);
      expect(cluster.submit(node, acquire(`lock of ${node}`, "alice"))).toMatchObject({ result: { type: "granted" } });
    }
  });

  test("once the last one runs the newer version the level rises by itself, and the command works", () => {
    const cluster = mixed();
    restartAs(cluster, "n3", newestLevel);
    cluster.until("the level", () => levels(cluster).every((level) => level === newestLevel));
    expect(cluster.submit("n1", define)).toMatchObject({ result: { type: "namespace-defined" } });
  });

  test("a cluster from before levels hears nothing of them while its members are told to stay at theirs", () => {
    const cluster = new Cluster();
    for (const [at, url] of urls.entries()) cluster.add(`n${at + 1}`, url, { peers: urls, featureLevel: levelBeforeLevels });
    cluster.until("the founders' level", () => levels(cluster).every((level) => level === levelBeforeLevels));
    for (const { host } of cluster.members.values()) host.machine?.features.restore(0);
    cluster.run(5_000);
    expect(levels(cluster)).toEqual([null, null, null]);
  });

  guard("host-level-of-a-majority", "nobody is left behind: while a member is away the level stays", () => {
    const cluster = mixed();
    cluster.kill("n3");
    cluster.run(20_000);
    cluster.until("a leader", () => cluster.leader() !== null);
    expect(cluster.leader()?.host.machine?.features.told).toBe(1);
    // The others' links to it are gone, and what it said with them.
    restartAs(cluster, "n3", 1);
    cluster.run(5_000);
    expect(levels(cluster)).toEqual([1, 1, 1]);
    expect(cluster.member("n3").failure).toBeNull();
  });

  guard("host-level-beyond-own", "a node with a version before the cluster's level stops, and says what to do", () => {
    const cluster = ready();
    cluster.until("the level", () => levels(cluster).every((level) => level === newestLevel));
    const taken = new Told<unknown>();
    cluster.member("n3").host.api.snapshot(taken.hear);
    cluster.until("a snapshot", () => taken.value !== null);
    restartAs(cluster, "n3", 2);
    cluster.until("it has stopped", () => cluster.member("n3").failure !== null);
    expect(cluster.member("n3").failure?.message).toMatch(
      new RegExp(`the cluster is at feature level ${newestLevel}, and FEATURE_LEVEL of n3 is 2: start n3 with`),
    );
    expect(cluster.submit("n1", acquire("a", "alice"))).toMatchObject({ result: { type: "granted" } });
  });

  guard("host-level-any-peer", "nor is such a node let in with an empty disk", () => {
    const cluster = ready();
    cluster.until("the level", () => levels(cluster).every((level) => level === newestLevel));
    cluster.add("n4", "http://n4", { join: urls, featureLevel: 2 });
    cluster.run(10_000);
    const members = cluster.leader()?.host.system?.raft.membership;
    expect([...(members?.voters ?? []), ...(members?.learners ?? [])].sort()).toEqual(["n1", "n2", "n3"]);
    expect(cluster.member("n4").failure?.message).toMatch(
      new RegExp(`n4 knows feature level 2, and the cluster is at ${newestLevel}: start it with the version of n\\d`),
    );
  });

  guard("host-level-of-the-snapshot", "the same where only the log behind its snapshot says so: no shard is opened", () => {
    const cluster = raisedBehindSnapshots();
    const nodes = [...cluster.members.keys()];
    for (const node of nodes) cluster.kill(node);
    for (const node of nodes) startAs(cluster, node, 2);
    cluster.until("all have stopped", () => nodes.every((node) => cluster.member(node).failure !== null));
    for (const node of nodes) {
      const { failure, host } = cluster.member(node);
      expect(failure?.message).toMatch(new RegExp(`the cluster is at feature level ${newestLevel}, and FEATURE_LEVEL of n\\d is 2`));
      expect(host.shards).toBeNull();
      // Nothing of it runs on: a later failure would be told instead of this one.
      expect(host.isStopped).toBe(true);
    }
    for (const node of nodes) restartAs(cluster, node, newestLevel);
    cluster.untilReady();
    expect(cluster.submit("n1", acquire("a", "alice"))).toMatchObject({ result: { type: "granted" } });
  });

  guard(
    "host-level-committed-only",
    "an entry counts also where it is not known to be committed; with its own version the node goes on",
    () => {
      const cluster = mixed(2);
      const { leader, followers } = cluster.roles();
      for (const { config } of followers) cluster.kill(config.node);
      const before = leader.host.system?.raft.lastIndex ?? 0;
      leader.host.propose([{ type: "raise-level", level: newestLevel }]);
      cluster.run(20);
      expect(leader.host.system?.raft).toMatchObject({ commitIndex: before, lastIndex: before + 1, durableIndex: before + 1 });
      const { node } = leader.config;
      cluster.kill(node);
      startAs(cluster, node, 2);
      cluster.until("it has stopped", () => cluster.member(node).failure !== null, 200);
      expect(cluster.member(node).failure?.message).toMatch(
        new RegExp(`the cluster is at feature level ${newestLevel}, and FEATURE_LEVEL of n\\d is 2`),
      );
      cluster.kill(node);
      for (const name of cluster.members.keys()) startAs(cluster, name, newestLevel);
      cluster.until("the level", () => levels(cluster).every((level) => level === newestLevel));
    },
  );

  guard("host-level-install-unasked", "a snapshot that says more than this node knows stops it at once", () => {
    const cluster = mixed(2);
    const { host } = cluster.member("n3");
    host.machine?.features.restore(newestLevel);
    host.installed();
    expect(cluster.member("n3").failure?.message).toMatch(
      new RegExp(`the cluster is at feature level ${newestLevel}, and FEATURE_LEVEL of n3 is 2`),
    );
  });

  guard("host-level-links-kept", "links from before the level rose end with it where the other end does not know it", () => {
    const cluster = withFormerMember(newestLevel);
    const applied = cluster.member("n4").host.system?.appliedIndex ?? 0;
    cluster.until("the level", () =>
      levels(cluster)
        .slice(0, 3)
        .every((level) => level === newestLevel),
    );
    for (const node of ["n1", "n2", "n3"]) expect(cluster.member(node).host.hub.isUp(nodeId("n4"))).toBe(false);
    cluster.leader()?.host.members?.changeMembers({ add: [{ node: "n4", url: "http://n4", voter: true }] }, 1_000, () => undefined);
    cluster.run(5_000);
    expect(cluster.member("n4").host.system?.appliedIndex).toBe(applied);
    expect(cluster.member("n4").failure?.message).toMatch(
      new RegExp(`n4 knows feature level 2, and the cluster is at ${newestLevel}: start it with the version of n\\d`),
    );
  });

  guard("host-level-unfinished-link-kept", "a link that was judged before the level rose, and is made after it, is judged again", () => {
    const cluster = mixed(2);
    const { options } = cluster.network;
    const hellos = new Set<string>();
    const isFirst = (to: string): boolean => hellos.size < hellos.add(to).size;
    // What follows its hellos takes long.
    cluster.network.options = {
      fate: (passage) =>
        passage.type === "frame" && passage.from === "http://n4" && !isFirst(passage.to)
          ? { delaysMs: [2_000] }
          : (options.fate?.(passage) ?? { delaysMs: [0] }),
    };
    cluster.add("n4", "http://n4", { join: urls.slice(0, 2), featureLevel: 2 });
    cluster.run(5);
    restartAs(cluster, "n3", newestLevel);
    const links = (): readonly boolean[] => [...cluster.members.values()].slice(0, 3).map(({ host }) => host.hub.isUp(nodeId("n4")));
    cluster.until(
      "the level",
      () =>
        levels(cluster)
          .slice(0, 3)
          .every((level) => level === newestLevel),
      1_900,
    );
    cluster.until("it is turned away", () => {
      expect(links()).toEqual([false, false, false]);
      return cluster.member("n4").failure !== null;
    });
  });

  guard("host-level-links-from-start", "nor does a link stay that was made before this node had read what level the cluster is at", () => {
    const cluster = ready();
    cluster.until("the level", () => levels(cluster).every((level) => level === newestLevel));
    const taken = new Told<unknown>();
    cluster.member("n3").host.api.snapshot(taken.hear);
    cluster.until("a snapshot", () => taken.value !== null);
    // Alone it hears of no level but what is on its disk, and has nothing to apply behind it.
    for (const node of ["n1", "n2", "n3"]) cluster.kill(node);
    cluster.add("n4", "http://n4", { join: urls, featureLevel: 2 });
    const n3 = cluster.member("n3");
    n3.files.options = { latencyMs: () => (n3.host.identity === null || n3.host.system !== null ? 0.1 : 300) };
    cluster.restart("n3");
    cluster.until("the links", () => n3.host.hub.isUp(nodeId("n4")));
    expect(n3.host.machine).toBeNull();
    cluster.until("its state", () => n3.host.machine !== null);
    cluster.run(1);
    expect(n3.host.hub.isUp(nodeId("n4"))).toBe(false);
  });

  guard("host-level-add-unasked", "while a level is on its way nobody is added who does not know it", () => {
    const { leader, request } = raisingWithoutFollowers();
    const told = new Told<unknown>();
    leader.members?.changeMembers({ add: [request] }, 1_000, told.hear);
    expect(told.value).toMatchObject({
      ok: false,
      reason: expect.stringMatching(new RegExp(`n4 knows feature level 2, and the cluster is at ${newestLevel}`)),
    });
    expect(leader.system?.raft.membership).toMatchObject({ learners: [], learnersNext: [] });
  });

  guard("host-level-join-unasked", "nor taken in by its own wish, whoever passes that on", () => {
    const { leader, request } = raisingWithoutFollowers();
    const refused = {
      ok: false,
      reason: expect.stringMatching(new RegExp(`n\\d knows feature level 2, and the cluster is at ${newestLevel}`)),
    };
    expect(leader.members?.join(request)).toMatchObject(refused);
    // What is heard here counts as well as what is passed on, and who says nothing is of before levels.
    expect(leader.members?.join({ ...request, level: newestLevel })).toMatchObject(refused);
    const { level: _, ...silent } = { ...request, node: "n5", url: "http://n5" };
    expect(leader.members?.join(silent)).toMatchObject(refused);
    expect(leader.members?.join({ ...silent, level: 2 })).toMatchObject(refused);
    expect(leader.members?.join({ ...silent, level: newestLevel })).toMatchObject({ reason: "being registered" });
  });

  test("a command that this version does not know goes into no log: a newer one would execute it", () => {
    const cluster = ready();
    cluster.until("the level", () => levels(cluster).every((level) => level === newestLevel));
    const builder = new CommandFrameBuilder();
    builder.begin("caller", "", cluster.clock.now() + 1e15, 0, 1);
    builder.add({ type: "nothing" });
    const frame = builder.finish();
    // The number of the only command.
    frame[frame.length - 1] = 200;
    const { host } = cluster.roles().leader;
    host.api.route("caller", { answer: () => undefined, flush: () => undefined, refused: () => undefined });
    const before = host.system?.raft.lastIndex;
    expect(host.api.submitFrame(frame)).toMatchObject({
      code: "feature_level",
      detail: expect.stringContaining("does not know this command"),
    });
    cluster.run(100);
    expect(host.system?.raft.lastIndex).toBe(before);
  });

  test("the handshake of a version before levels can be read, and is read by it", () => {
    const hello: PeerHello = {
      protocol: 5,
      cluster: "c",
      preparing: "",
      node: "n1",
      storage: "s",
      url: "http://n1",
      roles: "lock",
      shards: 8,
      nonce: "n",
      incarnation: "i",
      applied: 7,
      mac: false,
      level: null,
    };
    const older = encodeHello("hello", hello);
    expect(decodePeerFrame(older, nodeId("n1"), nodeId("n2"))).toEqual({ type: "hello", hello });
    // What is new stands behind everything that an older version reads.
    const newer = encodeHello("hello", { ...hello, level: newestLevel });
    expect([...newer.subarray(0, older.length)]).toEqual([...older]);
    expect(newer.length).toBe(older.length + 1);
  });
});
