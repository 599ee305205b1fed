import type { NodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { PartsWriter } from "@trivet/wire";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Crypto } from "../ports/crypto.ts";
import type { Random } from "../ports/random.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Link, Transport } from "../ports/transport.ts";
import { congestedBytes, maxPeerBufferBytes, peerFrameBytes } from "../base/limits.ts";
import { beginBatch, type PeerFrame, type PeerHello, type PeerMessage, type PeerRefusal, writePeerMessage } from "./peer-frames.ts";
import { type LinkOwner, PeerLink } from "./peer-link.ts";

/** What the node does with peers; called synchronously from link callbacks. */
export interface PeerHubOwner {
  hello(): PeerHello;
  judge(hello: PeerHello, link: Link): PeerRefusal | null;
  /** First usable link to `peer`. */
  peerUp(peer: NodeId, hello: PeerHello): void;
  /** One of two links to `peer` closed: what was on its way there may be lost. */
  linkLost(peer: NodeId): void;
  /** The last link to `peer` closed. */
  peerDown(peer: NodeId, reason: string): void;
  /** Group time of group 0 when this node leads it, else 0. */
  groupTime(): number;
  /** As it goes to that node: under the trace that it belongs to, or as it is. */
  traced(to: NodeId, message: PeerMessage): PeerMessage;
  /** `hello` is that of the very link the messages came on. */
  batch(from: NodeId, hello: PeerHello, groupTime: number, messages: readonly PeerMessage[]): void;
  /** A dialled address and this node do not get on; `believed` as in LinkOwner. */
  refused(address: string, refusal: PeerRefusal, believed: boolean): void;
  /** Somebody who dialled this node and this node do not get on. */
  turnedAway(remote: string, refusal: PeerRefusal): void;
}

export interface PeerHubPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly transport: Transport;
  readonly telemetry: Telemetry;
}

/** An address this node keeps dialling. */
interface Target {
  readonly address: string;
  /** Learnt by the handshake. */
  node: NodeId | null;
  link: PeerLink | null;
  attempts: number;
  timer: Timer | null;
  lastError: string | null;
  dropped: boolean;
}

interface Peer {
  readonly node: NodeId;
  hello: PeerHello;
  /** Dialled by us: carries our requests. */
  out: PeerLink | null;
  /** Accepted from them: carries our replies to their requests (rule G6). */
  accepted: PeerLink | null;
  /** Frames of this turn, in order; the last is being written. */
  frames: PartsWriter[];
  replyFrames: PartsWriter[];
  lastContact: number;
  rttMs: number | null;
}

/** Entries and snapshot pieces of this size go to the socket as they are: copied for each peer they would be most of what is allocated. */
const referFromBytes = 4096;

const firstRetryMs = 30;
const longestRetryMs = 1_000;
const aliasRetryMs = 5_000;
const handshakeTimeoutMs = 3_000;

/**
 * Links to the other nodes. Each node dials every address it knows and keeps one link out; answers travel on the link their request
 * came by, so that a cut of one direction of dialling leaves both directions of talking (rule G6). Messages of one turn to one peer
 * travel as one frame, unless that becomes long: heartbeats of all groups are coalesced by that.
 */
export class PeerHub implements LinkOwner {
  private readonly ports: PeerHubPorts;
  private readonly owner: PeerHubOwner;
  private readonly secrets: readonly Uint8Array[];
  private readonly targets = new Map<string, Target>();
  private readonly peers = new Map<NodeId, Peer>();
  private readonly links = new Set<PeerLink>();
  private readonly dirty: Peer[] = [];
  private opened = false;
  private stopped = false;

  constructor(ports: PeerHubPorts, owner: PeerHubOwner, secrets: readonly Uint8Array[]) {
    this.ports = ports;
    this.owner = owner;
    this.secrets = secrets;
    ports.transport.onAccept((link) => {
      if (this.stopped) link.close("this node is stopping");
      else if (!this.opened) link.close("this node is starting");
      else this.admit(new PeerLink(link, false, this, ports.crypto, secrets));
    });
  }

  /** From now on this node knows who it is, so links may be accepted: a hello of before would say the wrong cluster for as long as its link lives. */
  open(): void {
    this.opened = true;
  }

  /** Starts dialling `address` and keeps at it; again with the same address does nothing. */
  addTarget(address: string): void {
    if (this.targets.has(address) || this.stopped) return;
    const target: Target = { address, node: null, link: null, attempts: 0, timer: null, lastError: null, dropped: false };
    this.targets.set(address, target);
    this.dial(target);
  }

  dropTarget(address: string): void {
    const target = this.targets.get(address);
    if (target === undefined) return;
    target.dropped = true;
    target.timer?.cancel();
    this.targets.delete(address);
    target.link?.close("this address is no longer a member");
  }

  /** Gives up an address that nobody answers at. False = somebody does. */
  dropUnlinked(address: string): boolean {
    const isLinked = (this.targets.get(address)?.link ?? null) !== null;
    if (!isLinked) this.dropTarget(address);
    return !isLinked;
  }

  /** Closes all links and dials again at once: this node's identity has changed. */
  restartLinks(reason: string): void {
    for (const link of this.links) link.close(reason);
    for (const target of this.targets.values()) {
      target.timer?.cancel();
      target.attempts = 0;
      if (target.link === null) this.dial(target);
    }
  }

  /** Closes every link to `node` (it was removed or refused). */
  dropPeer(node: NodeId, reason: string): void {
    const peer = this.peers.get(node);
    peer?.out?.close(reason);
    peer?.accepted?.close(reason);
  }

  /** Also links of which the handshake has not ended yet: what they said was judged. */
  judgeAgain(judge: (hello: PeerHello) => PeerRefusal | null): void {
    for (const link of this.links) {
      if (mutant("host-level-unfinished-link-kept") && !link.isReady) continue;
      const refusal = link.peer === null ? null : judge(link.peer);
      if (refusal !== null) link.refuse(refusal);
    }
  }

  /** Queues a message; sent by `flush`. Dropped when no link is up: Raft repeats what matters, calls time out. */
  send(to: NodeId, message: PeerMessage, isReply: boolean): boolean {
    const peer = this.peers.get(to);
    if (peer === undefined) return false;
    const link = isReply ? (peer.accepted ?? peer.out) : (peer.out ?? peer.accepted);
    if (link === null) return false;
    const reply = link === peer.accepted;
    if (peer.frames.length === 0 && peer.replyFrames.length === 0) this.dirty.push(peer);
    writePeerMessage(this.frameOf(reply ? peer.replyFrames : peer.frames), this.owner.traced(to, message));
    if (message.type === "forward") this.ports.telemetry.count("trivet_raft_forwarded_total", 1);
    return true;
  }

  private frameOf(frames: PartsWriter[]): PartsWriter {
    const last = frames.at(-1);
    if (last !== undefined && (last.size < peerFrameBytes || mutant("host-peer-frame-unbounded"))) return last;
    const frame = new PartsWriter(256, referFromBytes);
    beginBatch(frame, this.owner.groupTime());
    frames.push(frame);
    return frame;
  }

  /** Sends what this turn queued. */
  flush(): void {
    for (const peer of this.dirty) {
      const { frames, replyFrames } = peer;
      peer.frames = [];
      peer.replyFrames = [];
      if (frames.length > 0) this.transmit(peer.out ?? peer.accepted, frames);
      if (replyFrames.length > 0) this.transmit(peer.accepted ?? peer.out, replyFrames);
    }
    this.dirty.length = 0;
  }

  private transmit(link: PeerLink | null, frames: readonly PartsWriter[]): void {
    if (link === null || !link.isReady) return;
    if (link.link.bufferedBytes() > maxPeerBufferBytes) {
      link.close(`the link to ${link.node} does not drain: more than ${maxPeerBufferBytes} bytes queued`);
      return;
    }
    for (const frame of frames) link.send(frame.parts());
  }

  /** So much is on its way to `node` that what can wait, or can be asked for again, should not be added. */
  isCongested(node: NodeId): boolean {
    const peer = this.peers.get(node);
    const link = peer?.out ?? peer?.accepted;
    return (link?.link.bufferedBytes() ?? 0) > congestedBytes;
  }

  isUp(node: NodeId): boolean {
    return this.peers.has(node);
  }

  connected(): readonly NodeId[] {
    return [...this.peers.keys()];
  }

  helloOf(node: NodeId): PeerHello | null {
    return this.peers.get(node)?.hello ?? null;
  }

  lastContact(node: NodeId): number | null {
    return this.peers.get(node)?.lastContact ?? null;
  }

  addressOf(node: NodeId): string | null {
    for (const target of this.targets.values()) if (target.node === node) return target.address;
    return this.peers.get(node)?.hello.url ?? null;
  }

  /** Addresses dialled, and why those not connected are not. */
  dialling(): readonly { readonly address: string; readonly node: NodeId | null; readonly error: string | null }[] {
    return [...this.targets.values()].map((target) => ({
      address: target.address,
      node: target.node,
      error: target.link?.isReady === true ? null : (target.lastError ?? "not connected yet"),
    }));
  }

  stop(reason: string): void {
    this.stopped = true;
    for (const target of this.targets.values()) target.timer?.cancel();
    this.targets.clear();
    for (const link of this.links) link.close(reason);
  }

  private dial(target: Target): void {
    target.timer = null;
    this.ports.transport.dial(target.address, (link, reason) => {
      if (target.dropped || this.stopped) {
        link?.close("no longer wanted");
        return;
      }
      if (link === null) {
        this.retry(target, reason);
        return;
      }
      const peerLink = new PeerLink(link, true, this, this.ports.crypto, this.secrets);
      target.link = peerLink;
      this.admit(peerLink);
    });
  }

  /** A handshake that does not come to its end (a frozen peer, a lost frame) must not keep its address from being dialled again. */
  private admit(link: PeerLink): void {
    this.links.add(link);
    this.ports.clock.schedule(handshakeTimeoutMs, () => {
      if (!link.isReady) link.close(`the handshake timed out after ${handshakeTimeoutMs} ms`);
    });
  }

  private retry(target: Target, reason: string): void {
    if (this.stopped || target.dropped) return;
    if (target.lastError !== reason) {
      target.lastError = reason;
      const restarting = reason.includes("now belongs to cluster");
      const timedOut = reason.includes("timed out");
      const text = `${timedOut ? "timed out sending to" : "could not connect to"} ${target.address}: ${reason}`;
      this.ports.telemetry.log(restarting ? "debug" : "warn", "peer.unreachable", text, { address: target.address, reason });
    }
    this.ports.telemetry.count("trivet_raft_peer_send_failures_total", 1, { peer: target.node ?? target.address });
    const ceiling = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(target.attempts, 10));
    target.attempts += 1;
    const delay = ceiling / 2 + (this.ports.random.nextUint32() / 0x1_0000_0000) * (ceiling / 2);
    target.timer = this.ports.clock.schedule(delay, () => this.dial(target));
  }

  // ── LinkOwner ──

  hello(): PeerHello {
    return this.owner.hello();
  }

  judge(hello: PeerHello, link: Link): PeerRefusal | null {
    return this.owner.judge(hello, link);
  }

  ready(link: PeerLink): void {
    const hello = link.peer;
    if (hello === null) return;
    const node = link.node;
    let peer = this.peers.get(node);
    const isNew = peer === undefined;
    if (peer === undefined) {
      peer = { node, hello, out: null, accepted: null, frames: [], replyFrames: [], lastContact: this.ports.clock.now(), rttMs: null };
      this.peers.set(node, peer);
    }
    peer.hello = hello;
    const previous = link.dialled ? peer.out : peer.accepted;
    const other = link.dialled ? peer.accepted : peer.out;
    if (link.dialled) peer.out = link;
    else peer.accepted = link;
    if (previous !== null && previous !== link) previous.close("replaced by a newer link");
    // The other end is a new process: a link to the old one is dead, even when no reset has told us (power loss, a moved container).
    if (other !== null && other.peer?.incarnation !== hello.incarnation) other.close("the other end was restarted");
    if (link.dialled) this.dialSucceeded(link, node);
    if (isNew) this.owner.peerUp(node, hello);
  }

  isAlias(link: PeerLink): boolean {
    const out = this.peers.get(link.node)?.out ?? null;
    // Two addresses of one node (its listed name and its registered URL): one link is enough; look again later.
    if (out === null || !out.isReady || out.peer?.incarnation !== link.peer?.incarnation) return false;
    for (const target of this.targets.values()) {
      if (target.link !== link) continue;
      target.link = null;
      target.node = link.node;
      target.lastError = null;
      target.timer = this.ports.clock.schedule(aliasRetryMs, () => this.dial(target));
    }
    return true;
  }

  private dialSucceeded(link: PeerLink, node: NodeId): void {
    for (const target of this.targets.values()) {
      if (target.link !== link) continue;
      if (target.lastError !== null) {
        this.ports.telemetry.log("info", "peer.connected", `connected to ${node} at ${target.address}`, {
          peer: node,
          address: target.address,
        });
      }
      target.node = node;
      target.attempts = 0;
      target.lastError = null;
    }
  }

  frame(link: PeerLink, frame: PeerFrame): void {
    if (frame.type !== "batch" || link.peer === null) return;
    const peer = this.peers.get(link.node);
    if (peer === undefined) return;
    peer.lastContact = this.ports.clock.now();
    this.owner.batch(link.node, link.peer, frame.groupTime, frame.messages);
  }

  closed(link: PeerLink, reason: string, refusal: PeerRefusal | null, believed: boolean): void {
    this.links.delete(link);
    const peer = link.peer === null ? undefined : this.peers.get(link.node);
    if (peer !== undefined && (peer.out === link || peer.accepted === link)) {
      if (peer.out === link) peer.out = null;
      if (peer.accepted === link) peer.accepted = null;
      if (peer.out === null && peer.accepted === null) {
        this.peers.delete(peer.node);
        this.owner.peerDown(peer.node, reason);
      } else {
        this.owner.linkLost(peer.node);
      }
    }
    // A node that dials its own address learns by that which one is its own.
    if (refusal !== null && refusal.code !== "self") {
      this.ports.telemetry.count("trivet_peer_refusals_total", 1, { code: refusal.code });
      if (!link.dialled) this.owner.turnedAway(link.link.remote, refusal);
    }
    for (const target of this.targets.values()) {
      if (target.link !== link) continue;
      target.link = null;
      if (refusal !== null) this.owner.refused(target.address, refusal, believed);
      this.retry(target, reason);
    }
  }
}
