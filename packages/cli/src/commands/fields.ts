import { usageError } from "../output/errors.ts";

/** A name as a part of a path. */
export function inPath(name: string, what: string): string {
  // A URL parser removes these two from any path, encoded or not.
  if (name === "." || name === "..") throw usageError(`The name ${name} cannot travel in a path.`, `give the ${what} another name`);
  return encodeURIComponent(name);
}

/** Path of a queue. */
export const queuePath = (name: string): string => `/v1/queues/${inPath(name, "queue")}`;

/** Parser of an option that takes a whole number. */
export function wholeNumber(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isInteger(value) || value < least || value > most)
      throw usageError(`${text} is not a whole number from ${least} to ${most}.`, `${option} ${Math.max(least, Math.min(most, 10))}`);
    return value;
  };
}

/** `name=value`, several. */
export function pairs(
  option: string,
): (text: string, before: readonly (readonly [string, string])[]) => readonly (readonly [string, string])[] {
  return (text, before) => {
    const at = text.indexOf("=");
    if (at < 1) throw usageError(`${text} is not name=value.`, `${option} name=value`);
    return [...before, [text.slice(0, at), text.slice(at + 1)]];
  };
}

/** JSON as it is; anything else is taken for a text. */
export function bodyOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Options that were given, under the names of the API. */
export function given(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
