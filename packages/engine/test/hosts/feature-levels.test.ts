import { nodeId } from "@trivet/core";
import { decodePeerFrame, encodeHello, type PeerHello } from "../../src/hosts/peer-frames.ts";
import { CommandFrameBuilder, levelBeforeLevels, newestLevel, type Command } from "@trivet/wire";
import { describe, expect, test, vi } from "vitest";
import { acquire, Cluster, ready, Told } from "./cluster.ts";
import { guard } from "./guard.ts";

vi.mock("../../../core/src/mutation-off.ts", () => import("../../../core/src/mutation-on.ts"));

const define: Command = { type: "define-namespace", name: "users", mode: "ensure", settings: {}, principal: "" };
const urls = ["http://n1", "http://n2", "http://n3"];

/** Three nodes, of which `n3` says that it knows the first level only. */
function mixed(): Cluster {
  const cluster = new Cluster();
  for (const [at, url] of urls.entries()) cluster.add(`n${at + 1}`, url, { peers: urls, ...(at === 2 ? { featureLevel: 1 } : {}) });
  cluster.untilReady();
  cluster.until("a level", () => levels(cluster).every((level) => level !== null));
  return cluster;
}
function levels(cluster: Cluster): readonly (number | null)[] {
  return [...cluster.members.values()].map(({ host }) => host.machine?.features.told ?? null);
}
/** The same node with another version. */
function restartAs(cluster: Cluster, node: string, featureLevel: number): void {
  const member = cluster.member(node);
  cluster.kill(node);
  cluster.members.set(node, { ...member, config: { ...member.config, featureLevel } });
  cluster.restart(node);
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
    expect(cluster.member("n3").failure?.message).toMatch(/the cluster is at feature level 4, and FEATURE_LEVEL of n3 is 2: start n3 with/);
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
      /n4 knows feature level 2, and the cluster is at 4: start it with the version of n\d/,
    );
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
