/** Point 2: `/` on 8001 to 8003 gives greeting, port and two peers (E-01); `/health` on the same ports (E-15). */
import { it } from "vitest";
import { greetings, healthOfS4 } from "../support/document-checks.ts";
import { onEveryTarget } from "./targets.ts";

onEveryTarget((target) => {
  it("S0's greetings, verbatim", () => greetings(target().curl, target().places));
  it("S4's health and leader, verbatim", () => healthOfS4(target().curl));
});
