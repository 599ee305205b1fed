import { inspect } from "node:util";

/** Makes `console.log` show one line instead of everything that `object` refers to. */
export function shownAs(object: object, describe: () => string): void {
  Object.defineProperty(object, inspect.custom, { value: describe, enumerable: false });
}
