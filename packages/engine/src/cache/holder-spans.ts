import type { Traces } from "../base/traces.ts";

/**
 * What a holder asks of its home, as a span of the call that waits for it; null = not in time. What `ask` sends at once says so. Without a call that is traced it
 * is none.
 */
export function asSpan<A>(
  traces: Traces,
  name: string,
  group: number,
  told: (answer: A | null) => void,
  ask: (told: (answer: A | null) => void) => void,
): void {
  const parent = traces.current;
  const span = parent === null ? null : traces.spans.begin(name, parent, { "trivet.group": group });
  if (span === null) return ask(told);
  return traces.spans.within(span.trace, () =>
    ask((answer) => {
      span.end({ "trivet.outcome": answer === null ? "timeout" : "answered" }, answer === null ? "timeout" : null);
      told(answer);
    }),
  );
}
