import type { NamespaceDefinition, QueueDefinition } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { checkSystem } from "../../src/invariants/locks.ts";
import type { ShardDefinitions } from "../../src/queues/definitions.ts";
import { adoptDefinitions } from "../../src/system/adopt-definitions.ts";
import { defaultNamespaceSettings, defaultQueueSettings } from "../../src/system/limits.ts";
import { renewSystem } from "../../src/system/new-cluster.ts";
import type { SystemState } from "../../src/system/system-state.ts";
import { Bench } from "./support.ts";

const t0 = 1_800_000_000_000;
const queueOf = (name: string, version: number, fields: Partial<QueueDefinition> = {}): QueueDefinition => ({
  ...defaultQueueSettings,
  name,
  version,
  ...fields,
});
const namespaceOf = (name: string, version: number, fields: Partial<NamespaceDefinition> = {}): NamespaceDefinition => {
  const { copyBytes: _bytes, copyEntries: _entries, origin: _origin, policy: _policy, ...settings } = defaultNamespaceSettings;
  return { ...settings, name, version, ...fields };
};
const shard = (
  queues: readonly (readonly [number, QueueDefinition | null])[],
  namespaces: readonly (readonly [number, NamespaceDefinition | null])[] = [],
): ShardDefinitions => ({ queues: new Map(queues), namespaces: new Map(namespaces) });

/** A group 0 with `jobs` (1) and, deleted again, `gone` (2). */
function group0(): SystemState {
  const bench = new Bench();
  for (const name of ["jobs", "gone"]) bench.ask({ type: "define-queue", name, mode: "create", settings: {}, principal: "p" });
  bench.ask({ type: "delete-queue", name: "gone", principal: "p" });
  bench.ask({ type: "define-namespace", name: "users", mode: "create", settings: { origin: "redis" }, principal: "p" });
  return bench.state;
}

function adopted(
  former: SystemState,
  ...shards: readonly ShardDefinitions[]
): { readonly state: SystemState; readonly told: readonly string[] } {
  const state = renewSystem(former, { nodes: [], placement: null, savedMs: t0, nowMs: t0 });
  const told = adoptDefinitions(state, former, shards);
  checkSystem(state);
  return { state, told };
}

describe("definitions that shards know better than a group 0 that is behind (G1)", () => {
  test("a queue that only shards know is kept under its number, in the newest settings that any of them has", () => {
    const { state, told } = adopted(
      group0(),
      shard([[3, queueOf("mail", 9, { partitions: 4, backoffMs: 7 })]]),
      shard([[3, queueOf("mail", 8, { partitions: 4 })]]),
    );
    expect(state.queue("mail")).toMatchObject({ queue: 3, definition: { partitions: 4, backoffMs: 7 } });
    // Shards take it for news.
    expect(state.queue("mail")?.definition.version).toBeGreaterThan(state.queue("jobs")?.definition.version ?? Infinity);
    expect(told).toEqual(["queue mail is kept: only shards know it"]);
  });

  test("what group 0 has deleted itself stays so, and what it knows in newer settings stays as it is", () => {
    const former = group0();
    const version = former.queue("jobs")?.definition.version ?? 0;
    const { state, told } = adopted(
      former,
      shard([
        [1, queueOf("jobs", version, { backoffMs: 99 })],
        [2, queueOf("gone", 2)],
      ]),
    );
    expect(state.queue("gone")).toBeNull();
    expect(state.queue("jobs")).toMatchObject({ queue: 1, definition: { backoffMs: defaultQueueSettings.backoffMs } });
    expect(told).toEqual([]);
  });

  test("newer settings that a shard knows are taken; a queue that a shard has dropped is deleted, whatever others say", () => {
    const { state, told } = adopted(group0(), shard([[1, queueOf("jobs", 50, { backoffMs: 99 })]]));
    expect(state.queue("jobs")).toMatchObject({ queue: 1, definition: { backoffMs: 99 } });
    expect(told).toEqual(["queue jobs has the settings that a shard knows: they are newer"]);
    for (const shards of [
      [shard([[1, null]]), shard([[1, queueOf("jobs", 50)]])],
      [shard([[1, queueOf("jobs", 50)]]), shard([[1, null]])],
    ]) {
      expect(adopted(group0(), ...shards).state.queue("jobs")).toBeNull();
    }
  });

  test("of two queues of one name the later one is there: the earlier one must have been deleted", () => {
    const { state } = adopted(
      group0(),
      shard([
        [5, queueOf("jobs", 50)],
        [4, queueOf("jobs", 40)],
      ]),
    );
    expect(state.queue("jobs")?.queue).toBe(5);
    expect([state.queueByNumber(1), state.queueByNumber(4)]).toEqual([null, null]);
  });

  test("a namespace that only shards know is kept, without its origin, which they do not know", () => {
    const behind = { write: "behind", maxBehind: 9, ttlMs: 5 } as const;
    const { state, told } = adopted(group0(), shard([], [[3, namespaceOf("carts", 50, behind)]]));
    expect(state.namespace("carts")).toMatchObject({ namespace: 3, settings: { origin: "none", write: "here", ttlMs: 5 } });
    expect(told).toEqual(["namespace carts is kept: only shards know it; its origin, if it had one, has to be set again"]);
  });

  test("of a namespace that group 0 knows the origin stays, and the newer settings are taken; one that a shard has dropped is deleted", () => {
    const newer = adopted(group0(), shard([], [[2, namespaceOf("users", 50, { ttlMs: 5, write: "behind" })]]));
    expect(newer.state.namespace("users")).toMatchObject({ namespace: 2, settings: { origin: "redis", write: "behind", ttlMs: 5 } });
    expect(newer.told).toEqual(["namespace users has the settings that a shard knows: they are newer"]);
    expect(adopted(group0(), shard([], [[2, null]])).state.namespace("users")).toBeNull();
    expect(adopted(group0(), shard([], [[4, namespaceOf("users", 60)]])).state.namespace("users")?.namespace).toBe(4);
  });
});
