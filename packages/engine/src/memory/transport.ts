import { invariant } from "@trivet/core";
import type { Clock } from "../ports/clock.ts";
import type { Link, LinkHandlers, Transport } from "../ports/transport.ts";

/** Something that is about to happen between two addresses. */
export interface Passage {
  readonly type: "dial" | "frame" | "close";
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
}

/** What the network does with it. */
export interface Fate {
  /** When it arrives, from now; each value is one arrival. Empty = not now: a dial times out, a frame waits, with all behind it, for `retransmit`. */
  readonly delaysMs: readonly number[];
  /** True lets this frame overtake earlier ones, or with no arrival, get lost. TCP does neither; a hook that asks for it must mean it. */
  readonly reorder?: boolean;
}

export interface MemoryNetworkOptions {
  /** Default: everything arrives at the end of the turn. */
  readonly fate?: (passage: Passage) => Fate;
  /** How long a dial without an answer waits. */
  readonly dialTimeoutMs?: number;
}

const prompt: Fate = { delaysMs: [0] };

interface Endpoint {
  readonly address: string;
  accept: ((link: Link) => void) | null;
  readonly links: Set<MemoryLink>;
  up: boolean;
}

/** Links between the nodes of one process, through one hook that delays, drops, duplicates and cuts. */
export class MemoryNetwork {
  options: MemoryNetworkOptions;
  private readonly clock: Clock;
  private readonly endpoints = new Map<string, Endpoint>();

  constructor(clock: Clock, options: MemoryNetworkOptions = {}) {
    this.clock = clock;
    this.options = options;
  }

  /** The transport of the node at `address`. A new one replaces the old: the node restarted. */
  transport(address: string): Transport {
    this.detach(address);
    const endpoint: Endpoint = { address, accept: null, links: new Set(), up: true };
    this.endpoints.set(address, endpoint);
    return {
      dial: (to, opened) => this.dial(endpoint, to, opened),
      onAccept: (accept) => {
        endpoint.accept = accept;
      },
    };
  }

  /** The node died: its handlers are never called again, the other ends see their links close. */
  detach(address: string): void {
    const endpoint = this.endpoints.get(address);
    if (endpoint === undefined) return;
    endpoint.up = false;
    this.endpoints.delete(address);
    for (const link of endpoint.links) link.vanish();
  }

  /** Breaks established links, as a firewall that resets does; both ends learn it at once. */
  breakLinks(matches: (a: string, b: string) => boolean, reason: string): void {
    for (const endpoint of this.endpoints.values()) {
      for (const link of endpoint.links) if (matches(link.local, link.remote)) link.closedBy(reason);
    }
  }

  fate(passage: Passage): Fate {
    return this.options.fate?.(passage) ?? prompt;
  }

  after(delayMs: number, run: () => void): void {
    if (delayMs <= 0) this.clock.defer(run);
    else this.clock.schedule(delayMs, run);
  }

  schedule(delayMs: number, run: () => void): void {
    this.clock.schedule(delayMs, run);
  }

  now(): number {
    return this.clock.now();
  }

  /** A cut was healed: what TCP could not deliver is sent again. */
  retransmit(): void {
    for (const endpoint of this.endpoints.values()) for (const link of endpoint.links) link.retransmit();
  }

  private dial(from: Endpoint, to: string, opened: (link: Link | null, reason: string) => void): void {
    const [delay] = this.fate({ type: "dial", from: from.address, to, bytes: 0 }).delaysMs;
    if (delay === undefined) {
      this.after(this.options.dialTimeoutMs ?? 1000, () => from.up && opened(null, `${to} did not answer`));
      return;
    }
    this.after(delay, () => {
      if (!from.up) return;
      const target = this.endpoints.get(to);
      if (target === undefined || target.accept === null) return opened(null, `${to} refused the connection`);
      const mine = new MemoryLink(this, from, to);
      const theirs = new MemoryLink(this, target, from.address);
      mine.connect(theirs);
      theirs.connect(mine);
      target.accept(theirs);
      opened(mine, "");
    });
  }
}

const unset: LinkHandlers = {
  frame: () => invariant(false, "link-handlers-set", "a frame arrived before the handlers were set"),
  closed: () => {},
};

class MemoryLink implements Link {
  readonly local: string;
  readonly remote: string;
  readonly loopback = true;
  readonly provenNodes = null;
  handlers: LinkHandlers = unset;
  private readonly network: MemoryNetwork;
  private readonly endpoint: Endpoint;
  private peer: MemoryLink | null = null;
  private open = true;
  private buffered = 0;
  /** A frame never arrives before its predecessor, unless the hook says so. */
  private arrivalAt = 0;
  private timed = 0;
  /** What the network does not take now: TCP keeps trying, and everything behind it waits. */
  private stuck: Uint8Array[] = [];

  constructor(network: MemoryNetwork, endpoint: Endpoint, remote: string) {
    this.network = network;
    this.endpoint = endpoint;
    this.local = endpoint.address;
    this.remote = remote;
    endpoint.links.add(this);
  }

  connect(peer: MemoryLink): void {
    this.peer = peer;
  }

  send(parts: readonly Uint8Array[]): void {
    if (!this.open) return;
    const bytes = joined(parts);
    this.buffered += bytes.length;
    if (this.stuck.length > 0) this.stuck.push(bytes);
    else this.transmit(bytes);
  }

  /** Tries again what was stuck. */
  retransmit(): void {
    const { stuck } = this;
    this.stuck = [];
    for (const bytes of stuck) {
      if (this.stuck.length > 0) this.stuck.push(bytes);
      else this.transmit(bytes);
    }
  }

  private transmit(bytes: Uint8Array): void {
    const { delaysMs, reorder = false } = this.network.fate({ type: "frame", from: this.local, to: this.remote, bytes: bytes.length });
    if (delaysMs.length === 0) {
      if (reorder) this.buffered -= bytes.length;
      else this.stuck.push(bytes);
      return;
    }
    delaysMs.forEach((delay, copy) => {
      this.later(delay, reorder, () => {
        if (copy === 0) this.buffered -= bytes.length;
        this.peer?.deliver(bytes);
      });
    });
  }

  bufferedBytes(): number {
    return this.buffered;
  }

  close(reason: string): void {
    if (!this.open) return;
    this.announceEnd("closed by the other side");
    this.closedBy(reason);
  }

  /** Ends this side only. */
  closedBy(reason: string): void {
    if (!this.open) return;
    this.open = false;
    this.buffered = 0;
    this.endpoint.links.delete(this);
    this.network.after(0, () => {
      if (this.endpoint.up) this.handlers.closed(reason);
    });
  }

  /** The process is gone; its system tells the other side. */
  vanish(): void {
    if (!this.open) return;
    this.open = false;
    this.announceEnd("connection reset");
  }

  private announceEnd(reason: string): void {
    const { network, local, remote, peer } = this;
    const [delay] = network.fate({ type: "close", from: local, to: remote, bytes: 0 }).delaysMs;
    if (delay === undefined || peer === null) return;
    // After the frames sent before it, like the end of a TCP stream; a stuck stream does not end by itself.
    if (this.stuck.length === 0) this.later(delay, false, () => peer.closedBy(reason));
  }

  private deliver(bytes: Uint8Array): void {
    if (this.open && this.endpoint.up) this.handlers.frame(bytes);
  }

  /** Runs after `delayMs`, and unless `reorder`, after everything sent before. */
  private later(delayMs: number, reorder: boolean, run: () => void): void {
    if (reorder) return this.network.after(delayMs, run);
    const now = this.network.now();
    this.arrivalAt = Math.max(this.arrivalAt, now + Math.max(0, delayMs));
    if (this.arrivalAt <= now && this.timed === 0) return this.network.after(0, run);
    this.timed++;
    this.network.schedule(this.arrivalAt - now, () => {
      this.timed--;
      run();
    });
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return new Uint8Array(only);
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
