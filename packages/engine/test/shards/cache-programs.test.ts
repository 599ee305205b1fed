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
import { describe, expect, test, vi } from "vitest";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";

vi.mock("../../../core/src/mutation-off.ts", () => import("../../../core/src/mutation-on.ts"));

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
