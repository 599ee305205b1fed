import { expect } from "vitest";
import { type CallerRoute, noSpans, type Outcome } from "@trivet/engine";
import { readFrameHeader } from "@trivet/wire";
import { Submissions } from "../../src/calls/submissions.ts";
import { Traces } from "../../src/base/traces.ts";
import { acquire } from "./cluster.ts";
import { guard } from "./guard.ts";

guard("host-routes-kept", "lanes that are over leave no route behind, however many calls got no answer", () => {
  let now = 0;
  let callers = 0;
  const routes = new Map<string, CallerRoute>();
  const sent: string[] = [];
  const submissions = new Submissions({
    now: () => now,
    groupTime: () => now,
    newCaller: () => `caller-${(callers += 1)}`,
    setRoute: (caller, route) => routes.set(caller, route),
    endRoute: (caller, route) => {
      if (routes.get(caller) === route) routes.delete(caller);
    },
    submitFrame: (frame) => {
      sent.push(readFrameHeader(frame).caller);
      return null;
    },
    withdraw: () => false,
    hasCopies: () => true,
    traces: new Traces(noSpans),
    later: (run) => run(),
    markDirty: () => undefined,
  });
  const outcomes: Outcome[] = [];
  for (let call = 0; call < 100; call += 1) {
    submissions.submit(acquire("a", "alice"), { timeoutMs: 10 }, (outcome) => outcomes.push(outcome));
    submissions.collect();
    // A lane whose command got no answer is never used again.
    now += 20;
    submissions.tick(now);
  }
  expect(outcomes.map(({ type }) => type)).toEqual(Array.from({ length: 100 }, () => "unknown"));
  expect(new Set(sent).size).toBe(100);
  // The lane of the last call is over, too, but is found out only by the next one.
  expect(routes.size).toBeLessThanOrEqual(1);
  expect(submissions.routes).toBe(routes.size);
});
