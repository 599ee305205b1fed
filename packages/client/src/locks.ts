import { AsyncLocalStorage } from "node:async_hooks";
import { type AcquireLock, type Actor, limits, type LockKey, type LockMode, type Result } from "@trivet/wire";
import { check, checkDuration, isText, isWhole } from "./checks.ts";
import type { TrivetConnection } from "./connection.ts";
import { errorOf } from "./errors.ts";
import { Lock } from "./lock.ts";
import type { Session } from "./session.ts";

export interface AcquireOptions {
  /** Default `exclusive`; `permit` together with `of`. */
  readonly mode?: LockMode;
  /** Size of the semaphore, for mode `permit`; the first acquire fixes it. */
  readonly of?: number;
  /** Wait in line at most so long; 0 (default) = answer at once. */
  readonly waitMs?: number;
  /** Take a lock again that the same owner holds. */
  readonly reentrant?: boolean;
  /** Who waits for whom (rule K2). Default: a fresh owner per call, or that of the `with` this call is made in. */
  readonly owner?: string;
  /** Default: a session that all locks of this connection share. */
  readonly session?: Session;
}
export interface CallOptions {
  /** Ends a wait. A grant that comes all the same is given back. */
  readonly signal?: AbortSignal;
}
/** One key of an atomic acquire. */
export type KeyOptions = Pick<AcquireOptions, "mode" | "of"> & { readonly name: string };

/** The flow of work that a nested `with` continues. */
interface Flow {
  readonly session: Session;
  readonly owner: string;
}

interface Shared {
  session: Session | null;
  readonly opening: Promise<Session>;
}

/** Locks of a connection. */
export class Locks {
  private readonly connection: TrivetConnection;
  private readonly flows = new AsyncLocalStorage<Flow>();
  private shared: Shared | null = null;
  private owners = 0;

  constructor(connection: TrivetConnection) {
    this.connection = connection;
  }

  /**
   * Takes a lock, or rejects: LockedError (`locked`), DeadlockError (`deadlock`), UnavailableError, or OutcomeUnknownError, after which
   * a late grant is given back in the background.
   *
   * @example
   * await using lock = await trivet.locks.acquire("orders/42", { waitMs: 5_000 });
   */
  acquire(name: string, options: AcquireOptions = {}, call: CallOptions = {}): Promise<Lock> {
    return this.take([{ name, ...pick(options) }], options, call);
  }

  /** Takes all of the keys or none, in one step that cannot deadlock with itself. */
  acquireAll(keys: readonly KeyOptions[], options: Omit<AcquireOptions, "mode" | "of"> = {}, call: CallOptions = {}): Promise<Lock> {
    return this.take(keys, options, call);
  }

  /**
   * Runs `work` while the lock is held and releases it afterwards, whatever happened. Rejects with what `work` rejects with, or with
   * LockLostError when the lease was over before `work` was.
   */
  async with<T>(name: string, options: AcquireOptions, work: (lock: Lock) => Promise<T> | T, call: CallOptions = {}): Promise<T> {
    const lock = await this.acquire(name, options, call);
    let outcome: T;
    try {
      outcome = await this.flows.run({ session: lock.session, owner: lock.owner }, () => work(lock));
    } catch (error) {
      // The work's own error says more than a release that fails after it; the release goes on in the background if need be.
      await lock.release().catch(() => {});
      throw error;
    }
    await lock.release();
    return outcome;
  }

  /** The session that locks use unless told otherwise; a new one when the last is over. */
  session(): Promise<Session> {
    if (this.shared === null || this.shared.session?.isAlive === false) {
      const shared: Shared = { session: null, opening: this.connection.openSession() };
      this.shared = shared;
      shared.opening.then(
        (session) => {
          shared.session = session;
        },
        () => {
          // The failure is told to all who wait for this session; the next caller tries again.
          if (this.shared === shared) this.shared = null;
        },
      );
    }
    return this.shared.opening;
  }

  private async take(keys: readonly KeyOptions[], options: AcquireOptions, call: CallOptions): Promise<Lock> {
    call.signal?.throwIfAborted();
    checkAcquire(keys, options);
    for (;;) {
      const flow = this.flows.getStore();
      const session = options.session ?? (flow !== undefined && flow.session.isAlive ? flow.session : await this.session());
      const owner = options.owner ?? (flow?.session === session ? flow.owner : this.newOwner());
      const actor: Actor = { session: session.id, principal: "", owner };
      const command = acquireCommand(actor, keys, options);
      const result = await this.connection.execute(command, {
        ...(call.signal === undefined ? {} : { signal: call.signal }),
        // Nobody waits for it any more: given back at once.
        late: (result) => {
          if (result.type === "granted") this.granted(session, command, result).giveBack();
        },
      });
      if (result.type === "granted") return this.granted(session, command, result);
      if (result.type !== "session-lost") throw errorOf(result, actor);
      // The cluster ended the session, so nothing was granted in it: once more in a new one, unless this one was asked for.
      session.end("the cluster no longer knows it");
      if (options.session !== undefined) throw errorOf(result);
    }
  }

  private granted(session: Session, command: AcquireLock, result: Extract<Result, { type: "granted" }>): Lock {
    const [first] = command.keys;
    const owner = result.owner === "" ? command.actor.owner : result.owner;
    const keys = [{ name: first?.name ?? "", fence: result.fence, mode: result.mode }, ...result.more];
    return new Lock(this.connection, session, owner, keys, result.depth);
  }

  private newOwner(): string {
    return (++this.owners).toString(36);
  }
}

/** The wire knows no fields: what it cannot carry is named here. */
function checkAcquire(keys: readonly KeyOptions[], { owner, waitMs = 0 }: AcquireOptions): void {
  check("keys", keys.length > 0 && keys.length <= limits.maxKeysPerSet, `1 to ${limits.maxKeysPerSet}`);
  for (const [place, { name, of = 0 }] of keys.entries()) {
    const inKey = (field: string): string => (keys.length === 1 ? field : `keys[${place}].${field}`);
    check(inKey("name"), name !== "" && isText(name, limits.maxNameBytes), `1 to ${limits.maxNameBytes} bytes of UTF-8`);
    check(inKey("of"), isWhole(of, limits.maxPermits), `a whole number up to ${limits.maxPermits}`);
  }
  checkDuration("waitMs", waitMs);
  if (owner !== undefined) check("owner", isText(owner, limits.maxIdentityBytes), `at most ${limits.maxIdentityBytes} bytes of UTF-8`);
}

function pick(options: AcquireOptions): Pick<KeyOptions, "mode" | "of"> {
  return {
    ...(options.mode === undefined ? {} : { mode: options.mode }),
    ...(options.of === undefined ? {} : { of: options.of }),
  };
}

function acquireCommand(actor: Actor, keys: readonly KeyOptions[], options: AcquireOptions): AcquireLock {
  const lockKeys = keys.map(({ name, mode, of }): LockKey => {
    const effective = mode ?? (of === undefined ? "exclusive" : "permit");
    return { name, mode: effective, of: effective === "permit" ? (of ?? 0) : 0 };
  });
  return {
    type: "acquire",
    actor,
    keys: lockKeys,
    ttlMs: 0,
    waitMs: options.waitMs ?? 0,
    reentrant: options.reentrant ?? false,
    anonymous: false,
  };
}
