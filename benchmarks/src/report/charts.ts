import { isMissing, type Missing, type Result } from "../results.ts";
import { barChart, lineChart, rangeChart, stripChart, type Bar, type Range } from "./svg.ts";

/** A picture of the report: the file's name, what it shows in words, and the workload it belongs to. */
export interface Chart {
  readonly file: string;
  readonly workload: string;
  readonly alt: string;
  readonly svg: string;
}

function labelOf(result: Result): string {
  return result.transport === "http" ? `${result.subject} (HTTP)` : result.subject;
}

function throughput(results: readonly Result[], file: string, workload: string, unit: string): Chart {
  const levels = [...new Set(results.map(({ clients }) => clients))].sort((a, b) => a - b);
  const groups = levels.map((clients) =>
    results
      .filter((result) => result.clients === clients)
      .flatMap((result): Bar[] => {
        const value = result.ops_per_s;
        if (value === null || value <= 0) return [];
        const rounds = result.samples["ops_per_s"] ?? [];
        const spread = rounds.length > 1 ? ([Math.min(...rounds), Math.max(...rounds)] as const) : undefined;
        return [{ label: `${labelOf(result)}, ${clients}`, subject: result.subject, value, ...(spread === undefined ? {} : { spread }) }];
      }),
  );
  const title = `${unit[0]?.toUpperCase()}${unit.slice(1)} per second by callers in flight (logarithmic)`;
  return { file, workload, alt: title, svg: barChart(title, `${unit === "operations" ? "ops" : unit}/s`, groups, true) };
}

function ranges(results: readonly Result[], label: (result: Result) => string): Range[] {
  return results.flatMap((result) => {
    const { p50_ms: p50, p99_ms: p99, p999_ms: p999, subject } = result;
    return p50 === null || p99 === null || p999 === null || p50 <= 0 ? [] : [{ label: label(result), subject, p50, p99, p999 }];
  });
}

function latency(results: readonly Result[], file: string, workload: string, what: string): Chart {
  const rows = ranges(results, (result) => `${labelOf(result)}, ${result.clients}`);
  const title = `${what} latency at half the maximum throughput (logarithmic)`;
  return { file, workload, alt: title, svg: rangeChart(title, "ms", rows) };
}

function handOff(results: readonly Result[]): Chart {
  const waits = results.flatMap((result): Range[] => {
    const p50 = result.more["wait_p50_ms"];
    const p99 = result.more["wait_p99_ms"];
    const known = typeof p50 === "number" && typeof p99 === "number" && p50 > 0;
    return known ? [{ label: `${result.subject}, in line`, subject: result.subject, p50, p99, p999: p99 }] : [];
  });
  const rows = [...ranges(results, ({ subject }) => `${subject}, hand-off`), ...waits];
  const title = "16 clients on one name: hand-off, and time in line (logarithmic)";
  return { file: "hand-off.svg", workload: "lock-contended", alt: title, svg: rangeChart(title, "ms", rows) };
}

function failover(results: readonly Result[], file: string, workload: string, until: string): Chart {
  const rows = results.map(({ subject, samples }) => ({ label: subject, subject, values: samples["failover_ms"] ?? [] }));
  const title = `kill -9 of the leader → ${until}, every run`;
  return { file, workload, alt: title, svg: stripChart(title, "ms", rows) };
}

function soak(results: readonly Result[]): Chart[] {
  // The last second of a series is cut short by the end of the run.
  const pairs = results.map(({ subject, samples }) => ({
    label: subject,
    subject,
    values: (samples["pairs_per_second"] ?? []).slice(0, -1),
  }));
  const memory = results.map(({ subject, samples }) => {
    return { label: subject, subject, values: (samples["rss_anon_bytes"] ?? []).map((bytes) => bytes / 2 ** 20) };
  });
  const first = "Pairs per second over the soak, 256 in flight";
  const second = "Anonymous memory of the largest node over the soak, in MiB";
  return [
    { file: "soak.svg", workload: "lock-soak", alt: first, svg: lineChart(first, pairs) },
    { file: "soak-memory.svg", workload: "lock-soak", alt: second, svg: lineChart(second, memory) },
  ];
}

function million(results: readonly Result[]): Chart {
  const bars = results.flatMap(({ subject, more }): Bar[] => {
    const value = more["bytes_per_lock"];
    return typeof value === "number" && value > 0 ? [{ label: subject, subject, value }] : [];
  });
  const title = "Memory of a node per held lock";
  return { file: "million.svg", workload: "lock-million", alt: title, svg: barChart(title, "bytes", [bars], false) };
}

/** Figures of one name as bars, for the workloads with one row per subject. */
function bars(
  results: readonly Result[],
  file: string,
  workload: string,
  title: string,
  rows: readonly (readonly [string, string])[],
): Chart {
  const groups = rows.map(([figureName, label]) =>
    results.flatMap(({ subject, more }): Bar[] => {
      const value = more[figureName];
      const whole = label === "" ? subject : `${subject}, ${label}`;
      return typeof value === "number" && value > 0 ? [{ label: whole, subject, value }] : [];
    }),
  );
  return { file, workload, alt: title, svg: barChart(title, "messages/s", groups, true) };
}

function backlog(results: readonly Result[]): Chart[] {
  const workload = "queue-backlog";
  const series = (name: string, scale: number): Parameters<typeof lineChart>[1] =>
    results.map(({ subject, samples }) => ({ label: subject, subject, values: (samples[name] ?? []).map((value) => value * scale) }));
  const memory = "Anonymous memory of the largest node while the backlog grows and shrinks, in MiB";
  const rates = "Messages per second: into a growing backlog, and out of it (logarithmic)";
  return [
    bars(results, "queue-backlog.svg", workload, rates, [
      ["produce_per_s", "produce"],
      ["drain_per_s", "drain"],
    ]),
    { file: "queue-backlog-memory.svg", workload, alt: memory, svg: lineChart(memory, series("rss_anon_bytes", 2 ** -20)) },
  ];
}

/** The charts of every workload that has results. */
export function charts(results: readonly (Result | Missing)[]): Chart[] {
  const measured = results.filter((result): result is Result => !isMissing(result));
  const of = (workload: string): Result[] => measured.filter((result) => result.workload === workload);
  const makers: readonly (readonly [string, (own: readonly Result[]) => Chart[]])[] = [
    [
      "lock-uncontended",
      (own) => [
        throughput(own, "throughput.svg", "lock-uncontended", "operations"),
        latency(own, "latency.svg", "lock-uncontended", "Acquire"),
      ],
    ],
    ["lock-contended", (own) => [handOff(own)]],
    ["lock-failover", (own) => [failover(own, "failover.svg", "lock-failover", "next grant")]],
    ["lock-soak", soak],
    ["lock-million", (own) => [million(own)]],
    [
      "queue-produce",
      (own) => [
        throughput(own, "queue-produce.svg", "queue-produce", "messages"),
        latency(own, "queue-produce-latency.svg", "queue-produce", "Produce"),
      ],
    ],
    [
      "queue-roundtrip",
      (own) => [
        throughput(own, "queue-roundtrip.svg", "queue-roundtrip", "messages"),
        latency(own, "queue-roundtrip-latency.svg", "queue-roundtrip", "End-to-end"),
      ],
    ],
    [
      "queue-fanout",
      (own) => [
        bars(own, "queue-fanout.svg", "queue-fanout", "Messages per second to 3 groups (logarithmic)", [["messages_per_s", "3 groups"]]),
      ],
    ],
    ["queue-backlog", backlog],
    [
      "queue-http",
      (own) => [
        bars(own, "queue-http.svg", "queue-http", "Messages per second by S4's three calls over HTTP (logarithmic)", [
          ["messages_per_s", ""],
        ]),
      ],
    ],
    ["queue-failover", (own) => [failover(own, "queue-failover.svg", "queue-failover", "first consume")]],
  ];
  return makers.flatMap(([workload, make]) => {
    const own = of(workload);
    return own.length === 0 ? [] : make(own);
  });
}
