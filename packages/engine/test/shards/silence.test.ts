import { describe, expect } from "vitest";
import { Silence } from "../../src/shards/silence.ts";
import { guard } from "../hosts/guard.ts";

/** Looks every 250 ms from `from` to `to`. */
function look(silence: Silence, term: number, from: number, to: number, nodes: readonly string[], heard: readonly string[]): void {
  for (let now = from; now <= to; now += 250) silence.look(term, now, nodes, (node) => heard.includes(node));
}

describe("how long a node has been silent", () => {
  guard("silence-of-earlier-terms-counts", "counts anew in every term", () => {
    const silence = new Silence();
    look(silence, 1, 0, 50_000, ["a"], []);
    expect(silence.of("a")).toBe(50_000);
    look(silence, 2, 50_250, 51_250, ["a"], []);
    expect(silence.of("a")).toBe(1_000);
  });

  guard("silence-of-a-pause-counts", "does not count what passed while the one that listens did not run (L2)", () => {
    const silence = new Silence();
    look(silence, 1, 0, 1_000, ["a"], []);
    look(silence, 1, 100_000, 101_000, ["a"], []);
    expect(silence.of("a")).toBe(3_000);
  });

  guard("silence-of-the-gone-counts", "counts anew for whoever comes under the name of one that is gone", () => {
    const silence = new Silence();
    look(silence, 1, 0, 50_000, ["a"], []);
    look(silence, 1, 50_250, 51_000, [], []);
    look(silence, 1, 51_250, 52_250, ["a"], []);
    expect(silence.of("a")).toBe(1_000);
  });

  guard("silence-adds-up", "begins anew with every word", () => {
    const silence = new Silence();
    look(silence, 1, 0, 50_000, ["a"], []);
    look(silence, 1, 50_250, 50_500, ["a"], ["a"]);
    look(silence, 1, 50_750, 51_750, ["a"], []);
    expect(silence.of("a")).toBe(1_000);
  });
});
