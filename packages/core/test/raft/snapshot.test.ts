import { describe, expect, test } from "vitest";
import { logIndex, nodeId } from "@trivet/core";
import { accepted, append, elect, entry, hardState, logOf, membershipOf, message, metaOf, under } from "./build.ts";
import { Cluster, payloadOf } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };

/** A leads, c is cut off and falls behind a's compacted log. */
function behind(values = 30): Cluster {
  const c = new Cluster(three);
  elect(c, "a");
  c.isolate("c");
  c.propose("a", ...Array.from({ length: values }, (_, i) => `value ${i}`));
  c.settle();
  c.compact("a");
  return c;
}

const caughtUp = (c: Cluster) => (): boolean => c.group("c").commitIndex === c.group("a").commitIndex;

describe("compaction", () => {
  guard("raft-30-last-term-lost-by-compaction", "keeps the last term, also when nothing is left", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.settle();
    c.compact("b");
    expect(c.group("b").firstIndex).toBe(3);
    expect(c.group("b").lastTerm).toBe(1);
    expect(c.group("b").termAt(logIndex(2))).toBe(1);
    expect(c.group("b").termAt(logIndex(1))).toBeNull();
  });

  test("keeps what lagging followers may still want", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.isolate("c");
    c.propose("a", ...logOf(1, 1, 1, 1).map((_, i) => `v${i}`));
    c.settle();
    c.compact("a", 5);
    c.heal();
    c.run(500, caughtUp(c));
    expect(c.node("c").snapshotsInstalled).toBe(0);
    expect(c.values("c")).toHaveLength(4);
  });

  test("a node restarts from snapshot and suffix", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x", "y");
    c.settle();
    c.compact("b");
    c.propose("a", "z");
    c.settle();
    c.crash("b");
    c.restart("b");
    c.run(500);
    expect(c.values("b")).toEqual(["x", "y", "z"]);
  });

  test("a log restored from before its snapshot serves lagging followers", () => {
    const c = new Cluster(three);
    const meta = metaOf("s", 3, 2);
    c.createFrom("a", {
      hardState: hardState(1),
      entries: logOf(1, 1, 1, 1),
      snapshot: { meta, data: payloadOf("[]") },
      commit: logIndex(3),
    });
    expect(c.group("a").firstIndex).toBe(2);
    expect(c.group("a").termAt(logIndex(1))).toBe(1);
    expect(c.group("a").lastIndex).toBe(4);
  });
});

describe("a snapshot for a lagging follower", () => {
  test("arrives in chunks, one at a time", () => {
    const c = behind();
    c.heal();
    let most = 0;
    while (!caughtUp(c)()) {
      c.tick(5);
      for (const node of c.running) c.flush(node.id);
      most = Math.max(most, under(c, "snapshot").length);
      if (!c.deliverOne()) c.tick(20);
    }
    expect(c.node("c").snapshotsInstalled).toBe(1);
    expect(most).toBe(1);
    expect(c.node("a").sent.filter((m) => m.type === "snapshot").length).toBeGreaterThan(5);
    expect(c.values("c")).toEqual(c.values("a"));
  });

  test("resumes where it stopped after lost chunks and lost replies", () => {
    const c = behind();
    let n = 0;
    c.cut = (m) => (m.type === "snapshot" || m.type === "snapshot-reply") && n++ % 3 === 2;
    expect(c.run(60_000, caughtUp(c))).toBe(true);
    expect(c.values("c")).toEqual(c.values("a"));
  });

  test("resumes after a restart of the receiver with what it has on disk", () => {
    const c = behind(100);
    c.heal();
    c.run(1000, () => (c.node("c").disk.incoming?.bytes.length ?? 0) > 500);
    for (let i = 0; i < 40 && (c.node("c").disk.incoming?.bytes.length ?? 0) < 500; i++) c.deliverOne();
    const before = c.node("c").disk.incoming?.bytes.length ?? 0;
    c.crash("c");
    c.restart("c");
    c.run(5000, caughtUp(c));
    expect(c.values("c")).toEqual(c.values("a"));
    expect(before).toBeGreaterThanOrEqual(0);
  });

  guard("raft-38-snapshot-stalls", "is sent again on silence", () => {
    const c = behind();
    let lost = 0;
    c.cut = (m) => m.type === "snapshot" && lost++ < 2;
    expect(c.run(5000, caughtUp(c))).toBe(true);
  });

  guard("raft-31-no-snapshot-at-its-index", "is sent when the next entry is the snapshot's own last", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.settle();
    c.isolate("c");
    c.propose("a", "y");
    c.settle();
    c.compact("a");
    c.heal();
    // c has entry 2; the snapshot ends at 3.
    expect(c.run(2000, caughtUp(c))).toBe(true);
    expect(c.values("c")).toEqual(["x", "y"]);
  });

  guard("raft-23-snapshot-membership-ignored", "brings the configuration along", () => {
    const c = new Cluster({ ...three, spare: ["d"] });
    elect(c, "a");
    c.isolate("c");
    c.change("a", { addLearners: ["d"] });
    c.settle();
    c.propose("a", "x");
    c.settle();
    c.compact("a");
    c.heal();
    c.run(2000, caughtUp(c));
    expect(c.node("c").snapshotsInstalled).toBe(1);
    expect(c.group("c").membership).toEqual(membershipOf("abc", "", "d"));
    expect(c.group("c").membershipIndex).toBe(2);
  });

  guard("raft-33-snapshot-chunks-mixed", "is never mixed with chunks of another one", () => {
    const c = new Cluster({ ...three, config: { snapshotChunkBytes: 8 } });
    const chunk = (id: string, offset: number, fill: number, inTerm: number): void =>
      c.deliver(
        message("snapshot", inTerm === 1 ? "a" : "b", "c", inTerm, {
          meta: metaOf(id, 9, 16),
          offset,
          data: new Uint8Array(8).fill(fill),
          done: offset === 8,
        }),
      );
    c.node("c").holdInstall = true;
    chunk("one", 0, 1, 1);
    chunk("two", 8, 2, 2);
    expect(c.node("c").heldInstalls).toEqual([]);
    expect(c.node("c").disk.incoming?.id).toBe("two");
    expect(under(c, "snapshot-reply").at(-1)).toMatchObject({ id: "two", offset: 0, installed: false });
  });

  guard("raft-32-apply-races-install", "freezes log and commit index while it is installed", () => {
    const c = behind();
    c.heal();
    c.node("c").holdInstall = true;
    c.run(2000, () => c.node("c").heldInstalls.length > 0);
    const before = c.group("c").commitIndex;
    c.deliver(append("b", "c", 2, [1, 1], [entry(2, 2)], 2));
    expect(c.group("c").commitIndex).toBe(before);
    expect(c.group("c").lastIndex).toBe(1);
    c.campaign("c");
    expect(c.group("c").role).toBe("follower");
    c.node("c").holdInstall = false;
    c.install(c.node("c"));
    c.take(c.node("c"));
    expect(c.group("c").commitIndex).toBe(31);
  });

  guard("raft-w5-suffix-always-kept", "drops a suffix that does not follow its last entry (W5)", () => {
    const c = new Cluster(three);
    // c has a long tail of a deposed leader's entries.
    c.createFrom("c", { hardState: hardState(1), entries: logOf(...Array.from({ length: 60 }, () => 1)) });
    for (const id of ["a", "b"]) c.createFrom(id, { hardState: hardState(2), entries: logOf(2, 2, 2) });
    c.isolate("c");
    elect(c, "a");
    c.compact("a");
    c.heal();
    expect(c.run(3000, () => c.group("c").commitIndex === 4)).toBe(true);
    expect(c.group("c").lastIndex).toBe(4);
    expect(c.group("c").durableIndex).toBe(4);
    c.propose("a", "x");
    c.settle();
    expect(c.values("c").at(-1)).toBe("x");
  });

  test("keeps a suffix that follows its last entry, and tells the host so", () => {
    const c = new Cluster(three);
    c.createFrom("c", { hardState: hardState(1), entries: logOf(1, 1, 1, 1) });
    const { group } = c.node("c");
    const meta = metaOf("s", 2, 0);
    group.step({ type: "installed", meta });
    expect(group.lastIndex).toBe(4);
    expect(group.firstIndex).toBe(3);
    expect(group.durableIndex).toBe(4);
    expect(group.commitIndex).toBe(2);
  });

  test("is not needed by a log that has its last entry: it only tells that it is committed", () => {
    const c = new Cluster(three);
    c.createFrom("c", { hardState: hardState(1), entries: logOf(1, 1, 1) });
    const meta = metaOf("s", 2, 9);
    c.deliver(message("snapshot", "a", "c", 1, { meta, offset: 0, data: new Uint8Array(4), done: false }));
    c.flush("c");
    expect(c.group("c").commitIndex).toBe(2);
    expect(c.node("c").disk.incoming).toBeNull();
    expect(under(c, "snapshot-reply")).toMatchObject([{ installed: true, index: 2 }]);
  });

  test("that is older than what the receiver has is answered as installed", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.settle();
    const meta = metaOf("s", 1, 9);
    c.network = [];
    c.deliver(message("snapshot", "a", "c", 1, { meta, offset: 0, data: new Uint8Array(4), done: false }));
    expect(under(c, "snapshot-reply")).toMatchObject([{ installed: true, index: 2 }]);
  });

  test("that is gone at the sender is replaced by the latest, from the start", () => {
    const c = behind();
    c.heal();
    c.run(500, () => under(c, "snapshot-reply").length > 0);
    for (
      let i = 0;
      i < 100 &&
      c
        .group("a")
        .progress()
        .find((p) => p.peer === "c")?.snapshot?.offset !== 128;
      i++
    ) {
      c.tick(1);
      if (!c.deliverOne()) c.tick(20);
    }
    c.propose("a", "newer");
    c.flush("a");
    c.flush("b");
    while (c.deliverOne((m) => m.to !== "c" && m.from !== "c"));
    c.flush("b");
    while (c.deliverOne((m) => m.to !== "c" && m.from !== "c"));
    c.flush("a");
    c.compact("a");
    expect(c.run(3000, caughtUp(c))).toBe(true);
    expect(c.values("c")).toEqual(c.values("a"));
  });

  test("an acknowledged append that connects ends it: the follower got the entries some other way", () => {
    const c = behind();
    c.heal();
    c.cut = (m) => m.type === "snapshot";
    c.run(
      200,
      () =>
        c
          .group("a")
          .progress()
          .find((p) => p.peer === "c")?.state === "snapshot",
    );
    const last = c.group("a").lastIndex;
    c.deliver(accepted("c", "a", 1, last));
    expect(
      c
        .group("a")
        .progress()
        .find((p) => p.peer === "c"),
    ).toMatchObject({ state: "replicate", match: last, snapshot: null });
  });

  test("a chunk that could not be stored starts it over", () => {
    const c = behind();
    const { group } = c.node("c");
    c.heal();
    const meta = metaOf("s", 20, 100);
    const chunk = (offset: number) =>
      ({
        type: "message",
        message: message("snapshot", "a", "c", 1, { meta, offset, data: new Uint8Array(50), done: offset > 0 }),
      }) as const;
    group.step(chunk(0));
    expect(group.takeEffects().snapshots).toMatchObject([{ type: "write-chunk", offset: 0 }]);
    // One at a time: a repeated chunk is not written while the first is.
    group.step(chunk(0));
    expect(group.takeEffects().snapshots).toEqual([]);
    group.step({ type: "chunk-written", id: "s", offset: 50, failed: false });
    group.step(chunk(50));
    group.takeEffects();
    group.step({ type: "chunk-written", id: "s", offset: 100, failed: true });
    expect(group.takeEffects().sendNow).toMatchObject([{ type: "snapshot-reply", offset: 0, installed: false }]);
    group.step(chunk(0));
    expect(group.takeEffects().snapshots).toMatchObject([{ type: "write-chunk", offset: 0 }]);
  });

  test("a leader without any snapshot asks again instead of giving up", () => {
    const c = behind();
    c.heal();
    const { disk } = c.node("a");
    const kept = disk.snapshot;
    disk.snapshot = null;
    c.run(2000);
    expect(caughtUp(c)()).toBe(false);
    disk.snapshot = kept;
    expect(c.run(2000, caughtUp(c))).toBe(true);
    expect(c.group("c").membership.voters).toContain(nodeId("c"));
  });
});
