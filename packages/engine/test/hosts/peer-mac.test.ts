import { groupId, nodeId, term } from "@trivet/core";
import { type Link, MemoryCrypto } from "@trivet/engine";
import { ByteWriter } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import {
  beginBatch,
  encodeHello,
  encodeProof,
  type PeerFrame,
  type PeerHello,
  peerProtocol,
  writePeerMessage,
} from "../../src/peers/peer-frames.ts";
import { type LinkOwner, PeerLink } from "../../src/peers/peer-link.ts";
import { guard } from "./guard.ts";

const [first, second] = [7, 8].map((byte) => new Uint8Array(16).fill(byte)) as [Uint8Array, Uint8Array];
let connections = 0;

function hello(node: string): PeerHello {
  connections += 1;
  return {
    protocol: peerProtocol,
    cluster: "c",
    preparing: "",
    node,
    storage: `disk of ${node}`,
    url: "u",
    roles: "",
    shards: 1,
    nonce: `nonce ${connections}`,
    incarnation: "i",
    applied: 0,
    mac: true,
    level: 3,
  };
}

/** One end of a connection: what it sent, and what came of what it received. */
interface End {
  readonly peer: PeerLink;
  readonly sent: Uint8Array[];
  readonly taken: PeerFrame[];
  readonly refusals: string[];
  receive(...frames: readonly Uint8Array[]): void;
}
function end(dialled: boolean, node: string, secrets: readonly Uint8Array[]): End {
  const sent: Uint8Array[] = [];
  const taken: PeerFrame[] = [];
  const refusals: string[] = [];
  const link: Link = {
    remote: "x",
    loopback: false,
    provenNodes: null,
    send: (parts) => void sent.push(Uint8Array.from(parts.flatMap((part) => [...part]))),
    bufferedBytes: () => 0,
    close: () => undefined,
    handlers: { frame: () => undefined, closed: () => undefined },
  };
  const own = hello(node);
  const owner: LinkOwner = {
    hello: () => own,
    judge: () => null,
    isAlias: () => false,
    ready: () => undefined,
    frame: (_peer, frame) => void taken.push(frame),
    closed: (_peer, _reason, refusal) => void refusals.push(refusal === null ? "closed" : `${refusal.code}: ${refusal.detail}`),
  };
  const peer = new PeerLink(link, dialled, owner, new MemoryCrypto(), secrets);
  return { peer, sent, taken, refusals, receive: (...frames) => frames.forEach((frame) => link.handlers.frame(frame)) };
}

/** Carries frames both ways until nobody has anything to say. */
function talk(a: End, b: End): void {
  for (let [fromA, fromB] = [0, 0]; fromA < a.sent.length || fromB < b.sent.length;) {
    while (fromA < a.sent.length) b.receive(a.sent[fromA++] as Uint8Array);
    while (fromB < b.sent.length) a.receive(b.sent[fromB++] as Uint8Array);
  }
}
function linked(ours: readonly Uint8Array[] = [first], theirs: readonly Uint8Array[] = [first]): readonly [dialler: End, acceptor: End] {
  const [dialler, acceptor] = [end(true, "n2", ours), end(false, "n1", theirs)];
  talk(dialler, acceptor);
  return [dialler, acceptor];
}

/** n2's vote for n1: what would make n1 a leader that nobody elected. */
function vote(): Uint8Array {
  const writer = new ByteWriter();
  beginBatch(writer, 0);
  writePeerMessage(writer, {
    type: "raft",
    group: groupId(0),
    message: { type: "vote-reply", from: nodeId("n2"), to: nodeId("n1"), term: term(7), pre: false, granted: true },
  });
  return writer.finish();
}

const forged = (frame: Uint8Array): Uint8Array => Uint8Array.from([...frame, ...new Uint8Array(32).fill(1)]);

describe("frames between nodes that share a key", () => {
  test("are taken once each, in their order", () => {
    const [dialler, acceptor] = linked();
    for (let n = 0; n < 3; n += 1) dialler.peer.send([vote()]);
    acceptor.receive(...dialler.sent.slice(-3));
    expect(acceptor.taken).toHaveLength(3);
    expect(acceptor.refusals).toEqual([]);
  });

  guard("host-mac-sequence-unbound", "a recorded frame is refused when it comes again, and ends the link", () => {
    const [dialler, acceptor] = linked();
    dialler.peer.send([vote()]);
    const recorded = dialler.sent.at(-1) as Uint8Array;
    acceptor.receive(recorded, recorded);
    expect(acceptor.taken).toHaveLength(1);
    expect(acceptor.refusals).toEqual(["mac: peer frame with a wrong MAC"]);
    // Nothing gets through any more, good or bad.
    dialler.peer.send([vote()]);
    acceptor.receive(dialler.sent.at(-1) as Uint8Array);
    expect(acceptor.taken).toHaveLength(1);
  });

  guard("host-mac-connection-unbound", "a whole recorded connection is worth nothing on another one", () => {
    const [dialler] = linked();
    dialler.peer.send([vote()]);
    const acceptor = end(false, "n1", [first]);
    acceptor.receive(...dialler.sent);
    expect(acceptor.peer.isReady).toBe(false);
    expect(acceptor.taken).toEqual([]);
    expect(acceptor.refusals).toEqual(["mac: SHARED_MAC_KEY of n2 differs from ours"]);
  });

  guard("host-mac-direction-unbound", "a node's own frames, sent back to it, are not its peer's", () => {
    const [dialler, acceptor] = [end(true, "n2", [first]), end(false, "n1", [first])];
    acceptor.receive(...dialler.sent);
    // Its welcome, then its proof: without the key nobody else could have made one.
    acceptor.receive(acceptor.sent.at(-1) as Uint8Array);
    expect(acceptor.peer.isReady).toBe(false);
  });

  guard("host-mac-unchecked", "a forged vote of somebody without the key is never looked at", () => {
    const acceptor = end(false, "n1", [first]);
    acceptor.receive(encodeHello("hello", hello("n2")), forged(encodeProof()), forged(vote()));
    expect(acceptor.peer.isReady).toBe(false);
    expect(acceptor.taken).toEqual([]);
    expect(acceptor.refusals).toEqual(["mac: SHARED_MAC_KEY of n2 differs from ours"]);
  });

  test("a frame that was changed on its way, left out, or overtaken ends the link", () => {
    const damage: readonly ((frames: readonly Uint8Array[]) => readonly Uint8Array[])[] = [
      ([one = new Uint8Array(), ...others]) => [one.map((byte, at) => (at === 3 ? byte ^ 1 : byte)), ...others],
      ([, ...others]) => others,
      ([one = new Uint8Array(), two = new Uint8Array()]) => [two, one],
    ];
    for (const alter of damage) {
      const [dialler, acceptor] = linked();
      dialler.peer.send([vote()]);
      dialler.peer.send([vote()]);
      acceptor.receive(...alter(dialler.sent.slice(-2)));
      expect(acceptor.taken).toEqual([]);
      expect(acceptor.refusals).toEqual(["mac: peer frame with a wrong MAC"]);
    }
  });
});

describe("a rotation in three rounds, one node after the other", () => {
  const rounds: readonly (readonly Uint8Array[])[] = [[first], [first, second], [second, first], [second]];

  test.each([
    [0, 1],
    [1, 2],
    [2, 3],
  ])("nodes of round %i and of the next talk both ways, whoever dials", (from, to) => {
    for (const [ours, theirs] of [
      [from, to],
      [to, from],
      [from, from],
    ]) {
      const [dialler, acceptor] = linked(rounds[ours ?? 0], rounds[theirs ?? 0]);
      expect([dialler.peer.isReady, acceptor.peer.isReady]).toEqual([true, true]);
      dialler.peer.send([vote()]);
      acceptor.peer.send([vote()]);
      acceptor.receive(dialler.sent.at(-1) as Uint8Array);
      dialler.receive(acceptor.sent.at(-1) as Uint8Array);
      expect([dialler.taken.length, acceptor.taken.length]).toEqual([1, 1]);
    }
  });

  test("the old key alone is refused once the new one is alone", () => {
    const [dialler, acceptor] = linked(rounds[0], rounds[3]);
    expect([dialler.peer.isReady, acceptor.peer.isReady]).toEqual([false, false]);
    expect(acceptor.refusals).toEqual(["mac: SHARED_MAC_KEY of n2 differs from ours"]);
  });
});
