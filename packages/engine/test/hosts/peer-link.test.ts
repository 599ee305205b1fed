import { expect, test } from "vitest";
import { type Link, MemoryCrypto } from "@trivet/engine";
import { encodeHello, encodeProof, encodeRefusal, type PeerHello, peerProtocol, type PeerRefusal } from "../../src/peers/peer-frames.ts";
import { type LinkOwner, PeerLink } from "../../src/peers/peer-link.ts";
import { guard } from "./guard.ts";

function hello(node: string): PeerHello {
  return {
    protocol: peerProtocol,
    cluster: "c",
    preparing: "",
    node,
    storage: "s",
    url: "u",
    roles: "",
    shards: 1,
    nonce: "n",
    incarnation: "i",
    applied: 0,
    mac: true,
    level: 3,
  };
}

test("a peer without the key never becomes ready: its proof must be authenticated like every frame after it", () => {
  const link: Link = {
    remote: "x",
    loopback: false,
    provenNodes: null,
    send: () => undefined,
    bufferedBytes: () => 0,
    close: () => undefined,
    handlers: { frame: () => undefined, closed: () => undefined },
  };
  let ready = false;
  const refusals: (PeerRefusal | null)[] = [];
  const owner: LinkOwner = {
    hello: () => hello("n1"),
    judge: () => null,
    isAlias: () => false,
    ready: () => {
      ready = true;
    },
    frame: () => undefined,
    closed: (_peer, _reason, refusal) => {
      refusals.push(refusal);
    },
  };
  const acceptor = new PeerLink(link, false, owner, new MemoryCrypto(), [new Uint8Array(16).fill(7)]);
  link.handlers.frame(encodeHello("hello", hello("n2")));
  link.handlers.frame(encodeProof());
  expect(ready).toBe(false);
  expect(acceptor.isReady).toBe(false);
  // By the proof, not by anything in the hello.
  expect(refusals).toEqual([{ code: "mac", detail: "unauthenticated peer frame" }]);
});

const key = new Uint8Array(16).fill(7);
const self: PeerRefusal = { code: "self", detail: "x is n1 itself" };

/** One end of a connection; frames it sends are told to `sent`. */
function end(
  dialled: boolean,
  name: string,
  secrets: readonly Uint8Array[],
  judge: (hello: PeerHello) => PeerRefusal | null,
  sent: (frame: Uint8Array) => void,
): { readonly link: Link; readonly closings: (readonly [string | null, boolean])[] } {
  const closings: (readonly [string | null, boolean])[] = [];
  const link: Link = {
    remote: "x",
    loopback: false,
    provenNodes: null,
    send: (parts) => {
      const bytes = parts.flatMap((part) => [...part]);
      sent(Uint8Array.from(bytes));
    },
    bufferedBytes: () => 0,
    close: () => undefined,
    handlers: { frame: () => undefined, closed: () => undefined },
  };
  const owner: LinkOwner = {
    hello: () => ({ ...hello(name), mac: secrets.length > 0 }),
    judge,
    isAlias: () => false,
    ready: () => closings.push(["ready", true]),
    frame: () => undefined,
    closed: (_peer, _reason, refusal, believed) => closings.push([refusal?.code ?? null, believed]),
  };
  void new PeerLink(link, dialled, owner, new MemoryCrypto(), secrets);
  return { link, closings };
}

/** What a node that dials itself hears, its two ends joined. */
function dialItself(secrets: readonly Uint8Array[]): unknown {
  const frames: (readonly [Link, Uint8Array])[] = [];
  const ends: { accepted?: Link; dialled?: Link } = {};
  const early: Uint8Array[] = [];
  const dialled = end(
    true,
    "n1",
    secrets,
    () => self,
    (frame) => (ends.accepted === undefined ? early.push(frame) : frames.push([ends.accepted, frame])),
  );
  ends.dialled = dialled.link;
  const accepted = end(
    false,
    "n1",
    secrets,
    () => self,
    (frame) => frames.push([dialled.link, frame]),
  );
  ends.accepted = accepted.link;
  for (const frame of early) frames.push([accepted.link, frame]);
  for (let next = frames.shift(); next !== undefined; next = frames.shift()) next[0].handlers.frame(next[1]);
  return dialled.closings;
}

test("a node that dials itself believes itself, with and without a key", () => {
  expect(dialItself([])).toEqual([["self", true]]);
  expect(dialItself([key])).toEqual([["self", true]]);
});

guard("host-refusal-unproven", "a refusal without proof of the key is not believed, whatever it says", () => {
  const dialled = end(
    true,
    "n1",
    [key],
    () => self,
    () => undefined,
  );
  dialled.link.handlers.frame(encodeRefusal(self));
  expect(dialled.closings).toEqual([["self", false]]);
});

test("repeating a node's own hello does not make an address its own", () => {
  const dialled = end(
    true,
    "n1",
    [key],
    () => self,
    () => undefined,
  );
  dialled.link.handlers.frame(encodeHello("welcome", { ...hello("n1"), mac: true }));
  expect(dialled.closings).toEqual([]);
  dialled.link.handlers.frame(encodeRefusal(self));
  expect(dialled.closings).toEqual([["self", false]]);
});

test("a refusal that the key proves is believed by the node that dialled", () => {
  const replaced: PeerRefusal = { code: "storage", detail: "n2 has another disk" };
  const frames: Uint8Array[] = [];
  let accepted: Link | null = null;
  const dialled = end(
    true,
    "n2",
    [key],
    () => null,
    (frame) => frames.push(frame),
  );
  accepted = end(
    false,
    "n1",
    [key],
    () => replaced,
    (frame) => dialled.link.handlers.frame(frame),
  ).link;
  for (const frame of frames.splice(0)) accepted.handlers.frame(frame);
  expect(dialled.closings).toEqual([["storage", true]]);
});
