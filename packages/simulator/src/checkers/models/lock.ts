import type { LockMode } from "@trivet/wire";

import type { Model } from "../linearizability.ts";

/**
 * One lock name as a caller may observe it: modes, semaphores, re-entrancy, fences, upgrades, and ends that the log decided (expiry,
 * force release, session end). Queueing is not part of the state: a refusal is always legal, a grant only when nothing held conflicts.
 */
export type LockInput =
  | {
      readonly type: "acquire";
      readonly name: string;
      readonly owner: string;
      readonly session: number;
      readonly mode: LockMode;
      readonly of: number;
      readonly reentrant: boolean;
    }
  | { readonly type: "release"; readonly name: string; readonly fence: number }
  | { readonly type: "convert"; readonly name: string; readonly fence: number; readonly mode: LockMode }
  /** Ended by the log, not by a caller: the hold of `fence`. */
  | { readonly type: "end"; readonly name: string; readonly fence: number };

export type LockOutput =
  /** Acquire and convert: the fence held afterwards. */
  | { readonly type: "granted"; readonly fence: number; readonly depth: number }
  | { readonly type: "refused" }
  | { readonly type: "released"; readonly remaining: number }
  | { readonly type: "not-held" };

export interface ModelHold {
  readonly owner: string;
  readonly session: number;
  readonly mode: LockMode;
  readonly fence: number;
  readonly depth: number;
}
export interface LockState {
  readonly holds: readonly ModelHold[];
  readonly of: number;
  readonly high: number;
}

/** Which modes two different owners may hold at once. Update admits readers that are there, and readers admit one update. */
export function compatible(a: LockMode, b: LockMode): boolean {
  if (a === "permit" || b === "permit") return a === b;
  if (a === "exclusive" || b === "exclusive") return false;
  return a === "shared" || b === "shared";
}

function admits(holds: readonly ModelHold[], mode: LockMode, of: number): boolean {
  if (mode === "permit") return holds.every((hold) => hold.mode === "permit") && holds.length < of;
  return holds.every((hold) => compatible(hold.mode, mode));
}

export const lockModel = (): Model<LockState, LockInput, LockOutput> => ({
  name: "lock",
  initial: { holds: [], of: 0, high: 0 },
  step(state, input, output) {
    switch (input.type) {
      case "acquire":
        return acquire(state, input, output);
      case "convert":
        return convert(state, input, output);
      case "release":
        return release(state, input.fence, output);
      case "end":
        return [{ ...state, holds: state.holds.filter((hold) => hold.fence !== input.fence) }];
      default:
        return input satisfies never;
    }
  },
  key: (state) =>
    `${state.high} ${state.of} ${state.holds
      .map((hold) => `${hold.owner}/${hold.session}/${hold.mode}/${hold.fence}/${hold.depth}`)
      .sort()
      .join(" ")}`,
});

function acquire(state: LockState, input: LockInput & { type: "acquire" }, output: LockOutput | null): readonly LockState[] {
  if (output !== null && output.type !== "granted") return [state];
  const again = state.holds.find(
    (hold) => input.reentrant && hold.owner === input.owner && hold.session === input.session && covers(hold.mode, input.mode),
  );
  if (again !== undefined && (output === null || output.depth > 1)) {
    if (output !== null && (output.fence !== again.fence || output.depth !== again.depth + 1)) return [];
    const holds = state.holds.map((hold) => (hold === again ? { ...hold, depth: hold.depth + 1 } : hold));
    return [{ ...state, holds }];
  }
  if (output !== null && output.depth !== 1) return [];
  if (!admits(state.holds, input.mode, input.of)) return [];
  const fence = output?.fence ?? unknownFence(state);
  if (output !== null && fence <= state.high) return [];
  const hold = { owner: input.owner, session: input.session, mode: input.mode, fence, depth: 1 };
  return [{ holds: [...state.holds, hold], of: input.mode === "permit" ? input.of : 0, high: Math.max(state.high, fence) }];
}

/** A grant nobody was told of still has some fence above the last one; a fraction is above it and below every later one. */
function unknownFence(state: LockState): number {
  return state.high + 2 ** -20;
}

function convert(state: LockState, input: LockInput & { type: "convert" }, output: LockOutput | null): readonly LockState[] {
  const own = state.holds.find((hold) => hold.fence === input.fence);
  if (output !== null && output.type !== "granted") return output.type === "not-held" && own !== undefined ? [] : [state];
  if (own === undefined) return [];
  const others = state.holds.filter((hold) => hold !== own);
  if (!admits(others, input.mode, state.of)) return [];
  const fence = output?.fence ?? own.fence;
  if (fence !== own.fence && fence <= state.high) return [];
  return [{ ...state, holds: [...others, { ...own, mode: input.mode, fence }], high: Math.max(state.high, fence) }];
}

function release(state: LockState, fence: number, output: LockOutput | null): readonly LockState[] {
  const own = state.holds.find((hold) => hold.fence === fence);
  if (output !== null && output.type !== "released") return own === undefined ? [state] : [];
  if (own === undefined) return [];
  if (output !== null && output.remaining !== own.depth - 1) return [];
  const rest = state.holds.filter((hold) => hold !== own);
  return [{ ...state, holds: own.depth > 1 ? [...rest, { ...own, depth: own.depth - 1 }] : rest }];
}

/** May a hold in mode `held` be re-entered asking `wanted`? */
function covers(held: LockMode, wanted: LockMode): boolean {
  const strength: Readonly<Record<LockMode, number>> = { permit: 0, shared: 1, update: 2, exclusive: 3 };
  return held === wanted || (held !== "permit" && wanted !== "permit" && strength[held] >= strength[wanted]);
}
