import type { BrowsedMessage, QueueView } from "@trivet/core";
import { type GroupStart, type NewMessage, type Settlement, decodeUtf8, encodeUtf8 } from "@trivet/wire";
import type {
  Consumed,
  ConsumeRequest,
  Delivered,
  Produced,
  QueueCallOptions,
  QueueDetails,
  QueueFailure,
  QueuesApi,
  QueueSettings,
  Settled,
} from "../../queues/queues-api.ts";
import type { TestApi } from "../api.ts";

/** Queues to be tried, and the time they live by. */
export interface QueuesHarness {
  readonly queues: QueuesApi;
  /** Waits so long on the clock that leases, delays and deadlines go by: real time, or virtual. */
  sleep(ms: number): Promise<void>;
  /** Wall time in Unix milliseconds. */
  wallNow(): number;
}
/** What only the embedded storage promises. What is false is not tried. */
export interface QueuesAbilities {
  readonly ifFence: boolean;
}

export interface Counted {
  readonly type: "counted";
  readonly count: number;
}
type Browsed = {
  readonly type: "browsed";
  readonly messages: readonly (BrowsedMessage & { readonly id: string })[];
  readonly next: string | null;
};
type Defined = { readonly type: "defined"; readonly created: boolean; readonly queue: QueueView };

const options: QueueCallOptions = { timeoutMs: 20_000 };
/** Between two looks, and how long is looked at most. */
const lookEveryMs = 20;
const longestMs = 20_000;
let names = 0;

/** One new queue, called as its callers do. Names are never used twice, so that tests may share a cluster. */
export class QueueKit {
  readonly name: string;
  readonly harness: QueuesHarness;
  private readonly api: TestApi;

  constructor(api: TestApi, harness: QueuesHarness) {
    this.api = api;
    this.harness = harness;
    this.name = `conformance-${Math.floor(harness.wallNow())}-${++names}`;
  }

  get queues(): QueuesApi {
    return this.harness.queues;
  }

  define(
    settings: Partial<QueueSettings> = {},
    mode: "create" | "update" | "ensure" = "ensure",
    name: string = this.name,
  ): Promise<Defined | QueueFailure> {
    return new Promise((resolve) => this.queues.define(name, settings, mode, options, resolve));
  }

  remove(): Promise<{ readonly type: "removed" } | QueueFailure> {
    return new Promise((resolve) => this.queues.remove(this.name, options, resolve));
  }

  tryProduce(
    messages: readonly Partial<NewMessage>[],
    fields: Partial<{
      readonly ifFence: { readonly lock: string; readonly fence: number };
      readonly create: boolean;
      readonly key: string;
    }> = {},
  ): Promise<Produced | QueueFailure> {
    const { create = false, ifFence = null, key } = fields;
    const keyed = key === undefined ? options : { ...options, idempotency: { key, fingerprint: JSON.stringify(messages.length) } };
    return new Promise((resolve) =>
      this.queues.produce({ queue: this.name, messages: messages.map(newMessage), ifFence, create }, keyed, resolve),
    );
  }

  /** Messages with these bodies, all with `fields`; their ids. */
  async produce(bodies: readonly string[], fields: Partial<NewMessage> = {}): Promise<readonly string[]> {
    const outcome = await this.tryProduce(bodies.map((body) => ({ ...fields, body: encodeUtf8(body) })));
    this.api.equal(outcome.type, "produced");
    return outcome.type === "produced" ? outcome.messages.map(({ id }) => id) : [];
  }

  tryConsume(fields: Partial<ConsumeRequest> = {}): Promise<Consumed | QueueFailure> {
    return new Promise((resolve) => void this.queues.consume(this.consumption(fields), options, resolve));
  }

  /** Under an idempotency key. */
  async takeKeyed(key: string, fields: Partial<ConsumeRequest> = {}): Promise<readonly Delivered[]> {
    const keyed = { ...options, idempotency: { key: `${this.name}-${key}`, fingerprint: "consume" } };
    const outcome = await new Promise<Consumed | QueueFailure>((resolve) => this.queues.consume(this.consumption(fields), keyed, resolve));
    this.api.equal(outcome.type, "consumed");
    return outcome.type === "consumed" ? outcome.messages : [];
  }

  consumption(fields: Partial<ConsumeRequest> = {}): ConsumeRequest {
    const numbers = { maxMessages: 1, maxBytes: 0, visibilityMs: 0, waitMs: 0 };
    const start: GroupStart = { type: "earliest" };
    return { queue: this.name, group: "g", consumer: "c", ...numbers, autoAck: false, start, partition: null, ...fields };
  }

  async consume(fields: Partial<ConsumeRequest> = {}): Promise<readonly Delivered[]> {
    const outcome = await this.tryConsume(fields);
    this.api.equal(outcome.type, "consumed");
    return outcome.type === "consumed" ? outcome.messages : [];
  }

  /** Bodies of up to 100 messages that are there now. */
  async take(fields: Partial<ConsumeRequest> = {}): Promise<readonly string[]> {
    return bodies(await this.consume({ maxMessages: 100, ...fields }));
  }

  /** The one message that is next. */
  async one(fields: Partial<ConsumeRequest> = {}): Promise<Delivered> {
    const [message] = await this.consume({ waitMs: 10_000, ...fields });
    if (message === undefined) throw new Error(`nothing came from ${this.name}`);
    return message;
  }

  trySettle(
    settlement: Settlement,
    receipts: readonly string[],
    delayMs = -1,
    queue: string | null = this.name,
  ): Promise<Settled | QueueFailure> {
    return new Promise((resolve) => this.queues.settle({ queue, receipts, settlement, delayMs, reason: "because" }, options, resolve));
  }

  /** Outcomes of settling what was delivered, or of receipts. */
  async settle(settlement: Settlement, what: readonly (Delivered | string)[], delayMs = -1): Promise<readonly string[]> {
    const receipts = what.map((one) => (typeof one === "string" ? one : one.receipt));
    const outcome = await this.trySettle(settlement, receipts, delayMs);
    this.api.equal(outcome.type, "settled");
    return outcome.type === "settled" ? outcome.outcomes : [];
  }

  async details(): Promise<QueueDetails> {
    const outcome = await this.tryDetails();
    if (outcome.type !== "details") throw new Error(`no details: ${JSON.stringify(outcome)}`);
    return outcome;
  }

  tryDetails(): Promise<QueueDetails | QueueFailure> {
    return new Promise((resolve) => this.queues.details(this.name, options.timeoutMs, resolve));
  }

  tryBrowse(state: BrowsedMessage["state"], cursor = "", limit = 100): Promise<Browsed | QueueFailure> {
    return new Promise((resolve) => this.queues.browse(this.name, state, cursor, limit, options.timeoutMs, resolve));
  }

  /** All messages in that state, page by page. */
  async browse(state: BrowsedMessage["state"], limit = 100): Promise<Browsed["messages"]> {
    const found: Browsed["messages"][number][] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const page: Browsed | QueueFailure = await this.tryBrowse(state, cursor, limit);
      if (page.type !== "browsed") throw new Error(`not browsed: ${page.type}`);
      found.push(...page.messages);
      cursor = page.next;
    }
    return found;
  }

  purge(dead = false): Promise<Counted | QueueFailure> {
    return new Promise((resolve) => this.queues.purge(this.name, dead, options, resolve));
  }

  redrive(ids: readonly string[], limit = 1000): Promise<Counted | QueueFailure> {
    return new Promise((resolve) => this.queues.redrive(this.name, ids, limit, options, resolve));
  }

  createGroup(group: string, start: GroupStart): Promise<{ readonly type: "group"; readonly created: boolean } | QueueFailure> {
    return new Promise((resolve) => this.queues.createGroup(this.name, group, start, options, resolve));
  }

  deleteGroup(group: string): Promise<{ readonly type: "removed" } | QueueFailure> {
    return new Promise((resolve) => this.queues.deleteGroup(this.name, group, options, resolve));
  }

  raiseFence(lock: string, fence: number): Promise<{ readonly type: "raised" } | QueueFailure> {
    return new Promise((resolve) => this.queues.raiseFence(this.name, lock, fence, options, resolve));
  }

  sleep(ms: number): Promise<void> {
    return this.harness.sleep(ms);
  }

  /** Looks again and again; fails when `what` does not come to hold. */
  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    for (let waited = 0; !(await holds()); waited += lookEveryMs) {
      this.api.ok(waited < longestMs, `in time: ${what}`);
      await this.sleep(lookEveryMs);
    }
  }
}

export function bodies(messages: readonly { readonly body: Uint8Array }[]): readonly string[] {
  return messages.map(({ body }) => decodeUtf8(body));
}

export function newMessage(fields: Partial<NewMessage> = {}): NewMessage {
  return { key: "", body: encodeUtf8("x"), headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "", ...fields };
}

/** Runs a test with a queue of its own, defined with `settings`. */
export type QueueTest = (name: string, settings: Partial<QueueSettings>, body: (kit: QueueKit) => Promise<void>) => void;
