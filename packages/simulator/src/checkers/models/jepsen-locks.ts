import type { Model } from "../linearizability.ts";

/**
 * The five models of Jepsen's Hazelcast suite (table "Testing mutual exclusion" of the study): a client acquires or releases and is
 * told ok or not. They know neither expiry nor queues, so they fit short histories without either; `lock.ts` has the full model.
 */
export interface SimpleInput {
  readonly type: "acquire" | "release";
  readonly name: string;
  readonly client: string;
}
export interface SimpleOutput {
  readonly ok: boolean;
  /** 0 = not told. */
  readonly fence: number;
}
interface Owned {
  readonly owner: string | null;
  readonly depth: number;
  /** Fence of the current hold, 0 = unknown. */
  readonly fence: number;
  /** Highest fence seen. */
  readonly high: number;
}
type SimpleModel<S> = Model<S, SimpleInput, SimpleOutput>;

const free: Owned = { owner: null, depth: 0, fence: 0, high: 0 };
const ownedKey = (state: Owned): string => `${state.owner ?? "-"} ${state.depth} ${state.fence} ${state.high}`;

/** Builds the four owner models from two switches: how deep one client may re-enter, and whether fences are looked at. */
function ownerModel(name: string, limit: number, fenced: boolean): SimpleModel<Owned> {
  const acquire = (state: Owned, client: string, fence: number): readonly Owned[] => {
    const rises = !fenced || fence === 0 || fence > state.high;
    const high = Math.max(state.high, fence);
    if (state.owner === null) return rises ? [{ owner: client, depth: 1, fence: fenced ? fence : 0, high: fenced ? high : 0 }] : [];
    if (state.owner !== client || state.depth >= limit) return [];
    if (!fenced) return [{ ...state, depth: state.depth + 1 }];
    if (state.fence === 0) return rises ? [{ owner: client, depth: state.depth + 1, fence, high }] : [];
    return fence === 0 || fence === state.fence ? [{ ...state, depth: state.depth + 1 }] : [];
  };
  return {
    name,
    initial: free,
    step(state, input, output) {
      if (output !== null && !output.ok) return [state];
      if (input.type === "acquire") return acquire(state, input.client, output?.fence ?? 0);
      if (state.owner !== input.client) return [];
      return [state.depth > 1 ? { ...state, depth: state.depth - 1 } : { owner: null, depth: 0, fence: 0, high: state.high }];
    },
    key: ownedKey,
  };
}

export const mutexModel = (): SimpleModel<Owned> => ownerModel("mutex", 1, false);
export const fencedModel = (): SimpleModel<Owned> => ownerModel("fenced", 1, true);
export const reentrantModel = (limit: number = 2): SimpleModel<Owned> => ownerModel("reentrant", limit, false);
export const reentrantFencedModel = (limit: number = 2): SimpleModel<Owned> => ownerModel("reentrant-fenced", limit, true);

/** A semaphore of `size` permits; a client may hold several. */
export const permitsModel = (size: number): SimpleModel<ReadonlyMap<string, number>> => ({
  name: "permits",
  initial: new Map(),
  step(state, input, output) {
    if (output !== null && !output.ok) return [state];
    const held = state.get(input.client) ?? 0;
    let total = 0;
    for (const count of state.values()) total += count;
    if (input.type === "acquire" ? total >= size : held === 0) return [];
    const next = new Map(state);
    const count = held + (input.type === "acquire" ? 1 : -1);
    if (count === 0) next.delete(input.client);
    else next.set(input.client, count);
    return [next];
  },
  key: (state) =>
    [...state]
      .map(([client, count]) => `${client}=${count}`)
      .sort()
      .join(","),
});
