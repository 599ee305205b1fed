import { Prng } from "@trivet/core";
import type { CacheOrigin, ClockView, OriginAnswer, OriginWrite, OriginWritten } from "@trivet/engine";
import { decodeUtf8, encodeUtf8 } from "@trivet/wire";

import type { World } from "./world.ts";

interface Row {
  readonly value: string | null;
  readonly stamp: string;
}

const timeoutMs = 400;

/**
 * A Redis or PostgreSQL beside the cluster. It loses questions and answers, carries writes out long after it was asked, refuses single ones, and is away
 * for a while; what it has carried out it keeps. Its guard is the adapters': a stamp that is not higher changes nothing.
 */
export class OutsideStore {
  /** No faults any more. */
  isHealed = false;
  private readonly rows = new Map<string, Row>();
  private readonly world: World;
  private readonly prng: Prng;
  private awayUntil = 0;
  private nextAwayAt = 0;

  constructor(world: World, seed: number) {
    this.world = world;
    // Not drawn from the world's generator: worlds without an outside store run as before there was one.
    this.prng = new Prng(Math.imul(seed, 6_700_417) + 61);
  }

  value(key: string): string | null {
    return this.rows.get(key)?.value ?? null;
  }

  /** As a node's program reaches it: what is answered after its end is answered to nobody. */
  port(process: ClockView): CacheOrigin {
    return {
      timeoutMs,
      load: (_namespace, key, done) => this.load(process, key, done),
      write: (writes, told) => this.write(process, writes, told),
    };
  }

  private load(process: ClockView, key: string, done: (answer: OriginAnswer) => void): void {
    const { prng, world } = this;
    if (this.isAway() || (!this.isHealed && prng.chance(0.05))) {
      process.schedule(this.travel(), () => done({ type: "failed", reason: "away" }));
      return;
    }
    // What it has now, or in a moment: the answer may be old when it arrives.
    world.clock.schedule(this.travel(), () => {
      const value = this.value(key);
      const answer: OriginAnswer = value === null ? { type: "absent" } : { type: "value", value: encodeUtf8(value) };
      world.totals.add("outside loads");
      this.arrive(process, prng.chance(0.1) && !this.isHealed ? prng.below(timeoutMs) : this.travel(), () => done(answer));
    });
  }

  /** Each write has its own answer, and each answer its own way. */
  private write(process: ClockView, writes: readonly OriginWrite[], told: (place: number, outcome: OriginWritten) => void): void {
    const { prng, world } = this;
    if (this.isAway()) {
      const away = (): void => writes.forEach((_write, place) => told(place, { type: "unreachable", reason: "away" }));
      process.schedule(this.travel(), away);
      return;
    }
    const isLate = !this.isHealed && prng.chance(0.15);
    const isLost = !this.isHealed && prng.chance(0.1);
    world.clock.schedule(isLate ? prng.between(50, 15_000) : this.travel(), () => {
      if (isLost && prng.chance(0.5)) return;
      if (isLate) world.totals.add("outside writes carried out late", writes.length);
      for (const [place, write] of writes.entries()) {
        const outcome = this.take(write);
        const isUntold = isLost || (!this.isHealed && prng.chance(0.05));
        if (!isUntold) this.arrive(process, this.travel(), () => told(place, outcome));
      }
    });
  }

  private take({ key, stamp, value }: OriginWrite): OriginWritten {
    const { prng, world } = this;
    if (!this.isHealed && prng.chance(0.03)) return { type: "refused", reason: "not now" };
    if (!this.isHealed && prng.chance(0.03)) return { type: "untried" };
    const known = this.rows.get(key);
    if (known !== undefined && known.stamp >= stamp) {
      world.totals.add("outside writes passed over");
      return { type: "newer", stamp: known.stamp };
    }
    this.rows.set(key, { value: value === null ? null : decodeUtf8(value), stamp });
    world.totals.add("outside writes");
    return { type: "written" };
  }

  private arrive(process: ClockView, delayMs: number, run: () => void): void {
    this.world.clock.schedule(delayMs, process.guard(run));
  }

  private isAway(): boolean {
    if (this.isHealed) return false;
    const now = this.world.clock.now();
    if (now >= this.nextAwayAt) {
      this.awayUntil = now + this.prng.below(6_000);
      this.nextAwayAt = this.awayUntil + this.prng.between(2_000, 20_000);
    }
    return now < this.awayUntil;
  }

  private travel(): number {
    return 0.5 + this.prng.next() * 10;
  }
}
