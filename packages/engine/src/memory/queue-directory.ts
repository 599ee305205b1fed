import type { PlacementView, QueueView } from "@trivet/core";
import { type QueueDefinition, limits } from "@trivet/wire";
import type { Unavailable } from "../node/node-api.ts";
import type { Clock } from "../ports/clock.ts";
import type { DefineOutcome, QueueDirectory, RemoveOutcome } from "../queues/queue-directory.ts";
import { definitionWith, settingsProblem } from "../queues/queue-settings.ts";
import type { QueueCallOptions, QueueSettings } from "../queues/queues-api.ts";

type Listener = (queue: number, definition: QueueDefinition | null) => void;

/** Definitions in memory, for tests. */
export class MemoryQueueDirectory implements QueueDirectory {
  private readonly clock: Clock;
  private readonly maxQueues: number;
  private readonly queues: Map<string, QueueView> = new Map();
  private readonly listeners: Set<Listener> = new Set();
  private last = 0;

  constructor(clock: Clock, maxQueues = 10_000) {
    this.clock = clock;
    this.maxQueues = maxQueues;
  }

  queue(name: string): QueueView | null {
    return this.queues.get(name) ?? null;
  }

  byNumber(queue: number): QueueView | null {
    return [...this.queues.values()].find((view) => view.queue === queue) ?? null;
  }

  list(prefix: string, cursor: string, limit: number): { readonly queues: readonly QueueView[]; readonly next: string | null } {
    const names = [...this.queues.keys()].filter((name) => name.startsWith(prefix) && name > cursor).sort();
    const queues = names.slice(0, limit).flatMap((name) => this.queues.get(name) ?? []);
    return { queues, next: names.length > limit ? (names[limit - 1] ?? null) : null };
  }

  refresh(_timeoutMs: number, done: (outcome: { readonly type: "ready" } | Unavailable) => void): void {
    this.clock.defer(() => done({ type: "ready" }));
  }

  define(
    name: string,
    settings: Partial<QueueSettings>,
    mode: "create" | "update" | "ensure",
    _options: QueueCallOptions,
    done: (outcome: DefineOutcome) => void,
  ): void {
    this.clock.defer(() => done(this.defineNow(name, settings, mode)));
  }

  remove(name: string, _options: QueueCallOptions, done: (outcome: RemoveOutcome) => void): void {
    this.clock.defer(() => {
      const known = this.queues.get(name);
      if (known === undefined) return done({ type: "unknown-queue", name });
      this.queues.delete(name);
      this.tell(known.queue, null);
      return done({ type: "removed" });
    });
  }

  watch(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  placement(): PlacementView | null {
    return null;
  }

  private defineNow(name: string, settings: Partial<QueueSettings>, mode: "create" | "update" | "ensure"): DefineOutcome {
    const known = this.queues.get(name) ?? null;
    if (known !== null && mode === "create") return { type: "queue-exists", queue: known };
    if (known === null && mode === "update") return { type: "unknown-queue", name };
    const definition = definitionWith(name, known?.definition ?? null, settings);
    if (known !== null && definition.partitions !== known.definition.partitions) {
      return { type: "fixed", field: "partitions", value: known.definition.partitions, asked: definition.partitions };
    }
    const problem = settingsProblem(definition, limits);
    if (problem !== null) return { type: "malformed", detail: problem };
    if (known === null && this.queues.size >= this.maxQueues) return { type: "too-many-queues", max: this.maxQueues };
    const queue = known?.queue ?? ++this.last;
    const view: QueueView = { queue, definition, createdAt: known?.createdAt ?? Math.floor(this.clock.wallNow()) };
    this.queues.set(name, view);
    this.tell(queue, definition);
    return { type: "defined", created: known === null, queue: view };
  }

  private tell(queue: number, definition: QueueDefinition | null): void {
    for (const listener of this.listeners) listener(queue, definition);
  }
}
