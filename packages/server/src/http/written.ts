import type { RouteDefinition } from "@trivet/contract";
import { nearestName } from "../config/nearest.ts";
import type { Failure } from "./answer.ts";

/** How a caller wrote a field that has a canonical name, or a canonical unit. */
export interface WrittenAs {
  readonly name: string;
  readonly unit: "seconds" | null;
}
/** By canonical name. */
export type Written = ReadonlyMap<string, WrittenAs>;

/** What a fault of validation is told with: the route, what was sent, and under which names. */
export interface Sent {
  readonly definition: RouteDefinition;
  readonly body: unknown;
  readonly query: unknown;
  readonly written: Written | null;
}

const partOf = (place: string): "body" | "query" => (place === "body" ? "body" : "query");

function ownNames(sent: Sent, place: string): readonly string[] {
  const schema: { readonly properties?: object } | undefined = sent.definition[partOf(place)];
  return Object.keys(schema?.properties ?? {});
}

/** Every spelling that this call takes for `field`, the canonical one first. */
export function spellings(sent: Sent, field: string): readonly string[] {
  return [field, ...(sent.definition.fields ?? []).filter((alias) => alias.to === field).map((alias) => alias.from)];
}

/** The field that a mistyped one most likely means, or null. */
export function likelyField(sent: Sent, place: string, name: string): string | null {
  return nearestName(
    name,
    ownNames(sent, place).flatMap((field) => spellings(sent, field)),
  );
}

/** A field that was sent, is not known, and most likely means `missing` in one of its spellings. */
export function mistyped(sent: Sent, place: string, missing: string): { readonly field: string; readonly meant: string } | null {
  const given = sent[partOf(place)];
  if (typeof given !== "object" || given === null) return null;
  const known = ownNames(sent, place);
  for (const field of Object.keys(given)) {
    const meant = known.includes(field) ? null : nearestName(field, spellings(sent, missing));
    if (meant !== null) return { field, meant };
  }
  return null;
}

/** Blames a field by the name it was sent under. */
export function asWritten(reason: Failure, written: Written | null): Failure {
  const field = reason.code === "bad_request" ? reason.members?.["field"] : undefined;
  const as = typeof field === "string" ? written?.get(field) : undefined;
  if (as === undefined || as.name === field) return reason;
  return { ...reason, values: { ...reason.values, field: as.name }, members: { ...reason.members, field: as.name } };
}
