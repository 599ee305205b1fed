import type { BrowsedMessage, PlacementView } from "@trivet/core";
import type {
  Consumed,
  ConsumeRequest,
  Delivered,
  Produced,
  ProduceRequest,
  QueueCallOptions,
  QueueDetails,
  QueueFailure,
  QueueRefusal,
  QueuesApi,
  QueueSettings,
  Settled,
  SettleRequest,
  Submission,
} from "@trivet/engine";
import { type GroupStart, limits, type NewMessage } from "@trivet/wire";
import { browsed, defaults, detailsOf, handedOut, idOf, type Queue } from "./memory-queue.ts";

const tooManyGroups = { type: "too-many-groups", max: limits.maxGroupsPerPartition } as const;

type Defined = Extract<Parameters<Parameters<QueuesApi["define"]>[4]>[0], { readonly type: "defined" }>;

/**
 * Queues in a map, for tests of what stands before them: no leases that end by themselves, no delays, no order per key. One partition gets all
 * messages. `leasesEnd` ends every lease; `refuse` answers the next call with a failure; `calls` tells what was asked.
 */
export class MemoryQueues implements QueuesApi {
  readonly backend = "memory";
  readonly calls: { readonly name: string; readonly options: QueueCallOptions }[] = [];
  readonly abandoned: ConsumeRequest[] = [];
  place: PlacementView | null = null;
  readonly #queues = new Map<string, Queue>();
  readonly #fences = new Map<string, number>();
  readonly #answered = new Map<string, unknown>();
  readonly #waiting = new Set<() => void>();
  #refusal: QueueFailure | null = null;
  #made = 0;

  refuse(failure: QueueFailure): void {
    this.#refusal = failure;
  }
  get waiting(): number {
    return this.#waiting.size;
  }
  leasesEnd(): void {
    for (const queue of this.#queues.values())
      for (const stored of queue.messages)
        for (const delivery of stored.deliveries.values()) if (delivery.state === "leased") delivery.state = "ready";
  }

  /** Later, once, and for a repeated idempotency key what was answered before. */
  #answer<T extends { readonly type: string }>(
    name: string,
    options: QueueCallOptions,
    done: (outcome: T | QueueFailure) => void,
    work: () => T | QueueRefusal,
  ): void {
    this.calls.push({ name, options });
    setImmediate(() => {
      const refusal = this.#refusal;
      this.#refusal = null;
      if (refusal !== null) {
        done(refusal);
        return;
      }
      const key = options.idempotency?.key;
      const before = key === undefined ? undefined : (this.#answered.get(key) as { fingerprint: string; outcome: T } | undefined);
      if (before !== undefined && before.fingerprint !== options.idempotency?.fingerprint) {
        done({ type: "refused", reason: "other-body" });
        return;
      }
      const outcome = before?.outcome ?? work();
      if (key !== undefined) this.#answered.set(key, { fingerprint: options.idempotency?.fingerprint, outcome });
      done(outcome);
    });
  }

  #with<T>(name: string, work: (queue: Queue) => T | QueueRefusal): T | QueueRefusal {
    const queue = this.#queues.get(name);
    return queue === undefined ? { type: "unknown-queue", name } : work(queue);
  }

  #make(name: string, settings: Partial<QueueSettings>): Queue {
    const definition = { ...defaults, ...settings, name, version: 1 };
    const queue: Queue = {
      view: { queue: ++this.#made, definition, createdAt: 1 },
      groups: new Map(),
      messages: [],
      produced: 0,
      purged: 0,
    };
    this.#queues.set(name, queue);
    return queue;
  }

  define(
    name: string,
    settings: Partial<QueueSettings>,
    mode: "create" | "update" | "ensure",
    options: QueueCallOptions,
    done: Parameters<QueuesApi["define"]>[4],
  ): void {
    this.#answer<Defined>("define", options, done, () => {
      const queue = this.#queues.get(name);
      if (queue === undefined)
        return mode === "update"
          ? { type: "unknown-queue", name }
          : { type: "defined", created: true, queue: this.#make(name, settings).view };
      if (mode === "create") return { type: "queue-exists", queue: queue.view };
      const { definition } = queue.view;
      if (settings.partitions !== undefined && settings.partitions !== definition.partitions)
        return { type: "fixed", field: "partitions", value: definition.partitions, asked: settings.partitions };
      queue.view = { ...queue.view, definition: { ...definition, ...settings, version: definition.version + 1 } };
      return { type: "defined", created: false, queue: queue.view };
    });
  }

  remove(name: string, options: QueueCallOptions, done: Parameters<QueuesApi["remove"]>[2]): void {
    this.#answer("remove", options, done, () =>
      this.#with(name, () => {
        this.#queues.delete(name);
        return { type: "removed" as const };
      }),
    );
  }

  list(prefix: string, cursor: string, limit: number, timeoutMs: number, done: Parameters<QueuesApi["list"]>[4]): void {
    this.calls.push({ name: "list", options: { timeoutMs } });
    const names = [...this.#queues.keys()].filter((name) => name.startsWith(prefix) && name > cursor).sort();
    const page = names.slice(0, limit).flatMap((name) => this.#queues.get(name)?.view ?? []);
    setImmediate(() => done({ type: "listed", queues: page, next: names.length > limit ? (names[limit - 1] ?? null) : null }));
  }

  details(name: string, timeoutMs: number, done: Parameters<QueuesApi["details"]>[2]): void {
    this.#answer<QueueDetails>("details", { timeoutMs }, done, () => this.#with<QueueDetails>(name, detailsOf));
  }

  produce(request: ProduceRequest, options: QueueCallOptions, done: (outcome: Produced | QueueFailure) => void): void {
    this.#answer<Produced>("produce", options, done, () => {
      const queue = this.#queues.get(request.queue) ?? (request.create ? this.#make(request.queue, {}) : undefined);
      if (queue === undefined) return { type: "unknown-queue", name: request.queue };
      const { ifFence } = request;
      const highest = ifFence === null ? 0 : (this.#fences.get(ifFence.lock) ?? 0);
      if (ifFence !== null && ifFence.fence < highest) return { type: "fence-behind", lock: ifFence.lock, highest: String(highest) };
      if (ifFence !== null) this.#fences.set(ifFence.lock, ifFence.fence);
      const max = queue.view.definition.maxMessages;
      if (max > 0 && queue.messages.length + request.messages.length > max) return { type: "queue-full", limit: "messages", max };
      const messages = request.messages.map((message) => this.#store(queue, message));
      setImmediate(() => {
        for (const wake of this.#waiting) wake();
      });
      return { type: "produced", queue: queue.view.queue, messages, durability: request.ack ?? "memory" };
    });
  }
  #store(queue: Queue, message: NewMessage): Produced["messages"][number] {
    const known = queue.messages.find((stored) => message.dedupId !== "" && stored.message.dedupId === message.dedupId);
    const sequence = known?.sequence ?? ++queue.produced;
    if (known === undefined) queue.messages.push({ partition: 0, sequence, message, deliveries: new Map(), dead: null });
    return { id: idOf(queue, sequence), partition: 0, sequence, duplicate: known !== undefined };
  }

  consume(request: ConsumeRequest, options: QueueCallOptions, done: (outcome: Consumed | QueueFailure) => void): Submission {
    const state = { over: false };
    let end: (() => void) | null = null;
    const finish = (outcome: Consumed | QueueFailure): void => {
      if (state.over) return;
      state.over = true;
      end?.();
      done(outcome);
    };
    this.#answer<Consumed>(
      "consume",
      options,
      (outcome) => {
        if (outcome.type !== "consumed" || outcome.messages.length > 0 || request.waitMs === 0 || state.over) {
          finish(outcome);
          return;
        }
        const look = (): void => {
          const found = this.#handOut(request);
          if (found.type !== "consumed" || found.messages.length > 0) finish(found);
        };
        const timer = setTimeout(() => finish(outcome), request.waitMs);
        this.#waiting.add(look);
        end = () => {
          clearTimeout(timer);
          this.#waiting.delete(look);
        };
      },
      () => this.#handOut(request),
    );
    return {
      requestId: "",
      abandon: () => {
        if (state.over) return;
        this.abandoned.push(request);
        setImmediate(() => finish({ type: "consumed", messages: [], leaseMs: 0 }));
      },
    };
  }
  #handOut(request: ConsumeRequest): Consumed | typeof tooManyGroups {
    const queue = this.#queues.get(request.queue);
    const leaseMs = request.visibilityMs === 0 ? (queue?.view.definition.visibilityMs ?? 0) : request.visibilityMs;
    if (queue === undefined || queue.view.definition.paused) return { type: "consumed", messages: [], leaseMs };
    const group = this.#group(queue, request.group, request.start);
    if (group === null) return tooManyGroups;
    const { from } = group;
    const messages: Delivered[] = [];
    for (const stored of queue.messages) {
      if (messages.length === request.maxMessages) break;
      if (stored.sequence < from || stored.dead !== null) continue;
      const delivery = stored.deliveries.get(request.group) ?? { state: "ready", acquired: 0, deliveries: 0 };
      if (delivery.state !== "ready") continue;
      stored.deliveries.set(request.group, delivery);
      delivery.acquired++;
      delivery.state = request.autoAck ? "settled" : "leased";
      messages.push(handedOut(queue, stored, delivery, request.group));
    }
    return { type: "consumed", messages, leaseMs };
  }
  #group(queue: Queue, group: string, start: GroupStart): { readonly from: number } | null {
    if (!queue.groups.has(group) && queue.groups.size >= tooManyGroups.max) return null;
    const known = queue.groups.get(group) ?? { from: start.type === "latest" ? queue.produced + 1 : 1 };
    queue.groups.set(group, known);
    return known;
  }

  /** Nobody is told before the time is over. */
  awaitQueue(name: string, waitMs: number, told: (isThere: boolean) => void): () => void {
    const timer = setTimeout(() => told(this.#queues.has(name)), waitMs);
    return () => {
      clearTimeout(timer);
      setImmediate(() => told(false));
    };
  }

  settle(request: SettleRequest, options: QueueCallOptions, done: (outcome: Settled | QueueFailure) => void): void {
    this.#answer<Settled>("settle", options, done, () => ({
      type: "settled",
      outcomes: request.receipts.map((receipt) => this.#settle(request, receipt)),
    }));
  }
  #settle(request: SettleRequest, receipt: string): Settled["outcomes"][number] {
    const [name = "", sequence, acquired, group = ""] = receipt.split("|");
    const queue = this.#queues.get(name);
    if (queue === undefined || (request.queue !== null && request.queue !== name)) return "foreign";
    const stored = queue.messages.find((each) => each.sequence === Number(sequence));
    const delivery = stored?.deliveries.get(group);
    if (stored === undefined || stored.dead !== null || delivery === undefined || delivery.state === "settled") return "unknown";
    if (delivery.state !== "leased" || delivery.acquired !== Number(acquired)) return "stale";
    if (request.settlement === "extend") return "settled";
    delivery.state = request.settlement === "ack" ? "settled" : "ready";
    if (request.settlement === "nack") delivery.deliveries++;
    const { maxDeliveries } = queue.view.definition;
    if (request.settlement === "dead" || (maxDeliveries > 0 && delivery.deliveries >= maxDeliveries))
      stored.dead = { group, reason: request.reason, acquired: delivery.acquired, deliveries: delivery.deliveries, diedAt: 2 };
    return "settled";
  }

  consumerGone(): void {
    this.leasesEnd();
  }

  createGroup(
    queue: string,
    group: string,
    start: GroupStart,
    options: QueueCallOptions,
    done: Parameters<QueuesApi["createGroup"]>[4],
  ): void {
    this.#answer("create-group", options, done, () =>
      this.#with(queue, (known) => {
        const created = !known.groups.has(group);
        if (this.#group(known, group, start) === null) return tooManyGroups;
        return { type: "group" as const, created };
      }),
    );
  }
  deleteGroup(queue: string, group: string, options: QueueCallOptions, done: Parameters<QueuesApi["deleteGroup"]>[3]): void {
    this.#answer("delete-group", options, done, () =>
      this.#with(queue, (known) => (known.groups.delete(group) ? { type: "removed" as const } : { type: "no-group" as const, group })),
    );
  }

  purge(queue: string, dead: boolean, options: QueueCallOptions, done: Parameters<QueuesApi["purge"]>[3]): void {
    this.#answer("purge", options, done, () =>
      this.#with(queue, (known) => {
        const before = known.messages.length;
        known.messages = known.messages.filter(
          (stored) => (stored.dead !== null) !== dead || [...stored.deliveries.values()].some((delivery) => delivery.state === "leased"),
        );
        if (!dead) known.purged += before - known.messages.length;
        return { type: "counted" as const, count: before - known.messages.length };
      }),
    );
  }
  redrive(
    queue: string,
    ids: readonly string[],
    limit: number,
    options: QueueCallOptions,
    done: Parameters<QueuesApi["redrive"]>[4],
  ): void {
    this.#answer("redrive", options, done, () =>
      this.#with(queue, (known) => {
        const dead = known.messages.filter(
          (stored) => stored.dead !== null && (ids.length === 0 || ids.includes(idOf(known, stored.sequence))),
        );
        for (const stored of dead.slice(0, limit)) {
          stored.dead = null;
          stored.deliveries.clear();
        }
        return { type: "counted" as const, count: Math.min(limit, dead.length) };
      }),
    );
  }

  browse(
    queue: string,
    state: BrowsedMessage["state"],
    cursor: string,
    limit: number,
    timeoutMs: number,
    done: Parameters<QueuesApi["browse"]>[5],
  ): void {
    this.#answer("browse", { timeoutMs }, done, () =>
      this.#with(queue, (known) => {
        const all = known.messages
          .filter((stored) => (stored.dead !== null) === (state === "dead") && state !== "delayed")
          .filter((stored) => stored.sequence > Number(cursor));
        const messages = all.slice(0, limit).map((stored) => browsed(known, stored, state));
        return { type: "browsed" as const, messages, next: all.length > limit ? String(messages.at(-1)?.sequence) : null };
      }),
    );
  }

  raiseFence(queue: string, lock: string, fence: number, options: QueueCallOptions, done: Parameters<QueuesApi["raiseFence"]>[4]): void {
    this.#answer("raise-fence", options, done, () =>
      this.#with(queue, () => {
        const highest = this.#fences.get(lock) ?? 0;
        if (fence < highest) return { type: "fence-behind" as const, lock, highest: String(highest) };
        this.#fences.set(lock, fence);
        return { type: "raised" as const };
      }),
    );
  }

  placement(): PlacementView | null {
    return this.place;
  }
}
