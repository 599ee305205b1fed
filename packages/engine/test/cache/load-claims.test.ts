import { MemoryClock } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { claimMs, claimPollMs, openClaims } from "../../src/cache/limits.ts";
import { type ClaimReply, LoadClaims } from "../../src/cache/load-claims.ts";
import { guard } from "../hosts/guard.ts";

/** One home; who asks, and what they were told so far. */
class Bench {
  readonly clock = new MemoryClock(1_000);
  readonly told: string[] = [];
  private readonly claims = new LoadClaims(this.clock);

  ask(claimant: string, key = "k"): void {
    this.claims.ask({ namespace: 1, key, claimant }, (reply: ClaimReply) => void this.told.push(`${claimant}: ${reply}`));
  }

  end(claimant: string): void {
    this.claims.ask({ namespace: 1, key: "k", claimant, isEnd: true }, () => {});
  }

  run(forMs: number): void {
    this.clock.runUntil(this.clock.now() + forMs);
  }
}

describe("loaders of programs at the home of their key", () => {
  guard("load-claims-not-shared", "one runs; who waits reads when it has ended, and then the first that asks is the next", () => {
    const bench = new Bench();
    for (const claimant of ["a", "b", "c"]) bench.ask(claimant);
    expect(bench.told).toEqual(["a: yours"]);
    bench.ask("d", "other");
    bench.end("a");
    expect(bench.told).toEqual(["a: yours", "d: yours", "b: over", "c: over"]);
    bench.ask("c");
    bench.ask("b");
    expect(bench.told.slice(4)).toEqual(["c: yours"]);
  });

  guard("load-claim-never-lapses", "a claim that is not renewed is over after its time, one that is renewed is not", () => {
    const bench = new Bench();
    bench.ask("a");
    for (let renewals = 0; renewals < 4; renewals++) {
      bench.run(claimMs - 1);
      bench.ask("a");
    }
    bench.ask("b");
    expect(bench.told).not.toContain("b: yours");
    bench.run(claimPollMs);
    bench.run(claimMs - claimPollMs - 1);
    bench.ask("b");
    bench.run(1);
    expect(bench.told.filter((told) => told.startsWith("b"))).toEqual(["b: held", "b: over"]);
    bench.ask("b");
    expect(bench.told.at(-1)).toBe("b: yours");
  });

  guard("load-claim-ended-by-others", "whoever has lost its claim, or never had one, ends no other's", () => {
    const bench = new Bench();
    bench.ask("a");
    bench.run(claimMs);
    bench.ask("b");
    bench.ask("c");
    bench.end("a");
    bench.end("c");
    expect(bench.told).toEqual(["a: yours", "b: yours"]);
  });

  test("who waits is told that the loader is at work still, so that it hears of another home; a question that is repeated stands for the former", () => {
    const bench = new Bench();
    bench.ask("a");
    bench.ask("b");
    bench.run(claimPollMs - 1);
    bench.ask("b");
    expect(bench.told).toEqual(["a: yours", "b: held"]);
    bench.run(claimPollMs - 1);
    expect(bench.told).toHaveLength(2);
    bench.run(1);
    expect(bench.told).toEqual(["a: yours", "b: held", "b: held"]);
    bench.end("a");
    expect(bench.told).toHaveLength(3);
  });

  test("beyond so many loaders each runs for itself", () => {
    const bench = new Bench();
    for (let number = 0; number < openClaims; number++) bench.ask("a", `k${number}`);
    bench.ask("b", "more");
    bench.ask("c", "more");
    expect(bench.told.slice(-2)).toEqual(["b: yours", "c: yours"]);
    bench.ask("b", "k0");
    expect(bench.told.at(-1)).toBe("c: yours");
  });
});
