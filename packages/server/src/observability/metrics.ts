import { isMetricName, metricNames, metricOf, type MetricName } from "@trivet/contract";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { PlainHistogram } from "./plain-histogram.ts";

export type Labels = Readonly<Record<string, string>>;
type Instrument = Counter | Gauge | Histogram | PlainHistogram;

function create(name: MetricName, registry: Registry): Instrument {
  const family = metricOf(name);
  if (family.kind === "histogram" && (family.labels ?? []).length === 0) {
    const plain = new PlainHistogram(name, family.help, family.buckets ?? []);
    // The registry asks a metric for its name and values only; the type lists the library's own classes.
    registry.registerMetric(plain as unknown as Histogram);
    return plain;
  }
  const options = { name, help: family.help, labelNames: [...(family.labels ?? [])], registers: [registry] };
  switch (family.kind) {
    case "counter":
      return new Counter(options);
    case "gauge":
      return new Gauge(options);
    case "histogram":
      return new Histogram({ ...options, buckets: [...(family.buckets ?? [])] });
  }
}

interface Found {
  readonly name: MetricName;
  readonly instrument: Instrument;
  readonly labels: readonly string[];
  /** Of a counter, by the values of its labels. */
  readonly series: Map<string, Series>;
}

/** What the library has not been told yet; null = nothing. It looks up labels at every call, and many of these are made per heartbeat. */
interface Series {
  readonly labels: Record<string, string>;
  pending: number | null;
}

/** The contract's families, and nothing else. Implementations of Telemetry must not throw: unknown names are remembered, not raised. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #instruments = new Map<MetricName, Instrument>();
  /** By the name they were asked for: the engine's names have a prefix. */
  readonly #found = new Map<string, Found>();
  readonly #collectors: (() => void | Promise<void>)[] = [];
  /** Names that the contract does not list; a test fails when the engine uses one. */
  readonly unknown: Set<string> = new Set();

  constructor() {
    for (const name of metricNames) this.#instruments.set(name, create(name, this.#registry));
  }

  /** Runs before every scrape, for gauges whose value is elsewhere. */
  onCollect(collect: () => void | Promise<void>): void {
    this.#collectors.push(collect);
  }

  #find(name: string): Found | null {
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const found = this.#lookUp(name);
    if (found === null) this.unknown.add(name);
    else this.#found.set(name, found);
    return found;
  }

  #lookUp(name: string): Found | null {
    const known = name.startsWith("trivet_") ? name.slice("trivet_".length) : name;
    if (!isMetricName(known)) return null;
    const instrument = this.#instruments.get(known);
    if (instrument === undefined) return null;
    return { name: known, instrument, labels: metricOf(known).labels ?? [], series: new Map() };
  }

  /** Every label of the family, empty where not given; labels that the family does not have are left out (a key is never a label). */
  #labels(name: MetricName, labels: Labels): Record<string, string> {
    return Object.fromEntries((metricOf(name).labels ?? []).map((label) => [label, labels[label] ?? ""]));
  }

  count(name: string, by: number, labels: Labels = {}): void {
    const found = this.#find(name);
    if (found === null || !(found.instrument instanceof Counter) || !(by >= 0)) return;
    const series = this.#seriesOf(found, labels);
    series.pending = (series.pending ?? 0) + by;
  }

  #seriesOf(found: Found, labels: Labels): Series {
    let key = "";
    for (const label of found.labels) {
      const value = labels[label] ?? "";
      key = key === "" ? value : `${key}\n${value}`;
    }
    let series = found.series.get(key);
    if (series === undefined) found.series.set(key, (series = { labels: this.#labels(found.name, labels), pending: null }));
    return series;
  }

  observe(name: string, value: number, labels: Labels = {}): void {
    const found = this.#find(name);
    if (found === null || !Number.isFinite(value)) return;
    if (found.instrument instanceof PlainHistogram) {
      found.instrument.observe(value);
      return;
    }
    const own = this.#labels(found.name, labels);
    if (found.instrument instanceof Histogram) found.instrument.observe(own, value);
    else if (found.instrument instanceof Gauge) found.instrument.set(own, value);
  }

  set(name: MetricName, value: number, labels: Labels = {}): void {
    const found = this.#find(name);
    if (found?.instrument instanceof Gauge && Number.isFinite(value)) found.instrument.set(this.#labels(name, labels), value);
  }

  /** A counter whose total is kept elsewhere (the operating system). */
  total(name: MetricName, value: number, labels: Labels = {}): void {
    const found = this.#find(name);
    if (!(found?.instrument instanceof Counter)) return;
    const own = this.#labels(name, labels);
    found.instrument.remove(...Object.values(own));
    found.instrument.inc(own, value);
  }

  /** Forgets the values of a gauge whose labels come and go (peers). */
  reset(name: MetricName): void {
    this.#instruments.get(name)?.reset();
  }

  async #collect(): Promise<void> {
    for (const collect of this.#collectors) await collect();
    for (const { instrument, series } of this.#found.values()) {
      if (!(instrument instanceof Counter)) continue;
      for (const one of series.values()) {
        if (one.pending !== null) instrument.inc(one.labels, one.pending);
        one.pending = null;
      }
    }
  }

  /** Prometheus text, version 0.0.4. */
  async text(): Promise<string> {
    await this.#collect();
    return this.#registry.metrics();
  }

  /** Current values by family, as plain numbers: histograms as count, sum and mean. */
  async values(): Promise<Record<string, unknown>> {
    await this.#collect();
    const families = await this.#registry.getMetricsAsJSON();
    return Object.fromEntries(
      families.map((family) => [family.name, plainValues(family.values as readonly Sample[], String(family.type) === "histogram")]),
    );
  }

  /** Set by the composition root: the JSON that S0's and S4's clients read. */
  json: () => Promise<unknown> = () => this.values();
}

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName?: string;
}

function plainValues(samples: readonly Sample[], histogram: boolean): unknown {
  if (histogram) return histogramValues(samples);
  const [only] = samples;
  if (samples.length === 0) return 0;
  if (samples.length === 1 && only !== undefined && Object.keys(only.labels).length === 0) return only.value;
  return samples.map((sample) => ({ ...sample.labels, value: sample.value }));
}

function histogramValues(samples: readonly Sample[]): unknown {
  const sum = samples.filter((sample) => sample.metricName?.endsWith("_sum")).reduce((total, sample) => total + sample.value, 0);
  const count = samples.filter((sample) => sample.metricName?.endsWith("_count")).reduce((total, sample) => total + sample.value, 0);
  return { count, sum, mean: count === 0 ? 0 : sum / count };
}
