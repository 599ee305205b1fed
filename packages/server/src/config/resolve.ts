import { settingNames, settingOf, type Setting, type SettingName } from "@trivet/contract";
import type { Source, Sources, Written } from "./sources.ts";
import { readValue, type SettingValue, type ValueOutcome } from "./values.ts";

export interface Origin {
  /** `default`, `flag`, `environment`, or the file. */
  readonly source: string;
  /** The name that was written; the canonical one for a default. */
  readonly name: string;
  readonly where: string;
}
export interface Fault {
  readonly setting: SettingName;
  readonly line: string;
}
export interface Resolved {
  readonly values: Readonly<Record<SettingName, SettingValue>>;
  readonly origins: Readonly<Record<SettingName, Origin>>;
  readonly faults: readonly Fault[];
  /** Values that were understood in one of two ways, and how. */
  readonly warnings: readonly string[];
}

const mask = "****";
const shownCharacters = 80;
/** Nobody means an election within 20 ms, and nobody one after 20 s. */
const secondsBelow = 20;

export function showValue(setting: Setting, raw: unknown): string {
  if (setting.secret === true) return mask;
  const text = typeof raw === "string" ? raw : JSON.stringify(raw);
  return text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text;
}

/** The one line a person sees: name, value, where, what was expected, position, example (L-11, T-18). */
export function faultLine(written: Written, setting: Setting, expected: string, position: number | null): string {
  const at = position === null ? "" : ` at position ${position}`;
  const equals = written.name.startsWith("--") ? " " : "=";
  const found =
    written.raw === null ? `${written.name} (not set)` : `${written.name}${equals}${showValue(setting, written.raw)} (${written.where})`;
  return `${found}: expected ${expected.replace(/^expected /, "")}${at}; for example ${written.name}${equals}${setting.example}`;
}

function readWritten(written: Written, setting: Setting): ValueOutcome {
  const alias = setting.aliases?.find((candidate) => candidate.name === written.name);
  if (alias?.values !== undefined) {
    const mapped = alias.values[String(written.raw).trim().toLowerCase()];
    return mapped === undefined ? { type: "bad", expected: "true or false", position: null } : { type: "value", value: mapped };
  }
  if (alias?.unit !== undefined) {
    const number = readValue({ kind: "seconds", default: null, use: "none", about: "", example: "" }, written.raw);
    if (number.type === "bad") return number;
    const isSeconds = alias.unit === "seconds" || Number(number.value) < secondsBelow;
    return readValue(setting, Math.round(Number(number.value) * (isSeconds ? 1_000 : 1)));
  }
  if (alias?.holds === "file") {
    const path = String(written.raw).trim();
    return readValue(setting, path.includes("/") ? path.slice(0, Math.max(1, path.lastIndexOf("/"))) : ".");
  }
  if (alias?.holds === "host") return readHost(String(written.raw).trim());
  return readValue(setting, written.raw);
}

/** Stands for an address whose port is the API's, which is known later. */
function readHost(text: string): ValueOutcome {
  return /^[A-Za-z0-9._-]+$|^\[?[0-9A-Fa-f:.]+\]?$/.test(text)
    ? { type: "value", value: text.includes(":") && !text.startsWith("[") ? `[${text}]` : text }
    : { type: "bad", expected: "a host name or an address, without scheme and port", position: null };
}

function ambiguity(setting: SettingName, { name, raw, where }: Written, value: SettingValue): string | null {
  const alias = settingOf(setting).aliases?.find((candidate) => candidate.name === name);
  if (alias?.unit !== "either") return null;
  return `${name}=${String(raw)} (${where}) is understood as ${String(value)} ms, because below ${secondsBelow} it counts as seconds; ${setting} says it exactly`;
}

type Picked =
  | { readonly type: "picked"; readonly value: SettingValue; readonly origin: Origin; readonly written: Written }
  | { readonly type: "fault"; readonly line: string };

/** The values of one setting inside one source: all names must agree. */
function pick(source: Source, setting: Setting, candidates: readonly Written[]): Picked | null {
  let first: { written: Written; value: SettingValue } | null = null;
  for (const written of candidates) {
    const outcome = readWritten(written, setting);
    if (outcome.type === "bad") return { type: "fault", line: faultLine(written, setting, outcome.expected, outcome.position) };
    if (first === null) first = { written, value: outcome.value };
    else if (JSON.stringify(first.value) !== JSON.stringify(outcome.value)) {
      const show = (entry: Written): string => `${entry.name}=${showValue(setting, entry.raw)}`;
      return {
        type: "fault",
        line: `${show(first.written)} and ${show(written)} (${source.label}) contradict each other (config_conflict): they are two names of one setting; keep one`,
      };
    }
  }
  return first === null
    ? null
    : {
        type: "picked",
        value: first.value,
        origin: { source: source.label, name: first.written.name, where: first.written.where },
        written: first.written,
      };
}

/** For every setting the value of the highest source that has it. Faults are collected, not thrown. */
export function resolveSettings({ sources }: Sources): Resolved {
  const values: Partial<Record<SettingName, SettingValue>> = {};
  const origins: Partial<Record<SettingName, Origin>> = {};
  const faults: Fault[] = [];
  const warnings: string[] = [];
  for (const name of settingNames) {
    const setting = settingOf(name);
    const fallback = setting.default === null ? null : readValue(setting, setting.default);
    values[name] = fallback?.type === "value" ? fallback.value : null;
    origins[name] = { source: "default", name, where: "default" };
    for (const source of sources) {
      const picked = pick(
        source,
        setting,
        source.written.filter((written) => written.setting === name),
      );
      if (picked === null) continue;
      if (picked.type === "fault") faults.push({ setting: name, line: picked.line });
      else {
        values[name] = picked.value;
        origins[name] = picked.origin;
        const warning = ambiguity(name, picked.written, picked.value);
        if (warning !== null) warnings.push(warning);
      }
      break;
    }
  }
  return { values: values as Record<SettingName, SettingValue>, origins: origins as Record<SettingName, Origin>, faults, warnings };
}
