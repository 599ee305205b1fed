import { groupId, logIndex, nodeId, term } from "@trivet/core";
import { expect, test } from "vitest";
import { defaultHostConfig } from "@trivet/engine";
import { groupConfig } from "../../src/node/config.ts";
import { maxPeerBufferBytes } from "../../src/base/limits.ts";
import { ready } from "./cluster.ts";
import { guard } from "./guard.ts";

/** What a node's transport takes in one frame; a longer one ends the connection. */
const transportFrameBytes = 64 * 1024 * 1024;

guard(
  "host-peer-frame-unbounded",
  "what one turn has for a peer fits through its link, however many groups have a whole window to send",
  () => {
    const cluster = ready();
    cluster.run(300);
    const { leader, followers } = cluster.roles();
    const [follower] = followers;
    const [from, to] = [nodeId(leader.config.node), nodeId(follower.config.node)];
    const arrived: number[] = [];
    const longest = { bytes: 0 };
    cluster.network.options = {
      fate: ({ type, bytes }) => {
        if (type === "frame") longest.bytes = Math.max(longest.bytes, bytes);
        return { delaysMs: [0.2] };
      },
    };
    const { peering } = follower.host;
    const batch = peering.batch.bind(peering);
    peering.batch = (node, hello, groupTime, messages) => {
      for (const message of messages) if (message.type === "raft" && message.group > 0) arrived.push(message.group);
      batch(node, hello, groupTime, messages);
    };
    const payload = new Uint8Array(1024 * 1024);
    const groups = Array.from({ length: 80 }, (_, at) => groupId(1 + at));
    for (const group of groups) {
      const entries = [{ index: logIndex(1), term: term(1), kind: "command" as const, payload }];
      const message = {
        type: "append" as const,
        from,
        to,
        term: term(1),
        prevIndex: logIndex(0),
        prevTerm: term(0),
        entries,
        commit: logIndex(0),
      };
      expect(leader.host.hub.send(to, { type: "raft", group, message }, false)).toBe(true);
    }
    leader.host.hub.flush();
    cluster.run(50);
    // All of it, in its order.
    expect(arrived).toEqual(groups);
    expect(longest.bytes).toBeLessThan(transportFrameBytes);
  },
);

test.each([1, 8, 256])("the windows of all groups together are no reason to take the link of a peer for stuck (%s shards)", (shards) => {
  const { raft } = groupConfig({ ...defaultHostConfig, shards, node: "n1", url: "", peers: [] }, groupId(1), 1);
  expect((shards + 1) * (raft.maxInflightBytes + raft.maxBytesPerAppend)).toBeLessThan(maxPeerBufferBytes);
  expect(raft.maxBytesPerAppend).toBeGreaterThan(200 * 1024);
});
