import type { CacheApi, CacheFailure, NamespaceSettings } from "@trivet/engine";
import { decodeUtf8, encodeUtf8 } from "@trivet/wire";
import { describe, expect, test, vi } from "vitest";
import type { ShardHosts } from "../../src/shards/shard-hosts.ts";
import { Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";

type Defined = Parameters<Parameters<CacheApi["defineNamespace"]>[4]>[0];
const nodes = ["n1", "n2", "n3"] as const;

class Namespaces extends Caches {
  make(node: string, name: string, settings: Partial<NamespaceSettings>, mode: "create" | "update" | "ensure" = "create"): Defined {
    const told = new Told<Defined>();
    this.service(node).defineNamespace(name, settings, mode, { timeoutMs: 10_000 }, told.hear);
    return this.answer(told);
  }

  remove(node: string, name: string): unknown {
    const told = new Told<unknown>();
    this.service(node).removeNamespace(name, { timeoutMs: 10_000 }, told.hear);
    return this.answer(told);
  }

  definitions(): ShardHosts["definitions"][] {
    return nodes.flatMap((node) => this.cluster.member(node).host.shards?.definitions ?? []);
  }

  /** Leaders look at group 0 once more. */
  lookAgain(): void {
    for (const node of nodes) {
      const { shards } = this.cluster.member(node).host;
      shards?.definitions.changed(shards.all());
    }
  }

  putIn(node: string, namespace: string, key: string, value: string): unknown {
    return this.answer(this.beginPut(node, key, value, { namespace, value: encodeUtf8(value) }));
  }

  getIn(node: string, namespace: string, key: string): { readonly value: string | null; readonly source: string } | CacheFailure {
    const told = new Told<Parameters<Parameters<CacheApi["get"]>[4]>[0]>();
    this.service(node).get(namespace, key, "linearizable", 10_000, told.hear);
    const entry = this.answer(told);
    if (entry.type !== "entry") return entry;
    return { value: entry.value === null ? null : decodeUtf8(entry.value), source: entry.source };
  }
}

describe("namespaces of cached values", () => {
  test("are made, listed, changed and removed through any node; `default` is there from the beginning", () => {
    const caches = new Namespaces();
    expect(caches.make("n1", "users", { ttlMs: 60_000 })).toMatchObject({ type: "defined", created: true, namespace: { name: "users" } });
    expect(caches.make("n2", "users", {})).toMatchObject({ type: "namespace-exists" });
    expect(caches.make("n3", "users", { mode: "strict" }, "update")).toMatchObject({ type: "fixed", field: "mode" });
    expect(caches.make("n3", "users", { ttlMs: 1 }, "update")).toMatchObject({ type: "defined", created: false });
    expect(caches.make("n3", "other", {}, "update")).toEqual({ type: "unknown-namespace", namespace: "other" });
    expect(caches.make("n3", "bad", { mode: "ttl" })).toMatchObject({ type: "malformed" });
    const listed = new Told<unknown>();
    caches.service("n2").namespaces("", "", 10, 5_000, listed.hear);
    expect(caches.answer(listed)).toMatchObject({ namespaces: [{ name: "default", namespace: 1 }, { name: "users" }], next: null });
    expect(caches.remove("n1", "default")).toMatchObject({ type: "refused" });
    expect(caches.remove("n1", "users")).toEqual({ type: "removed" });
    expect(caches.remove("n2", "users")).toEqual({ type: "unknown-namespace", namespace: "users" });
  });

  test("a value of one is not one of another; one that is made again begins empty", () => {
    const caches = new Namespaces();
    caches.make("n1", "a", {});
    caches.make("n1", "b", {});
    caches.putIn("n1", "a", "k", "in a");
    caches.putIn("n2", "b", "k", "in b");
    for (const node of nodes) expect(caches.getIn(node, "a", "k")).toMatchObject({ value: "in a" });
    caches.remove("n2", "a");
    caches.make("n3", "a", {});
    for (const node of nodes) expect(caches.getIn(node, "a", "k")).toMatchObject({ value: null });
    for (const node of nodes) expect(caches.getIn(node, "b", "k")).toMatchObject({ value: "in b" });
  });

  guard("cache-gone-namespace-believed", "a node that has missed that one was made again reads the new one", () => {
    const caches = new Namespaces();
    caches.make("n1", "a", {});
    caches.putIn("n1", "a", "k", "old");
    expect(caches.getIn("n3", "a", "k")).toMatchObject({ value: "old" });
    caches.cut("n3");
    caches.remove("n1", "a");
    caches.make("n1", "a", {});
    expect(caches.putIn("n1", "a", "k", "new")).toMatchObject({ type: "written" });
    const told = new Told<Parameters<Parameters<CacheApi["get"]>[4]>[0]>();
    caches.service("n3").get("a", "k", "linearizable", 20_000, told.hear);
    caches.cluster.run(1);
    caches.heal();
    const entry = caches.answer(told);
    expect(entry).toMatchObject({ type: "entry", value: encodeUtf8("new") });
  });

  guard("cache-removed-before-dropped", "one that is gone takes no value any more, whoever has not heard of it", () => {
    const caches = new Namespaces();
    caches.make("n1", "a", {});
    caches.putIn("n1", "a", "k", "old");
    const { machine } = caches.cluster.member("n3").host;
    const view = machine?.namespace("a") ?? null;
    if (machine === null || view === null) throw new Error("n3 knows no namespace");
    const held = caches.definitions().map((definitions) => vi.spyOn(definitions, "changed").mockImplementation(() => {}));
    const told = new Told<unknown>();
    caches.service("n1").removeNamespace("a", { timeoutMs: 10_000 }, told.hear);
    caches.cluster.run(1_000);
    for (const spy of held) spy.mockRestore();
    if (told.value === null) caches.lookAgain();
    expect(caches.answer(told)).toEqual({ type: "removed" });
    // Its group 0 is late.
    vi.spyOn(machine, "namespace").mockImplementation(() => view);
    const late = caches.beginPut("n3", "k", "lost", { namespace: "a" });
    caches.cluster.run(500);
    expect(late.value?.type).not.toBe("written");
  });

  test("other bounds for copies take none away whose write is under way", () => {
    const caches = new Namespaces();
    caches.make("n1", "a", { copyEntries: 10 });
    for (const key of ["k", "l"]) for (let time = 0; time < 4; time++) caches.putIn("n1", "a", key, "1");
    expect(caches.service("n1").peek("a", "k")).toMatchObject({ state: "M" });
    caches.make("n1", "a", { copyEntries: 20 }, "update");
    const first = caches.beginPut("n1", "l", "2", { namespace: "a" });
    const second = caches.beginPut("n1", "k", "2", { namespace: "a" });
    expect(caches.answer(first)).toMatchObject({ type: "written" });
    expect(caches.answer(second)).toMatchObject({ type: "written" });
  });

  test("mode strict keeps no copies; mode ttl keeps them for as long as it may be stale", () => {
    const caches = new Namespaces();
    caches.make("n1", "strict", { mode: "strict" });
    caches.putIn("n1", "strict", "k", "1");
    for (let time = 0; time < 2; time++) expect(caches.getIn("n2", "strict", "k")).toEqual({ value: "1", source: "database" });
    caches.make("n1", "ttl", { mode: "ttl", staleMs: 1_000 });
    caches.putIn("n1", "ttl", "k", "1");
    expect(caches.getIn("n2", "ttl", "k")).toEqual({ value: "1", source: "database" });
    caches.putIn("n1", "ttl", "k", "2");
    expect(caches.getIn("n2", "ttl", "k")).toEqual({ value: "1", source: "cache" });
    caches.cluster.run(1_001);
    expect(caches.getIn("n2", "ttl", "k")).toEqual({ value: "2", source: "database" });
  });

  test("what a namespace may hold is a limit, not a reason to forget", () => {
    const caches = new Namespaces();
    caches.make("n1", "small", { maxEntries: 1 });
    const outcomes = Array.from({ length: 20 }, (_, at) => caches.putIn("n1", "small", `k${at}`, "v") as { readonly type: string });
    expect(outcomes.filter(({ type }) => type === "written")).toHaveLength(4);
    expect(outcomes.filter(({ type }) => type === "cache-full")).toHaveLength(16);
  });

  test("survive the end of all nodes", () => {
    const caches = new Namespaces();
    caches.make("n1", "users", { ttlMs: 60_000 });
    caches.putIn("n1", "users", "k", "v");
    for (const node of nodes) caches.cluster.kill(node);
    for (const node of nodes) caches.cluster.restart(node);
    caches.untilLed();
    expect(caches.getIn("n2", "users", "k")).toMatchObject({ value: "v" });
  });
});
