/** What happens to the command when its lock is lost. */
export const lossPolicies = ["kill", "term", "continue"] as const;
export type LossPolicy = (typeof lossPolicies)[number];

/** The lease that the lock rests on: a session of the SDK. */
export interface Lease {
  /** Milliseconds for which it is certain to last; 0 = it is over. */
  remainingMs(): number;
  /** Calls `listener` once when it is over. Returns how to take that back. */
  onEnd(listener: (reason: string) => void): () => void;
}

export interface WardenSettings {
  readonly policy: LossPolicy;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
  /** So long before the lease is over the command has ended, whatever it does. */
  readonly marginMs: number;
}

export interface Guarded {
  signal(signal: "SIGTERM" | "SIGKILL"): void;
  /** `isOver` = the lock is lost; else it soon is, unless the cluster answers. */
  told(reason: string, isOver: boolean): void;
}

/** Time as tests give it. */
export interface Clock {
  now(): number;
  /** Returns how to take it back. */
  after(ms: number, run: () => void): () => void;
}

const realClock: Clock = {
  now: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/**
 * Ends a command before its lock can be another's. While keepalives are acknowledged it does nothing. Once what is certain of the lease is down to the grace time and a
 * margin, the command gets SIGTERM, and SIGKILL when only the margin is left: by our own clock, and so before the cluster can give the lock away (rule L1), whether
 * anybody can be asked or not. A loss that the cluster tells (the lock was taken away) leaves the grace time alone.
 */
export class Warden {
  private readonly lease: Lease;
  private readonly settings: WardenSettings;
  private readonly guarded: Guarded;
  private readonly clock: Clock;
  /** The lease lasts until then at least. */
  private until = 0;
  private reason: string | null = null;
  private isOver = false;
  private hasTermed = false;
  private stopped = false;
  private cancelTimer: () => void = () => {};
  private stopListening: () => void = () => {};

  constructor(lease: Lease, settings: WardenSettings, guarded: Guarded, clock: Clock = realClock) {
    this.lease = lease;
    this.settings = settings;
    this.guarded = guarded;
    this.clock = clock;
  }

  /** Why the lock was lost or the command told to end; null = neither. */
  get loss(): string | null {
    return this.reason;
  }

  begin(): void {
    this.watch();
    this.stopListening = this.lease.onEnd((reason) => this.lost(reason));
  }

  /** The command has ended. */
  stop(): void {
    this.stopped = true;
    this.cancelTimer();
    this.stopListening();
  }

  /** The lock is another's, or may be. */
  lost(reason: string): void {
    if (this.isOver || this.stopped) return;
    this.isOver = true;
    this.reason = reason;
    this.guarded.told(reason, true);
    const { policy, graceMs, marginMs } = this.settings;
    if (policy === "continue") return;
    const certainMs = this.until - marginMs - this.clock.now();
    // This process stood still for longer than the lease: no time is left for manners.
    if (policy === "kill" && certainMs <= 0) return this.kill();
    this.term();
    if (policy === "kill") this.arm(Math.min(graceMs, certainMs), () => this.kill());
  }

  private watch(): void {
    const { policy, graceMs, marginMs } = this.settings;
    const left = this.lease.remainingMs();
    this.until = this.clock.now() + left;
    if (policy === "continue") return;
    if (left > graceMs + marginMs) return this.arm(left - graceMs - marginMs, () => this.watch());
    this.reason ??= `no keepalive was acknowledged, and of the lease ${Math.round(left)} ms are left`;
    this.guarded.told(this.reason, false);
    this.term();
    if (policy === "kill") this.killBeforeEnd();
  }

  /** Should the cluster answer after all, the lock is held on, and the command may take its time to end. */
  private killBeforeEnd(): void {
    const left = this.lease.remainingMs();
    this.until = this.clock.now() + left;
    if (left > this.settings.marginMs) this.arm(left - this.settings.marginMs, () => this.killBeforeEnd());
    else this.kill();
  }

  private term(): void {
    if (this.hasTermed) return;
    this.hasTermed = true;
    this.guarded.signal("SIGTERM");
  }

  private kill(): void {
    this.cancelTimer();
    this.guarded.signal("SIGKILL");
  }

  /** One thing is waited for at a time. */
  private arm(ms: number, run: () => void): void {
    this.cancelTimer();
    this.cancelTimer = this.stopped ? () => {} : this.clock.after(ms, run);
  }
}
