import type { Proposed } from "../../../src/coherence/home-state.ts";
import type { CachedRecord, WriteOutcome } from "../../../src/coherence/messages.ts";

/** What the log of the shard has come to, at one home. */
export interface Store {
  version: number;
  counter: number;
  /** By write: the version it made, or null when it changed nothing. */
  done: Map<number, number | null>;
  registered: Map<string, number>;
  marker: { barrier: boolean; term: number } | null;
}

/** A command of the model: which write it is, and what becomes of it. */
export const kinds = { put: 0, refused: 1, clear: 2, delete: 3 } as const;
export type Kind = keyof typeof kinds;

export function emptyStore(): Store {
  return { version: 0, counter: 0, done: new Map(), registered: new Map(), marker: null };
}

export function recordOf({ counter, version }: Store): CachedRecord {
  return Object.freeze({ version, value: null, tags: [], ttlMs: 0, asOf: counter });
}

/** What apply does: each write once (rule X1). */
export function applyTo(store: Store, what: Proposed, term: number): WriteOutcome | null {
  switch (what.type) {
    case "register-holder":
      store.registered.set(what.holder, Math.max(what.incarnation, store.registered.get(what.holder) ?? 0));
      return null;
    case "forget-holder":
      if (store.registered.get(what.holder) === what.incarnation) store.registered.delete(what.holder);
      return null;
    case "lease-barrier":
    case "lease-resume":
      store.marker = { barrier: what.type === "lease-barrier", term };
      return null;
    case "write": {
      const [write = 0, kind = 0] = what.command;
      let version = store.done.get(write);
      if (version === undefined) {
        version = kind === kinds.refused ? null : ++store.counter;
        if (version !== null) store.version = kind === kinds.delete ? 0 : version;
        store.done.set(write, version);
      }
      return Object.freeze({ version, answer: what.command });
    }
  }
}
