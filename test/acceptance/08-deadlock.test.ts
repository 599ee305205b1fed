/** Point 8: `/locks` and `/locks/wait_for` show a deadlock of two clients and how it was resolved. */
import { it } from "vitest";
import { deadlock } from "../support/document-checks.ts";
import { onEveryTarget } from "./targets.ts";

onEveryTarget((target) => {
  it("two owners wait for each other: one is refused with the cycle, the other gets its lock", () => deadlock(target().curl));
});
