import type { Prng } from "@trivet/core";
import type { ClockView, Link, LinkHandlers, MemoryClock, Timer, Transport } from "@trivet/engine";

import { Edges } from "./edges.ts";
import type { Totals } from "./totals.ts";

const dialTimeoutMs = 1_000;
/** What the kernel takes off the program's hands; beyond it `bufferedBytes` shows backpressure. */
const kernelBufferBytes = 65_536;

interface Endpoint {
  readonly machine: string;
  readonly process: ClockView;
  accept: ((link: Link) => void) | null;
}

/**
 * Peer connections between machines: frames in order with delay, held while the edge is cut and delivered after it heals (TCP), or lost
 * when the connection breaks first. A broken-transport mode on top drops, repeats and reorders whole frames.
 */
export class SimNetwork {
  readonly edges: Edges = new Edges();
  private readonly heard = new Map<string, number>();
  private readonly clock: MemoryClock;
  private readonly prng: Prng;
  private readonly totals: Totals;
  private readonly listening = new Map<string, Endpoint>();
  private readonly connections = new Set<Connection>();
  /** Machines without power answer nothing, not even with a refusal. */
  private readonly dark = new Set<string>();

  constructor(clock: MemoryClock, prng: Prng, totals: Totals) {
    this.clock = clock;
    this.prng = prng;
    this.totals = totals;
  }

  /** The transport port of one process on `machine`; the address of a machine is its name. */
  transport(machine: string, process: ClockView): Transport {
    const endpoint: Endpoint = { machine, process, accept: null };
    this.listening.set(machine, endpoint);
    this.dark.delete(machine);
    return {
      onAccept: (accept) => {
        endpoint.accept = accept;
      },
      dial: (address, opened) => this.dial(endpoint, address, opened),
    };
  }

  /** The program ended. With `silently` (power loss) nobody is told; else the kernel closes its connections. */
  processEnded(machine: string, process: ClockView, silently: boolean): void {
    if (this.listening.get(machine)?.process === process) this.listening.delete(machine);
    if (silently) this.dark.add(machine);
    for (const connection of this.connections) connection.endLost(machine, silently);
  }

  /** When the program of one last took a frame of the other's. */
  heardAt(by: string, from: string): number {
    return this.heard.get(`${from}>${by}`) ?? Number.NEGATIVE_INFINITY;
  }

  /** Resets every connection between the two. */
  reset(a: string, b: string): void {
    for (const connection of this.connections) if (connection.joins(a, b)) connection.break("connection reset");
  }

  /** Call after cuts were lifted: what TCP held goes on its way. */
  released(): void {
    for (const connection of this.connections) connection.release();
  }

  private dial(from: Endpoint, address: string, opened: (link: Link | null, reason: string) => void): void {
    const finish = (delayMs: number, run: () => void): void => {
      this.clock.schedule(delayMs, () => enter(from.process, run));
    };
    const there = this.edges.of(from.machine, address);
    const back = this.edges.of(address, from.machine);
    const oneWay = this.edges.delay(from.machine, address, 64, this.prng);
    if (there.cuts + back.cuts + there.dialBlocks > 0 || this.dark.has(address)) {
      this.totals.add("dials timed out");
      finish(dialTimeoutMs, () => opened(null, "timed out"));
      return;
    }
    this.clock.schedule(oneWay, () => {
      const to = this.listening.get(address);
      const roundTrip = this.edges.delay(address, from.machine, 64, this.prng);
      if (to === undefined || to.accept === null) {
        finish(roundTrip, () => opened(null, "refused"));
        return;
      }
      if (!from.process.alive) return;
      const connection = new Connection(this.clock, this.edges, this.prng, this.totals, from, to, {
        gone: () => this.connections.delete(connection),
        heard: (by, whom) => this.heard.set(`${whom}>${by}`, this.clock.now()),
      });
      this.connections.add(connection);
      const { accept } = to;
      enter(to.process, () => accept(connection.accepted));
      finish(roundTrip, () => opened(connection.dialled, ""));
    });
  }
}

interface Frame {
  readonly bytes: Uint8Array;
  readonly sentAt: number;
}

/** One direction of a connection: a queue of frames, the head of which has a delivery time. */
class Direction {
  readonly queue: Frame[] = [];
  queuedBytes = 0;
  lastDelivery = 0;
  timer: Timer | null = null;
}

interface ConnectionOwner {
  gone(): void;
  heard(by: string, from: string): void;
}

/** A connection with its two ends. */
class Connection {
  readonly dialled: SimLink;
  readonly accepted: SimLink;
  private readonly clock: MemoryClock;
  private readonly edges: Edges;
  private readonly prng: Prng;
  private readonly totals: Totals;
  private readonly owner: ConnectionOwner;
  private open = true;

  constructor(clock: MemoryClock, edges: Edges, prng: Prng, totals: Totals, from: Endpoint, to: Endpoint, owner: ConnectionOwner) {
    this.clock = clock;
    this.edges = edges;
    this.prng = prng;
    this.totals = totals;
    this.owner = owner;
    this.dialled = new SimLink(this, from, to.machine);
    this.accepted = new SimLink(this, to, from.machine);
  }

  joins(a: string, b: string): boolean {
    const ends = [this.dialled.machine, this.accepted.machine];
    return ends.includes(a) && ends.includes(b);
  }

  transmit(from: SimLink, bytes: Uint8Array): void {
    if (!this.open) return;
    const edge = this.edges.of(from.machine, from.remote);
    if (edge.drop > 0 && this.prng.chance(edge.drop)) {
      this.totals.add("frames dropped");
      return;
    }
    const { direction } = from;
    const frame = { bytes, sentAt: this.clock.now() };
    if (edge.reorder > 0 && direction.queue.length > 1 && this.prng.chance(edge.reorder)) {
      this.totals.add("frames reordered");
      direction.queue.splice(direction.queue.length - 1, 0, frame);
    } else {
      direction.queue.push(frame);
    }
    direction.queuedBytes += bytes.length;
    if (edge.duplicate > 0 && this.prng.chance(edge.duplicate)) {
      this.totals.add("frames duplicated");
      direction.queue.push(frame);
      direction.queuedBytes += bytes.length;
    }
    if (direction.timer === null) this.schedule(from);
  }

  /** Closes from one end; the other learns of it after what was sent before. */
  close(from: SimLink, reason: string): void {
    if (!this.open) return;
    this.open = false;
    this.owner.gone();
    this.clock.schedule(0, () => enter(from.endpoint.process, () => from.shut(reason)));
    const to = this.other(from);
    const closing = (): void => {
      if (!this.edges.passes(from.machine, to.machine)) {
        // The FIN is retransmitted until the cut heals; the other end notices by its own time-outs meanwhile.
        this.clock.schedule(500, closing);
        return;
      }
      enter(to.endpoint.process, () => to.shut("closed by the other end"));
    };
    const now = this.clock.now();
    const arrival = Math.max(this.edges.delay(from.machine, to.machine, 64, this.prng), from.direction.lastDelivery - now);
    this.clock.schedule(arrival, () => {
      this.flush(from);
      closing();
    });
  }

  break(reason: string): void {
    if (!this.open) return;
    this.open = false;
    this.owner.gone();
    for (const link of [this.dialled, this.accepted]) {
      if (link.direction.timer !== null) link.direction.timer.cancel();
      this.clock.schedule(0, () => enter(link.endpoint.process, () => link.shut(reason)));
    }
  }

  /** One end's program is gone. */
  endLost(machine: string, silently: boolean): void {
    const dead = this.dialled.machine === machine ? this.dialled : this.accepted.machine === machine ? this.accepted : null;
    if (dead === null || !this.open || dead.endpoint.process.alive) return;
    if (dead.direction.timer !== null) dead.direction.timer.cancel();
    const survivor = this.other(dead);
    if (!silently) {
      this.open = false;
      this.owner.gone();
      this.clock.schedule(this.edges.delay(machine, survivor.machine, 64, this.prng), () =>
        enter(survivor.endpoint.process, () => survivor.shut("connection reset")),
      );
      return;
    }
    // Nobody says anything: the survivor's kernel gives up on its own, or gets a reset once the machine is back.
    this.clock.schedule(3_000, () => {
      if (!this.open) return;
      this.open = false;
      this.owner.gone();
      enter(survivor.endpoint.process, () => survivor.shut("connection timed out"));
    });
  }

  release(): void {
    if (!this.open) return;
    for (const link of [this.dialled, this.accepted]) {
      if (link.direction.timer === null && link.direction.queue.length > 0) this.schedule(link);
    }
  }

  private other(link: SimLink): SimLink {
    return link === this.dialled ? this.accepted : this.dialled;
  }

  private schedule(from: SimLink): void {
    const { direction } = from;
    const head = direction.queue[0];
    if (head === undefined || !this.edges.passes(from.machine, from.remote)) return;
    const delay = this.edges.delay(from.machine, from.remote, head.bytes.length, this.prng);
    // In order, yet pipelined: a frame's own delay counts from when it was sent, but it never passes the one before it.
    direction.lastDelivery = Math.max(direction.lastDelivery, head.sentAt + delay, this.clock.now());
    direction.timer = this.clock.schedule(direction.lastDelivery - this.clock.now(), () => {
      direction.timer = null;
      if (!this.open) return;
      if (!this.edges.passes(from.machine, from.remote)) return;
      this.deliver(from);
      this.schedule(from);
    });
  }

  private deliver(from: SimLink): void {
    const { direction } = from;
    const frame = direction.queue.shift();
    if (frame === undefined) return;
    direction.queuedBytes -= frame.bytes.length;
    const to = this.other(from);
    enter(to.endpoint.process, () => {
      this.owner.heard(to.machine, from.machine);
      to.deliver(frame.bytes);
    });
  }

  /** A closed connection still delivers what was on its way, unless the edge is cut. */
  private flush(from: SimLink): void {
    if (from.direction.timer !== null) from.direction.timer.cancel();
    if (!this.edges.passes(from.machine, from.remote)) return;
    while (from.direction.queue.length > 0) this.deliver(from);
  }
}

class SimLink implements Link {
  readonly remote: string;
  readonly loopback: boolean = true;
  readonly provenNodes: readonly string[] | null = null;
  readonly endpoint: Endpoint;
  readonly direction: Direction = new Direction();
  handlers: LinkHandlers = ignoring;
  private readonly connection: Connection;
  private closed = false;

  constructor(connection: Connection, endpoint: Endpoint, remote: string) {
    this.connection = connection;
    this.endpoint = endpoint;
    this.remote = remote;
  }

  get machine(): string {
    return this.endpoint.machine;
  }

  send(parts: readonly Uint8Array[]): void {
    if (this.closed) return;
    let length = 0;
    for (const part of parts) length += part.length;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.connection.transmit(this, bytes);
  }

  bufferedBytes(): number {
    return Math.max(0, this.direction.queuedBytes - kernelBufferBytes);
  }

  close(reason: string): void {
    if (!this.closed) this.connection.close(this, reason);
  }

  deliver(bytes: Uint8Array): void {
    if (!this.closed) this.handlers.frame(bytes);
  }

  shut(reason: string): void {
    if (this.closed) return;
    this.closed = true;
    this.handlers.closed(reason);
  }
}

const ignoring: LinkHandlers = { frame: () => undefined, closed: () => undefined };

/** Runs `run` in a program: now, when it resumes, or never. */
function enter(process: ClockView, run: () => void): void {
  process.guard(run)();
}
