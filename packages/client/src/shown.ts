import { inspect } from "node:util";

/** Makes `console.log` show one line instead of everything that `object` refers to. */
export function shownAs<T extends object>(object: T, describe: (this: T) => string): void {
  Object.defineProperty(object, inspect.custom, { value: describe, enumerable: false });
}
