import { describe, expect, test } from "vitest";
import { corr, coww, type Forbids, inversion, iriw, mp, sb, type Seen, type TimedRead } from "../../src/checkers/litmus.ts";

const round = 7;
const old = 6;

/** Each litmus test with what it must take, and what it must not. */
const cases: readonly (readonly [string, Forbids, legal: readonly (readonly Seen[])[], forbidden: readonly (readonly Seen[])[]])[] = [
  [
    "CoRR",
    corr,
    [[[], [old, old, round, round], [round], []]],
    [
      [[], [old, round, old, round]],
      [[], [old], [round, old]],
    ],
  ],
  [
    "CoWW",
    coww,
    [[[round], [round], [old, round]]],
    [
      [[round], [old], [old, round]],
      [[round], [round], [round, old]],
      [[round], [round], []],
    ],
  ],
  [
    "MP",
    mp,
    [[[], [old, old, round, round], [old, round, round, round]]],
    [
      [[], [old, old, old, old], [old, old, round, old]],
      [[], [round, old]],
    ],
  ],
  [
    "SB",
    sb,
    [
      [[round], [old]],
      [[old], [round]],
      [[round], [round]],
    ],
    [[[old], [old]]],
  ],
  [
    "IRIW",
    iriw,
    [
      [[], [], [round, old], [old, round]],
      [[], [], [round, round], [round, old]],
      [[], [], [old, old], [old, old]],
    ],
    [[[], [], [round, old], [round, old]]],
  ],
];

describe.each(cases)("%s", (_name, forbids, legal, forbidden) => {
  test.each(legal.map((seen) => [JSON.stringify(seen), seen] as const))("takes %s", (_text, seen) => {
    expect(forbids(seen, round)).toBeNull();
  });
  test.each(forbidden.map((seen) => [JSON.stringify(seen), seen] as const))("does not take %s", (_text, seen) => {
    expect(forbids(seen, round)).not.toBeNull();
  });
});

const read = (by: number, began: number, ended: number, value: number): TimedRead => ({ by, began, ended, value });

test("new–old inversion: of reads that overlap either may be first, of others none goes back", () => {
  expect(inversion([read(0, 0, 4, round), read(1, 3, 5, old), read(2, 6, 7, round)])).toBeNull();
  expect(inversion([read(1, 5, 6, old), read(0, 0, 4, round)])).toBe("program 1 read 7, and program 2 read 6 later");
});
