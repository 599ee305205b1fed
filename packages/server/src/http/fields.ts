import type { FieldAlias, RouteDefinition } from "@trivet/contract";
import { badField, type Failure } from "./answer.ts";
import type { Written, WrittenAs } from "./written.ts";

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

/** Fields whose value may come in any letter case. */
const caseless: ReadonlySet<string> = new Set(["mode", "lock_type"]);

function inMilliseconds(value: unknown): unknown {
  const seconds = typeof value === "string" && /^[0-9]+(?:\.[0-9]+)?$/.test(value) ? Number(value) : value;
  return typeof seconds === "number" ? Math.round(seconds * 1_000) : seconds;
}

function rename(fields: Fields, aliases: readonly FieldAlias[], written: Map<string, WrittenAs>): Fields | Failure {
  const renamed: Fields = {};
  const writtenAs = new Map<string, string>();
  for (const [name, raw] of Object.entries(fields)) {
    const alias = aliases.find((candidate) => candidate.from === name);
    const target = alias?.to ?? name;
    const value = alias?.unit === "seconds" ? inMilliseconds(raw) : raw;
    const clean = caseless.has(target) && typeof value === "string" ? value.toLowerCase() : value;
    const before = writtenAs.get(target);
    if (before !== undefined && renamed[target] !== clean) {
      return badField(name, `the same value as ${before}: both name the ${target.replaceAll("_", " ")}`);
    }
    writtenAs.set(target, name);
    if (alias !== undefined) written.set(target, { name, unit: alias.unit ?? null });
    renamed[target] = clean;
  }
  return renamed;
}

const isFailure = (value: Fields | Failure): value is Failure => value["type"] === "failure" && "code" in value;

export interface PlainRequest {
  body: unknown;
  query: unknown;
  /** Filled here: the names under which fields were sent. */
  written: Written | null;
}

/** Gives body and query their canonical field names before they are validated. Returns the failure when two names contradict. */
export function canonicalFields(definition: RouteDefinition, request: PlainRequest): Failure | null {
  const aliases = definition.fields;
  if (aliases === undefined) return null;
  const written = new Map<string, WrittenAs>();
  request.written = written;
  for (const part of ["body", "query"] as const) {
    const value = request[part];
    if ((part === "body" ? definition.body : definition.query) === undefined || !isFields(value)) continue;
    const renamed = rename(value, aliases, written);
    if (isFailure(renamed)) return renamed;
    request[part] = renamed;
  }
  return null;
}
