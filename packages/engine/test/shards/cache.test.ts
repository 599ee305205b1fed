import { encodeUtf8 } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { Caches } from "./cache-support.ts";

const nodes = ["n1", "n2", "n3"] as const;

describe("cached values", () => {
  test("on one node: put, get, hit, delete", () => {
    const caches = new Caches(1);
    expect(caches.entry("n1", "a")).toMatchObject({ found: "absent", version: 0 });
    const { version } = caches.put("n1", "a", "1");
    expect(caches.entry("n1", "a")).toMatchObject({ found: "value", version, source: "cache", state: "M" });
    expect(caches.get("n1", "a")).toBe("1");
    expect(caches.delete("n1", "a").version).toBeGreaterThan(version);
    expect(caches.get("n1", "a")).toBeNull();
  });

  test("on three nodes: what was written through one is read through every other, from then on without the network", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    for (const node of nodes) expect(caches.get(node, "a")).toBe("1");
    caches.warm("a");
    for (const node of nodes) expect(caches.peek(node, "a")).toBe("1");
    caches.put("n2", "a", "2");
    expect([caches.peek("n1", "a"), caches.peek("n3", "a")]).toEqual([undefined, undefined]);
    for (const node of nodes) expect(caches.get(node, "a")).toBe("2");
  });

  test("who reads or writes now and then finds its copy at the next read", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.cluster.run(10_000);
    for (const node of nodes) {
      caches.entry(node, "a");
      caches.cluster.run(10_000);
      expect(caches.entry(node, "a")).toMatchObject({ found: "value", source: "cache" });
    }
    caches.put("n3", "b", "1");
    caches.cluster.run(10_000);
    expect(caches.entry("n3", "b")).toMatchObject({ found: "value", source: "cache" });
  });

  test("absence is a copy too, and ends with the first write", () => {
    const caches = new Caches();
    expect(caches.get("n2", "a")).toBeNull();
    caches.warm("a", "n2");
    expect(caches.entry("n2", "a")).toMatchObject({ found: "absent", source: "cache" });
    caches.put("n1", "a", "1");
    expect(caches.get("n2", "a")).toBe("1");
    caches.put("n1", "a", null);
    expect(caches.entry("n2", "a")).toMatchObject({ found: "negative", source: "database" });
  });

  test("compare-and-set, increments and loaders' puts are decided where they are applied", () => {
    const caches = new Caches();
    const { version } = caches.put("n1", "a", "1");
    const stale = caches.answer(caches.beginPut("n2", "a", "x", { condition: { type: "version", version: version + 1 } }));
    expect(stale).toEqual({ type: "conflict", reason: "version", version });
    expect(caches.get("n3", "a")).toBe("1");
    expect(caches.put("n2", "a", "2", { condition: { type: "version", version } }).version).toBeGreaterThan(version);
    expect(caches.increment("n3", "a", 40).number).toBe(42);
    expect(caches.get("n1", "a")).toBe("42");
    caches.put("n1", "b", "no number");
    expect(caches.answer(caches.beginIncrement("n2", "b", 1))).toEqual({ type: "not-a-number" });
    const { token } = caches.entry("n1", "c");
    caches.put("n2", "c", "newer");
    expect(caches.answer(caches.beginPut("n1", "c", "loaded", { token }))).toMatchObject({ type: "conflict", reason: "token" });
  });

  test("a value ends by its time, for whoever has a copy and for whoever has none", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1", { ttlMs: 500 });
    caches.warm("a");
    caches.cluster.run(600);
    for (const node of nodes) expect(caches.entry(node, "a")).toMatchObject({ found: "absent" });
    caches.put("n1", "b", "1", { ttlMs: 100 });
    caches.cluster.run(60_000);
    const stored = nodes.map((node) => caches.storedIn(node, "b"));
    expect(stored).toEqual([null, null, null]);
  });

  test("a tag, and a namespace, are gone everywhere once their invalidation is answered", () => {
    const caches = new Caches();
    for (const key of ["a", "b", "c", "d"]) caches.put("n1", key, key, { tags: key < "c" ? ["t"] : [] });
    for (const key of ["a", "b", "c", "d"]) caches.warm(key);
    expect(caches.invalidate("n3", "t")).toMatchObject({ type: "invalidated", shards: 4 });
    for (const node of nodes) expect(["a", "b", "c", "d"].map((key) => caches.get(node, key))).toEqual([null, null, "c", "d"]);
    caches.invalidate("n2", null);
    for (const node of nodes) expect(["a", "b", "c", "d"].map((key) => caches.get(node, key))).toEqual([null, null, null, null]);
  });

  test("copies can be dropped without touching the value", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    caches.dropCopies("n2", "a");
    expect(nodes.map((node) => caches.peek(node, "a"))).toEqual([undefined, undefined, undefined]);
    expect(caches.get("n3", "a")).toBe("1");
  });

  test("a retry under the same idempotency key takes effect once", () => {
    const caches = new Caches();
    const options = { timeoutMs: 10_000, idempotency: { key: "k1", fingerprint: "f" } };
    expect(caches.increment("n1", "a", 1, options).number).toBe(1);
    expect(caches.increment("n2", "a", 1, options).number).toBe(1);
    expect(caches.get("n3", "a")).toBe("1");
    const other = { timeoutMs: 10_000, idempotency: { key: "k1", fingerprint: "g" } };
    expect(caches.answer(caches.beginIncrement("n2", "a", 1, other))).toEqual({ type: "refused", reason: "other-body" });
  });

  test("what cannot be carried is refused before anything happens", () => {
    const caches = new Caches(1);
    expect(caches.answer(caches.beginPut("n1", "", "1"))).toMatchObject({ type: "malformed" });
    expect(caches.answer(caches.beginPut("n1", "a", "1", { namespace: "a\u0000b" }))).toMatchObject({ type: "malformed" });
    expect(caches.answer(caches.beginPut("n1", "a", "x".repeat(524_289)))).toMatchObject({ type: "malformed" });
    expect(caches.answer(caches.beginPut("n1", "a", "1", { namespace: "none" }))).toEqual({ type: "unknown-namespace", namespace: "none" });
    expect(caches.answer(caches.beginPut("n1", "a", "1", { value: encodeUtf8("y") }))).toMatchObject({ type: "written" });
  });
});

describe("cached values while nodes fail", () => {
  test("the home dies: what was acknowledged is read through the next one, and written to", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const home = caches.homeOf("a");
    const [first, second] = nodes.filter((node) => node !== home) as [string, string];
    caches.cluster.kill(home);
    expect(caches.get(first, "a")).toBe("1");
    caches.put(second, "a", "2");
    expect(caches.get(first, "a")).toBe("2");
    caches.cluster.restart(home);
    caches.cluster.until("it is back", () => caches.cluster.member(home).host.phase === "running");
    expect(caches.get(home, "a")).toBe("2");
  });

  test("without a majority a read that may be stale gets at once what the node has, and no other read gets anything", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const { network } = caches.cluster;
    network.options = { fate: () => ({ delaysMs: [] }) };
    caches.cluster.run(5_000);
    const begun = caches.cluster.clock.now();
    for (const node of nodes) {
      expect(caches.peek(node, "a")).toBeUndefined();
      expect(caches.storedIn(node, "a")).toBe("1");
    }
    expect(caches.cluster.clock.now() - begun).toBeLessThan(100);
    for (const node of nodes) expect(caches.answer(caches.beginGet(node, "a"))).toMatchObject({ type: "unavailable" });
  });

  test("a holder that is cut off delays one write by its lease, reads nothing old after that, and is barred", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const home = caches.homeOf("a");
    const [cut, other] = nodes.filter((node) => node !== home) as [string, string];
    caches.cut(cut);
    const begun = caches.cluster.clock.now();
    const told = caches.beginPut(other, "a", "2");
    let read = caches.peek(cut, "a");
    caches.cluster.until("the write is done", () => {
      if (told.value === null) read = caches.peek(cut, "a");
      return told.value !== null;
    });
    expect(told.value).toMatchObject({ type: "written" });
    expect(read).not.toBe("2");
    expect(caches.peek(cut, "a")).toBeUndefined();
    const took = caches.cluster.clock.now() - begun;
    expect(took).toBeGreaterThan(300);
    expect(took).toBeLessThan(800);
    // It waits for nobody again.
    const again = caches.cluster.clock.now();
    caches.put(other, "a", "3");
    expect(caches.cluster.clock.now() - again).toBeLessThan(100);
    caches.heal();
    expect(caches.get(cut, "a")).toBe("3");
  });

  test("what a home says does not arrive, though it hears everything: the copy is over before the write is answered", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const home = caches.homeOf("a");
    const [deaf, other] = nodes.filter((node) => node !== home) as [string, string];
    const [from, to] = [caches.cluster.member(home).url, caches.cluster.member(deaf).url];
    caches.cluster.network.options = {
      fate: (passage) => ({ delaysMs: passage.from === from && passage.to === to ? [] : [0.2] }),
    };
    const told = caches.beginPut(other, "a", "2");
    let isOld = true;
    caches.cluster.until("the write is done", () => {
      isOld &&= told.value !== null || caches.peek(deaf, "a") !== "2";
      return told.value !== null;
    });
    expect(told.value).toMatchObject({ type: "written" });
    expect(isOld).toBe(true);
    expect(caches.peek(deaf, "a")).toBeUndefined();
    caches.heal();
    expect(caches.get(deaf, "a")).toBe("2");
  });

  test("a stopped node's copies are over before somebody else's write is answered, and it never reads them again", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const home = caches.homeOf("a");
    const [stopped, other] = nodes.filter((node) => node !== home) as [string, string];
    caches.cluster.member(stopped).view.pause();
    caches.put(other, "a", "2");
    caches.cluster.member(stopped).view.resume();
    expect(caches.peek(stopped, "a")).toBeUndefined();
    expect(caches.get(stopped, "a")).toBe("2");
  });

  test("all die: values are data", () => {
    const caches = new Caches();
    for (let at = 0; at < 20; at++) caches.put("n1", `k${at}`, `v${at}`);
    for (const node of nodes) caches.cluster.kill(node);
    for (const node of nodes) caches.cluster.restart(node);
    caches.untilLed();
    for (let at = 0; at < 20; at++) expect(caches.get("n2", `k${at}`)).toBe(`v${at}`);
  });

  test("a planned move of the home withdraws what it granted, so that the next one waits for nobody", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const home = caches.homeOf("a");
    const [next, dead] = nodes.filter((node) => node !== home) as [string, string];
    caches.cluster.kill(dead);
    caches.put(next, "a", "2");
    caches.moveHome("a", next);
    const begun = caches.cluster.clock.now();
    caches.put(next, "a", "3");
    expect(caches.cluster.clock.now() - begun).toBeLessThan(200);
    expect(caches.get(home, "a")).toBe("3");
  });

  test("a move that comes to nothing leaves the home as it was", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const home = caches.homeOf("a");
    caches.beginMove("a", "n9");
    caches.cluster.run(500);
    caches.warm("a");
    expect(caches.homeOf("a")).toBe(home);
    expect(caches.explain("n1", "a").phase).toBe("open");
  });

  test("a node that stops in good order is waited for by nobody", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const home = caches.homeOf("a");
    const [leaving, other] = nodes.filter((node) => node !== home) as [string, string];
    let stopped = false;
    caches.cluster.member(leaving).host.stop(() => (stopped = true));
    caches.cluster.until("it has stopped", () => stopped);
    const begun = caches.cluster.clock.now();
    caches.put(other, "a", "2");
    expect(caches.cluster.clock.now() - begun).toBeLessThan(100);
  });
});
