import type { TimerSink } from "@trivet/core";
import type { Command } from "@trivet/wire";
import { MemoryClock } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { LeaseHost, type TimedMachine } from "../../src/groups/lease-host.ts";
import { LeaseTimers } from "../../src/groups/leases.ts";
import type { GroupHost } from "../../src/groups/group-host.ts";
import { guard } from "./guard.ts";

describe("the leader's timers (rule L1)", () => {
  guard("host-lease-no-clock-margin", "a lease ends when a clock that runs slower by ρ has reached its end too, a wait at its end", () => {
    let now = 0;
    const timers = new LeaseTimers(() => now);
    const attend = (until: number): void => {
      while (now < until) {
        now += 1;
        timers.advance(now, 100);
      }
    };
    timers.armed("grant", 1, 1_000);
    timers.armed("session", 2, 2_000);
    timers.armed("wait", 3, 500);
    attend(500);
    expect(timers.takeDue()).toEqual([{ type: "expire", kind: "wait", id: 3 }]);
    attend(1_009);
    expect(timers.hasDue()).toBe(false);
    expect(timers.leftMs("grant", 1)).toBe(1);
    attend(1_010);
    expect(timers.takeDue()).toEqual([{ type: "expire", kind: "grant", id: 1 }]);
    attend(2_019);
    expect(timers.hasDue()).toBe(false);
    attend(2_020);
    expect(timers.takeDue()).toEqual([{ type: "expire", kind: "session", id: 2 }]);
  });

  test("what is left of a lease is told as of now, not as of the last tick", () => {
    let now = 0;
    const timers = new LeaseTimers(() => now);
    timers.armed("session", 1, 2_000);
    timers.advance(now, 100);
    now = 40;
    expect(timers.leftMs("session", 1)).toBe(1_980);
  });

  guard("host-expiry-unweighed", "as many sessions end in one turn as hold so much together, and one in any case", () => {
    let now = 0;
    const timers = new LeaseTimers(() => now);
    for (let session = 1; session <= 5; session++) timers.armed("session", session, 1_000);
    for (; now < 2_000; now += 50) timers.advance(now, 100);
    const taken: number[][] = [];
    while (timers.hasDue()) taken.push(timers.takeDue(() => 600).map(({ id }) => id));
    expect(taken.map((sessions) => sessions.length)).toEqual([2, 2, 1]);
    expect(taken.flat().sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5]);
    for (let session = 6; session <= 8; session++) timers.armed("session", session, 1_000);
    for (; now < 4_000; now += 50) timers.advance(now, 100);
    while (timers.hasDue()) expect(timers.takeDue(() => 10_000)).toHaveLength(1);
  });
});

/** The sessions of a state that holds much in each. What is proposed is applied when the test says so. */
class HeavySessions implements TimedMachine {
  readonly proposed: (readonly Command[])[] = [];
  private readonly sessions = new Set<number>();
  private sink: TimerSink | null = null;
  private readonly weight: number;

  constructor(count: number, weight: number) {
    this.weight = weight;
    for (let session = 1; session <= count; session++) this.sessions.add(session);
  }

  startTimers(sink: TimerSink | null): void {
    this.sink = sink;
  }

  announceTimers(): boolean {
    for (const session of this.sessions) this.sink?.armed("session", session, 1_000);
    return true;
  }

  durationOf(_kind: string, id: number): number | null {
    return this.sessions.has(id) ? 1_000 : null;
  }

  session(id: number): { readonly locks: number; readonly waiters: number } | null {
    return this.sessions.has(id) ? { locks: this.weight - Math.min(this.weight, 100), waiters: Math.min(this.weight, 100) } : null;
  }

  apply(commands: readonly Command[]): void {
    for (const command of commands) {
      if (command.type !== "expire") continue;
      this.sessions.delete(command.id);
      this.sink?.cleared(command.kind, command.id);
    }
  }
}

function leading(machine: HeavySessions, clock: MemoryClock, takes: () => boolean = () => true): LeaseHost {
  const raft = { role: "leader", term: 1, termAt: () => 1, canPropose: () => null };
  const group = { raft, appliedIndex: 1, isLeader: true } as unknown as GroupHost;
  const propose = (commands: readonly Command[]): boolean => takes() && machine.proposed.push(commands) > 0;
  return new LeaseHost(group, { machine: () => machine, propose }, clock, 100);
}

function tickFor(host: LeaseHost, clock: MemoryClock, ms: number): void {
  for (let left = ms; left > 0; left -= 20) {
    clock.advance(20);
    host.tick(clock.now());
  }
}

describe("sessions that hold much and end together", () => {
  test("what ends with little goes on while some of it is under way, up to as much as one turn may end", () => {
    const clock = new MemoryClock();
    const machine = new HeavySessions(700, 2);
    const host = leading(machine, clock);
    tickFor(host, clock, 3_000);
    const proposed = (): number[] => machine.proposed.map((commands) => commands.length);
    // 3 each (itself, and 2): 256 a turn, until a thousand are open.
    expect(proposed()).toEqual([256, 78]);
    // The last of the first batch, over before the rest of it (a session that was closed), says nothing of that.
    machine.apply(machine.proposed[0]?.slice(-1) ?? []);
    tickFor(host, clock, 200);
    expect(proposed()).toEqual([256, 78]);
    machine.apply(machine.proposed[0] ?? []);
    tickFor(host, clock, 200);
    expect(proposed()).toEqual([256, 78, 256]);
  });

  guard("host-expiry-unwaited", "end in turns, of which each is applied before the next is proposed", () => {
    const clock = new MemoryClock();
    const machine = new HeavySessions(5, 600);
    const host = leading(machine, clock);
    tickFor(host, clock, 3_000);
    // However long it takes: entries that wait together would be applied together.
    expect(machine.proposed.map((commands) => commands.length)).toEqual([2]);
    for (let applied = 0; applied < machine.proposed.length; applied++) {
      machine.apply(machine.proposed[applied] ?? []);
      tickFor(host, clock, 200);
    }
    expect(machine.proposed.map((commands) => commands.length)).toEqual([2, 2, 1]);
  });

  test("are proposed again when they could not be", () => {
    const clock = new MemoryClock();
    const machine = new HeavySessions(1, 600);
    let refusals = 0;
    const host = leading(machine, clock, () => ++refusals > 3);
    tickFor(host, clock, 3_000);
    expect(refusals).toBe(4);
    expect(machine.proposed).toHaveLength(1);
  });
});
