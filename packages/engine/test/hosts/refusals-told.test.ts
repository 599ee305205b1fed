import { groupId, nodeId, term } from "@trivet/core";
import type { Link, Telemetry } from "@trivet/engine";
import { ByteWriter } from "@trivet/wire";
import { describe, expect, test, vi } from "vitest";
import { beginBatch, encodeHello, encodeProof, writePeerMessage } from "../../src/peers/peer-frames.ts";
import { ready, type Cluster, type Member } from "./cluster.ts";

const keys = { macKeys: [new Uint8Array(16).fill(7)] };

function settled(): Cluster {
  const cluster = ready(keys);
  cluster.run(1_000);
  return cluster;
}

/** What a node counts and logs of peers it refuses, from here on. */
function refusalsOf({ telemetry }: Member): () => { readonly counted: readonly unknown[]; readonly logged: readonly unknown[] } {
  const port: Telemetry = telemetry;
  const counted = vi.spyOn(port, "count");
  const before = telemetry.lines.length;
  return () => ({
    counted: counted.mock.calls.filter(([name]) => name === "trivet_peer_refusals_total").map(([, by, labels]) => [by, labels]),
    logged: telemetry.lines
      .slice(before)
      .filter(({ event }) => event === "peer.turned-away" || event === "peer.refused")
      .map(({ level, text, fields }) => ({ level, text, fields })),
  });
}

/** A frame of a vote for `to`, with a MAC that nobody made. */
function forgedVote(from: string, to: string): Uint8Array {
  const writer = new ByteWriter();
  beginBatch(writer, 0);
  writePeerMessage(writer, {
    type: "raft",
    group: groupId(0),
    message: { type: "vote-reply", from: nodeId(from), to: nodeId(to), term: term(99), pre: false, granted: true },
  });
  return Uint8Array.from([...writer.finish(), ...new Uint8Array(32).fill(1)]);
}

describe("a peer whose frames are not believed is counted by why, and told of with where it came from", () => {
  test("a frame that comes a second time", () => {
    const cluster = settled();
    const { leader, followers } = cluster.roles();
    const [victim] = followers;
    const refusals = refusalsOf(victim);
    const { options } = cluster.network;
    let replayed = false;
    cluster.network.options = {
      fate: ({ type, from, to }) => {
        const chosen = !replayed && type === "frame" && from === leader.url && to === victim.url;
        replayed ||= chosen;
        return { delaysMs: chosen ? [0.2, 0.3] : [0.2] };
      },
    };
    cluster.until("the second one to be refused", () => replayed && refusals().counted.length > 0);
    cluster.network.options = options;
    expect(refusals().counted).toEqual([[1, { code: "mac" }]]);
    const [line] = refusals().logged;
    expect(line).toMatchObject({
      text: expect.stringContaining("peer frame with a wrong MAC"),
      fields: { address: leader.url, code: "mac" },
    });
    // A link of its own is dialled, and all is well again.
    cluster.run(3_000);
    expect(cluster.leader()).toBe(leader);
    expect(refusals().counted).toHaveLength(1);
  });

  test("a vote in the name of a member, by somebody without the key", () => {
    const cluster = settled();
    const { leader, followers } = cluster.roles();
    const [victim, named] = followers;
    const refusals = refusalsOf(victim);
    const before = victim.host.system?.term();
    let closed = "";
    cluster.network.transport("http://stranger").dial(victim.url, (link: Link | null) => {
      if (link === null) throw new Error("no link");
      link.handlers = { frame: () => undefined, closed: (reason) => (closed = reason) };
      link.send([encodeHello("hello", named.host.peering.hello())]);
      link.send([encodeProof(), new Uint8Array(32).fill(1)]);
      link.send([forgedVote(named.config.node, victim.config.node)]);
    });
    cluster.until("an end", () => closed !== "");
    expect(refusals().counted).toEqual([[1, { code: "mac" }]]);
    expect(refusals().logged).toEqual([
      {
        level: "warn",
        text: expect.stringMatching(/^a peer that came from http:\/\/stranger was turned away: SHARED_MAC_KEY of n\d differs from ours$/),
        fields: { address: "http://stranger", code: "mac" },
      },
    ]);
    cluster.run(1_000);
    expect(victim.host.system?.term()).toBe(before);
    expect(cluster.leader()).toBe(leader);
  });
});
