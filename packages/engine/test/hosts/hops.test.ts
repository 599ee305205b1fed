import { expect, test, vi } from "vitest";
import type { NodeId } from "@trivet/core";
import type { PeerMessage } from "../../src/peers/peer-frames.ts";
import { acquire, ready } from "./cluster.ts";

/** Weak origins send a client from node to node, or round in circles (W-72): here a frame makes at most one hop. */
test("a frame goes from its entry node to the leader, and who does not lead refuses it instead of passing it on", () => {
  const cluster = ready();
  cluster.run(300);
  const { leader, followers } = cluster.roles();
  const [entry, other] = followers;
  const hops: { readonly from: string; readonly to: NodeId; readonly message: PeerMessage }[] = [];
  for (const { host } of cluster.members.values()) {
    const send = host.hub.send.bind(host.hub);
    vi.spyOn(host.hub, "send").mockImplementation((to, message, isReply) => {
      if (message.type.startsWith("forward")) hops.push({ from: host.config.node, to, message });
      return send(to, message, isReply);
    });
  }
  const path = (): readonly (readonly [string, string, NodeId])[] => hops.map(({ from, to, message }) => [message.type, from, to] as const);
  expect(cluster.submit(entry.config.node, acquire("a", "alice"))).toMatchObject({ result: { type: "granted" } });
  expect(path()).toEqual([["forward", entry.config.node, leader.config.node]]);

  // The same frame at a node that does not lead, as after a change of leader.
  const [first] = hops.splice(0);
  if (first === undefined) throw new Error("nothing was forwarded");
  entry.host.hub.send(other.config.node as NodeId, first.message, false);
  entry.host.markDirty();
  hops.length = 0;
  cluster.run(500);
  expect(path()).toEqual([["forward-refused", other.config.node, entry.config.node]]);
});
