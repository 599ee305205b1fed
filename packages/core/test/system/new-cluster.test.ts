import type { NodeView, SystemState } from "@trivet/core";
import type { Command } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { renewSystem } from "../../src/system/new-cluster.ts";
import { nobody } from "../../src/system/ledger.ts";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { checkSystem } from "../../src/invariants/locks.ts";
import { acquire, Bench, frameOf } from "./support.ts";

const unixSeconds = 1_800_000_000;
const base = unixSeconds * 2 ** 20;
const node = (name: string): NodeView => ({
  node: name,
  storage: `disk-${name}`,
  url: `http://${name}:8001`,
  roles: "lock",
  voter: true,
  replaceable: false,
  draining: false,
});

function renewed(state: SystemState, laterMs = 0): SystemState {
  const t0 = unixSeconds * 1000;
  return renewSystem(state, { nodes: [node("a"), node("b")], placement: null, savedMs: t0 - 1000, nowMs: t0 + laterMs });
}
/** As the nodes of the new cluster load it. */
function reloaded(state: SystemState): SystemState {
  const cursor = state.beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(512); chunk !== null; chunk = cursor.next(512)) chunks.push(chunk);
  return restoreSystem(chunks);
}

const ask = (state: SystemState, command: Command): unknown => state.applyCommand(command, "", 0, nobody);

describe("group 0 of a new cluster (W9)", () => {
  test("what the logs may hold stays: the feature level does not fall, and one of before levels says none", () => {
    const bench = new Bench();
    expect(reloaded(renewed(bench.state)).features.told).toBeNull();
    ask(bench.state, { type: "raise-level", level: 3 });
    expect(reloaded(renewed(bench.state)).features.told).toBe(3);
  });

  test("every lock is free, every session over, and the next fence is above all that were granted since", () => {
    const bench = new Bench();
    const session = bench.open(5_000);
    const fence = bench.take("x", "exclusive", { session, owner: "a" });
    bench.wait(acquire("x", "exclusive", { owner: "b" }, { waitMs: 1_000 }));
    const state = reloaded(renewed(bench.state));
    checkSystem(state);
    expect([state.lockCount(), state.sessionCount(), state.waiterCount(), state.isHeld("x", fence)]).toEqual([0, 0, 0, false]);
    expect(ask(state, acquire("x", "exclusive", { owner: "c" }))).toMatchObject({ type: "granted", fence: base + 1 });
    const open = { type: "open-session", ttlMs: 10, lockDelayMs: 0, principal: "p", label: "" } as const;
    expect(ask(state, open)).toMatchObject({ type: "session-opened", session: base + 1 });
    expect(state.nodes().map(({ node: name, storage }) => [name, storage])).toEqual([
      ["a", "disk-a"],
      ["b", "disk-b"],
    ]);
  });

  test("a request that is sent again is told no grant of before, and not that it waits", () => {
    const bench = new Bench();
    // As a clock of today has it: the new cluster goes on from the time of the restore.
    bench.now = unixSeconds * 1000 - 5_000;
    const take = acquire("x", "exclusive", { owner: "a" });
    bench.entry(frameOf("r", 1, [take], { notAfter: bench.now + 60_000 }));
    bench.entry(frameOf("s", 1, [acquire("x", "exclusive", { owner: "b" }, { waitMs: 9_000 })], { notAfter: bench.now + 60_000 }));
    bench.entry(
      frameOf("t", 1, [{ type: "release", actor: { session: 0, owner: "z", principal: "p" }, name: "y", fence: 1, anonymous: false }], {
        notAfter: bench.now + 60_000,
      }),
    );
    bench.open();
    expect(bench.answers.get("r/1")?.type).toBe("granted");
    const state = reloaded(renewed(bench.state));
    expect(state.lookup("r", 1)).toEqual({ type: "cancelled" });
    expect(state.lookup("s", 1)).toEqual({ type: "cancelled" });
    expect(state.lookup("t", 1)).toEqual(bench.answers.get("t/1"));
    expect(state.lookup("c", 1)).toEqual({ type: "session-lost", session: 1 });
    const next = new Bench({}, state);
    next.entry(frameOf("r", 1, [take], { notAfter: bench.now + 60_000 }));
    expect(next.answers.get("r/1")).toEqual({ type: "cancelled" });
    expect(state.lockCount()).toBe(0);
  });

  test("queues and namespaces stay under their numbers, in newer versions; new ones get numbers never given before", () => {
    const bench = new Bench();
    const define = (name: string) => bench.ask({ type: "define-queue", name, mode: "create", settings: { backoffMs: 7 }, principal: "p" });
    define("jobs");
    define("mail");
    bench.ask({ type: "define-namespace", name: "users", mode: "create", settings: { ttlMs: 9 }, principal: "p" });
    const state = reloaded(renewed(bench.state));
    expect(state.queue("jobs")).toMatchObject({ queue: 1, definition: { version: base + 1, backoffMs: 7 } });
    expect(state.queue("mail")).toMatchObject({ queue: 2, definition: { version: base + 2 } });
    expect(state.namespace("users")).toMatchObject({ namespace: 2, version: base + 2, settings: { ttlMs: 9 } });
    expect(state.namespace("default")).toMatchObject({ namespace: 1, version: base + 1 });
    const made = { name: "new", mode: "create", settings: {}, principal: "p" } as const;
    expect(ask(state, { type: "define-queue", ...made })).toMatchObject({ queue: base + 1 });
    expect(ask(state, { type: "define-namespace", ...made })).toMatchObject({ namespace: base + 1 });
  });

  test("it is the same whoever makes it, and a second one begins above the first", () => {
    const bench = new Bench();
    for (const name of ["a", "b", "c"]) bench.ask({ type: "define-queue", name, mode: "create", settings: {}, principal: "p" });
    bench.take("x", "shared", { owner: "a" });
    const [one, other] = [renewed(bench.state), renewed(reloaded(bench.state))];
    expect(one.stateHash()).toBe(other.stateHash());
    expect(one.appliedIndex).toBe(base);
    expect(renewed(one, 1).lockState.lastFence).toBeGreaterThan(one.lockState.lastFence);
  });

  test("its time is that of the restore: taken over again as it stands, its counters are those of the clock, and not ahead of it", () => {
    const once = reloaded(renewed(new Bench().state, 0.25));
    expect(once.groupTime).toBe(unixSeconds * 1000 + 1);
    const laterMs = 30 * 24 * 3_600_000;
    const times = { savedMs: once.groupTime, nowMs: unixSeconds * 1000 + laterMs };
    const twice = renewSystem(once, { nodes: [node("a")], placement: null, ...times });
    expect(twice.appliedIndex).toBe((unixSeconds + laterMs / 1000) * 2 ** 20);
  });

  test("a later restore of one backup grants higher fences than an earlier one, also soon after a restore", () => {
    const restored = renewed(new Bench().state);
    const day = 86_400_000;
    const t0 = unixSeconds * 1000;
    const fence = (days: number): number => {
      const state = renewSystem(restored, { nodes: [node("a")], placement: null, savedMs: t0 + day, nowMs: t0 + days * day });
      const granted = ask(state, acquire("x", "exclusive", { owner: "a" })) as { readonly fence: number };
      return granted.fence;
    };
    expect(fence(3)).toBeGreaterThan(fence(2) + 1_000_000);
    expect(fence(2)).toBeGreaterThan(restored.lockState.lastFence);
  });
});
