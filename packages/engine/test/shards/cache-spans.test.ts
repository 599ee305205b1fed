import { cacheShardOf, CommandFrameBuilder, encodeUtf8 } from "@trivet/wire";
import { groupId } from "@trivet/core";
import { expect, test } from "vitest";
import { lineOfKey } from "../../src/cache/lines.ts";
import { callersTrace, type EndedSpan, MemorySpans } from "../memory-spans.ts";
import { Caches } from "./cache-support.ts";

class Traced {
  readonly spans: ReadonlyMap<string, MemorySpans> = new Map(["n1", "n2", "n3"].map((node, at) => [node, new MemorySpans(at + 1)]));
  readonly caches = new Caches(3, {}, (node) => this.of(node));

  constructor() {
    // A namespace, a home that is awake, leases, and peers that were asked.
    this.caches.put("n1", this.key, "first");
    this.caches.warm(this.key);
    this.caches.cluster.run(2_000);
    for (const spans of this.spans.values()) spans.ended.length = 0;
  }

  readonly key = "k";

  of(node: string): MemorySpans {
    const spans = this.spans.get(node);
    if (spans === undefined) throw new Error(`no node ${node}`);
    return spans;
  }

  get group(): number {
    const namespace = this.caches.cluster.member("n1").host.machine?.namespace("default")?.namespace ?? 0;
    return cacheShardOf(namespace, this.key, 4);
  }
  get home(): string {
    return this.caches.leaders()[this.group - 1] ?? "";
  }
  get other(): string {
    return [...this.spans.keys()].find((node) => node !== this.home) ?? "";
  }

  /** The only span of this name at the node. */
  one(node: string, name: string): EndedSpan {
    const found = this.of(node).named(name);
    expect(found.map(({ name: is }) => is)).toEqual([name]);
    return found[0] as EndedSpan;
  }
}

test("a write at another node: its wait there, the home's work and the log's are one chain of spans", () => {
  const traced = new Traced();
  const { caches, home, key, other } = traced;
  const told = traced.of(other).within(callersTrace, () => caches.beginPut(other, key, "second"));
  expect(caches.answer(told)).toMatchObject({ type: "written" });
  const waiting = traced.one(other, "holder.write");
  const work = traced.one(home, "home.write");
  const commit = traced.one(home, "log.commit");
  expect(waiting).toMatchObject({
    parent: callersTrace.spanId,
    attributes: { "trivet.group": traced.group, "trivet.outcome": "answered" },
  });
  expect(work).toMatchObject({ parent: waiting.trace.spanId, attributes: { "trivet.outcome": "answered" } });
  expect(commit).toMatchObject({ parent: work.trace.spanId, events: ["proposed", "committed"] });
  expect(new Set([waiting, work, commit].map(({ trace }) => trace.traceId))).toEqual(new Set([callersTrace.traceId]));
  expect(JSON.stringify([...traced.spans.values()].map(({ ended }) => ended))).not.toContain(`"${key}"`);
});

test("a read that is a miss asks the home; one that finds a copy has no span", () => {
  const traced = new Traced();
  const { caches, home, key, other } = traced;
  const read = (): void => {
    const told = traced.of(other).within(callersTrace, () => caches.beginGet(other, key));
    expect(caches.answer(told)).toMatchObject({ type: "entry" });
  };
  read();
  expect(traced.of(other).ended).toEqual([]);
  caches.dropCopies(other, key);
  read();
  const waiting = traced.one(other, "holder.fetch");
  expect(waiting.parent).toBe(callersTrace.spanId);
  expect(traced.one(home, "home.fetch")).toMatchObject({ parent: waiting.trace.spanId, attributes: { "trivet.outcome": "answered" } });
});

test("an invalidation is a span at each home, with its place in the log below it", () => {
  const traced = new Traced();
  const { caches, home, other } = traced;
  const told = { value: null as unknown };
  traced.of(other).within(callersTrace, () =>
    caches.service(other).invalidate("default", null, { timeoutMs: 10_000 }, (outcome) => {
      told.value = outcome;
    }),
  );
  caches.cluster.until("it is invalidated", () => told.value !== null);
  const work = traced.of(home).named("home.invalidate");
  expect(work.length).toBeGreaterThan(0);
  for (const { parent, trace } of work) {
    expect(parent).toBe(callersTrace.spanId);
    expect(
      traced
        .of(home)
        .named("log.commit")
        .filter(({ parent: of }) => of === trace.spanId),
    ).toHaveLength(1);
  }
});

test("what a program asks through a node is of the program's trace at the home", () => {
  const traced = new Traced();
  const { caches, group, home, key, other } = traced;
  const { programs } = caches.cluster.member(other).host.caching;
  const namespace = caches.cluster.member(other).host.machine?.namespace("default");
  const line = lineOfKey(namespace?.namespace ?? 0, key);
  const told: string[] = [];
  programs.attach("p", (_group, message) => told.push(message.type), true);
  const builder = new CommandFrameBuilder();
  builder.begin("caller", "", 2 ** 50, 0, 1);
  const version = namespace?.version ?? 0;
  const put = {
    key,
    value: encodeUtf8("by a program"),
    tags: [],
    ttlMs: 0,
    condition: { type: "always" },
    token: null,
    ifFence: null,
  } as const;
  builder.add({ type: "cache-put", namespace: namespace?.namespace ?? 0, version, ...put });
  const term = caches.cluster.member(home).host.shards?.entry(groupId(group))?.leaderTerm() ?? 0;
  const message = { type: "write", term, incarnation: 1, line, txn: 1, command: builder.finish(), keep: false } as const;
  traced.of(other).within(callersTrace, () => programs.toHome("p", groupId(group), message));
  caches.cluster.until("it is done", () => told.includes("done"));
  const work = traced.one(home, "home.write");
  expect(work.parent).toBe(callersTrace.spanId);
  expect(traced.one(home, "log.commit").parent).toBe(work.trace.spanId);
});
