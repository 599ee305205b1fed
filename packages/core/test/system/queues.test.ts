import { type SystemState, defaultQueueSettings, describeSystem } from "@trivet/core";
import type { Command, QueueSettings, Result } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { nobody } from "../../src/system/ledger.ts";
import { SnapshotLoader, restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench } from "./support.ts";

function define(name: string, mode: "create" | "update" | "ensure" = "create", settings: Partial<QueueSettings> = {}): Command {
  return { type: "define-queue", name, mode, settings, principal: "p" };
}
function remove(name: string): Command {
  return { type: "delete-queue", name, principal: "p" };
}
function drained(state: SystemState): Uint8Array[] {
  const cursor = state.beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(64); chunk !== null; chunk = cursor.next(64)) chunks.push(chunk);
  return chunks;
}
function queueOf(result: Result): number {
  return result.type === "queue-defined" ? result.queue : 0;
}

describe("queue definitions", () => {
  test("a queue gets what its owner says, and the defaults; creating it again is refused with what there is", () => {
    const bench = new Bench();
    const definition = { name: "jobs", version: 1, ...defaultQueueSettings, partitions: 4, paused: true };
    const view = { queue: 1, definition, createdAt: bench.now };
    const made = bench.ask(define("jobs", "create", { partitions: 4, paused: true }));
    expect(made).toEqual({ type: "queue-defined", created: true, ...view });
    expect(bench.ask(define("jobs", "create", { backoffMs: 5 }))).toEqual({ type: "queue-refused", reason: "exists", ...view });
    expect(bench.state.queue("jobs")).toEqual(view);
    expect(bench.state.queueByNumber(1)).toEqual(view);
    expect(bench.state.queue("other")).toBeNull();
    expect(bench.state.queueByNumber(2)).toBeNull();
    expect(bench.events).toEqual([{ type: "queue-defined", queue: 1 }]);
  });

  test("a change keeps what it leaves out and makes a new version; one that changes nothing makes none", () => {
    const bench = new Bench();
    bench.ask(define("jobs", "create", { backoffMs: 7, ttlMs: 9 }));
    const changed = bench.ask(define("jobs", "update", { backoffMs: 8 }));
    expect(changed).toMatchObject({ created: false, queue: 1, definition: { version: 2, backoffMs: 8, ttlMs: 9 } });
    const hash = bench.state.stateHash();
    expect(bench.ask(define("jobs", "ensure"))).toMatchObject({ created: false, definition: { version: 2 } });
    expect(bench.ask(define("jobs", "ensure", { ttlMs: 9, partitions: 1 }))).toMatchObject({ definition: { version: 2 } });
    expect(bench.ask(define("jobs", "ensure", { ttlMs: 10 }))).toMatchObject({ definition: { version: 3 } });
    expect(bench.state.stateHash()).not.toBe(hash);
    expect(bench.ask(define("other", "ensure"))).toMatchObject({ created: true, queue: 2, definition: { version: 4 } });
    expect(bench.events).toHaveLength(4);
  });

  test("an unknown queue is neither changed nor deleted", () => {
    const bench = new Bench();
    expect(bench.ask(define("jobs", "update"))).toEqual({ type: "queue-refused", reason: "unknown" });
    expect(bench.ask(remove("jobs"))).toEqual({ type: "queue-refused", reason: "unknown" });
    expect(bench.state.queueCount()).toBe(0);
  });

  test("the number of partitions is fixed at the creation", () => {
    const bench = new Bench();
    bench.ask(define("jobs", "create", { partitions: 4 }));
    const refused = { type: "queue-refused", reason: "fixed", field: "partitions", value: 4, asked: 8 };
    expect(bench.ask(define("jobs", "update", { partitions: 8, backoffMs: 3 }))).toEqual(refused);
    expect(bench.ask(define("jobs", "ensure", { partitions: 8 }))).toEqual(refused);
    expect(bench.state.queue("jobs")).toMatchObject({ definition: { version: 1, partitions: 4, backoffMs: 1000 } });
  });

  test("settings that make no queue are refused, at the creation and later", () => {
    const bench = new Bench();
    const wrong: readonly Partial<QueueSettings>[] = [
      { partitions: 0 },
      { partitions: 1025 },
      { visibilityMs: 0 },
      { visibilityMs: 2 ** 31 },
      { backoffMs: 2 ** 31 },
    ];
    for (const settings of wrong) expect(bench.ask(define("jobs", "ensure", settings))).toMatchObject({ reason: "invalid" });
    expect(bench.state.lastQueue()).toBe(0);
    bench.ask(define("jobs"));
    expect(bench.ask(define("jobs", "update", { visibilityMs: 0 }))).toMatchObject({ reason: "invalid" });
  });

  test("there are so many queues and no more; a deleted one makes room", () => {
    const bench = new Bench({ queues: 2 });
    bench.ask(define("a"));
    bench.ask(define("b"));
    expect(bench.ask(define("c", "ensure"))).toEqual({ type: "queue-refused", reason: "too-many", max: 2 });
    expect(bench.ask(define("a", "ensure")).type).toBe("queue-defined");
    bench.ask(remove("a"));
    expect(bench.ask(define("c")).type).toBe("queue-defined");
  });

  test("the number of a deleted queue is never given again, not even after a restore", () => {
    const bench = new Bench();
    bench.ask(define("a"));
    bench.ask(define("b"));
    expect(bench.ask(remove("b"))).toEqual({ type: "queue-deleted", queue: 2 });
    expect(bench.events.at(-1)).toEqual({ type: "queue-deleted", queue: 2, name: "b" });
    expect(bench.state.queueByNumber(2)).toBeNull();
    expect(bench.state.lastQueue()).toBe(2);
    const restored = restoreSystem(drained(bench.state));
    const again = define("b");
    expect(queueOf(bench.ask(again))).toBe(3);
    const alike = restored.applyCommand(again, "", 0, nobody);
    expect(typeof alike === "object" && queueOf(alike)).toBe(3);
    expect(bench.state.queue("b")).toMatchObject({ definition: { version: 3 } });
  });

  test("queues are listed in the order of the names' bytes, by prefix, page by page", () => {
    const bench = new Bench();
    const names = ["b", "a/2", "\u{1F600}", "a", "\uffee", "a/10", "é", "a/1", "z"];
    for (const name of names) bench.ask(define(name));
    bench.ask(define("gone"));
    bench.ask(remove("gone"));
    const encoder = new TextEncoder();
    const inOrder = [...names].sort((a, b) => Buffer.compare(encoder.encode(a), encoder.encode(b)));
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const page: ReturnType<SystemState["queues"]> = bench.state.queues("", cursor, 2);
      expect(page.queues.length).toBeLessThanOrEqual(2);
      seen.push(...page.queues.map((view) => view.definition.name));
      cursor = page.next;
    }
    expect(seen).toEqual(inOrder);
    const under = (from: string): string[] => bench.state.queues("a/", from, 9).queues.map((view) => view.definition.name);
    expect(under("")).toEqual(["a/1", "a/10", "a/2"]);
    expect(under("a/1")).toEqual(["a/10", "a/2"]);
    // A cursor whose queue is gone, or that lies outside of the prefix.
    expect(under("a/11")).toEqual(["a/2"]);
    expect(under("b")).toEqual([]);
    expect(bench.state.queues("", inOrder.at(-2) ?? "", 1).next).toBeNull();
  });

  test("a snapshot has the queues of its begin, whatever is defined while it is cut", () => {
    const bench = new Bench();
    for (let i = 0; i < 60; i++) bench.ask(define(`q${i}`, "create", { partitions: (i % 5) + 1, ratePerSecond: i }));
    bench.ask(remove("q7"));
    const before = describeSystem(bench.state);
    const cursor = bench.state.beginSnapshot();
    const loader = new SnapshotLoader();
    let step = 0;
    for (let chunk = cursor.next(50); chunk !== null; chunk = cursor.next(50)) {
      loader.push(chunk.slice());
      bench.state.applyCommand(remove(`q${60 - ++step}`), "", 0, nobody);
      bench.state.applyCommand(define(`q${step}`, "ensure", { backoffMs: step }), "", 0, nobody);
      bench.state.applyCommand(define(`new${step}`), "", 0, nobody);
    }
    expect(step).toBeGreaterThan(20);
    const restored = loader.finish();
    expect(describeSystem(restored)).toEqual(before);
  });
});
