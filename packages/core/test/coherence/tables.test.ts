import { describe, expect, test } from "vitest";
import { entryEvents, entryStates, entryTable, nextEntryState } from "../../src/coherence/entry-table.ts";
import { isReadable, lineEvents, lineStates, lineTable, nextLineState } from "../../src/coherence/line-table.ts";

describe("transitions are total: a state, or a broken invariant", () => {
  test.each(lineStates.flatMap((state) => lineEvents.map((event) => [state, event] as const)))("line %s on %s", (state, event) => {
    const next = lineTable[state][event];
    if (next === null) expect(() => nextLineState(state, event)).toThrow("coherence-line-transition");
    else expect(nextLineState(state, event)).toBe(next);
  });

  test.each(entryStates.flatMap((state) => entryEvents.map((event) => [state, event] as const)))("directory %s on %s", (state, event) => {
    const next = entryTable[state][event];
    if (next === null) expect(() => nextEntryState(state, event)).toThrow("coherence-entry-transition");
    else expect(nextEntryState(state, event)).toBe(next);
  });
});

test("an invalidation leaves nothing that can be read, and a session's end nothing at all", () => {
  for (const state of lineStates) {
    expect(isReadable(nextLineState(state, "inv"))).toBe(false);
    expect(isReadable(nextLineState(state, "reset"))).toBe(false);
  }
});

test("nothing that is on its way is readable, and no write begins beside another", () => {
  expect(lineStates.filter(isReadable)).toEqual(["S", "E", "M"]);
  for (const state of ["B_Read", "B_Inv", "B_Commit"] as const) {
    expect(entryTable[state]["start-read"]).toBeNull();
    expect(entryTable[state]["start-write"]).toBeNull();
  }
});
