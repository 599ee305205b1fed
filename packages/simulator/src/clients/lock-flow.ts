import type { Actor, Command, LockKey, LockMode, Result } from "@trivet/wire";

import type { BelievedHold, LockHistory, LockOperation } from "./lock-history.ts";
import { pickKeys } from "./lock-names.ts";
import type { VirtualClient } from "./virtual-client.ts";

/** Something a flow holds. */
export interface FlowHold {
  readonly name: string;
  fence: number;
  mode: LockMode;
  depth: number;
  of: number;
  belief: BelievedHold;
}

/** What a flow needs from its client: sending, and how long a grant may be relied on. */
export interface FlowOwner {
  readonly client: VirtualClient;
  readonly history: LockHistory;
  readonly contention: number;
  /** False once the safety phase is over: only let go. */
  mayAsk(): boolean;
  /** One more operation out of the client's budget; false = spent. */
  spend(): boolean;
  send(command: Command, allowedMs: number, done: (result: Result | null) => void): LockOperation;
  /** Starts relying on a fresh hold that was asked for at `askedAt` (the client's clock). */
  trust(hold: FlowHold, askedAt: number): void;
  lostSession(): void;
}

/**
 * One asynchronous flow of a client: an owner that acquires, nests, re-enters, upgrades, downgrades, waits, cancels and releases at random.
 * Does one thing at a time.
 */
export class LockFlow {
  readonly holds: FlowHold[] = [];
  private readonly owner: FlowOwner;
  private readonly actor: () => Actor;
  private busy = false;
  private stopped = false;

  constructor(owner: FlowOwner, actor: () => Actor) {
    this.owner = owner;
    this.actor = actor;
  }

  get idle(): boolean {
    return !this.busy && this.holds.length === 0;
  }

  start(): void {
    this.later(0);
  }

  /** Everything held is gone (session lost or closed): the flow begins anew when `start` is called again. */
  drop(): void {
    const now = this.owner.client.world.clock.now();
    for (const hold of this.holds) this.owner.history.end(hold.belief, now);
    this.holds.length = 0;
  }

  stop(): void {
    this.stopped = true;
  }

  private later(extraMs: number): void {
    const { client } = this.owner;
    client.after(extraMs + 20 + client.prng.below(400), () => this.next());
  }

  private next(): void {
    if (this.stopped || this.busy) return;
    const { client } = this.owner;
    const hold = this.holds.length > 0 ? client.prng.pick(this.holds) : null;
    if (!this.owner.mayAsk()) {
      if (hold !== null) this.release(hold);
      else this.later(500);
      return;
    }
    if (hold === null) {
      if (this.owner.spend()) this.acquire(pickKeys(client.prng, this.owner.contention), false);
      else this.later(1_000);
      return;
    }
    this.whileHolding(hold);
  }

  private whileHolding(hold: FlowHold): void {
    const { prng } = this.owner.client;
    const roll = prng.next();
    if (!this.owner.spend() || roll < 0.5) this.release(hold);
    else if (roll < 0.68 && this.holds.length < 3) this.acquire(pickKeys(prng, this.owner.contention), false);
    else if (roll < 0.76 && hold.mode !== "permit") this.acquire([{ name: hold.name, mode: hold.mode, of: 0 }], true);
    else if (roll < 0.86 && hold.mode !== "permit") this.convert(hold);
    else this.later(prng.below(2_000));
  }

  private acquire(keys: readonly LockKey[], reentrant: boolean): void {
    const { client } = this.owner;
    const fresh = reentrant ? keys : keys.filter((key) => !this.holds.some((hold) => hold.name === key.name));
    if (fresh.length === 0) {
      this.later(100);
      return;
    }
    const waitMs = client.prng.chance(0.3) ? 0 : 200 + client.prng.below(5_000);
    const actor = this.actor();
    const command: Command = { type: "acquire", actor, keys: fresh, ttlMs: 0, waitMs, reentrant, anonymous: false };
    const askedAt = client.localNow();
    this.busy = true;
    const operation = this.owner.send(command, waitMs, (result) => {
      this.busy = false;
      // A grant to a session that was lost meanwhile is nobody's.
      if (result?.type === "granted" && actor.session === this.actor().session) this.granted(result, fresh, askedAt);
      this.settle(result);
    });
    if (waitMs > 0 && client.prng.chance(0.15)) this.cancelLater(operation, fresh[0]?.name ?? "");
  }

  private granted(result: Result & { type: "granted" }, keys: readonly LockKey[], askedAt: number): void {
    const [first, ...rest] = keys;
    if (first === undefined) return;
    if (result.depth > 1) {
      const held = this.holds.find((hold) => hold.name === first.name && hold.fence === result.fence);
      if (held !== undefined) held.depth = result.depth;
      return;
    }
    this.hold(first, result.fence, result.mode, askedAt);
    for (const more of result.more) {
      const key = rest.find((candidate) => candidate.name === more.name);
      if (key !== undefined) this.hold(key, more.fence, more.mode, askedAt);
    }
  }

  private hold(key: LockKey, fence: number, mode: LockMode, askedAt: number): void {
    const { client, history } = this.owner;
    const actor = this.actor();
    const belief: BelievedHold = {
      client: client.name,
      owner: actor.owner,
      session: actor.session,
      name: key.name,
      mode,
      of: key.of,
      fence,
      believed: [],
      endedAt: null,
    };
    history.holds.push(belief);
    const hold: FlowHold = { name: key.name, fence, mode, depth: 1, of: key.of, belief };
    this.holds.push(hold);
    this.owner.trust(hold, askedAt);
  }

  private release(hold: FlowHold): void {
    const { client, history } = this.owner;
    // Whoever asks for the release has stopped relying on the lock.
    if (hold.depth === 1) history.end(hold.belief, client.world.clock.now());
    this.busy = true;
    const set = this.holds.length === 2 && this.holds.every((other) => other.depth === 1) && client.prng.chance(0.3);
    if (set) for (const other of this.holds) history.end(other.belief, client.world.clock.now());
    const command: Command = set
      ? { type: "release-set", actor: this.actor(), locks: this.holds.map(({ name, fence }) => ({ name, fence })) }
      : { type: "release", actor: this.actor(), name: hold.name, fence: hold.fence, anonymous: false };
    this.owner.send(command, 0, (result) => {
      this.busy = false;
      if (set) this.holds.length = 0;
      else if (result?.type === "released" && result.remaining > 0) hold.depth = result.remaining;
      else this.remove(hold);
      this.settle(result);
    });
  }

  private convert(hold: FlowHold): void {
    const { client, history } = this.owner;
    const up = hold.mode !== "exclusive" && client.prng.chance(0.7);
    if (!up && hold.mode === "shared") {
      this.later(50);
      return;
    }
    const mode: LockMode = up ? "exclusive" : client.prng.chance(0.5) && hold.mode === "exclusive" ? "update" : "shared";
    const waitMs = up && client.prng.chance(0.7) ? 200 + client.prng.below(3_000) : 0;
    const actor = this.actor();
    const common = { actor, name: hold.name, fence: hold.fence, mode };
    const askedAt = client.localNow();
    if (!up) history.end(hold.belief, client.world.clock.now());
    this.busy = true;
    this.owner.send(up ? { type: "upgrade", ...common, waitMs } : { type: "downgrade", ...common }, waitMs, (result) => {
      this.busy = false;
      if (result?.type === "granted" && actor.session === this.actor().session) {
        history.end(hold.belief, client.world.clock.now());
        this.remove(hold);
        this.hold({ name: hold.name, mode, of: hold.of }, result.fence, mode, askedAt);
        const now = this.holds.at(-1);
        if (now !== undefined) now.depth = result.depth;
      } else if (result?.type === "stale-fence" || result?.type === "not-held") {
        history.end(hold.belief, client.world.clock.now());
        this.remove(hold);
      }
      this.settle(result);
    });
  }

  private cancelLater(operation: LockOperation, name: string): void {
    const { client } = this.owner;
    client.after(100 + client.prng.below(1_500), () => {
      if (operation.ret !== null || operation.refused || operation.caller === null || operation.sequence === 0) return;
      const byIdentity = client.prng.chance(0.5);
      const { caller, sequence } = operation;
      this.owner.send(
        { type: "cancel", actor: this.actor(), name, caller: byIdentity ? caller : "", sequence: byIdentity ? sequence : 0 },
        0,
        (result) => this.noteLost(result),
      );
    });
  }

  private settle(result: Result | null): void {
    this.noteLost(result);
    this.later(0);
  }

  private noteLost(result: Result | null): void {
    if (result?.type === "session-lost") this.owner.lostSession();
  }

  /** Also after a release of one of several depths that was refused: what is not kept account of is not relied upon. */
  private remove(hold: FlowHold): void {
    this.owner.history.end(hold.belief, this.owner.client.world.clock.now());
    const at = this.holds.indexOf(hold);
    if (at >= 0) this.holds.splice(at, 1);
  }
}
