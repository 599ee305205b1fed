import { LockLostError } from "./errors.ts";
import { shownAs } from "./shown.ts";

/** What a session needs from its connection. */
export interface SessionHost {
  /** Tells the cluster that the session is over, best effort; resolves when that is known or hopeless. */
  closeSession(session: Session): Promise<void>;
  /** The session ended, for whatever reason: no more keepalives. */
  ended(session: Session): void;
}

/**
 * Liveness at the cluster: while keepalives arrive within `ttlMs`, what the session holds stays held. The lease is counted on the
 * monotonic clock from the *send* of the last keepalive that was acknowledged (rule L1), so it never outlasts the cluster's view.
 * Once over, a session never comes back.
 */
export class Session implements AsyncDisposable {
  readonly id: number;
  readonly ttlMs: number;
  private readonly host: SessionHost;
  /** Monotonic time until which the cluster is known to keep the session. */
  private leaseUntil: number;
  private endReason: string | null = null;
  private readonly listeners = new Set<(reason: string) => void>();
  private timer: NodeJS.Timeout;
  private closing: Promise<void> | null = null;
  private controller: AbortController | null = null;

  /** `sentAt`: when the command that opened it was submitted. */
  constructor(id: number, ttlMs: number, sentAt: number, host: SessionHost) {
    this.id = id;
    this.ttlMs = ttlMs;
    this.host = host;
    this.leaseUntil = sentAt + ttlMs;
    this.timer = this.armTimer();
    shownAs(this, () => this.shown());
  }

  /** Milliseconds for which the session is certain to live; 0 when it is over. */
  remainingMs(): number {
    return this.endReason === null ? Math.max(0, this.leaseUntil - performance.now()) : 0;
  }

  get isAlive(): boolean {
    return this.remainingMs() > 0;
  }

  /** Why it ended, null while it lives. */
  get reason(): string | null {
    return this.endReason;
  }

  /** Aborts, with a LockLostError, when the session is over. */
  get signal(): AbortSignal {
    if (this.controller === null) {
      const controller = new AbortController();
      this.controller = controller;
      this.onEnd((reason) => controller.abort(new LockLostError(`Session ${this.id}`, reason)));
    }
    return this.controller.signal;
  }

  /** Calls `listener` once, when the session ends; at once if it has. Returns how to take that back. */
  onEnd(listener: (reason: string) => void): () => void {
    if (this.endReason !== null) {
      listener(this.endReason);
      return () => {};
    }
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Throws LockLostError unless the session is certain to live now. Reads the clock, so it works even after the loop was blocked. */
  assertAlive(): void {
    if (this.isAlive) return;
    this.end("no keepalive was acknowledged within its time to live");
    throw new LockLostError(`Session ${this.id}`, this.endReason ?? "");
  }

  /** A keepalive sent at `sentAt` was acknowledged. */
  extendFrom(sentAt: number): void {
    if (this.endReason === null && sentAt + this.ttlMs > this.leaseUntil) this.leaseUntil = sentAt + this.ttlMs;
  }

  /** The session is over. Everything that rests on it is told. */
  end(reason: string): void {
    if (this.endReason !== null) return;
    this.endReason = reason;
    clearTimeout(this.timer);
    this.host.ended(this);
    const listeners = [...this.listeners];
    this.listeners.clear();
    for (const listener of listeners) listener(reason);
  }

  /** Ends the session; the cluster frees at once what it held. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.closeOnce();
    return this.closing;
  }

  /** What `console.log` shows. */
  private shown(): string {
    const state = this.isAlive
      ? `alive for ${Math.round(this.remainingMs())} of ${this.ttlMs} ms`
      : `ended: ${this.endReason ?? "its time is over"}`;
    return `Session { ${this.id}, ${state} }`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async closeOnce(): Promise<void> {
    if (this.endReason === null) {
      // Ended here first: nobody may go on believing in a lock that the cluster is about to free.
      this.end("it was closed");
      await this.host.closeSession(this);
    }
  }

  private armTimer(): NodeJS.Timeout {
    return setTimeout(() => this.lapse(), Math.max(1, this.leaseUntil - performance.now()));
  }

  /** When the loop was blocked, an acknowledgement may be waiting to be read: it comes first. */
  private lapse(): void {
    setImmediate(() => {
      if (this.endReason !== null) return;
      if (performance.now() < this.leaseUntil) this.timer = this.armTimer();
      else this.end("no keepalive was acknowledged within its time to live");
    });
  }
}
