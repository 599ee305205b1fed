import { describe, expect, it } from "vitest";
import { Silences } from "./support/silences.ts";

describe("the longest silence of each kind of work", () => {
  let now = 0;
  const heardAt = (silences: Silences<"lock" | "queue">, kind: "lock" | "queue", ...times: readonly number[]): void => {
    for (const time of times) {
      now = time;
      silences.heard(kind);
    }
  };

  it("is the longest between two acknowledgements, each kind by itself, whatever was before the first", () => {
    const silences = new Silences<"lock" | "queue">(() => now);
    heardAt(silences, "lock", 500, 510, 750, 760);
    heardAt(silences, "queue", 770);
    expect(silences.longestMs()).toEqual({ lock: 240, queue: 0 });
  });

  it("is the one that lasts, when that is longer", () => {
    const silences = new Silences<"lock" | "queue">(() => now);
    heardAt(silences, "lock", 0, 100);
    now = 6_000;
    expect(silences.longestMs()).toEqual({ lock: 5_900 });
    heardAt(silences, "lock", 6_100);
    now = 6_200;
    expect(silences.longestMs()).toEqual({ lock: 6_000 });
  });
});
