import { describe, expect, test } from "vitest";

import { expiryAfterPause, leaseOverPause, renewalAfterExpiry, renewalWithoutQuorum } from "../../src/scenarios/leases.ts";
import { doubtfulTails } from "../../src/scenarios/doubtful-tails.ts";
import { installCrash } from "../../src/scenarios/install-crash.ts";
import { removedLeaderLeaves } from "../../src/scenarios/membership.ts";
import { nearCoRR, nearCoWW, nearInversion, nearIRIW, nearMP, nearSB } from "../../src/scenarios/near-litmus.ts";
import { nearRandom } from "../../src/scenarios/near-random.ts";
import { expect as must, scenario } from "../../src/scenarios/scenario.ts";
import { snapshotRandom } from "../../src/scenarios/snapshot-random.ts";

describe("scripts on the real hosts", () => {
  for (const script of [
    leaseOverPause,
    expiryAfterPause,
    renewalAfterExpiry,
    renewalWithoutQuorum,
    removedLeaderLeaves,
    snapshotRandom,
    installCrash,
    doubtfulTails,
    nearCoRR,
    nearCoWW,
    nearMP,
    nearSB,
    nearIRIW,
    nearInversion,
    nearRandom,
  ]) {
    test(`${script.name} is clean without mutants`, { timeout: 600_000 }, () => {
      expect(script.run()).toBeNull();
    });
  }

  test("a script says what it found, and does not swallow what it did not expect", () => {
    expect(scenario("found", () => must(false, "some-promise", () => "broken")).run()).toEqual({
      invariant: "some-promise",
      detail: "broken",
    });
    const surprised = scenario("surprised", () => {
      throw new TypeError("of another kind");
    }).run();
    expect(surprised?.invariant).toBe("no-exception");
  });
});
