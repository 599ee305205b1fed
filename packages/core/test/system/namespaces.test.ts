import { type SystemState, describeSystem } from "@trivet/core";
import type { Command, DefineNamespace, NamespaceSettings, Result } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { defaultNamespaceSettings } from "../../src/system/limits.ts";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench } from "./support.ts";

function define(name: string, settings: Partial<NamespaceSettings> = {}, mode: DefineNamespace["mode"] = "ensure"): Command {
  return { type: "define-namespace", name, mode, settings, principal: "" };
}
const remove = (name: string): Command => ({ type: "delete-namespace", name, principal: "" });
function tell(bench: Bench, command: Command): Result | number {
  return bench.state.applyCommand(command, "c", 1, bench);
}
function chunksOf(state: SystemState): Uint8Array[] {
  const cursor = state.beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(64); chunk !== null; chunk = cursor.next(64)) chunks.push(chunk);
  return chunks;
}

describe("namespaces of cached values", () => {
  test("`default` is there without having been made, can be changed, and cannot go", () => {
    const bench = new Bench();
    expect(bench.state.namespace("default")).toEqual({
      namespace: 1,
      name: "default",
      version: 1,
      settings: defaultNamespaceSettings,
      createdAt: 0,
    });
    expect(tell(bench, remove("default"))).toEqual({ type: "namespace-refused", reason: "standing" });
    expect(tell(bench, define("default", { ttlMs: 5 }))).toMatchObject({ created: false, version: 2, settings: { ttlMs: 5 } });
    expect(bench.state.namespaceByNumber(1)?.settings.ttlMs).toBe(5);
  });

  test("are made once, changed in new versions, and never get a number again", () => {
    const bench = new Bench();
    expect(tell(bench, define("users", {}, "update"))).toEqual({ type: "namespace-refused", reason: "unknown" });
    expect(tell(bench, define("users", { ttlMs: 100 }))).toMatchObject({
      type: "namespace-defined",
      created: true,
      namespace: 2,
      version: 2,
    });
    expect(tell(bench, define("users", {}, "create"))).toMatchObject({ type: "namespace-refused", reason: "exists", namespace: 2 });
    expect(tell(bench, define("users", { ttlMs: 100 }))).toMatchObject({ created: false, version: 2 });
    expect(tell(bench, define("users", { maxEntries: 9 }))).toMatchObject({
      created: false,
      version: 3,
      settings: { ttlMs: 100, maxEntries: 9 },
    });
    expect(tell(bench, define("other"))).toMatchObject({ namespace: 3 });
    expect(tell(bench, remove("users"))).toEqual({ type: "namespace-deleted", namespace: 2 });
    expect(tell(bench, remove("users"))).toEqual({ type: "namespace-refused", reason: "unknown" });
    expect(tell(bench, define("users"))).toMatchObject({ created: true, namespace: 4 });
    expect(bench.state.lastNamespace()).toBe(4);
    expect(bench.events.filter(({ type }) => type === "namespace-deleted")).toEqual([{ type: "namespace-deleted", namespace: 2 }]);
  });

  test("the mode stays; what cannot be is refused; so is one too many", () => {
    const bench = new Bench({ namespaces: 2 });
    tell(bench, define("users"));
    const fixed = { type: "namespace-refused", reason: "fixed", field: "mode", value: "write-through", asked: "strict" };
    expect(tell(bench, define("users", { mode: "strict" }))).toEqual(fixed);
    expect(tell(bench, define("users", { ttlMs: Number.MAX_SAFE_INTEGER }))).toMatchObject({ reason: "invalid" });
    expect(tell(bench, define("more"))).toEqual({ type: "namespace-refused", reason: "too-many", max: 2 });
    expect(tell(bench, define("less", { mode: "ttl" }))).toMatchObject({ type: "namespace-refused" });
    const wide = new Bench();
    expect(tell(wide, define("less", { mode: "ttl" }))).toMatchObject({ reason: "invalid" });
    expect(tell(wide, define("less", { mode: "ttl", staleMs: 1 }))).toMatchObject({ created: true });
  });

  test("are listed by name, a page at a time", () => {
    const bench = new Bench();
    for (const name of ["c", "a", "b"]) tell(bench, define(name));
    const first = bench.state.namespaces("", "", 2);
    expect(first.namespaces.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(bench.state.namespaces("", first.next ?? "", 2)).toMatchObject({ namespaces: [{ name: "c" }, { name: "default" }], next: null });
    expect(bench.state.namespaces("b", "", 10).namespaces.map(({ name }) => name)).toEqual(["b"]);
  });

  test("are in the snapshot and in the hash; a cluster without any writes what its former version could read", () => {
    const bench = new Bench();
    const plain = bench.state.stateHash();
    expect(chunksOf(bench.state)[0]?.[2]).toBe(2);
    tell(bench, define("users", { mode: "ttl", staleMs: 7, policy: "sieve" }));
    tell(bench, define("gone"));
    tell(bench, remove("gone"));
    tell(bench, define("default", { ttlMs: 5 }));
    expect(bench.state.stateHash()).not.toBe(plain);
    const restored = restoreSystem(chunksOf(bench.state));
    expect(describeSystem(restored)).toEqual(describeSystem(bench.state));
    expect(restored.stateHash()).toBe(bench.state.stateHash());
    expect(restored.namespace("users")).toEqual(bench.state.namespace("users"));
    expect(restored.namespace("default")?.settings.ttlMs).toBe(5);
    expect(restored.lastNamespace()).toBe(3);
  });

  test("an origin is a setting that may change; it is in the snapshot and in the hash", () => {
    const bench = new Bench();
    expect(tell(bench, define("pages"))).toMatchObject({ settings: { origin: "none" } });
    const plain = bench.state.stateHash();
    expect(tell(bench, define("pages", { origin: "redis" }))).toMatchObject({ settings: { origin: "redis" } });
    const [redis, restored] = [bench.state.stateHash(), restoreSystem(chunksOf(bench.state))];
    expect(redis).not.toBe(plain);
    expect(restored.stateHash()).toBe(redis);
    expect(restored.namespace("pages")?.settings.origin).toBe("redis");
    expect(tell(bench, define("pages", { ttlMs: 5 }))).toMatchObject({ settings: { origin: "redis", ttlMs: 5 } });
    expect(tell(bench, define("pages", { origin: "none" }))).toMatchObject({ settings: { origin: "none" } });
  });
});
