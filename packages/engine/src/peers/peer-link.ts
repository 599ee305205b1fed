import type { NodeId } from "@trivet/core";
import { nodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { encodeUtf8 } from "@trivet/wire";
import type { Crypto } from "../ports/crypto.ts";
import type { Link } from "../ports/transport.ts";
import {
  decodePeerFrame,
  encodeHello,
  encodeProof,
  encodeRefusal,
  type PeerFrame,
  type PeerHello,
  peerProtocol,
  type PeerRefusal,
  isRefusal,
} from "./peer-frames.ts";

/** What a link needs to know of its own node; `judge` holds the rules about the other one. */
export interface LinkOwner {
  hello(): PeerHello;
  /** Null = welcome. The answer names both values of whatever differs. */
  judge(hello: PeerHello, link: Link): PeerRefusal | null;
  /** A dialled link to a node that this one is linked to already: parks the address and says true. */
  isAlias(peer: PeerLink): boolean;
  ready(peer: PeerLink): void;
  frame(peer: PeerLink, frame: PeerFrame): void;
  /**
   * `refusal` set when one end refused the other. `believed` = it may be acted upon: the other end said it, and proved the key where there is
   * one. Anything else is for the log only.
   */
  closed(peer: PeerLink, reason: string, refusal: PeerRefusal | null, believed: boolean): void;
}

const macBytes = 32;

/**
 * One peer connection: identity handshake, then batch frames. With SHARED_MAC_KEY each frame carries
 * HMAC-SHA-256(key of this connection, direction ‖ sequence ‖ frame); the key is derived from the secret and both nonces, so a recorded
 * frame fits no other connection, and the sequence keeps it from being replayed in this one (reference: HKDF, RFC 5869).
 * The accepting end answers `welcome`; both ends then prove the key by an authenticated `proof` frame before anything else counts.
 */
export class PeerLink {
  readonly link: Link;
  readonly dialled: boolean;
  /** Set once the other end is known. */
  peer: PeerHello | null = null;
  private readonly owner: LinkOwner;
  private readonly crypto: Crypto;
  private readonly secrets: readonly Uint8Array[];
  private readonly ownHello: PeerHello;
  private state: "handshake" | "proving" | "ready" | "closed" = "handshake";
  /** The other end says of itself what this node says of itself; it has not proved it yet. */
  private looksLikeUs = false;
  private keys: Uint8Array[] = [];
  private sendKey: Uint8Array | null = null;
  private sent = 0;
  private received = 0;

  constructor(link: Link, dialled: boolean, owner: LinkOwner, crypto: Crypto, secrets: readonly Uint8Array[]) {
    this.link = link;
    this.dialled = dialled;
    this.owner = owner;
    this.crypto = crypto;
    this.secrets = secrets;
    this.ownHello = owner.hello();
    link.handlers = {
      frame: (bytes) => this.onFrame(bytes),
      closed: (reason) => this.onClosed(reason, null, false),
    };
    if (dialled) link.send([encodeHello("hello", this.ownHello)]);
  }

  get isReady(): boolean {
    return this.state === "ready";
  }

  get node(): NodeId {
    return nodeId(this.peer?.node ?? "");
  }

  /** Sends one frame, given in parts; only when ready. */
  send(frame: readonly Uint8Array[]): void {
    this.link.send(this.seal(frame));
  }

  /** Tells the other end why, then closes. */
  refuse(refusal: PeerRefusal): void {
    if (this.state === "closed") return;
    this.link.send(this.seal([encodeRefusal(refusal)]));
    this.shut(refusal.detail, refusal);
  }

  close(reason: string): void {
    this.shut(reason, null);
  }

  private shut(reason: string, refusal: PeerRefusal | null): void {
    if (this.state === "closed") return;
    this.link.close(reason);
    this.onClosed(reason, refusal, false);
  }

  private onClosed(reason: string, refusal: PeerRefusal | null, believed: boolean): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.owner.closed(this, reason, refusal, believed);
  }

  private onFrame(bytes: Uint8Array): void {
    if (this.state === "closed") return;
    let frame: PeerFrame;
    let proven: boolean;
    try {
      const opened = this.open(bytes);
      if (opened === null) return;
      ({ proven } = opened);
      frame = decodePeerFrame(opened.frame, this.node, nodeId(this.ownHello.node));
    } catch (error) {
      this.refuse({ code: "protocol", detail: `malformed peer frame: ${error instanceof Error ? error.message : String(error)}` });
      return;
    }
    if (frame.type === "refuse") {
      this.link.close(frame.refusal.detail);
      this.onClosed(frame.refusal.detail, frame.refusal, proven || mutant("host-refusal-unproven"));
      return;
    }
    if (this.state === "ready") {
      if (frame.type === "batch") this.owner.frame(this, frame);
      else this.refuse({ code: "protocol", detail: `unexpected ${frame.type} on an established peer link` });
      return;
    }
    this.handshake(frame);
  }

  private handshake(frame: PeerFrame): void {
    const expected = this.dialled ? "welcome" : "hello";
    if (this.state === "proving" && frame.type === "proof" && !this.looksLikeUs) {
      this.state = "ready";
      this.owner.ready(this);
      return;
    }
    if (this.state !== "handshake" || (frame.type !== "hello" && frame.type !== "welcome") || frame.type !== expected) {
      this.refuse({ code: "protocol", detail: `unexpected ${frame.type} during the peer handshake` });
      return;
    }
    this.peer = frame.hello;
    const refusal = this.judge(frame.hello);
    if (refusal !== null && this.dialled && refusal.code === "self") {
      // Whoever answers at an address can repeat our own hello: only the other end's proven refusal ends the dialling of it.
      this.looksLikeUs = true;
      this.deriveKeys();
      this.state = "proving";
      return;
    }
    if (refusal !== null) {
      if (frame.hello.protocol === peerProtocol && frame.hello.mac) this.introduce();
      this.refuse(refusal);
      return;
    }
    if (this.dialled && this.owner.isAlias(this)) {
      // Decided before the proof: the other end must not take this link for a newer one.
      this.close("already connected by another address");
      return;
    }
    this.introduce();
    this.state = "proving";
    this.link.send(this.seal([encodeProof()]));
  }

  /** Both ends know each other's hello from here on, and with it the key: a refusal that comes after it can be proven, too. */
  private introduce(): void {
    if (!this.dialled) this.link.send([encodeHello("welcome", this.ownHello)]);
    this.deriveKeys();
  }

  private judge(hello: PeerHello): PeerRefusal | null {
    if (hello.protocol !== peerProtocol) {
      return {
        code: "protocol",
        detail: `peer protocol differs: ${this.ownHello.node} speaks ${peerProtocol}, ${hello.node} speaks ${hello.protocol}`,
      };
    }
    if (hello.mac !== this.ownHello.mac) {
      const withKey = hello.mac ? hello.node : this.ownHello.node;
      const without = hello.mac ? this.ownHello.node : hello.node;
      return { code: "mac", detail: `SHARED_MAC_KEY differs: ${withKey} has one, ${without} has none` };
    }
    return this.owner.judge(hello, this.link);
  }

  /** First key sends; all of them may receive, while SHARED_MAC_KEY is being rotated. */
  private deriveKeys(): void {
    if (this.secrets.length === 0) return;
    const [dialler, acceptor] = this.dialled ? [this.ownHello, this.peer] : [this.peer, this.ownHello];
    // Both hellos, nonces included, go into the key: whoever alters an identity on the way ends up with another key.
    const salt = encodeUtf8(mutant("host-mac-connection-unbound") ? "" : JSON.stringify([dialler, acceptor]));
    this.keys = this.secrets.map((secret) => this.crypto.deriveKey(secret, salt, `trivet peer link ${peerProtocol}`));
    this.sendKey = this.keys[0] ?? null;
  }

  private seal(frame: readonly Uint8Array[]): readonly Uint8Array[] {
    if (this.sendKey === null) return frame;
    const mac = this.crypto.hmac(this.sendKey, [this.counter(this.dialled, this.sent), ...frame]);
    this.sent += 1;
    return [...frame, mac];
  }

  /** Null = refused. `proven` = by the key, or there is none to prove anything by. */
  private open(bytes: Uint8Array): { readonly frame: Uint8Array; readonly proven: boolean } | null {
    if (this.keys.length === 0) return { frame: bytes, proven: this.secrets.length === 0 };
    if (bytes.length <= macBytes) {
      // A refusal is the one frame that may come without a MAC: the other end may not share our key.
      if (this.state === "proving" && isRefusal(bytes)) return { frame: bytes, proven: false };
      this.refuse({ code: "mac", detail: "unauthenticated peer frame" });
      return null;
    }
    const frame = bytes.subarray(0, bytes.length - macBytes);
    const mac = bytes.subarray(bytes.length - macBytes);
    const counter = this.counter(!this.dialled, this.received);
    for (const key of this.keys) {
      if (this.crypto.equal(this.crypto.hmac(key, [counter, frame]), mac) || mutant("host-mac-unchecked")) {
        this.received += 1;
        return { frame, proven: true };
      }
    }
    if (this.state === "proving" && isRefusal(bytes)) return { frame: bytes, proven: false };
    this.refuse({
      code: "mac",
      detail:
        this.state === "proving" ? `SHARED_MAC_KEY of ${this.peer?.node ?? "the peer"} differs from ours` : "peer frame with a wrong MAC",
    });
    return null;
  }

  private counter(fromDialler: boolean, sequence: number): Uint8Array {
    const bytes = new Uint8Array(9);
    const view = new DataView(bytes.buffer);
    view.setUint8(0, fromDialler && !mutant("host-mac-direction-unbound") ? 1 : 0);
    if (mutant("host-mac-sequence-unbound")) return bytes;
    view.setUint32(1, Math.floor(sequence / 0x1_0000_0000));
    view.setUint32(5, sequence >>> 0);
    return bytes;
  }
}
