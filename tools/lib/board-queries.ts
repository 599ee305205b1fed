import type { Panel } from "./board-json.ts";

/** `$node` is the variable of every board: the nodes that are shown. */
export const of: string = 'job="trivet", instance=~"$node"';
export const by: string = "{{instance}}";
export const rate = (metric: string, labels = ""): string => `rate(${metric}{${of}${labels}}[$__rate_interval])`;
const quantile = (q: number, histogram: string, labels = ""): string =>
  `histogram_quantile(${q}, sum by (instance, le) (${rate(`${histogram}_bucket`, labels)}))`;
/** A counter that may not have counted yet is zero, not missing. */
export const orZero = (expression: string): string => `${expression} or vector(0)`;

export const latency = (title: string, about: string, histogram: string, labels = ""): Panel => ({
  title,
  about,
  unit: "s",
  queries: [
    { expr: quantile(0.5, histogram, labels), legend: `${by} p50` },
    { expr: quantile(0.99, histogram, labels), legend: `${by} p99` },
  ],
});
