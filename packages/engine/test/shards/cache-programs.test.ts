import { groupId, type HolderEvent, newHolder, readableCopy, stepHolder } from "@trivet/core";
import type { ProgramsApi } from "@trivet/engine";
import {
  cacheShardOf,
  CodecError,
  decodeUtf8,
  encodeSingleCommandFrame,
  encodeUtf8,
  lineName,
  type LineName,
  type ShardCommand,
} from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";

const key = "a";
const line = lineName("1", key);
const group = groupId(cacheShardOf(1, key, 4));

/** A program with a copy of its own, connected to one node at a time. */
class Program {
  readonly state = newHolder("p1", 1);
  private readonly caches: Caches;
  private detach: () => void = () => {};
  private node = "";
  private readonly read = new Map<number, string | null>();
  private waiters = 0;

  constructor(caches: Caches, node: string) {
    this.caches = caches;
    this.connect(node);
    this.step({ type: "home", term: 1, now: this.now() });
    this.tick();
  }

  connect(node: string): void {
    this.detach();
    this.node = node;
    this.detach = this.programs.attach("p1", (_group, message) => this.step({ type: "message", message, now: this.now() }), true);
  }

  /** Nothing comes or goes any more. */
  disconnect(): void {
    this.detach();
    this.node = "";
  }

  get(): string | null {
    const waiter = ++this.waiters;
    this.step({ type: "read", line, mode: { type: "write-through" }, waiter, now: this.now() });
    this.caches.cluster.until("the program reads", () => this.read.has(waiter), 30_000);
    return this.read.get(waiter) ?? null;
  }

  peek(): string | null | undefined {
    const copied = this.state.lines.get(line);
    const { steady, wall } = this.now();
    const copy = copied === undefined ? undefined : readableCopy(this.state, copied, steady, wall);
    if (copy === undefined) return undefined;
    return copy.record.value === null ? null : decodeUtf8(copy.record.value);
  }

  warm(): void {
    for (let reads = 0; this.peek() === undefined; reads++) {
      if (reads > 5) throw new Error("no copy");
      this.get();
    }
  }

  write(command: ShardCommand): void {
    const frame = encodeSingleCommandFrame("caller", "", this.caches.cluster.member("n1").host.groupTime.now() + 10_000, command);
    const write = { type: "write", term: this.state.term, incarnation: this.state.incarnation, line, txn: 99, keep: false } as const;
    this.programs.toHome("p1", group, { ...write, command: frame });
  }

  ask(of: LineName, shard: number = group): void {
    const fetch = { type: "fetch", term: this.state.term, incarnation: this.state.incarnation, line: of, txn: 98 } as const;
    this.programs.toHome("p1", groupId(shard), { ...fetch, confirmed: false });
  }

  private get programs(): ProgramsApi {
    return this.caches.cluster.member(this.node).host.caching.programs;
  }

  private now(): { readonly steady: number; readonly wall: number } {
    const { clock } = this.caches.cluster.member("n1").host.ports;
    return { steady: clock.now(), wall: clock.wallNow() };
  }

  private tick(): void {
    this.step({ type: "tick", now: this.now() });
    this.caches.cluster.member("n1").host.ports.clock.schedule(50, () => this.tick());
  }

  private step(event: HolderEvent): void {
    for (const effect of stepHolder(this.state, event)) {
      if (effect.type === "send" && this.node !== "") this.programs.toHome("p1", group, effect.message);
      if (effect.type !== "answer-read") continue;
      const { value } = effect.record;
      this.read.set(effect.waiter, value === null ? null : decodeUtf8(value));
    }
  }
}

/** A program that keeps no copies (decision 0027): what it asks one node, and what that says. */
class Asker {
  readonly told: (string | null)[] = [];
  private readonly programs: ProgramsApi;
  private asked = 0;

  constructor(caches: Caches, node: string) {
    this.programs = caches.cluster.member(node).host.caching.programs;
    this.programs.attach(
      "p2",
      (_group, message) => {
        if (message.type !== "data" || message.txn !== this.asked) return;
        expect(message).toMatchObject({ term: 1, incarnation: 1, line, grant: "none", sequence: 0 });
        this.told.push(message.record.value === null ? null : decodeUtf8(message.record.value));
      },
      true,
    );
  }

  /** What came in this very turn. */
  ask(): string | null | undefined {
    this.asked++;
    const before = this.told.length;
    this.again();
    return this.told[before];
  }

  again(of: LineName = line): void {
    this.programs.toHome("p2", group, { type: "read", term: 1, incarnation: 1, line: of, txn: this.asked });
  }

  get(caches: Caches): string | null {
    const before = this.told.length;
    this.ask();
    caches.cluster.until("the program is told", () => this.told.length > before, 30_000);
    return this.told[before] ?? null;
  }
}

describe("a program without copies", () => {
  test.each(["n1", "n2", "n3"])("through %s: is told the node's copy at once, and nothing older than the last write", (node) => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const program = new Asker(caches, node);
    for (const value of ["2", "3", "4"]) {
      caches.put("n2", key, value);
      expect(program.get(caches)).toBe(value);
      caches.warm(key, node);
      expect(program.ask()).toBe(value);
      expect(program.ask()).toBe(value);
    }
    const sharers = caches.explain("n1", key).sharers.map(({ holder }) => holder);
    expect([sharers.includes(node), sharers.some((holder) => holder.includes("p2"))]).toEqual([true, false]);
    expect(caches.service(node).statistics().hits).toBeGreaterThanOrEqual(6);
  });

  test("its reads make the node's copy", () => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const program = new Asker(caches, "n2");
    // The very first finds a node that has held nothing yet, and is the home's.
    for (let reads = 0; reads < 2; reads++) expect(program.get(caches)).toBe("1");
    caches.cluster.until("n2 has a copy", () => caches.peek("n2", key) === "1");
    expect(program.ask()).toBe("1");
  });

  test("M2: a node that is cut off tells of its copy no longer than its lease", () => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const home = caches.homeOf(key);
    const [cut, other] = ["n1", "n2", "n3"].filter((node) => node !== home) as [string, string];
    const program = new Asker(caches, cut);
    caches.warm(key, cut);
    caches.cut(cut);
    const told = caches.beginPut(other, key, "2");
    caches.cluster.until("the write is done", () => told.value !== null);
    expect(program.ask()).toBeUndefined();
    caches.heal();
    caches.cluster.until("the program is told", () => program.told.length > 0, 30_000);
    expect(program.told).toEqual(["2"]);
  });

  test("asks again while its node still waits: it is told once", () => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const program = new Asker(caches, "n2");
    expect(program.ask()).toBeUndefined();
    for (let times = 0; times < 5; times++) program.again();
    caches.cluster.until("the program is told", () => program.told.length > 0, 30_000);
    caches.cluster.run(1_000);
    expect(program.told).toEqual(["1"]);
  });

  test("reads a namespace that its node does not know, or no more: the home tells", () => {
    const caches = new Caches();
    const none = lineName("77", key);
    const of = groupId(cacheShardOf(77, key, 4));
    const { programs } = caches.cluster.member("n2").host.caching;
    const versions: number[] = [];
    programs.attach("p3", (_group, message) => void (message.type === "data" && versions.push(message.record.version)), true);
    caches.put("n1", key, "1");
    const { term } = caches.cluster.member("n1").host.shards?.replica(of)?.group.raft ?? { term: 0 };
    programs.toHome("p3", of, { type: "read", term, incarnation: 1, line: none, txn: 1 });
    caches.cluster.until("the home has told", () => versions.length > 0, 30_000);
    expect(versions).toEqual([0]);
  });

  test("asks for nothing that is no key", () => {
    const program = new Asker(new Caches(), "n1");
    expect(() => program.again(lineName("01", key))).toThrow(CodecError);
  });
});

describe("a program with copies of its own", () => {
  test.each(["n1", "n2", "n3"])("through %s: holds a copy, and no write is answered before that is withdrawn", (node) => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const program = new Program(caches, node);
    program.warm();
    for (const value of ["2", "3", "4"]) {
      caches.put("n2", key, value);
      expect(program.peek()).toBeUndefined();
      expect(program.get()).toBe(value);
      program.warm();
    }
    expect(caches.explain("n1", key).sharers.map(({ holder }) => holder)).toContain("program p1");
  });

  test("race 27: goes on through another node with what it has, and is told there", () => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const program = new Program(caches, "n1");
    program.warm();
    program.connect("n3");
    expect(program.peek()).toBe("1");
    caches.put("n2", key, "2");
    expect(program.peek()).toBeUndefined();
    expect(program.get()).toBe("2");
  });

  test("that is silent delays a write to the end of its lease", () => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const program = new Program(caches, "n2");
    program.warm();
    program.disconnect();
    caches.put("n1", key, "2");
    expect(program.peek()).toBeUndefined();
  });

  test("another home: what the former granted is not read beside what the new one takes", () => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const program = new Program(caches, "n2");
    program.warm();
    caches.moveHome(key, caches.homeOf(key) === "n1" ? "n2" : "n1");
    caches.put("n3", key, "2");
    expect(program.peek() ?? "2").toBe("2");
    expect(program.get()).toBe("2");
  });

  guard("cache-program-line-misspelled", "asks for a key in no other spelling than its own", () => {
    const program = new Program(new Caches(), "n1");
    const [namespace, rest] = line.split("\0") as [string, string];
    for (const other of [`0${namespace}`, ` ${namespace}`, `0x${namespace}`, `${namespace}.0`])
      expect(() => program.ask(lineName(other, rest))).toThrow(CodecError);
  });

  test("asks for nothing that is no key", () => {
    const program = new Program(new Caches(), "n1");
    for (const [namespace, rest] of [
      ["Infinity", "k"],
      ["1e999", "k"],
      ["-1", "k"],
      ["1.5", "k"],
      ["1", ""],
      ["1", "k".repeat(513)],
    ] as const)
      for (let group = 1; group <= 4; group++) expect(() => program.ask(lineName(namespace, rest), group)).toThrow(CodecError);
    expect(() => program.ask(line)).not.toThrow();
  });

  guard("cache-program-unchecked", "says nothing that only nodes may say", () => {
    const caches = new Caches();
    caches.put("n1", key, "1");
    const program = new Program(caches, "n1");
    program.warm();
    const of = { namespace: 1, version: 1, ifFence: null } as const;
    const other: ShardCommand = { type: "cache-delete", ...of, key: "b", condition: { type: "always" } };
    expect(() => program.write(other)).toThrow(CodecError);
    expect(() => program.write({ type: "cache-invalidate", namespace: 1, tag: "" })).toThrow(CodecError);
    const value = encodeUtf8("2");
    const put = { type: "cache-put", ...of, key, value, tags: [], ttlMs: 0, condition: { type: "always" }, token: null } as const;
    expect(() => program.write(put)).not.toThrow();
  });
});
