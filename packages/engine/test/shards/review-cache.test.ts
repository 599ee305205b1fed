import { encodeUtf8 } from "@trivet/wire";
import { type GroupId, groupId } from "@trivet/core";
import { type CacheFailure, MemoryClock, type Verified } from "@trivet/engine";
import { describe, expect, test, vi } from "vitest";
import type { CopiesPage, CopyReports, Directory } from "../../src/cache/copy-reports.ts";
import { lineOfKey } from "../../src/cache/lines.ts";
import { verify } from "../../src/cache/verifying.ts";
import { Watches } from "../../src/cache/watches.ts";
import { Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";

describe("a node that starts again", () => {
  guard("coherence-former-process-answered", "is not told that its write is done when that of its former process was (rule X1)", () => {
    const caches = new Caches();
    caches.cluster.run(3_000);
    const home = caches.homeOf("a");
    const [writer, reader] = ["n1", "n2", "n3"].filter((node) => node !== home) as [string, string];
    caches.put(home, "a", "0");
    caches.warm("a", reader);
    // It hears nothing of its home: the write waits for its lease.
    vi.spyOn(caches.cluster.member(reader).host.caching, "toHolder").mockImplementation(() => {});
    caches.beginPut(writer, "a", "1");
    caches.cluster.run(20);
    caches.cluster.kill(writer);
    caches.cluster.restart(writer);
    let written = caches.answer(caches.beginPut(writer, "a", "2"));
    for (; written.type === "unavailable"; written = caches.answer(caches.beginPut(writer, "a", "2"))) caches.cluster.run(5);
    expect(written).toMatchObject({ type: "written" });
    expect(caches.get(home, "a")).toBe("2");
  });
});

describe("a home", () => {
  test("leaves a node whose disk is full, though no barrier can be logged there", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a");
    const home = caches.homeOf("a");
    const next = ["n1", "n2", "n3"].find((node) => node !== home) ?? "";
    vi.spyOn(caches.cluster.member(home).host.disk, "critical", "get").mockReturnValue(true);
    caches.moveHome("a", next);
    caches.put("n1", "a", "2");
    for (const node of ["n1", "n2", "n3"]) expect(caches.get(node, "a")).toBe("2");
  });
});

describe("a call at the home's own node", () => {
  test("ends in its time although the home cannot answer it", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    const home = caches.homeOf("a");
    vi.spyOn(caches.cluster.member(home).host.disk, "critical", "get").mockReturnValue(true);
    let told: string | null = null;
    caches.service(home).invalidate("default", null, { timeoutMs: 1_000 }, (outcome) => (told = outcome.type));
    caches.cluster.until("it is given up", () => told !== null, 5_000);
    expect(told).toBe("unknown");
  });
});

describe("a node's copies", () => {
  test("whoever is told that a write is done finds it, and nothing older", () => {
    const caches = new Caches();
    caches.put("n1", "a", "1");
    caches.warm("a", "n1");
    // The only copy, just written, and read.
    caches.put("n1", "a", "2");
    expect(caches.peek("n1", "a")).toBe("2");
    let found: string | undefined;
    const request = { namespace: "default", key: "a", value: encodeUtf8("3"), tags: [], ttlMs: 0, token: null, ifFence: null };
    caches.service("n1").put({ ...request, condition: { type: "always" } }, { timeoutMs: 10_000 }, () => (found = caches.peek("n1", "a")));
    caches.cluster.run(500);
    expect(found).toBe("3");
  });

  test("lines that were written and not kept leave nothing behind", () => {
    const caches = new Caches(1);
    const told = new Told<unknown>();
    caches.service("n1").defineNamespace("strict", { mode: "strict" }, "create", { timeoutMs: 10_000 }, told.hear);
    caches.answer(told);
    for (let at = 0; at < 50; at++) caches.put("n1", `k${at}`, "v", { namespace: "strict" });
    caches.cluster.run(5_000);
    let left = 0;
    for (const [, { state }] of caches.cluster.member("n1").host.caching.all()) left += state.pending.size;
    expect(left).toBe(0);
  });
});

describe("a watch", () => {
  test("waits for a namespace that this node has not heard of yet", () => {
    const clock = new MemoryClock(1_000);
    let last = 1;
    const watches = new Watches({
      clock,
      newName: () => "run",
      shards: () => 1,
      isHere: () => true,
      namespaceNumbered: (namespace) => (namespace > last ? null : namespace === 2 ? "new" : "ns"),
      isUnheard: (namespace) => namespace > last,
    });
    const heard: number[] = [];
    const told = { changed: ({ version }: { readonly version: number }) => void heard.push(version), ended: () => void heard.push(-1) };
    watches.watch({ namespace: "new", prefix: "", from: null }, told);
    clock.runUntilIdle();
    for (const [version, namespace] of [1, 2, 1, 2].entries()) {
      watches.applied(groupId(1), [{ namespace, key: "k", tag: null, change: "put", version: version + 1 }]);
    }
    watches.tick();
    expect(heard).toEqual([]);
    last = 2;
    watches.tick();
    expect(heard).toEqual([2, 4]);
  });

  test("that begins after a snapshot took the place of what was here is told what comes (rule M10)", () => {
    const clock = new MemoryClock(1_000);
    const shards = 1;
    const watches = new Watches({
      clock,
      newName: () => "run",
      shards: () => shards,
      isHere: () => true,
      namespaceNumbered: () => "ns",
      isUnheard: () => false,
    });
    const heard: string[] = [];
    const watch = (from: string | null): void => {
      watches.watch(
        { namespace: "ns", prefix: "", from },
        { changed: ({ position, version }) => void heard.push(`${version} at ${position}`), ended: ({ type }) => void heard.push(type) },
      );
      clock.runUntilIdle();
    };
    const change = (version: number): void => watches.applied(groupId(1), [{ namespace: 1, key: "k", tag: null, change: "put", version }]);
    change(1);
    watches.skipped(groupId(1));
    watch(null);
    change(7);
    expect(heard.splice(0)).toEqual(["7 at run.7"]);
    watch("run.7");
    watch("run.1");
    expect(heard).toEqual(["position-gone"]);
  });

  test("ends where the node gives up a shard: what happens there is not heard of any more", () => {
    const caches = new Caches();
    const nodes = ["n1", "n2", "n3"];
    const ended = nodes.map((node) => {
      const told = new Told<CacheFailure>();
      caches.service(node).watch({ namespace: "default", prefix: "", from: null }, { changed: () => {}, ended: told.hear });
      return told;
    });
    caches.cluster.run(10);
    caches.cluster.add("n4", "http://n4", { join: ["http://n1"], shards: 4 });
    const gave = (node: string): boolean =>
      [1, 2, 3, 4].some((shard) => caches.cluster.member(node).host.shards?.replica(groupId(shard)) == null);
    caches.cluster.until("a replica is moved", () => nodes.some(gave), 60_000);
    for (const [at, node] of nodes.entries()) if (gave(node)) expect(ended[at]?.value).toEqual({ type: "position-gone" });
  });
});

/** What `verify` says of a copy that the home does not know of. */
function verified(phase: Directory["phase"]): Verified | null {
  const clock = new MemoryClock(1_000);
  const directory = { phase, sharers: [], version: 1 } as unknown as Directory;
  const reports = {
    others: () => [],
    copiesOf: (_node: string, _from: number, done: (page: CopiesPage) => void): void =>
      done({ copies: [{ line: lineOfKey(1, "a"), state: "S", version: 1 }], next: null }),
    directoryOf: (_group: GroupId, lines: readonly string[], done: (found: readonly Directory[]) => void): void =>
      done(lines.map(() => directory)),
  } as unknown as CopyReports;
  const told = new Told<Verified>();
  verify({ reports, clock, self: "n1", shards: 4, nameOf: () => "default" }, told.hear);
  clock.advance(1_000);
  return told.value;
}

describe("verify", () => {
  test("finds nothing wrong with copies that a new home still waits for (rule M4)", () => {
    expect(verified("open")?.violations).toMatchObject([{ invariant: "directory-covers-copies" }]);
    expect(verified("recovering")).toMatchObject({ ok: true, violations: [] });
  });
});
