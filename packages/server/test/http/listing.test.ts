import { type ApplySink, SnapshotLoader, SystemState, type SystemView } from "@trivet/core";
import type { Command } from "@trivet/wire";
import { describe, expect, test, vi } from "vitest";
import { readListing, untilListable } from "../../src/http/calls.ts";
import type { HttpContext } from "../../src/http/context.ts";

type Consistency = "linearizable" | "stale";

/** A node whose reads answer, as a real one's do, in a later turn: with what `stateOf` says then. */
function contextOf(stateOf: (consistency: Consistency) => SystemView | null): HttpContext {
  const node = {
    read: (consistency: Consistency, _timeoutMs: number, done: (outcome: unknown) => void) =>
      void setImmediate(() => {
        const state = stateOf(consistency);
        done(state === null ? { type: "unavailable", code: "storage", detail: "", retryAfterMs: 1 } : { type: "ready", state });
      }),
  };
  return { node, config: { http: { requestTimeoutMs: 1_000 } } } as unknown as HttpContext;
}

const nobody: ApplySink = { answer: () => undefined, changed: () => undefined };
const nameOf = (lock: number): string => `orders/${String(lock).padStart(4, "0")}`;

/** As a snapshot restores it: nobody has asked for any of its names. */
function restoredHolds(count: number): SystemState {
  const state = new SystemState({ locksPerSession: count });
  const apply = (command: Command): unknown => state.applyCommand(command, "", 0, nobody);
  apply({ type: "open-session", ttlMs: 10_000, lockDelayMs: 0, principal: "p", label: "" });
  const actor = { session: 1, principal: "p", owner: "a" };
  for (let lock = 0; lock < count; lock++) {
    const keys = [{ name: nameOf(lock), mode: "exclusive", of: 0 }] as const;
    apply({ type: "acquire", actor, keys, ttlMs: 0, waitMs: 0, reentrant: false, anonymous: false });
  }
  const loader = new SnapshotLoader();
  const cursor = state.beginSnapshot();
  for (let chunk = cursor.next(1 << 16); chunk !== null; chunk = cursor.next(1 << 16)) loader.push(chunk);
  const restored = loader.finish();
  expect(restored.lockState.packed.size).toBe(count);
  return restored;
}

/** Counts how often anything of a packed hold is looked at. */
function looksAt({ lockState: { packed } }: SystemState): () => number {
  const looks = (["compare", "compareText", "isPacked", "startsWith"] as const).map((look) => vi.spyOn(packed, look));
  return () => looks.reduce((count, { mock }) => count + mock.calls.length, 0);
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("listings of locks after a start", () => {
  test("are waited for by all callers together, a step in a turn", async () => {
    let steps = 0;
    let stepsOfTurn = 0;
    let most = 0;
    const view = {
      arrangeToList: () => {
        most = Math.max(most, ++stepsOfTurn);
        return ++steps >= 50;
      },
    } as unknown as SystemView;
    const context = contextOf(() => view);
    const all = Promise.all(Array.from({ length: 100 }, () => untilListable(context)));
    for (let left = 150; left > 0; left--) {
      stepsOfTurn = 0;
      await turn();
    }
    await all;
    expect([steps, most]).toEqual([50, 1]);
    // The next comes anew.
    await untilListable(context);
    expect(steps).toBe(51);
  });

  test("are of a state that is in order, also when it took the place of the one that was", async () => {
    const before = restoredHolds(600);
    const after = restoredHolds(9_000);
    const looks = looksAt(after);
    let state: SystemState = before;
    const context = contextOf((consistency) => {
      if (consistency === "linearizable") state = after;
      return state;
    });
    let looked = Number.POSITIVE_INFINITY;
    const page = await readListing(context, "linearizable", (view) => {
      const looksBefore = looks();
      const { locks } = view.locks("orders/", "", 20);
      looked = looks() - looksBefore;
      return locks.map(({ name }) => name);
    });
    expect(page).toEqual(Array.from({ length: 20 }, (_, lock) => nameOf(lock)));
    expect(looked).toBeLessThan(9_000);
  });

  test("tell why there is nothing to read", async () => {
    expect(
      await readListing(
        contextOf(() => null),
        "linearizable",
        () => 1,
      ),
    ).toMatchObject({ type: "failure", code: "storage_unavailable" });
  });
});
