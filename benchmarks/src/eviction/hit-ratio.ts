import { policyNames, type PolicyName } from "@trivet/core";
import { aligned } from "../table.ts";
import { references, type Reference } from "./reference.ts";
import { hitRatio } from "./replay.ts";
import { TraceFolder, traceNames, type TraceName } from "./traces.ts";

/** Points below the reference at which a trace counts as missed. */
const tolerated = 1;
/** Only W-TinyLFU draws lots: its mean is shown, and its worst is judged. */
const seeds = [1, 2, 3, 4, 5];
const zipfTarget = 90;
const order: readonly PolicyName[] = ["lru", "lfu", "arc", "s3fifo", "sieve", "wtinylfu"];

interface Replayed {
  readonly reference: Reference;
  readonly requests: number;
  readonly unique: number;
  readonly ratios: ReadonlyMap<PolicyName, readonly number[]>;
}

/** Prints our hit ratios beside the reference's. False when a trace was missed. Throws when one cannot be read. */
export function compareHitRatios(asked: readonly TraceName[], folder: string, say: (line: string) => void): boolean {
  const traces = new TraceFolder(folder);
  const names = asked.length > 0 ? asked : traceNames;
  const replayed = references.filter(({ trace }) => names.includes(trace)).map((reference) => replay(traces, reference));
  say(aligned([head(), ...replayed.flatMap(rows)]));
  say("");
  const verdicts = replayed.map(judge);
  for (const { line } of verdicts) say(line);
  return verdicts.every(({ reached }) => reached);
}

function replay(traces: TraceFolder, reference: Reference): Replayed {
  const trace = traces.load(reference.trace);
  const ratios = new Map<PolicyName, readonly number[]>();
  for (const policy of policyNames) {
    const runs = policy === "wtinylfu" ? seeds : seeds.slice(0, 1);
    ratios.set(
      policy,
      runs.map((seed) => hitRatio(trace, policy, reference.size, seed)),
    );
  }
  return { reference, requests: trace.requests.length, unique: trace.unique, ratios };
}

function head(): string[] {
  return ["trace @copies", "hits %", "requests", "keys", ...order, "1 % window", "optimum"];
}

function rows({ reference, requests, unique, ratios }: Replayed): string[][] {
  const ours = order.map((policy) => percent(mean(ratios.get(policy) ?? [])));
  const theirs = order.map((policy) => percent(reference.ratios[policy]));
  return [
    [`${reference.trace} @${reference.size}`, "Trivet", String(requests), String(unique), ...ours, "", ""],
    ["", "reference", "", "", ...theirs, percent(reference.fixedWindow), percent(reference.optimum)],
  ];
}

function judge({ reference, ratios }: Replayed): { readonly reached: boolean; readonly line: string } {
  const { trace, size } = reference;
  const runs = ratios.get("wtinylfu") ?? [];
  const worst = Math.min(...runs);
  const expected = reference.ratios.wtinylfu ?? 0;
  const goals = [{ what: `${percent(expected)} − ${tolerated} point`, least: expected - tolerated }];
  if (trace === "zipf") goals.push({ what: `the target of ${zipfTarget} %`, least: zipfTarget });
  const missed = goals.filter(({ least }) => worst < least);
  const range = `${percent(mean(runs))} (${percent(worst)} to ${percent(Math.max(...runs))} over ${runs.length} seeds)`;
  const against = goals.map(({ what }) => what).join(" and ");
  return {
    reached: missed.length === 0,
    line:
      missed.length === 0
        ? `${trace} @${size}: reached: adaptive W-TinyLFU ${range}, no seed below ${against}`
        : `${trace} @${size}: MISSED: adaptive W-TinyLFU ${range}, worst below ${missed.map(({ what }) => what).join(" and ")}`,
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function percent(value: number | null): string {
  return value === null ? "–" : value.toFixed(2);
}
