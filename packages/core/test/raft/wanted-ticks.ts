import type { RaftGroup } from "@trivet/core";

/** Holds ticks against what groups say of the next one: hosts leave out those that come before, so they must change nothing. */
export class WantedTicks {
  private readonly electionMinMs: number;
  private readonly toldAt = new WeakMap<RaftGroup, number>();

  constructor(electionMinMs: number) {
    this.electionMinMs = electionMinMs;
  }

  tick(group: RaftGroup, now: number): void {
    const { nextTickAt, role, self, term } = group;
    // What comes after a longer time may be a pause, and has to be told.
    const told = now - (this.toldAt.get(group) ?? Number.NEGATIVE_INFINITY) <= this.electionMinMs;
    const isIdle = told && now < nextTickAt && !group.hasEffects();
    this.toldAt.set(group, now);
    group.step({ type: "tick", now });
    if (!isIdle || (!group.hasEffects() && group.role === role && group.term === term)) return;
    throw new Error(`${self} wanted its next tick at ${nextTickAt}, and had to do something at ${now}`);
  }
}
