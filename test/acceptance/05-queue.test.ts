/** Point 5: produce and consume by S0's two calls, through different nodes; an empty queue is 404 there, `message: null` in S4's style. */
import { it } from "vitest";
import { queueOfS0, queueOfS4, queueThroughEveryNode } from "../support/document-checks.ts";
import { onEveryTarget } from "./targets.ts";

onEveryTarget((target) => {
  it("S0: produce, consume, verbatim", () => queueOfS0(target().curl, target().ack));
  it("S0: through any node and any other; then 404 Queue is empty", () => queueThroughEveryNode(target().curl));
  it("S4: produce, consume through another node; null when nothing is there", () => queueOfS4(target().curl));
});
