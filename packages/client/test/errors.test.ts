import { TrivetError, errorOf } from "@trivet/client";
import { type ErrorCode, errorCatalogue } from "@trivet/contract";
import { conflictReasons, type HolderInfo, refusalReasons } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { resultSamples } from "../../wire/test/samples.ts";

describe("errors of results", () => {
  const samples = Object.values(resultSamples).flat();
  test.each(samples.map((result, i) => [`${result.type} ${i}`, result] as const))("%s agrees with the catalogue", (_, result) => {
    const error = errorOf(result);
    expect(error).toBeInstanceOf(TrivetError);
    expect(error.message).not.toBe("");
    expect(Object.keys(errorCatalogue)).toContain(error.code);
    expect(error.retryable).toBe(errorCatalogue[error.code as ErrorCode].retryable);
  });

  test("what the caller wanted has no error of its own", () => {
    for (const type of ["done", "granted", "released", "session-opened"] as const) {
      for (const result of resultSamples[type]) expect(errorOf(result).code).toBe("internal");
    }
  });

  test("every reason is among the samples", () => {
    expect(resultSamples.conflict.map(({ reason }) => reason)).toEqual(conflictReasons);
    expect(resultSamples.refused.map(({ reason }) => reason)).toEqual(refusalReasons);
  });

  test("who is in its own way is told so", () => {
    const asker = { owner: "A", session: 7 };
    const hold = { owner: "A", session: 7, mode: "exclusive", fence: 3 } as const;
    const busy = (holders: readonly HolderInfo[]): string =>
      errorOf({ type: "busy", name: "x", holders, waiters: 0, waited: false }, asker).message;
    expect(busy([hold])).toMatch(/this owner already holds it: .*reentrant/);
    expect(busy([{ ...hold, session: 8 }])).not.toContain("already holds");
    expect(busy([hold, { owner: "B", session: 7, mode: "shared", fence: 4 }])).not.toContain("already holds");
    const own = { owner: "A", waitsFor: "x", mode: "exclusive", heldBy: "A" } as const;
    expect(errorOf({ type: "deadlock", cycle: [own] }).message).toMatch(/this owner already holds it: .*reentrant/);
    expect(errorOf({ type: "deadlock", cycle: [own, own] }).message).not.toContain("already holds");
  });

  test("a deadlock tells its cycle", () => {
    const [deadlock] = resultSamples.deadlock;
    expect(deadlock && errorOf(deadlock).message).toBe(
      'Deadlock: owner "A" waits for x, held by owner "B"; owner "B" waits for y, held by owner "A"',
    );
  });
});
