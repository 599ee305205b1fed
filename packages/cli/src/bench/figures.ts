import { table, type Output } from "../output/output.ts";
import type { Measured } from "./closed-loop.ts";

/** One line of the result. */
export interface Figure {
  readonly service: string;
  readonly operation: string;
  readonly operations: number;
  readonly seconds: number;
  readonly ops_per_s: number;
  readonly p50_ms: number;
  readonly p90_ms: number;
  readonly p99_ms: number;
  readonly p999_ms: number;
  readonly max_ms: number;
  readonly errors: Readonly<Record<string, number>>;
  /** What an answer says is safe. */
  readonly durability: string;
}

export function figureOf(service: string, operation: string, durability: string, measured: Measured): Figure {
  const { latencies, operations, seconds, errors } = measured;
  const at = (fraction: number): number => rounded(latencies.quantileMs(fraction));
  return {
    service,
    operation,
    operations,
    seconds: rounded(seconds),
    // Nothing to do takes no time.
    ops_per_s: operations === 0 ? 0 : Math.round(operations / seconds),
    p50_ms: at(0.5),
    p90_ms: at(0.9),
    p99_ms: at(0.99),
    p999_ms: at(0.999),
    max_ms: rounded(latencies.maxMs),
    errors,
    durability,
  };
}

/** Three digits are what such a figure is worth. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

export function figuresText(output: Output, figures: readonly Figure[]): string {
  const rows = figures.map((figure) => [
    figure.service,
    figure.operation,
    String(figure.ops_per_s),
    ...[figure.p50_ms, figure.p90_ms, figure.p99_ms, figure.p999_ms, figure.max_ms].map((ms) => `${ms} ms`),
    errorsText(figure.errors),
    figure.durability,
  ]);
  return table(
    ["SERVICE", "OPERATION", "PER SECOND", "P50", "P90", "P99", "P99.9", "MAX", "FAILED", "AN ANSWER MEANS"],
    rows,
    output.paint,
  );
}

export function errorsText(errors: Readonly<Record<string, number>>): string {
  const codes = Object.entries(errors);
  return codes.length === 0 ? "0" : codes.map(([code, count]) => `${count} ${code}`).join(", ");
}
