import { type KeepAliveAnswer, encodeClientFrame, limits } from "@trivet/wire";
import type { Session } from "./session.ts";

/** Keepalives per time to live: three may be lost. */
const perTtl = 4;
/** Batches without answer that are remembered. */
const maxBatches = 64;

/**
 * Sends keepalives for all sessions of a connection in one message, and again as soon as there is a new link. An acknowledgement
 * extends a session from the time its batch was sent, whenever it arrives.
 */
export class KeepAlives {
  private readonly send: (message: Uint8Array) => boolean;
  private readonly sessions = new Map<number, Session>();
  private readonly sentAt = new Map<number, number>();
  private batch = 0;
  private timer: NodeJS.Timeout | null = null;
  private periodMs = Number.POSITIVE_INFINITY;

  constructor(send: (message: Uint8Array) => boolean) {
    this.send = send;
  }

  get count(): number {
    return this.sessions.size;
  }

  /** Some living session, 0 = none: what a new link is told. */
  get first(): number {
    for (const id of this.sessions.keys()) return id;
    return 0;
  }

  find(id: number): Session | undefined {
    return this.sessions.get(id);
  }

  add(session: Session): void {
    this.sessions.set(session.id, session);
    this.schedule();
  }

  remove(session: Session): void {
    this.sessions.delete(session.id);
    this.schedule();
  }

  list(): readonly Session[] {
    return [...this.sessions.values()];
  }

  /** Sends keepalives now, for instance on a new link. */
  sendAll(): void {
    const ids = [...this.sessions.keys()];
    for (let from = 0; from < ids.length; from += limits.maxSessionsPerKeepAlive) {
      const batch = ++this.batch;
      const sent = this.send(
        encodeClientFrame({ type: "keep-alive", batch, sessions: ids.slice(from, from + limits.maxSessionsPerKeepAlive) }),
      );
      if (sent) this.sentAt.set(batch, performance.now());
    }
    for (const batch of this.sentAt.keys()) if (batch <= this.batch - maxBatches) this.sentAt.delete(batch);
  }

  answered(answer: KeepAliveAnswer): void {
    const sentAt = this.sentAt.get(answer.batch);
    if (sentAt === undefined) return;
    this.sentAt.delete(answer.batch);
    for (const id of answer.alive) this.sessions.get(id)?.extendFrom(sentAt);
    for (const id of answer.lost) this.sessions.get(id)?.end("the cluster no longer knows it");
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.periodMs = Number.POSITIVE_INFINITY;
  }

  /** One timer, as fast as the shortest time to live wants it. Not restarted needlessly: a stream of new sessions would starve it. */
  private schedule(): void {
    let shortest = Number.POSITIVE_INFINITY;
    for (const session of this.sessions.values()) shortest = Math.min(shortest, session.ttlMs);
    if (shortest === Number.POSITIVE_INFINITY) return this.stop();
    const periodMs = Math.max(1, shortest / perTtl);
    if (this.timer !== null && periodMs >= this.periodMs) return;
    this.stop();
    this.periodMs = periodMs;
    this.timer = setInterval(() => this.sendAll(), periodMs);
  }
}
