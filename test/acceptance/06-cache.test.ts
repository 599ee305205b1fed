/** Point 6: `item:123` answers from the demo store; `item:999` is written, read again as a hit, and new on every other node. */
import { it } from "vitest";
import { cacheOfS0, cacheOfS4, cacheStateOfS4, nextReadFindsTheWrite, repeatedReadIsAHit } from "../support/document-checks.ts";
import { onEveryTarget } from "./targets.ts";

onEveryTarget((target) => {
  it("S0: read, write, read again, verbatim", () => cacheOfS0(target().curl));
  it("S0: the repeated read is a hit, and counted", () => repeatedReadIsAHit(target().curl, target().copies));
  it("a write through one node is what every other reads next", () => nextReadFindsTheWrite(target().curl));
  it("S4: put, get, fetch, invalidate", () => cacheOfS4(target().curl));
  it("S4: /cache/state, and whether all copies agree", () => cacheStateOfS4(target().curl, target().copies));
});
