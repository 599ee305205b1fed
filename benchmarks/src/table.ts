import { isMissing, type Missing, type Result } from "./results.ts";

/** A figure for people: three significant digits, thousands grouped; a dash where nothing was measured. */
export function figure(value: number | null | undefined, scale = 1): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const scaled = value * scale;
  if (scaled === 0) return "0";
  const size = Math.abs(scaled);
  if (size >= 1000) return Math.round(scaled).toLocaleString("en-US").replaceAll(",", " ");
  if (size >= 100) return scaled.toFixed(0);
  if (size >= 10) return scaled.toFixed(1);
  if (size >= 1) return scaled.toFixed(2);
  return scaled.toPrecision(2);
}

/** Rows of cells as aligned text; the first two columns are text, the others figures. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export const columns: readonly { readonly title: string; readonly cell: (result: Result) => string }[] = [
  { title: "subject", cell: ({ subject }) => subject },
  { title: "wire", cell: ({ transport }) => transport },
  { title: "clients", cell: ({ clients }) => String(clients) },
  { title: "ops/s", cell: ({ ops_per_s }) => figure(ops_per_s) },
  { title: "p50 ms", cell: ({ p50_ms }) => figure(p50_ms) },
  { title: "p99 ms", cell: ({ p99_ms }) => figure(p99_ms) },
  { title: "p99.9 ms", cell: ({ p999_ms }) => figure(p999_ms) },
  { title: "CPU µs/op", cell: ({ cpu_s_per_op }) => figure(cpu_s_per_op, 1e6) },
  { title: "written B/op", cell: ({ written_bytes_per_op }) => figure(written_bytes_per_op) },
  { title: "fsyncs/op", cell: ({ fsyncs_per_op }) => figure(fsyncs_per_op) },
  { title: "RSS MiB", cell: ({ rss_bytes }) => figure(rss_bytes, 2 ** -20) },
  { title: "RssAnon MiB", cell: ({ rss_anon_bytes }) => figure(rss_anon_bytes, 2 ** -20) },
  { title: "errors", cell: ({ errors }) => String(errors) },
];

const tolerated = 0.05;

/** A line for every figure that others' work on the machine has touched. */
export function disturbances(results: readonly Result[]): string[] {
  return results.flatMap(({ subject, transport, clients, foreign_cpu: foreign, stolen_cpu: stolen }) => {
    const where = `while ${subject} ${transport} ${clients} was measured`;
    const lines: string[] = [];
    if (foreign !== null && foreign > tolerated)
      lines.push(`warning: other processes used ${Math.round(foreign * 100)} % of the machine ${where}`);
    if (stolen !== null && stolen > tolerated)
      lines.push(`warning: other guests took ${Math.round(stolen * 100)} % of the machine ${where}`);
    return lines;
  });
}

/** What one workload yielded, for the terminal. */
export function describeResults(results: readonly (Result | Missing)[]): string {
  const measured = results.filter((result): result is Result => !isMissing(result));
  const lines: string[] = [];
  if (measured.length > 0) {
    lines.push(aligned([columns.map(({ title }) => title), ...measured.map((result) => columns.map(({ cell }) => cell(result)))]));
  }
  const latencies = new Set(measured.map(({ transport, latency }) => `${transport}: ${latency}`));
  lines.push(...[...latencies].filter((line) => !line.endsWith(": none")).map((line) => `p50, p99, p99.9 of ${line}`));
  for (const { subject, more } of measured) {
    const figures = Object.entries(more).filter(([, value]) => value !== null);
    if (measured.length <= 4) lines.push(`${subject}: ${figures.map(([name, value]) => `${name} ${figure(value)}`).join(", ")}`);
  }
  for (const { subject, durability } of new Map(measured.map((result) => [result.subject, result])).values())
    lines.push(`${subject}: ${durability}`);
  for (const result of results) if (isMissing(result)) lines.push(`${result.subject}: MISSING: ${result.missing}`);
  lines.push(...disturbances(measured));
  return lines.join("\n");
}
