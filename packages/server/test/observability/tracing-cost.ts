/**
 * What tracing costs a call: off twice (the difference is the noise), on without a provider, on with one that keeps spans. By hand:
 *   node --conditions=source --import tsx packages/server/test/observability/tracing-cost.ts
 */
import { Tracing } from "../../src/observability/tracing.ts";
import { serve, startTestNode } from "../http/harness.ts";
import { noFault, rememberSpans } from "./spans.ts";

const callsPerRound = 4_000;
const rounds = 9;

const { host } = await startTestNode();
const off = await serve(host.api);
const same = await serve(host.api, { settle: false });
const bare = await serve(host.api, { tracing: new Tracing("node1", "0", noFault), settle: false });
const spans = rememberSpans();
const kept = await serve(host.api, { tracing: new Tracing("node1", "0", noFault), settle: false });
spans.remove();

const call = { method: "GET", url: "/v1/locks/x?consistency=stale" } as const;
async function microsOf({ http }: typeof off): Promise<number> {
  const begun = performance.now();
  for (let n = 0; n < callsPerRound; n += 1) await http.app.inject(call);
  return ((performance.now() - begun) * 1_000) / callsPerRound;
}

const variants: readonly (readonly [string, typeof off, boolean])[] = [
  ["off", off, false],
  ["off, again", same, false],
  ["on, no provider", bare, false],
  ["on, spans kept in memory", kept, true],
];
const measured = new Map<string, number[]>(variants.map(([name]) => [name, []]));
// In turns, so that whatever else the machine does meets all of them.
for (let round = 0; round < rounds; round += 1)
  for (const [name, server, isKept] of variants) {
    const memory = isKept ? rememberSpans() : null;
    measured.get(name)?.push(await microsOf(server));
    memory?.remove();
  }
for (const [name, micros] of measured) {
  const sorted = micros.toSorted((a, b) => a - b);
  console.log(
    `${name.padEnd(26)} ${(sorted[Math.floor(rounds / 2)] ?? 0).toFixed(1)} µs a call (${sorted[0]?.toFixed(1)} to ${sorted.at(-1)?.toFixed(1)})`,
  );
}
for (const { http } of [off, same, bare, kept]) await http.close(0);
await new Promise<void>((resolve) => host.api.stop(resolve));
