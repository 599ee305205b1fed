import type { Progress } from "./load-test.ts";
import type { CallRow, Tally } from "./tally.ts";

/** One line for people, once a second or two. */
export function progressLine({ state, users, elapsedMs, last, succeeded, expected, unexpected }: Progress): string {
  const rate = last === null ? "" : `${String(last.calls).padStart(6)} calls/s`;
  const latency =
    last === null || last.p50_ms === null || last.p99_ms === null
      ? ""
      : `p50 ${last.p50_ms.toFixed(1)} ms, p99 ${last.p99_ms.toFixed(1)} ms`;
  return `${(elapsedMs / 1_000).toFixed(0).padStart(5)} s  ${state.padEnd(8)} ${String(users).padStart(4)} users ${rate}  ${latency}  ok ${succeeded}, expected ${expected}, UNEXPECTED ${unexpected}`;
}

function rowLine({ name, count, p50_ms, p99_ms, max_ms }: CallRow): string {
  const [p50, p99, max] = [p50_ms, p99_ms, max_ms].map((value) => (value === null ? "" : value.toFixed(1)).padStart(9));
  return `  ${name.padEnd(32)}${String(count).padStart(9)}${p50}${p99}${max}`;
}

function part(title: string, rows: readonly CallRow[]): readonly string[] {
  return rows.length === 0 ? [`${title}: none`] : [title, ...rows.map(rowLine)];
}

/** The end of a run: the calls, expected and unexpected apart, and the reasons of the latter. */
export function summaryLines(tally: Tally): readonly string[] {
  const head = `  ${"".padEnd(32)}${"count".padStart(9)}${"p50 ms".padStart(9)}${"p99 ms".padStart(9)}${"max ms".padStart(9)}`;
  return [
    head,
    ...part("Succeeded", tally.rows("succeeded")),
    ...part("Expected", tally.rows("expected")),
    ...part("Unexpected", tally.rows("unexpected")),
    ...tally.reasons().map(([reason, count]) => `  ${count} × ${reason}`),
  ];
}
