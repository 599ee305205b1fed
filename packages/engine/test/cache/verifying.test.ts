import { MemoryClock } from "@trivet/engine";
import { expect, test } from "vitest";
import type { Verified } from "../../src/cache/cache-api.ts";
import type { ReportedCopy } from "../../src/cache/copy-reports.ts";
import { verifiedCopies } from "../../src/cache/limits.ts";
import { lineOfKey } from "../../src/cache/lines.ts";
import { verify, type VerifyingParts } from "../../src/cache/verifying.ts";

const pageSize = 20_000;

/** Nodes with so many copies each, of version 1 but for the last one; homes say that all are of version 1. */
function verified(copies: Readonly<Record<string, number>>, lastVersion = 1): Verified {
  const clock = new MemoryClock(1_000);
  const [self = "", ...others] = Object.keys(copies);
  const reports: VerifyingParts["reports"] = {
    others: () => others,
    copiesOf: (node, from, done) => {
      const all = copies[node] ?? 0;
      const page = Array.from({ length: Math.min(pageSize, all - from) }, (_, place): ReportedCopy => {
        const number = from + place;
        return { line: lineOfKey(1, `k${number}`), state: "S", version: number === all - 1 ? lastVersion : 1 };
      });
      clock.defer(() => done({ copies: page, next: from + page.length < all ? from + page.length : null }));
    },
    directoryOf: (_group, lines, done) => {
      const known = {
        home: self,
        term: 1,
        phase: "open",
        version: 1,
        tags: [],
        ttlMs: 0,
        directory: "S",
        owner: null,
        sharers: [self, ...others].map((holder) => ({ holder, incarnation: 1, leaseLeftMs: 1 })),
        queued: 0,
        waitingFor: [],
        behind: null,
      } as const;
      clock.defer(() => done(lines.map(() => known)));
    },
  };
  const outcomes: Verified[] = [];
  verify({ reports, clock, self, shards: 4, nameOf: String }, (found) => outcomes.push(found));
  clock.runUntilIdle();
  const [outcome] = outcomes;
  if (outcome === undefined) throw new Error("verify does not end");
  return outcome;
}

test("copies are looked at over all pages of a node", () => {
  const all = { type: "verified", ok: true, keysChecked: verifiedCopies, violations: [], silent: [], truncated: [] };
  expect(verified({ n1: 10, n2: verifiedCopies })).toEqual(all);
  // What is wrong stands on the last page.
  expect(verified({ n1: 10, n2: pageSize + 1 }, 2)).toMatchObject({ ok: false, violations: [{}, {}], truncated: [] });
});

test("a node with more copies than are looked at is named, and nobody says that all is right", () => {
  const outcome = verified({ n1: 10, n2: verifiedCopies + 1, n3: verifiedCopies + pageSize });
  expect(outcome).toMatchObject({ ok: false, keysChecked: verifiedCopies, violations: [], silent: [], truncated: ["n2", "n3"] });
});
