import { describe, expect, test } from "vitest";
import { logIndex, type RaftMessage, term } from "@trivet/core";
import { accepted, append, elect, entry, hardState, logOf, message, under } from "./build.ts";
import { Cluster, payloadOf } from "./cluster.ts";
import { guard } from "./guard.ts";

const three = { voters: ["a", "b", "c"] };
const match = (c: Cluster, peer: string): number | undefined =>
  c
    .group("a")
    .progress()
    .find((p) => p.peer === peer)?.match;

/** When a leader that was elected then sends heartbeats, of a node whose beats are 20 ms before whole multiples. */
function beatsOf(electedAfterMs: number): number[] {
  const c = new Cluster({ ...three, config: { beatOffsetMs: 20 } });
  c.tick(electedAfterMs);
  elect(c, "a");
  const at: number[] = [];
  for (let passed = 0; passed < 130; passed++) {
    c.network = [];
    c.tick(1, ["a"]);
    if (c.network.some(({ type }) => type === "heartbeat")) at.push(c.now);
  }
  return at;
}

describe("commit", () => {
  guard(
    "raft-01-commit-earlier-term-by-counting",
    "an entry of an earlier term is committed only along with one of the leader's own",
    () => {
      const c = new Cluster({ ...three, config: { maxEntriesPerAppend: 1 } });
      c.createFrom("a", { hardState: hardState(2), entries: logOf(1, 2) });
      c.createFrom("b", { hardState: hardState(1), entries: logOf(1) });
      c.cut = (m) => m.from === "c" || m.to === "c";
      c.campaign("a");
      // Up to the point where b has acknowledged entry 2 (of term 2), but not yet the own-term entry 3.
      for (let i = 0; i < 200; i++) {
        c.flush("a");
        c.flush("b");
        const stored = c
          .group("a")
          .progress()
          .find((p) => p.peer === "b")?.match;
        if (stored === 2) break;
        c.deliverOne();
      }
      expect(
        c
          .group("a")
          .progress()
          .find((p) => p.peer === "b")?.match,
      ).toBe(2);
      expect(c.group("a").commitIndex).toBe(0);
      c.settle();
      expect(c.group("a").commitIndex).toBe(3);
    },
  );

  guard("raft-07-own-match-before-fsync", "the leader's own copy counts when it is durable", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.deliver(accepted("b", "a", 1, 2));
    expect(c.group("a").commitIndex).toBe(1);
    c.flush("a");
    expect(c.group("a").commitIndex).toBe(2);
  });

  test("a quorum of others commits before the leader's own disk does, and the leader applies only what it has", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.deliver(accepted("b", "a", 1, 2));
    c.deliver(accepted("c", "a", 1, 2));
    expect(c.group("a").commitIndex).toBe(2);
    expect(c.group("a").durableIndex).toBe(1);
    expect(c.values("a")).toEqual([]);
    c.flush("a");
    expect(c.values("a")).toEqual(["x"]);
  });

  guard(
    "raft-15-commit-beyond-verified",
    "a follower believes a commit index no further than its log is known to equal the leader's",
    () => {
      const c = new Cluster(three);
      c.createFrom("b", { hardState: hardState(2), entries: logOf(1, 2, 2) });
      c.deliver(append("a", "b", 3, [1, 1], [], 3));
      expect(c.group("b").commitIndex).toBe(1);
      c.deliver(message("heartbeat", "a", "b", 3, { commit: logIndex(3), match: logIndex(0), round: 1 }));
      expect(c.group("b").commitIndex).toBe(1);
      c.deliver(append("a", "b", 3, [1, 1], [entry(2, 3)], 3));
      expect(c.group("b").commitIndex).toBe(2);
    },
  );

  guard(
    "raft-next-tick-without-news",
    "a peer that nobody waits at learns a new commit index at the next tick, which is wanted at once",
    () => {
      const c = new Cluster(three);
      elect(c, "a");
      c.tick(1, ["a"]);
      c.propose("a", "x");
      c.flush("a");
      c.network = [];
      c.deliver({ ...accepted("b", "a", 1, 2), awaiting: false } as RaftMessage);
      // c has not said yet that nobody waits there.
      expect(c.network).toMatchObject([{ type: "heartbeat", to: "c", commit: 2, round: 0 }]);
      c.network = [];
      c.tick(10, ["a"]);
      expect(c.network).toMatchObject([{ type: "heartbeat", to: "b", commit: 2, round: 0 }]);
      c.network = [];
      c.tick(10, ["a"]);
      expect(c.network).toEqual([]);
    },
  );

  test("a peer that somebody waits at learns a new commit index at once, with one message, and none when entries carry it", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.network = [];
    c.propose("a", "x");
    c.flush("a");
    c.network = [];
    c.deliver(accepted("b", "a", 1, 2));
    const news = { type: "heartbeat", commit: 2, round: 0 };
    expect(c.network).toMatchObject([
      { ...news, to: "b" },
      { ...news, to: "c" },
    ]);
    c.network = [];
    // The acknowledgement of c commits nothing new: silence.
    c.deliver(accepted("c", "a", 1, 2));
    expect(c.network).toEqual([]);
    // Commit and new entries in one turn travel together.
    const { group } = c.node("a");
    group.step({ type: "propose", payloads: [payloadOf("y")] });
    c.take(c.node("a"));
    c.flush("a");
    c.network = [];
    group.step({ type: "message", message: accepted("b", "a", 1, 3) });
    group.step({ type: "propose", payloads: [payloadOf("z")] });
    c.take(c.node("a"));
    expect(c.network.map((m) => [m.type, m.to])).toEqual([
      ["append", "b"],
      ["append", "c"],
    ]);
  });
});

describe("the log of a follower", () => {
  guard("raft-restart-forgets-verified", "after a restart learns the commit index from the next heartbeat, without a new entry", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.cut = (m) => m.to === "b" && m.type === "heartbeat";
    c.propose("a", "x");
    c.settle();
    c.crash("b");
    c.restart("b");
    expect(c.group("b").commitIndex).toBe(1);
    c.heal();
    c.tick(50);
    c.settle();
    expect(c.values("b")).toEqual(["x"]);
  });

  guard("raft-11-truncate-unconditionally", "a delayed append does not cut what came after it", () => {
    const c = new Cluster(three);
    c.deliver(append("a", "b", 1, [0, 0], logOf(1, 1, 1)));
    c.deliver(append("a", "b", 1, [0, 0], logOf(1)));
    expect(c.group("b").lastIndex).toBe(3);
  });

  guard("raft-12-ack-own-last-index", "an acknowledgement names the last entry compared, not the last one there is", () => {
    const c = new Cluster(three);
    c.createFrom("b", { hardState: hardState(1), entries: logOf(1, 1, 1) });
    c.deliver(append("a", "b", 2, [1, 1], []));
    c.flush("b");
    expect(under(c, "append-reply", { from: "b" })).toMatchObject([{ rejected: false, index: 1 }]);
  });

  test("conflicting entries are replaced, on disk too", () => {
    const c = new Cluster(three);
    c.createFrom("b", { hardState: hardState(2), entries: logOf(1, 2, 2, 2) });
    c.deliver(append("a", "b", 3, [1, 1], [entry(2, 3)]));
    expect(c.node("b").noticesOf("truncated")).toEqual([{ type: "truncated", from: 2 }]);
    c.flush("b");
    expect(c.node("b").disk.entries.map((e) => e.term)).toEqual([1, 3]);
  });

  test("entries that were never written are replaced without touching the disk", () => {
    const c = new Cluster(three);
    const { group } = c.node("b");
    group.step({ type: "message", message: append("a", "b", 1, [0, 0], logOf(1, 1)) });
    group.step({ type: "message", message: append("c", "b", 2, [0, 0], [entry(1, 2)]) });
    const effects = group.takeEffects();
    expect(effects.truncateFrom).toBe(0);
    expect(effects.append.map((e) => e.term)).toEqual([2]);
    expect(effects.hardState).toEqual({ term: 2, vote: null });
  });

  guard("raft-28-zero-matches-after-compaction", "index 0 matches nothing once the log is compacted", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x", "y");
    c.settle();
    c.compact("b");
    c.deliver(append("a", "b", 1, [0, 0], logOf(1)));
    expect(c.group("b").lastIndex).toBe(3);
    c.flush("b");
    expect(under(c, "append-reply", { from: "b" })).toMatchObject([{ rejected: false, index: 3 }]);
  });

  guard("raft-29-missing-term-is-zero", "an index that is not there has no term: it does not match term 0", () => {
    const c = new Cluster(three);
    c.deliver(append("a", "b", 1, [5, 0], [entry(6, 1)]));
    expect(c.group("b").lastIndex).toBe(0);
    expect(under(c, "append-reply", { from: "b" })).toMatchObject([{ rejected: true, index: 5, hintIndex: 0 }]);
  });
});

describe("what the leader believes of a peer", () => {
  guard("raft-13-rejection-advances-match", "a rejection proves nothing", () => {
    const c = new Cluster(three);
    c.createFrom("a", { hardState: hardState(2), entries: logOf(1, 2, 2) });
    c.createFrom("b", { hardState: hardState(1), entries: logOf(1, 1, 1) });
    c.isolate("c");
    c.campaign("a");
    const rejected = (): boolean => under(c, "append-reply", { from: "b" }).some((m) => m.rejected);
    for (let i = 0; i < 100 && !rejected(); i++) {
      c.flush("a");
      c.flush("b");
      c.deliverOne();
    }
    c.deliverOne((m) => m.type === "append-reply");
    expect(match(c, "b")).toBe(0);
  });

  guard("raft-14-match-regresses", "what was acknowledged stays acknowledged when replies are reordered", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x", "y");
    c.deliver(accepted("b", "a", 1, 3));
    c.deliver(accepted("b", "a", 1, 2));
    expect(match(c, "b")).toBe(3);
  });

  test("logs that parted long ago meet again within few messages", () => {
    const c = new Cluster(three);
    const common = [1, 1, 1];
    const lost: number[] = [...common, ...Array.from({ length: 200 }, () => 2)];
    const good: number[] = [...common, ...Array.from({ length: 200 }, (_, i) => 3 + (i % 2 === 0 ? 0 : 0))];
    c.createFrom("a", { hardState: hardState(3), entries: logOf(...good) });
    c.createFrom("b", { hardState: hardState(2), entries: logOf(...lost) });
    c.createFrom("c", { hardState: hardState(3), entries: logOf(...good) });
    c.campaign("a");
    c.settle();
    expect(c.group("b").commitIndex).toBe(204);
    const rejections = c.node("b").sent.filter((m) => m.type === "append-reply" && m.rejected);
    expect(rejections.length).toBeLessThanOrEqual(2);
  });

  test("a peer that contradicts what it acknowledged is asked once per heartbeat, not without end", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.propose("a", "x");
    c.settle();
    const { group } = c.node("a");
    const lying = message("append-reply", "b", "a", 1, {
      rejected: true,
      index: logIndex(2),
      hintIndex: logIndex(0),
      hintTerm: term(0),
      recovering: false,
      awaiting: false,
    });
    c.network = [];
    c.step("a", { type: "peer-down", peer: c.node("b").id });
    c.tick(50, ["a"]);
    c.deliver(message("heartbeat-reply", "b", "a", 1, { round: 99, recovering: false }));
    c.network = [];
    for (let i = 0; i < 5; i++) group.step({ type: "message", message: lying });
    c.take(c.node("a"));
    expect(under(c, "append", { to: "b" }).length).toBeLessThanOrEqual(1);
  });
});

describe("flow control", () => {
  test("the window bounds messages on their way", () => {
    const c = new Cluster({ ...three, config: { maxInflightMessages: 4, maxEntriesPerAppend: 1 } });
    elect(c, "a");
    c.network = [];
    c.propose("a", ...Array.from({ length: 20 }, (_, i) => `v${i}`));
    expect(under(c, "append", { to: "b" })).toHaveLength(4);
    c.deliver(accepted("b", "a", 1, 3));
    expect(under(c, "append", { to: "b" })).toHaveLength(6);
  });

  guard("raft-39-inflight-bytes-leak", "the window bounds bytes, and gives all of them back", () => {
    const c = new Cluster({ ...three, config: { maxInflightBytes: 100, maxEntriesPerAppend: 1 } });
    elect(c, "a");
    for (let i = 0; i < 50; i++) {
      c.propose("a", "0123456789".repeat(4));
      c.settle();
    }
    expect(c.values("b")).toHaveLength(50);
    expect(
      c
        .group("a")
        .progress()
        .map((p) => p.inflightBytes),
    ).toEqual([0, 0]);
  });

  test("one message may exceed the byte window, or a large entry would never leave", () => {
    const c = new Cluster({ ...three, config: { maxInflightBytes: 10, maxBytesPerAppend: 10 } });
    elect(c, "a");
    c.propose("a", "x".repeat(1000), "y".repeat(1000));
    c.settle();
    expect(c.values("c")).toHaveLength(2);
  });

  guard("raft-38-probe-stalls", "a lost probe is sent again after a heartbeat", () => {
    const c = new Cluster(three);
    c.cut = (m) => m.type === "append";
    elect(c, "a");
    c.heal();
    expect(c.run(1000, () => c.group("b").commitIndex === 1)).toBe(true);
  });

  test("heartbeats go out at the beats of their node, whenever its groups were elected", () => {
    expect(beatsOf(3)).toEqual([1_030, 1_080, 1_130]);
    expect(beatsOf(37)).toEqual([1_080, 1_130]);
  });

  test("a whole window of lost appends is noticed at the next heartbeat", () => {
    const c = new Cluster({ ...three, config: { maxInflightMessages: 2, maxEntriesPerAppend: 1 } });
    elect(c, "a");
    c.cut = (m) => m.to === "b" && m.type === "append";
    c.propose("a", "x", "y", "z");
    c.settle();
    c.heal();
    c.tick(50);
    c.settle();
    expect(c.values("b")).toEqual(["x", "y", "z"]);
  });

  test("a closed connection makes the leader probe instead of waiting for a window that is lost", () => {
    const c = new Cluster(three);
    elect(c, "a");
    c.cut = (m) => m.to === "b";
    c.propose("a", "x");
    c.settle();
    c.heal();
    c.step("a", { type: "peer-down", peer: c.node("b").id });
    c.settle();
    expect(c.values("b")).toEqual(["x"]);
  });

  test("proposals are refused while too many bytes are uncommitted, and taken again when they are committed", () => {
    const c = new Cluster({ ...three, config: { maxUncommittedBytes: 100 } });
    elect(c, "a");
    c.cut = () => true;
    c.propose("a", "x".repeat(60));
    expect(c.group("a").canPropose()).toBeNull();
    c.propose("a", "x".repeat(60));
    expect(c.group("a").canPropose()).toBe("uncommitted-bytes");
    c.heal();
    c.run(200);
    expect(c.group("a").canPropose()).toBeNull();
  });

  test("a new leader counts what it inherited as uncommitted", () => {
    const c = new Cluster({ ...three, config: { maxUncommittedBytes: 100 } });
    for (const id of ["a", "b"]) c.createFrom(id, { hardState: hardState(1), entries: [entry(1, 1, "x".repeat(200))] });
    c.cut = (m) => m.type === "append";
    elect(c, "a");
    expect(c.group("a").canPropose()).toBe("uncommitted-bytes");
    c.heal();
    c.run(200);
    expect(c.group("a").canPropose()).toBeNull();
  });

  test("a follower takes no proposals, whatever it is handed", () => {
    const c = new Cluster(three);
    elect(c, "a");
    expect(c.group("b").canPropose()).toBe("not-leader");
    c.propose("b", "x");
    expect(c.group("b").lastIndex).toBe(1);
  });
});
