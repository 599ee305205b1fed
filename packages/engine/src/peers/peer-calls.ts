import type { NodeId } from "@trivet/core";
import type { Clock } from "../ports/clock.ts";
import { peerCallTimeoutMs } from "../base/limits.ts";
import type { PeerHub } from "./peer-hub.ts";

interface Open {
  readonly to: NodeId;
  readonly deadline: number;
  readonly done: (answer: unknown) => void;
}

/** Answers a call; called once, at any later time. */
export type CallHandler = (from: NodeId, method: string, body: unknown, answer: (reply: unknown) => void) => void;

/**
 * Rare questions between hosts (joining, membership, keepalives) in JSON over the peer link. No answer within the time limit, or a lost
 * link, is `null`: the caller does not know whether it was carried out, so every method must be safe to repeat.
 */
export class PeerCalls {
  private readonly hub: PeerHub;
  private readonly clock: Clock;
  private readonly handler: CallHandler;
  private readonly markDirty: () => void;
  private readonly open = new Map<number, Open>();
  private lastId = 0;

  constructor(hub: PeerHub, clock: Clock, handler: CallHandler, markDirty: () => void) {
    this.hub = hub;
    this.clock = clock;
    this.handler = handler;
    this.markDirty = markDirty;
  }

  call(to: NodeId, method: string, body: unknown, done: (answer: unknown) => void, timeoutMs: number = peerCallTimeoutMs): void {
    this.lastId += 1;
    const id = this.lastId;
    this.open.set(id, { to, deadline: this.clock.now() + timeoutMs, done });
    if (!this.hub.send(to, { type: "call", id, method, json: JSON.stringify(body) }, false)) {
      this.clock.defer(() => this.settle(id, null));
    }
    this.markDirty();
  }

  onCall(from: NodeId, id: number, method: string, json: string): void {
    let answered = false;
    this.handler(from, method, JSON.parse(json), (reply) => {
      if (answered) return;
      answered = true;
      this.hub.send(from, { type: "answer", id, json: JSON.stringify(reply) }, true);
      this.markDirty();
    });
  }

  onAnswer(from: NodeId, id: number, json: string): void {
    const open = this.open.get(id);
    if (open === undefined || open.to !== from) return;
    this.settle(id, JSON.parse(json));
  }

  peerDown(peer: NodeId): void {
    for (const [id, open] of this.open) if (open.to === peer) this.settle(id, null);
  }

  tick(now: number): void {
    for (const [id, open] of this.open) if (open.deadline <= now) this.settle(id, null);
  }

  get tickAt(): number {
    return this.open.size > 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  stop(): void {
    for (const id of this.open.keys()) this.settle(id, null);
  }

  private settle(id: number, answer: unknown): void {
    const open = this.open.get(id);
    if (open === undefined) return;
    this.open.delete(id);
    open.done(answer);
  }
}
