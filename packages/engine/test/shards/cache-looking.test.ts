import type { CacheChange, CacheFailure } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { Caches } from "./cache-support.ts";

const nodes = ["n1", "n2", "n3"] as const;

describe("looking at cached values", () => {
  test("explain names the home, who has which copy, how long it may be read, and what became of it", () => {
    const caches = new Caches();
    caches.warm("a", "n1", "n2");
    const { version } = caches.put("n1", "a", "1", { tags: ["t"] });
    caches.get("n2", "a");
    const told = caches.explain("n3", "a");
    expect(told).toMatchObject({ home: caches.homeOf("a"), phase: "open", version, tags: ["t"], directory: "S", owner: null, silent: [] });
    expect(told.sharers.map(({ holder }) => holder).sort()).toEqual(["n1", "n2"]);
    expect(told.sharers.every(({ leaseLeftMs }) => leaseLeftMs > 0 && leaseLeftMs <= 707)).toBe(true);
    const byNode = new Map(told.copies.map((copy) => [copy.node, copy]));
    expect([byNode.get("n1")?.state, byNode.get("n2")?.state, byNode.get("n3")?.state]).toEqual(["S", "S", "I"]);
    expect(byNode.get("n1")).toMatchObject({ version });
    expect(byNode.get("n1")?.transitions.at(-1)).toMatchObject({ from: "M", to: "S" });
    expect(told.copies[0]?.node).toBe("n3");
  });

  test("the only reader has it alone, and a second one makes it two", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.dropCopies("n1", "a");
    caches.warm("a", "n2");
    expect(caches.explain("n2", "a")).toMatchObject({ directory: "X", owner: "n2" });
    expect(caches.entry("n2", "a").state).toBe("E");
    caches.warm("a", "n3");
    expect(caches.explain("n2", "a")).toMatchObject({ directory: "S", owner: null });
  });

  test("verify looks at every copy of every node, and says which does not answer", () => {
    const caches = new Caches();
    for (let at = 0; at < 30; at++) caches.put("n1", `k${at}`, "v");
    for (let at = 0; at < 30; at++) caches.warm(`k${at}`);
    expect(caches.verify("n2")).toEqual({ type: "verified", ok: true, keysChecked: 30, violations: [], silent: [], truncated: [] });
    caches.cluster.member("n3").view.pause();
    expect(caches.verify("n2")).toMatchObject({ ok: false, silent: ["n3"] });
  });

  test("verify finds a copy that is not what is stored, or that its home does not know", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const spoilt = nodes.find((node) => node !== caches.homeOf("a")) ?? "n1";
    const line = [...caches.cluster.member(spoilt).host.caching.copies.all()][0]?.line;
    const copy = line?.copy;
    if (line === undefined || copy === null || copy === undefined) throw new Error("no copy");
    line.copy = { ...copy, record: { ...copy.record, version: 4711 } };
    expect(caches.verify("n2").violations).toMatchObject([{ invariant: "data-value", namespace: "default", key: "a" }]);
    line.copy = copy;
    line.state = "M";
    const other = [...caches.cluster.member(nodes.find((node) => node !== spoilt) ?? "n1").host.caching.copies.all()][0]?.line;
    if (other === undefined) throw new Error("no other copy");
    other.state = "E";
    expect(caches.verify("n2").violations.map(({ invariant }) => invariant)).toEqual(["single-writer"]);
  });

  test("another node's copy can be fetched without keeping it", () => {
    const caches = new Caches();
    caches.warm("a", "n1");
    caches.put("n1", "a", "1");
    const told = new Told<unknown>();
    caches.service("n2").fetchCopy("default", "a", null, 5_000, told.hear);
    expect(caches.answer(told)).toMatchObject({ type: "entry", node: "n1", source: "peer", found: "value", state: "M" });
    expect(caches.peek("n2", "a")).toBeUndefined();
    const none = new Told<unknown>();
    caches.service("n2").fetchCopy("default", "a", "n3", 5_000, none.hear);
    expect(caches.answer(none)).toEqual({ type: "no-copy" });
  });

  test("statistics and state count what this node keeps", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a", "n1", "n2");
    expect(caches.service("n1").statistics()).toMatchObject({ hits: 1, writes: 1, entries: 1, maxEntries: 10_000, states: { S: 1 } });
    expect(caches.service("n2").statistics()).toMatchObject({ hits: 1, misses: 1, transitions: { "I>IS_D": 2, "IS_D>S": 1 } });
    expect(caches.service("n2").state("", 10)).toMatchObject({ keys: [{ namespace: "default", key: "a", state: "S" }], next: null });
  });

  test("copies are bounded, the policy says which go, and their homes hear of it", () => {
    const caches = new Caches(3, { cache: { maxEntries: 10, maxBytes: 1_000_000, policy: "lru" } });
    for (let at = 0; at < 30; at++) caches.put("n1", `k${at}`, "v");
    for (let at = 0; at < 30; at++) caches.warm(`k${at}`, "n2");
    expect(caches.service("n2").statistics()).toMatchObject({ entries: 10, evictions: 20 });
    caches.cluster.run(50);
    const sharers = (key: string): readonly string[] => caches.explain("n2", key).sharers.map(({ holder }) => holder);
    expect(sharers("k0")).not.toContain("n2");
    expect(sharers("k29")).toContain("n2");
    expect(caches.get("n2", "k0")).toBe("v");
    expect(caches.verify("n1").ok).toBe(true);
  });

  test("who watches hears of every change in its order, and goes on from a position", () => {
    const caches = new Caches();
    const heard: CacheChange[] = [];
    const ended = new Told<CacheFailure>();
    const stop = caches
      .service("n2")
      .watch({ namespace: "default", prefix: "a", from: null }, { changed: (change) => void heard.push(change), ended: ended.hear });
    caches.cluster.run(10);
    caches.put("n1", "a1", "1", { tags: ["t"] });
    caches.put("n3", "b", "1");
    caches.put("n3", "a1", "2");
    caches.delete("n2", "a1");
    caches.cluster.until("all were heard", () => heard.length === 3);
    expect(heard.map(({ change, key }) => [change, key])).toEqual([
      ["put", "a1"],
      ["put", "a1"],
      ["delete", "a1"],
    ]);
    stop();
    const later: CacheChange[] = [];
    const from = heard[0]?.position ?? "";
    caches
      .service("n2")
      .watch({ namespace: "default", prefix: "a", from }, { changed: (change) => void later.push(change), ended: ended.hear });
    caches.cluster.until("the rest was heard", () => later.length === 2);
    expect(later.map(({ change }) => change)).toEqual(["put", "delete"]);
    caches.service("n2").watch({ namespace: "default", prefix: "", from: "elsewhere.1" }, { changed: () => {}, ended: ended.hear });
    expect(caches.answer(ended)).toEqual({ type: "position-gone" });
  });
});
