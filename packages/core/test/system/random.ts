import type { Prng, SystemState } from "@trivet/core";
import type { Actor, Command, LockKey, LockMode } from "@trivet/wire";

export interface Alphabet {
  readonly names: readonly string[];
  readonly semaphores: readonly string[];
  readonly owners: readonly string[];
  readonly principals: readonly string[];
}

export const smallAlphabet: Alphabet = {
  names: ["k1", "k2", "k3"],
  semaphores: ["s1", "s2"],
  owners: ["a", "b", "c", "d"],
  principals: ["p"],
};

/** What happens next: a client's command, or time. */
export type Move = { readonly type: "command"; readonly command: Command } | { readonly type: "expire"; readonly command: Command };

/** Draws moves that mostly make sense in the present state, and sometimes do not. */
export class Moves {
  private readonly random: Prng;
  private readonly alphabet: Alphabet;

  constructor(random: Prng, alphabet: Alphabet = smallAlphabet) {
    this.random = random;
    this.alphabet = alphabet;
  }

  next(state: SystemState): Move {
    const roll = this.random.below(100);
    if (state.sessionCount() < 2 || roll < 3) return this.command(this.open());
    if (roll < 50) return this.command(this.acquire(state));
    if (roll < 66) return this.command(this.release(state));
    if (roll < 70) return this.command(this.releaseSet(state));
    if (roll < 78) return this.command({ type: "upgrade", ...this.held(state), mode: this.mode(), waitMs: this.waitMs() });
    if (roll < 84) return this.command({ type: "downgrade", ...this.held(state), mode: this.mode() });
    if (roll < 88) return this.command({ type: "cancel", actor: this.waiter(state), name: this.name(), caller: "", sequence: 0 });
    if (roll < 90) {
      const { name, fence } = this.held(state);
      return this.command({ type: "force-release", principal: "op", name, fence: this.random.chance(0.5) ? 0 : fence, reason: "test" });
    }
    if (roll < 92) return this.command({ type: "close-session", session: this.session(state) });
    return { type: "expire", command: this.expiry(state) };
  }

  private command(command: Command): Move {
    return { type: "command", command };
  }

  private open(): Command {
    const { principals } = this.alphabet;
    const lockDelayMs = this.random.chance(0.4) ? 500 : 0;
    return { type: "open-session", ttlMs: 10_000, lockDelayMs, principal: this.random.pick(principals), label: "" };
  }

  private acquire(state: SystemState): Command {
    const { random } = this;
    const count = random.chance(0.25) ? random.between(2, 3) : 1;
    const keys: LockKey[] = [];
    for (let i = 0; i < count; i++) keys.push(this.key(count));
    return {
      type: "acquire",
      actor: this.actor(state),
      keys,
      ttlMs: 5_000,
      waitMs: this.waitMs(),
      reentrant: random.chance(0.3),
      anonymous: random.chance(0.1),
    };
  }

  private key(count: number): LockKey {
    const { random, alphabet } = this;
    if (random.chance(count > 1 ? 0.02 : 0.35)) {
      const name = random.pick(alphabet.semaphores);
      return { name, mode: "permit", of: random.chance(0.05) ? 3 : 2 };
    }
    const name = random.chance(0.03) ? random.pick(alphabet.semaphores) : random.pick(alphabet.names);
    return { name, mode: this.mode(), of: 0 };
  }

  private release(state: SystemState): Command {
    const { actor, name, fence } = this.held(state);
    const { random } = this;
    const anonymous = random.chance(0.1);
    return { type: "release", actor, name, fence: random.chance(0.2) ? 0 : fence, anonymous };
  }

  private releaseSet(state: SystemState): Command {
    const first = this.held(state);
    const owned = this.allHolds(state).filter(({ actor }) => JSON.stringify(actor) === JSON.stringify(first.actor));
    const locks = owned.slice(0, 3).map(({ name, fence }) => ({ name, fence }));
    if (locks.length === 0 || this.random.chance(0.2)) locks.push({ name: first.name, fence: first.fence });
    return { type: "release-set", actor: first.actor, locks };
  }

  private expiry(state: SystemState): Command {
    const { random } = this;
    const waits = [...state.lockState.waits.values()].map((wait) => wait.id);
    const leases = [...state.lockState.leases.values()].map((hold) => hold.fence);
    const delays = [...state.lockState.delays.values()].map((delay) => delay.id);
    const roll = random.below(10);
    if (roll < 3 && waits.length > 0) return { type: "expire", kind: "wait", id: random.pick(waits.sort((a, b) => a - b)) };
    if (roll < 6 && leases.length > 0) return { type: "expire", kind: "grant", id: random.pick(leases.sort((a, b) => a - b)) };
    if (roll < 9 && delays.length > 0) return { type: "expire", kind: "lock-delay", id: random.pick(delays.sort((a, b) => a - b)) };
    return { type: "expire", kind: "session", id: this.session(state) };
  }

  /** A present hold with its holder, or something near. */
  private held(state: SystemState): { actor: Actor; name: string; fence: number } {
    const { random } = this;
    const all = this.allHolds(state);
    if (all.length === 0 || random.chance(0.1)) {
      return { actor: this.actor(state), name: this.name(), fence: random.below(state.lastFence + 2) };
    }
    const hold = random.pick(all);
    return random.chance(0.05) ? { ...hold, fence: Math.max(1, hold.fence - 1) } : hold;
  }

  private allHolds(state: SystemState): { actor: Actor; name: string; fence: number }[] {
    return [...this.alphabet.names, ...this.alphabet.semaphores].flatMap((name) =>
      state.lock(name).holders.map(({ session, principal, owner, fence }) => ({ actor: { session, principal, owner }, name, fence })),
    );
  }

  private waiter(state: SystemState): Actor {
    const waits = [...state.lockState.waits.values()].sort((a, b) => a.id - b.id);
    if (waits.length === 0 || this.random.chance(0.2)) return this.actor(state);
    const { account, owner } = this.random.pick(waits);
    return { session: account.session, principal: account.principal, owner };
  }

  private actor(state: SystemState): Actor {
    const { random, alphabet } = this;
    const session = random.chance(0.3) ? 0 : this.session(state);
    const principal = random.chance(0.97) ? (state.session(session)?.principal ?? random.pick(alphabet.principals)) : "stranger";
    return { session, principal, owner: random.chance(0.05) ? "" : random.pick(alphabet.owners) };
  }

  private session(state: SystemState): number {
    const ids = state.sessions(0, 100).sessions.map((each) => each.session);
    if (ids.length === 0 || this.random.chance(0.03)) return this.random.below(20);
    return this.random.pick(ids.slice(0, 3));
  }

  private name(): string {
    return this.random.pick([...this.alphabet.names, ...this.alphabet.semaphores]);
  }

  private mode(): LockMode {
    return this.random.pick(["shared", "shared", "update", "exclusive", "exclusive"]);
  }

  private waitMs(): number {
    return this.random.chance(0.75) ? 1_000 : 0;
  }
}
