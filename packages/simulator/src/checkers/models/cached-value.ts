import type { Model } from "../linearizability.ts";

/**
 * One cached key as its callers may observe it: a register with compare-and-set, increments and versions that only rise. What is invalidated by
 * its tag is deleted, whatever is there; the end of a value is the log's to say, and of that version only.
 */
export type CacheInput =
  | { readonly type: "get"; readonly key: string }
  | { readonly type: "put"; readonly key: string; readonly value: string }
  /** Compare-and-set on a version. */
  | { readonly type: "swap"; readonly key: string; readonly value: string; readonly version: number }
  | { readonly type: "increment"; readonly key: string; readonly by: number }
  | { readonly type: "delete" | "clear"; readonly key: string }
  /** Its time was over: not of a caller. */
  | { readonly type: "end"; readonly key: string; readonly version: number };

export type CacheOutput =
  | { readonly type: "read"; readonly value: string | null; readonly version: number }
  | { readonly type: "written"; readonly version: number; readonly number: number | null }
  /** Of a swap: what is there, 0 = nothing. */
  | { readonly type: "conflict"; readonly version: number }
  | { readonly type: "not-a-number" }
  /** `version` null = it is not told. */
  | { readonly type: "deleted"; readonly version: number | null };

export interface CachedState {
  readonly value: string | null;
  /** Null = nobody was told it yet. */
  readonly version: number | null;
  /** The highest version that anybody was told of this key. */
  readonly high: number;
}

export const cachedValueModel = (): Model<CachedState, CacheInput, CacheOutput> => ({
  name: "cached value",
  initial: { value: null, version: 0, high: 0 },
  step(state, input, output) {
    switch (input.type) {
      case "get":
        return output?.type === "read" && output.value === state.value ? seen(state, output.version) : [];
      case "put":
        return output === null || output.type === "written" ? written(state, input.value, output?.version ?? null) : [];
      case "swap":
        return swapped(state, input.value, input.version, output);
      case "increment":
        return incremented(state, input.by, output);
      case "delete":
      case "clear":
        return output === null || output.type === "deleted" ? deleted(state, output?.version ?? null) : [];
      case "end":
        return isVersion(state, input.version) ? deleted({ ...state, high: Math.max(state.high, input.version) }, null) : [];
    }
  },
  key: ({ high, value, version }) => `${value ?? "-"} ${version ?? "?"} ${high}`,
});

/** Somebody is told the version of what is there. */
function seen(state: CachedState, version: number): readonly CachedState[] {
  if (state.value === null) return version === 0 ? [{ ...state, version: 0 }] : [];
  if (state.version !== null) return state.version === version ? [state] : [];
  return version > state.high ? [{ ...state, version, high: version }] : [];
}

function written(state: CachedState, value: string, version: number | null): readonly CachedState[] {
  const known = Math.max(state.high, state.version ?? 0);
  if (version === null) return [{ value, version: null, high: known }];
  return version > known ? [{ value, version, high: version }] : [];
}

function swapped(state: CachedState, value: string, wanted: number, output: CacheOutput | null): readonly CachedState[] {
  const mayMatch = state.value === null ? wanted === 0 : isVersion(state, wanted);
  if (output === null) return mayMatch ? written({ ...state, high: Math.max(state.high, wanted) }, value, null) : [];
  if (output.type === "written") return mayMatch ? written({ ...state, high: Math.max(state.high, wanted) }, value, output.version) : [];
  if (output.type !== "conflict" || output.version === wanted) return [];
  return seen(state, output.version);
}

/** A version that nobody was told yet may be this one, if it is above all that are known. */
function isVersion({ high, value, version }: CachedState, wanted: number): boolean {
  return value !== null && (version === wanted || (version === null && wanted > high));
}

function incremented(state: CachedState, by: number, output: CacheOutput | null): readonly CachedState[] {
  const before = state.value === null ? 0 : Number(state.value);
  if (!Number.isInteger(before)) return output === null || output.type === "not-a-number" ? [state] : [];
  const after = before + by;
  if (output === null) return written(state, String(after), null);
  return output.type === "written" && output.number === after ? written(state, String(after), output.version) : [];
}

function deleted(state: CachedState, version: number | null): readonly CachedState[] {
  const known = Math.max(state.high, state.version ?? 0);
  if (version === null) return [{ value: null, version: 0, high: known }];
  // 0: there was nothing to delete.
  if (version === 0) return state.value === null ? [{ value: null, version: 0, high: known }] : [];
  return state.value !== null && version > known ? [{ value: null, version: 0, high: version }] : [];
}
