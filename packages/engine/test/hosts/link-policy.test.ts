import { defaultHostConfig, type Link } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { judgeLink, type LinkFacts } from "../../src/peers/link-policy.ts";
import { type PeerHello, peerProtocol } from "../../src/peers/peer-frames.ts";
import { guard } from "./guard.ts";

const facts: LinkFacts = {
  config: { ...defaultHostConfig, node: "node1", url: "https://node1:8001", peers: [] },
  storage: "disk1",
  identity: null,
  registeredStorage: null,
  applied: 0,
  linkedStorage: null,
};
const hello = (node: string): PeerHello => ({
  protocol: peerProtocol,
  cluster: "",
  preparing: "",
  node,
  storage: "disk2",
  url: `https://${node}:8001`,
  roles: "",
  shards: 1,
  nonce: "n",
  incarnation: "i",
  applied: 0,
  mac: false,
  level: 3,
});
const link = (provenNodes: readonly string[] | null, loopback = false): Link => ({
  remote: "10.0.0.2:4000",
  loopback,
  provenNodes,
  send: () => undefined,
  bufferedBytes: () => 0,
  close: () => undefined,
  handlers: { frame: () => undefined, closed: () => undefined },
});

describe("who may be a peer", () => {
  test("a node that proves by certificate which it is needs no key and no port of its own", () => {
    expect(judgeLink(facts, hello("node2"), link(["node2", "queue-node-1"]))).toBeNull();
    expect(judgeLink(facts, hello("queue-node-1"), link(["node2", "queue-node-1"]))).toBeNull();
  });

  test("one from another machine that proves nothing is told what would be needed", () => {
    expect(judgeLink(facts, hello("node2"), link(null))).toMatchObject({ code: "not-trusted" });
    expect(judgeLink(facts, hello("node2"), link(null, true))).toBeNull();
  });

  guard("host-certificate-of-another", "a node is not another one than its certificate says, also on this machine", () => {
    for (const loopback of [false, true]) {
      expect(judgeLink(facts, hello("node3"), link(["node2"], loopback))).toEqual({
        code: "certificate",
        detail: "the certificate is for node2, the node says it is node3",
      });
    }
    // Not by a part of the name, nor by its case.
    expect(judgeLink(facts, hello("node1x"), link(["node1x.example", "NODE1X"]))).toMatchObject({ code: "certificate" });
  });
});
