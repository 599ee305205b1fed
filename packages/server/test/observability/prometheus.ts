/** A parser of the Prometheus text format 0.0.4, strict enough to refuse what `promtool check metrics` refuses. */
export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const labelPart = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  labelPart.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    labelPart.lastIndex = at;
    const match = labelPart.exec(text);
    if (match === null) throw new Error(`bad labels: ${text}`);
    if (Object.hasOwn(labels, match[1] ?? "")) throw new Error(`label twice: ${text}`);
    labels[match[1] ?? ""] = match[2] ?? "";
    at = labelPart.lastIndex;
  }
  return labels;
}

export function parsePrometheus(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let help: { readonly name: string; readonly text: string } | null = null;
  let current = "";
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = "", rest = ""] = comment;
      if (kind === "HELP") help = { name, text: rest };
      else {
        if (families.has(name)) throw new Error(`${name} has two TYPE lines`);
        if (help?.name !== name) throw new Error(`${name} has no HELP`);
        families.set(name, { type: rest, help: help.text, samples: [] });
        current = name;
      }
      continue;
    }
    const match = sampleLine.exec(line);
    if (match === null) throw new Error(`not a sample: ${line}`);
    const [, name = "", labels = "", value = ""] = match;
    const family = families.get(current);
    const allowed = family?.type === "histogram" ? [`${current}_bucket`, `${current}_sum`, `${current}_count`] : [current];
    if (family === undefined || !allowed.includes(name)) throw new Error(`${name} stands outside its family`);
    if (seen.has(`${name}{${labels}}`)) throw new Error(`${line} appears twice`);
    seen.add(`${name}{${labels}}`);
    const number = value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value);
    if (Number.isNaN(number)) throw new Error(`not a number: ${line}`);
    family.samples.push({ name, labels: labelsOf(labels), value: number });
  }
  return families;
}

/** Buckets rise, end with +Inf, and agree with the count. */
export function checkHistogram(name: string, family: Family): void {
  const series = new Map<string, { buckets: [number, number][]; count: number | null }>();
  for (const sample of family.samples) {
    const { le, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    const entry = series.get(key) ?? { buckets: [], count: null };
    if (sample.name.endsWith("_bucket")) entry.buckets.push([le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le), sample.value]);
    if (sample.name.endsWith("_count")) entry.count = sample.value;
    series.set(key, entry);
  }
  for (const { buckets, count } of series.values()) {
    if (buckets.at(-1)?.[0] !== Number.POSITIVE_INFINITY) throw new Error(`${name} has no +Inf bucket`);
    if (buckets.at(-1)?.[1] !== count) throw new Error(`${name}: +Inf bucket and count differ`);
    for (let index = 1; index < buckets.length; index++) {
      const [le = 0, value = 0] = buckets[index] ?? [];
      const [lower = 0, before = 0] = buckets[index - 1] ?? [];
      if (le <= lower || value < before) throw new Error(`${name}: buckets do not rise`);
    }
  }
}
