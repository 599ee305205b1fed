import { describe, expect, test } from "vitest";
import { LeaseTimers } from "../../src/hosts/leases.ts";
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
});
