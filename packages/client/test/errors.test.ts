import { TrivetError, errorOf } from "@trivet/client";
import { type ErrorCode, errorCatalogue } from "@trivet/contract";
import { conflictReasons, refusalReasons } from "@trivet/wire";
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

  test("a deadlock tells its cycle", () => {
    const [deadlock] = resultSamples.deadlock;
    expect(deadlock && errorOf(deadlock).message).toBe(
      'Deadlock: owner "A" waits for x, held by owner "B"; owner "B" waits for y, held by owner "A"',
    );
  });
});
