import type { Model } from "../linearizability.ts";

/**
 * One key of a namespace that is written behind, as its callers may observe it: what was written last, whether it is stored here, waits for the outside
 * store, or is there alone. The end of a stored value, by time or by an invalidation, is none of the key.
 */
export type OutsideInput =
  | { readonly type: "get"; readonly key: string }
  | { readonly type: "put"; readonly key: string; readonly value: string }
  | { readonly type: "add"; readonly key: string; readonly value: string }
  | { readonly type: "increment"; readonly key: string; readonly by: number }
  | { readonly type: "delete"; readonly key: string };

export type OutsideOutput =
  | { readonly type: "read"; readonly value: string | null }
  | { readonly type: "written"; readonly number: number | null }
  /** Of an `add`: there is a value. */
  | { readonly type: "exists" }
  | { readonly type: "not-a-number" }
  | { readonly type: "deleted" };

export const outsideValueModel = (): Model<string | null, OutsideInput, OutsideOutput> => ({
  name: "value written behind",
  initial: null,
  step(state, input, output) {
    switch (input.type) {
      case "get":
        return output?.type === "read" && output.value === state ? [state] : [];
      case "put":
        return output === null || output.type === "written" ? [input.value] : [];
      case "add":
        if (state !== null) return output === null || output.type === "exists" ? [state] : [];
        return output === null || output.type === "written" ? [input.value] : [];
      case "increment":
        return incremented(state, input.by, output);
      case "delete":
        return output === null || output.type === "deleted" ? [null] : [];
    }
  },
  key: (state) => state ?? "-",
});

function incremented(state: string | null, by: number, output: OutsideOutput | null): readonly (string | null)[] {
  const before = state === null ? 0 : Number(state);
  if (!Number.isInteger(before)) return output === null || output.type === "not-a-number" ? [state] : [];
  if (output === null) return [String(before + by)];
  return output.type === "written" && output.number === before + by ? [String(before + by)] : [];
}
