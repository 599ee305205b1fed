import type { CacheFailure, LoadClaim } from "@trivet/engine";
import { encodeUtf8 } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { Caches } from "./cache-support.ts";

const nodes = ["n1", "n2", "n3"] as const;
type Claim = Told<LoadClaim | CacheFailure>;

class Claims extends Caches {
  claim(node: string, timeoutMs = 60_000): Claim {
    const told: Claim = new Told();
    this.service(node).claimLoad("default", "k", timeoutMs, told.hear);
    return told;
  }

  /** The node that gets the claim first, which is not the key's home unless it has to be. */
  claimed(node: string): () => void {
    const claim = this.answer(this.claim(node));
    if (claim.type !== "load-yours") throw new Error(JSON.stringify(claim));
    return claim.release;
  }
}

const isOpen = ({ value }: Claim): boolean => value === null;

describe("loaders of programs in a cluster", () => {
  test("one at a time, through whichever nodes they ask; the others read what it stored", () => {
    const claims = new Claims();
    expect(claims.get("n1", "k")).toBeNull();
    const release = claims.claimed("n2");
    const waiting = [...nodes, ...nodes].map((node) => claims.claim(node));
    // Far longer than a claim lasts that its node does not renew.
    claims.cluster.run(20_000);
    expect(waiting.every(isOpen)).toBe(true);
    const { token } = claims.entry("n2", "k");
    claims.put("n2", "k", null, { value: encodeUtf8("loaded"), token });
    release();
    for (const told of waiting) expect(claims.answer(told)).toEqual({ type: "load-over" });
    for (const node of nodes) expect(claims.get(node, "k")).toBe("loaded");
    release();
    expect(claims.answer(claims.claim("n3"))).toMatchObject({ type: "load-yours" });
  });

  test("a node that is gone loads nothing any more: the next one may", () => {
    const claims = new Claims();
    claims.get("n1", "k");
    const home = claims.homeOf("k");
    const [claimant, other] = nodes.filter((node) => node !== home);
    claims.claimed(claimant ?? "");
    const waiting = claims.claim(other ?? "");
    claims.cluster.kill(claimant ?? "");
    expect(claims.answer(waiting)).toEqual({ type: "load-over" });
    expect(claims.answer(claims.claim(other ?? ""))).toMatchObject({ type: "load-yours" });
  });

  test("with a new home whoever waits is not forgotten", () => {
    const claims = new Claims();
    claims.get("n1", "k");
    const home = claims.homeOf("k");
    const [claimant, other] = nodes.filter((node) => node !== home);
    const release = claims.claimed(claimant ?? "");
    const waiting = claims.claim(other ?? "");
    claims.cluster.run(100);
    claims.cluster.kill(home);
    // Its turn, or to read again, or that nobody can be asked: each is an answer.
    const told = claims.answer(waiting);
    expect(["load-yours", "load-over", "unavailable"]).toContain(told.type);
    release();
    if (told.type === "load-yours") told.release();
    claims.untilLed();
    const next = claims.answer(claims.claim(other ?? ""));
    expect(["load-yours", "load-over"]).toContain(next.type);
  });

  test("a namespace that does not exist, and a key that is none, are told as with reads", () => {
    const claims = new Claims();
    const [unknown, bad]: Claim[] = [new Told(), new Told()];
    claims.service("n1").claimLoad("nowhere", "k", 1_000, (unknown as Claim).hear);
    claims.service("n1").claimLoad("default", "", 1_000, (bad as Claim).hear);
    expect(claims.answer(unknown as Claim)).toMatchObject({ type: "unknown-namespace" });
    expect(claims.answer(bad as Claim)).toMatchObject({ type: "malformed" });
  });
});
