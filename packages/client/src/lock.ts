import type { Actor, Command, GrantedKey, LockMode, Result } from "@trivet/wire";
import { checkDuration } from "./checks.ts";
import type { TrivetConnection } from "./connection.ts";
import { LockLostError, OutcomeUnknownError, TrivetError, UnavailableError, errorOf } from "./errors.ts";
import type { Session } from "./session.ts";
import { shownAs } from "./shown.ts";

/** Pause before a release in the background is tried again. */
const backgroundPauseMs = 100;

/** One held key of a lock. */
export interface HeldKey {
  readonly name: string;
  readonly fence: bigint;
  readonly mode: LockMode;
}

/**
 * A held lock, or several that were taken together. It is lost when its session is: `signal` then aborts, and `assertHeld` throws.
 * Hand `fence` to whatever the lock protects: the only thing that a process which believes too long cannot get around.
 */
export class Lock implements AsyncDisposable {
  readonly session: Session;
  readonly owner: string;
  /** Re-entry depth: 1 unless the same owner held it before. */
  readonly depth: number;
  private held: readonly GrantedKey[];
  private readonly connection: TrivetConnection;
  private lostReason: string | null = null;
  private releasing: Promise<void> | null = null;
  private controller: AbortController | null = null;
  private readonly stopListening: () => void;

  constructor(connection: TrivetConnection, session: Session, owner: string, held: readonly GrantedKey[], depth: number) {
    this.connection = connection;
    this.session = session;
    this.owner = owner;
    this.held = held;
    this.depth = depth;
    this.stopListening = session.onEnd((reason) => this.lose(reason));
    shownAs(this, () => this.shown());
  }

  /** Name of the (first) key. */
  get name(): string {
    return this.first.name;
  }
  /** Fencing token of the (first) key: higher than that of every grant before. */
  get fence(): bigint {
    return BigInt(this.first.fence);
  }
  get mode(): LockMode {
    return this.first.mode;
  }
  /** Every key, when several were taken together. */
  get keys(): readonly HeldKey[] {
    return this.held.map(({ name, fence, mode }) => ({ name, fence: BigInt(fence), mode }));
  }

  /** Aborts with a LockLostError when the lock is lost. Not by `release`. */
  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController();
      if (this.lostReason !== null) this.controller.abort(this.lossOf(this.lostReason));
    }
    return this.controller.signal;
  }

  /** True when the lock is certain to be held now. */
  get isHeld(): boolean {
    return this.lostReason === null && this.releasing === null && this.session.isAlive;
  }

  /**
   * Throws LockLostError unless the lock is certain to be held now. Synchronous and by the clock: it works even when the event loop was
   * blocked for longer than the lease.
   */
  assertHeld(): void {
    if (this.releasing !== null) throw new LockLostError(`Lock ${this.name}`, "it was released");
    if (this.lostReason === null && !this.session.isAlive) this.session.end("no keepalive was acknowledged within its time to live");
    if (this.lostReason !== null) throw this.lossOf(this.lostReason);
  }

  /**
   * Gives the lock back. Idempotent. Rejects with LockLostError when it had been lost before, and with OutcomeUnknownError or
   * UnavailableError when no answer came in time; the release then goes on in the background while the session lives.
   */
  release(): Promise<void> {
    this.releasing ??= this.releaseOnce();
    return this.releasing;
  }

  /** What `console.log` shows. */
  private shown(): string {
    const keys = this.held.map((key) => `${JSON.stringify(key.name)} ${key.mode} fence ${key.fence}`).join(", ");
    const state = this.isHeld ? "held" : this.releasing !== null ? "released" : `lost: ${this.lostReason ?? "its session is over"}`;
    return `Lock { ${keys}, owner ${JSON.stringify(this.owner)}, session ${this.session.id}, ${state} }`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** Releases without anybody waiting for it, again and again while the session lives. */
  giveBack(): void {
    if (this.releasing !== null) return;
    this.stopListening();
    this.releasing = Promise.resolve();
    this.releaseInBackground();
  }

  /** Changes a single-key lock to a stronger mode, waiting up to `waitMs`. The lock gets a new fence (rule K1). */
  async upgrade(mode: LockMode, options: { readonly waitMs?: number; readonly signal?: AbortSignal } = {}): Promise<void> {
    const { name, fence } = this.onlyKey();
    const { waitMs = 0 } = options;
    checkDuration("waitMs", waitMs);
    const result = await this.connection.execute(
      { type: "upgrade", actor: this.actor, name, fence, mode, waitMs },
      { ...(options.signal === undefined ? {} : { signal: options.signal }), late: (result) => this.changed(result) },
    );
    if (!this.changed(result)) throw this.failureOf(result);
  }

  /** Changes a single-key lock to a weaker mode; the fence stays. */
  async downgrade(mode: LockMode): Promise<void> {
    const { name, fence } = this.onlyKey();
    const result = await this.connection.execute(
      { type: "downgrade", actor: this.actor, name, fence, mode },
      { late: (result) => this.changed(result) },
    );
    if (!this.changed(result)) throw this.failureOf(result);
  }

  private get first(): GrantedKey {
    const [first] = this.held;
    if (first === undefined) throw new LockLostError("A lock", "it has no keys");
    return first;
  }

  private onlyKey(): GrantedKey {
    this.assertHeld();
    if (this.held.length > 1) throw new TrivetError("bad_request", "Keys that were taken together keep their modes");
    return this.first;
  }

  private get actor(): Actor {
    return { session: this.session.id, principal: "", owner: this.owner };
  }

  /** Takes over mode and fence of a grant. */
  private changed(result: Result): boolean {
    if (result.type !== "granted") return false;
    this.held = [{ name: this.first.name, fence: result.fence, mode: result.mode }];
    return true;
  }

  private async releaseOnce(): Promise<void> {
    this.stopListening();
    if (this.lostReason !== null) throw this.lossOf(this.lostReason);
    let result: Result;
    try {
      result = await this.connection.execute(this.releaseCommand(), { late: (late) => this.releasedLate(late) });
    } catch (error) {
      if (error instanceof UnavailableError) this.releaseInBackground();
      throw error;
    }
    if (result.type === "refused") this.releaseInBackground();
    if (result.type !== "released") throw this.failureOf(result);
  }

  private releaseCommand(): Command {
    const { actor } = this;
    const { name, fence } = this.first;
    if (this.held.length === 1) return { type: "release", actor, name, fence, anonymous: false };
    return { type: "release-set", actor, locks: this.held.map((key) => ({ name: key.name, fence: key.fence })) };
  }

  /** The fence names this very grant, so a release that comes late or twice cannot hit another. */
  private releaseInBackground(): void {
    if (!this.session.isAlive) return;
    this.connection.submit(this.releaseCommand(), (error, result) => {
      if (error instanceof UnavailableError || error instanceof OutcomeUnknownError)
        setTimeout(() => this.releaseInBackground(), backgroundPauseMs);
      else if (result !== null) this.releasedLate(result);
    });
  }

  private releasedLate(result: Result): void {
    if (result.type === "refused") this.releaseInBackground();
  }

  private failureOf(result: Result): Error {
    if (result.type === "not-held" || result.type === "stale-fence" || result.type === "session-lost") {
      this.lose("the cluster had ended it");
      return this.lossOf("the cluster had ended it");
    }
    return errorOf(result);
  }

  private lose(reason: string): void {
    if (this.lostReason !== null) return;
    this.lostReason = reason;
    this.controller?.abort(this.lossOf(reason));
  }

  private lossOf(reason: string): LockLostError {
    return new LockLostError(`Lock ${this.name}`, reason);
  }
}
