import type { PlacementView, QueueView, SystemView } from "@trivet/core";
import type { QueueDefinition, QueueRefused } from "@trivet/wire";
import type { NodeApi, Outcome } from "../node/node-api.ts";
import type { Unavailable } from "../ports/calls.ts";
import type { QueueDirectory, RemoveOutcome } from "./queue-directory.ts";
import type { QueueCallOptions, QueueFailure, QueueSettings } from "./queues-api.ts";

export interface SystemDirectoryParts {
  /** Group 0 as this node has applied it; null before it is open. */
  readonly state: () => SystemView | null;
  readonly api: Pick<NodeApi, "submit" | "read" | "watch">;
  /** What a new queue gets where its maker says nothing; the rest is group 0's to say. */
  readonly defaults: Partial<QueueSettings>;
}
type Listener = Parameters<QueueDirectory["watch"]>[0];

/** Queue definitions where they are kept: in group 0 (rule G1). */
export class SystemDirectory implements QueueDirectory {
  private readonly parts: SystemDirectoryParts;
  private readonly listeners = new Set<Listener>();
  /** Queues that listeners were told of. */
  private readonly told = new Set<number>();

  constructor(parts: SystemDirectoryParts) {
    this.parts = parts;
    parts.api.watch((event) => {
      if (event.type === "queue-defined" || event.type === "queue-deleted") this.tell(event.queue);
    });
  }

  queue(name: string): QueueView | null {
    return this.parts.state()?.queue(name) ?? null;
  }

  byNumber(queue: number): QueueView | null {
    return this.parts.state()?.queueByNumber(queue) ?? null;
  }

  list(prefix: string, cursor: string, limit: number): { readonly queues: readonly QueueView[]; readonly next: string | null } {
    return this.parts.state()?.queues(prefix, cursor, limit) ?? { queues: [], next: null };
  }

  refresh(timeoutMs: number, done: (outcome: { readonly type: "ready" } | Unavailable) => void): void {
    this.parts.api.read("linearizable", timeoutMs, (outcome) => done(outcome.type === "ready" ? { type: "ready" } : outcome));
  }

  /** `ensure` first tries to make the queue, so that defaults of this node never change one that is there. */
  define(...[name, settings, mode, options, done]: Parameters<QueueDirectory["define"]>): void {
    const isNew = mode === "create" || (mode === "ensure" && this.queue(name) === null);
    if (!isNew) return this.defineAs(name, settings, mode, options, done);
    this.defineAs(name, { ...this.parts.defaults, ...settings }, "create", options, (outcome) => {
      if (mode === "ensure" && outcome.type === "queue-exists") this.defineAs(name, settings, "ensure", withoutKey(options), done);
      else done(outcome);
    });
  }

  private defineAs(...[name, settings, mode, options, done]: Parameters<QueueDirectory["define"]>): void {
    this.submit({ type: "define-queue", name, mode, settings, principal: "" }, options, (outcome: Outcome): void => {
      if (outcome.type !== "answered") return done(outcome);
      const { result } = outcome;
      if (result.type === "queue-defined") {
        const { created, createdAt, definition, queue } = result;
        done({ type: "defined", created, queue: { queue, definition, createdAt } });
      } else done(failureOf(outcome, name));
    });
  }

  remove(name: string, options: QueueCallOptions, done: (outcome: RemoveOutcome) => void): void {
    this.submit({ type: "delete-queue", name, principal: "" }, options, (outcome: Outcome): void => {
      if (outcome.type !== "answered") done(outcome);
      else if (outcome.result.type === "queue-deleted") done({ type: "removed" });
      else done(failureOf(outcome, name));
    });
  }

  watch(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  placement(): PlacementView | null {
    return this.parts.state()?.placement() ?? null;
  }

  /** The state was opened, or another took its place: what it has is news, and so is what it has no more. */
  stateReplaced(): void {
    const state = this.parts.state();
    if (state === null) return;
    const present = state.queues("", "", Number.MAX_SAFE_INTEGER).queues.map(({ queue }) => queue);
    const gone = [...this.told].filter((queue) => !present.includes(queue));
    for (const queue of [...present, ...gone]) this.tell(queue);
  }

  private tell(queue: number): void {
    const definition: QueueDefinition | null = this.byNumber(queue)?.definition ?? null;
    if (definition === null) this.told.delete(queue);
    else this.told.add(queue);
    for (const listener of this.listeners) listener(queue, definition);
  }

  private submit(command: Parameters<NodeApi["submit"]>[0], options: QueueCallOptions, done: (outcome: Outcome) => void): void {
    this.parts.api.submit(command, options, done);
  }
}

/** The key is that of the first try; the second changes nothing that a repetition would change again. */
function withoutKey({ timeoutMs }: QueueCallOptions): QueueCallOptions {
  return { timeoutMs };
}

function failureOf({ result }: Extract<Outcome, { readonly type: "answered" }>, name: string): QueueFailure {
  if (result.type === "queue-refused") return refusal(result, name);
  if (result.type === "malformed") return { type: "malformed", detail: result.detail };
  if (result.type === "refused") return { type: "refused", reason: result.reason };
  return { type: "malformed", detail: `unexpected answer ${result.type}` };
}

function refusal(refused: QueueRefused, name: string): QueueFailure {
  switch (refused.reason) {
    case "exists": {
      const { createdAt, definition, queue } = refused;
      return { type: "queue-exists", queue: { queue, definition, createdAt } };
    }
    case "unknown":
      return { type: "unknown-queue", name };
    case "fixed":
      return { type: "fixed", field: "partitions", value: refused.value, asked: refused.asked };
    case "too-many":
      return { type: "too-many-queues", max: refused.max };
    case "invalid":
      return { type: "malformed", detail: refused.detail };
  }
}
