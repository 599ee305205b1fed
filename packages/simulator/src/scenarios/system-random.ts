import { Prng } from "@trivet/core";
import type { Actor, Command, LockKey, LockMode } from "@trivet/wire";

import type { RefHold } from "../reference/table.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";
import { SystemBench } from "./system-bench.ts";

const names = ["a", "b", "c"] as const;
const rounds = 25;
const entriesPerRound = 120;

/**
 * Random commands of all kinds, legal and not, against the reference: locks, semaphores, sets, re-entry, conversions, sessions,
 * expiries by right and wrong ids, duplicates, late and acknowledged copies, snapshots cut while entries go on.
 */
export const systemRandom: Scenario = scenario("system-random", () => {
  for (let seed = 1; seed <= rounds; seed += 1) new Round(seed).play();
});

class Round {
  private readonly prng: Prng;
  private readonly bench: SystemBench;
  private readonly sequences = new Map<string, number>();
  private readonly sent: { readonly caller: string; readonly firstSequence: number; readonly commands: readonly Command[] }[] = [];
  private cutting = false;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    const bounded = seed % 2 === 0;
    const limits = { sessions: 5, locks: 4, waiters: 2, reentryDepth: 3 };
    this.bench = bounded
      ? new SystemBench(
          {
            sessions: limits.sessions,
            locksPerSession: limits.locks,
            locksPerPrincipal: limits.locks,
            waitersPerSession: limits.waiters,
            waitersPerPrincipal: limits.waiters,
            reentryDepth: limits.reentryDepth,
          },
          limits,
        )
      : new SystemBench();
  }

  play(): void {
    for (let i = 0; i < entriesPerRound; i += 1) {
      this.step();
      if (this.prng.chance(0.03)) this.bench.takeOver();
      if (this.prng.chance(0.05)) this.cut();
    }
    this.forget();
  }

  private cut(): void {
    if (this.cutting) return;
    this.cutting = true;
    // Sometimes at rest (the replica then follows), sometimes under way (every record is about to change).
    const busy = this.prng.chance(0.6);
    this.bench.snapshot(busy ? 64 : 100_000, () => {
      if (busy) this.step();
    });
    this.cutting = false;
  }

  private step(): void {
    const { prng, bench } = this;
    bench.now += prng.below(2_000);
    // A leader whose clock is behind must not take group time back (rule L3).
    const groupTime = prng.chance(0.05) ? bench.now - 5_000 : bench.now;
    if (prng.chance(0.15)) {
      const payload = bench.frame({ caller: "", commands: [this.expiry()], firstSequence: 1 });
      bench.entry([payload], groupTime);
      return;
    }
    bench.entry(
      Array.from({ length: 1 + prng.below(2) }, () => this.someFrame()),
      groupTime,
    );
  }

  private someFrame(): Uint8Array {
    const { prng, bench } = this;
    const old = this.sent.length > 0 && prng.chance(0.12) ? prng.pick(this.sent) : null;
    // A copy of an earlier frame: as it was, or under the same numbers with another body.
    if (old !== null) return bench.frame({ ...old, fingerprint: prng.chance(0.1) ? "other" : "" });
    const caller = `k${prng.below(5)}`;
    const last = this.sequences.get(caller) ?? 0;
    const firstSequence = last + 1 + (prng.chance(0.03) ? 2_000 : 0);
    const commands = Array.from({ length: 1 + prng.below(3) }, () => this.command());
    if (firstSequence === last + 1) this.sequences.set(caller, last + commands.length);
    const ackedUpTo = prng.chance(0.2) ? Math.max(0, last - prng.below(6)) : 0;
    const notAfter = bench.now + (prng.chance(0.04) ? -1 - prng.below(10_000) : 60_000);
    const asked = { caller, firstSequence, commands };
    this.sent.push(asked);
    return bench.frame({ ...asked, ackedUpTo, notAfter });
  }

  private actor(): Actor {
    const { prng } = this;
    const sessions = [...this.bench.reference.locks.sessions.entries()];
    const owner = prng.pick(["x", "y", "z"]);
    if (sessions.length > 0 && prng.chance(0.6)) {
      const [id, { principal }] = prng.pick(sessions);
      return { session: id, principal: prng.chance(0.04) ? "stranger" : principal, owner };
    }
    return { session: prng.chance(0.05) ? 99 : 0, principal: prng.pick(["p", "q"]), owner };
  }

  private actorOf(hold: RefHold): Actor {
    const principal = hold.session === 0 ? hold.account.slice(2) : (this.bench.reference.locks.sessions.get(hold.session)?.principal ?? "");
    const actor = { session: hold.session, principal, owner: hold.owner };
    return this.prng.chance(0.06) ? { ...this.actor() } : actor;
  }

  private key(): LockKey {
    const { prng } = this;
    if (prng.chance(0.2)) return { name: prng.chance(0.05) ? "a" : "pool", mode: "permit", of: prng.chance(0.05) ? 3 : 2 };
    return { name: prng.chance(0.03) ? "pool" : prng.pick(names), mode: this.mode(), of: 0 };
  }

  private mode(): LockMode {
    return this.prng.pick(["shared", "shared", "update", "exclusive", "exclusive"] as const);
  }

  private command(): Command {
    const { prng } = this;
    const { table } = this.bench.reference.locks;
    const hold = table.holds.length > 0 ? prng.pick(table.holds) : null;
    const roll = prng.below(100);
    if (roll < 10) {
      return {
        type: "open-session",
        ttlMs: prng.chance(0.05) ? 0 : 1_000,
        lockDelayMs: prng.chance(0.5) ? 0 : 500,
        principal: prng.pick(["p", "q"]),
        label: "",
      };
    }
    if (roll < 12) return { type: "close-session", session: 1 + prng.below(10) };
    if (hold === null || roll < 50) return this.acquire();
    const actor = this.actorOf(hold);
    const { name } = hold;
    const fence = prng.chance(0.1) ? 0 : prng.chance(0.08) ? Math.max(0, hold.fence - 1) : hold.fence;
    if (roll < 66) return { type: "release", actor, name, fence, anonymous: hold.anonymous && prng.chance(0.6) };
    if (roll < 70) return this.releaseSet(hold, actor);
    if (roll < 80) return { type: "upgrade", actor, name, fence, mode: this.mode(), waitMs: this.waitMs() };
    if (roll < 86) return { type: "downgrade", actor, name, fence, mode: this.mode() };
    if (roll < 89) return { type: "set-lease", actor, name, fence, ttlMs: prng.chance(0.1) ? 0 : 700 };
    if (roll < 91) return { type: "force-release", principal: "op", name, fence: prng.chance(0.5) ? 0 : fence, reason: "" };
    if (roll < 93) return this.expiry();
    return this.cancel();
  }

  private acquire(): Command {
    const { prng } = this;
    const many = prng.chance(0.3);
    const keys = many ? [this.key(), this.key(), ...(prng.chance(0.3) ? [this.key()] : [])] : [this.key()];
    const anonymous = prng.chance(0.12);
    const actor = this.actor();
    return {
      type: "acquire",
      actor: anonymous ? { ...actor, owner: "" } : actor,
      keys,
      ttlMs: prng.chance(0.03) ? 0 : 900,
      waitMs: this.waitMs(),
      reentrant: prng.chance(0.3),
      anonymous,
    };
  }

  private releaseSet(hold: RefHold, actor: Actor): Command {
    const { prng } = this;
    const { table } = this.bench.reference.locks;
    const mine = table.holds.filter((other) => other.account === hold.account && other.owner === hold.owner);
    const locks = mine.map(({ name, fence }) => ({ name, fence }));
    if (prng.chance(0.15)) locks.push({ name: "a", fence: 1 });
    return { type: "release-set", actor, locks };
  }

  private cancel(): Command {
    const { prng } = this;
    const { waits } = this.bench.reference.locks.table;
    const wait = waits.length > 0 ? prng.pick(waits) : null;
    if (wait === null || prng.chance(0.25)) {
      // Ahead of its request, or for nothing.
      const caller = `k${prng.below(5)}`;
      return { type: "cancel", actor: this.actor(), name: "a", caller, sequence: (this.sequences.get(caller) ?? 0) + 1 + prng.below(3) };
    }
    const slash = wait.request.lastIndexOf("/");
    const byRequest = prng.chance(0.5) && slash > 0;
    const principal = wait.session === 0 ? wait.account.slice(2) : (this.bench.reference.locks.sessions.get(wait.session)?.principal ?? "");
    return {
      type: "cancel",
      actor: { session: wait.session, principal, owner: wait.owner },
      name: wait.tickets[0]?.name ?? "a",
      caller: byRequest ? wait.request.slice(0, slash) : "",
      sequence: byRequest ? Number(wait.request.slice(slash + 1)) : 0,
    };
  }

  /** Of something that runs, mostly; of something that is over or never was, sometimes. */
  private expiry(): Command {
    const { prng } = this;
    const { table, sessions, lastFence, lastWait, lastDelay, lastSession } = this.bench.reference.locks;
    const stale = prng.chance(0.25);
    const kind = prng.pick(["session", "grant", "wait", "lock-delay"] as const);
    const alive: Readonly<Record<typeof kind, readonly number[]>> = {
      session: [...sessions.keys()],
      grant: table.holds.filter((hold) => hold.session === 0).map((hold) => hold.fence),
      wait: table.waits.map((wait) => wait.id),
      "lock-delay": table.delays.map((delay) => delay.id),
    };
    const last: Readonly<Record<typeof kind, number>> = { session: lastSession, grant: lastFence, wait: lastWait, "lock-delay": lastDelay };
    const ids = alive[kind];
    return { type: "expire", kind, id: stale || ids.length === 0 ? 1 + prng.below(last[kind] + 1) : prng.pick(ids) };
  }

  private waitMs(): number {
    return this.prng.chance(0.35) ? 0 : 2_000;
  }

  /** Long after the last not-after the table remembers nobody (rule X1). */
  private forget(): void {
    const { bench } = this;
    bench.now += 4_000_000;
    bench.entry([bench.frame({ caller: "", commands: [{ type: "nothing" }], firstSequence: 1 })]);
    for (const { caller, firstSequence } of this.sent) {
      const known = bench.state.lookup(caller, firstSequence);
      expect(known === "unknown", "dedupe-forgets", () => `${caller}/${firstSequence} is still ${JSON.stringify(known)}`);
    }
  }
}
