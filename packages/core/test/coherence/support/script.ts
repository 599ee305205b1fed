import { readableCopy } from "../../../src/coherence/reading.ts";
import type { HolderMessage, HomeMessage } from "../../../src/coherence/messages.ts";
import { check, cold, drain, quiet, warm } from "./explore.ts";
import { line, type World } from "./world.ts";

type Said = HolderMessage["type"] | HomeMessage["type"];

/** A world led by the hand: each message arrives when the script says so. All rules are checked after every step. */
export class Script {
  readonly world: World;
  readonly answers: Map<number, number | null> = new Map();

  private constructor(world: World) {
    this.world = world;
    world.answers = this.answers;
  }

  /** `copies` of three holders have a copy, all have a lease. */
  static warm(copies: readonly number[], holders = 3, limits: Parameters<typeof warm>[2] = {}): Script {
    return new Script(warm(holders, copies, limits));
  }

  static cold(holders = 2): Script {
    return new Script(cold(holders));
  }

  /** The first such message of this holder's arrives; or the one at `at` of several. */
  arrives(type: Said, holder: number, at = 0): this {
    this.world.deliver(this.find(type, holder, at));
    return this.checked();
  }

  arrivesTwice(type: Said, holder: number): this {
    const at = this.find(type, holder, 0);
    this.world.deliver(at, true);
    this.world.deliver(at);
    return this.checked();
  }

  isLost(type: Said, holder: number): this {
    const at = this.find(type, holder, 0);
    this.world.letters = this.world.letters.filter((_, place) => place !== at);
    return this;
  }

  /** Everything that is on its way arrives. */
  quiet(): this {
    quiet(this.world);
    return this.checked();
  }

  commits(): this {
    const at = this.world.errands.findIndex(({ home, type }) => type === "propose" && home === this.world.leader);
    if (at < 0) throw new Error("nothing is proposed");
    this.world.run(at);
    return this.checked();
  }

  passes(ticks: number): this {
    this.world.now += ticks;
    return this;
  }

  homeLooks(): this {
    this.world.home(this.world.leader, { type: "tick", now: this.world.now });
    return this.checked();
  }

  looks(holder: number): this {
    this.world.holder(holder, { type: "tick", now: this.world.moment });
    return this.checked();
  }

  isWaiting(type: Said, holder: number): boolean {
    return this.world.letters.some((letter) => letter.holder === holder && letter.message.type === type);
  }

  isProposed(): boolean {
    return this.world.errands.some(({ type, what }) => type === "propose" && what?.type === "write");
  }

  state(holder: number): string {
    return this.world.holders[holder]?.lines.get(line)?.state ?? "I";
  }

  /** Version that this holder may read without asking; null = none. */
  copy(holder: number): number | null {
    const state = this.world.holders[holder];
    const known = state?.lines.get(line);
    if (state === undefined || known === undefined) return null;
    return readableCopy(state, known, this.world.now, this.world.now)?.record.version ?? null;
  }

  /** The rest goes its way without faults: everything is answered. */
  ends(): this {
    drain(this.world);
    return this;
  }

  private checked(): this {
    check(this.world);
    return this;
  }

  private find(type: Said, holder: number, at: number): number {
    const found = this.world.letters.flatMap((letter, place) => (letter.holder === holder && letter.message.type === type ? [place] : []));
    const place = found[at];
    if (place === undefined) throw new Error(`no ${type} of holder ${holder} is on its way`);
    return place;
  }
}
