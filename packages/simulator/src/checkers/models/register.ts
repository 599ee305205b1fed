import type { Model } from "../linearizability.ts";

/** A versioned register with compare-and-set. */
export type RegisterInput =
  | { readonly type: "read"; readonly key: string }
  | { readonly type: "write"; readonly key: string; readonly value: string }
  | { readonly type: "compare-and-set"; readonly key: string; readonly expected: string; readonly value: string };
export interface RegisterOutput {
  /** A read's value; a compare-and-set's success is `applied`. */
  readonly value: string;
  readonly applied: boolean;
}

export const registerModel = (initial: string = ""): Model<string, RegisterInput, RegisterOutput> => ({
  name: "register",
  initial,
  step(state, input, output) {
    switch (input.type) {
      case "read":
        return output === null || output.value === state ? [state] : [];
      case "write":
        return [input.value];
      case "compare-and-set": {
        const matches = input.expected === state;
        if (output !== null && output.applied !== matches) return [];
        return [matches ? input.value : state];
      }
      default:
        return input satisfies never;
    }
  },
  key: (state) => state,
});
