import type { HandedOut, Receipt, SettleOutcome, Settlement } from "@trivet/wire";
import { OutcomeUnknownError, StaleReceiptError, TrivetError, UnavailableError } from "../errors.ts";
import { shownAs } from "../shown.ts";
import { whyNotSettled } from "./answers.ts";
import type { QueueCodec } from "./codec.ts";

/** What a message needs of its consumer. */
export interface MessageHolder<T> {
  readonly codec: QueueCodec<T>;
  settle(receipt: Receipt, settlement: Settlement, delayMs: number, reason: string): Promise<SettleOutcome>;
  /** The message is in hand no more. */
  gone(message: Message<T>): void;
}

/** How long a message is certain to be this consumer's, by the monotonic clock. */
export class MessageLease {
  private readonly id: string;
  /** Counted from the send of the consume, so it never outlasts the cluster's view. */
  private until: number;
  private lostReason: string | null = null;
  private controller: AbortController | null = null;

  constructor(id: string, until: number) {
    this.id = id;
    this.until = until;
  }

  /** Monotonic time (`performance.now()`) at which it ends. */
  get deadline(): number {
    return this.until;
  }
  get isHeld(): boolean {
    return this.lostReason === null && performance.now() < this.until;
  }
  remainingMs(): number {
    return this.lostReason === null ? Math.max(0, this.until - performance.now()) : 0;
  }

  /** Throws StaleReceiptError unless the lease is certain to last. Reads the clock, so it works even after the loop was blocked. */
  assertHeld(): void {
    if (!this.isHeld) throw this.loss();
  }

  /** Aborts with a StaleReceiptError when the cluster says that the lease is over. Not when the message is settled. */
  get signal(): AbortSignal {
    if (this.controller === null) {
      this.controller = new AbortController();
      if (this.lostReason !== null) this.controller.abort(this.loss());
    }
    return this.controller.signal;
  }

  /** @internal */
  extendTo(until: number): void {
    this.until = until;
  }

  /** @internal */
  lose(reason: string): void {
    if (this.lostReason !== null) return;
    this.lostReason = reason;
    this.controller?.abort(this.loss());
  }

  private loss(): StaleReceiptError {
    return new StaleReceiptError(this.id, this.lostReason ?? "its lease is over", null);
  }
}

/** A message in hand: to be settled by exactly one of `ack`, `nack`, `release` and `dead`, or it is handed out again when its lease ends. */
export class Message<T> {
  /** Names the message for ever: queue, partition, sequence. */
  readonly id: string;
  readonly lease: MessageLease;
  private readonly handed: HandedOut;
  private readonly holder: MessageHolder<T>;
  private value: { readonly body: T } | null = null;
  private settling: { readonly settlement: Settlement; readonly done: Promise<void> } | null = null;
  private isGone = false;
  /** When its latest settlement failed, by the monotonic clock. */
  private failedAt: number | null = null;
  /** What an extension was told while a settlement was under way. */
  private toldMeanwhile: Exclude<SettleOutcome, "settled"> | null = null;

  constructor(id: string, handed: HandedOut, leaseUntil: number, holder: MessageHolder<T>) {
    this.id = id;
    this.handed = handed;
    this.holder = holder;
    this.lease = new MessageLease(id, leaseUntil);
  }

  /** The content. Throws what the codec throws for bytes that are none. */
  get body(): T {
    this.value ??= { body: this.holder.codec.decode(this.handed.body) };
    return this.value.body;
  }
  /** The content as it was sent. */
  get bytes(): Uint8Array {
    return this.handed.body;
  }
  get key(): string {
    return this.handed.key;
  }
  get headers(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.handed.headers);
  }
  get partition(): number {
    return this.handed.partition;
  }
  get sequence(): number {
    return this.handed.sequence;
  }
  get priority(): number {
    return this.handed.priority;
  }
  /** Hand-outs so far, this one included. */
  get acquired(): number {
    return this.handed.acquired;
  }
  /** Genuine failures so far. */
  get deliveries(): number {
    return this.handed.deliveries;
  }
  /** When it was produced, Unix milliseconds of group time. */
  get producedAt(): number {
    return this.handed.producedAt;
  }

  /** Neither settled, nor about to be, nor lost. */
  get isOpen(): boolean {
    return !this.isGone && this.settling === null;
  }

  /**
   * Done: it is not handed out again. All settlements reject with StaleReceiptError when the message is no longer this consumer's. One that failed otherwise
   * may be repeated; if it is not, the lease is kept for one more visibility time and then runs out, so that the message is handed out again.
   */
  ack(): Promise<void> {
    return this.settle("ack", 0, "");
  }
  /** Failed: counted, and handed out again after `delayMs`, or the queue's back-off. */
  nack(options: { readonly delayMs?: number; readonly reason?: string } = {}): Promise<void> {
    return this.settle("nack", options.delayMs ?? -1, options.reason ?? "");
  }
  /** Back unharmed, at once, not counted as a failure. */
  release(): Promise<void> {
    return this.settle("release", 0, "");
  }
  /** To the dead letters at once. */
  dead(reason: string): Promise<void> {
    return this.settle("dead", 0, reason);
  }

  /** The lease lasts `ms` from now. */
  async extend(ms: number): Promise<void> {
    const sentAt = performance.now();
    const outcome = await this.holder.settle(this.handed, "extend", ms, "");
    if (outcome === "settled") return this.lease.extendTo(sentAt + ms);
    if (this.settling === null && !this.isGone) throw this.lost(outcome);
    // Perhaps by the settlement that is under way, and then it is not lost. Whoever settles is told the outcome; only if that fails, this is all that is known.
    this.toldMeanwhile = outcome;
    throw new StaleReceiptError(this.id, whyNotSettled(outcome), outcome);
  }

  /** @internal Milliseconds since its latest settlement failed; null = none did. */
  get failedForMs(): number | null {
    return this.failedAt === null ? null : performance.now() - this.failedAt;
  }

  /** @internal Resolves when a settlement that is under way has its outcome, whatever that is. */
  whenSettled(): Promise<void> {
    return this.settling === null ? Promise.resolve() : this.settling.done.catch(() => undefined);
  }

  /** @internal The cluster says, or this program knows, that it is no longer in hand. */
  lose(reason: string): void {
    this.lease.lose(reason);
    this.leave();
  }

  private lost(outcome: Exclude<SettleOutcome, "settled">): StaleReceiptError {
    const reason = whyNotSettled(outcome);
    this.lose(reason);
    return new StaleReceiptError(this.id, reason, outcome);
  }

  private leave(): void {
    if (this.isGone) return;
    this.isGone = true;
    this.holder.gone(this);
  }

  /** Idempotent. After a failure that says that nothing happened, or that nobody knows, it may be tried again. */
  private settle(settlement: Settlement, delayMs: number, reason: string): Promise<void> {
    if (this.settling !== null) {
      if (this.settling.settlement === settlement) return this.settling.done;
      return Promise.reject(new StaleReceiptError(this.id, `it was settled before, by ${this.settling.settlement}`, null));
    }
    if (this.isGone) return Promise.reject(new StaleReceiptError(this.id, "it was lost before", null));
    const done = this.settleOnce(settlement, delayMs, reason);
    this.settling = { settlement, done };
    return done;
  }

  private failed(): void {
    this.settling = null;
    this.failedAt = performance.now();
    if (this.toldMeanwhile !== null) this.lose(whyNotSettled(this.toldMeanwhile));
  }

  private async settleOnce(settlement: Settlement, delayMs: number, reason: string): Promise<void> {
    let outcome: SettleOutcome;
    try {
      outcome = await this.holder.settle(this.handed, settlement, delayMs, reason);
    } catch (error) {
      if (mayTryAgain(error)) this.failed();
      else this.leave();
      throw error;
    }
    if (outcome !== "settled") throw this.lost(outcome);
    this.leave();
  }
}

/** Nothing happened, or nobody knows: the very same settlement may succeed later. */
export function isWorthRepeating(error: unknown): boolean {
  return error instanceof UnavailableError || error instanceof OutcomeUnknownError || (error instanceof TrivetError && error.retryable);
}
function mayTryAgain(error: unknown): boolean {
  return isWorthRepeating(error) || (error instanceof TrivetError && error.code === "bad_request");
}

// Once for all of them: there are many.
shownAs(Message.prototype, function describe(this: Message<unknown>) {
  return `Message { ${this.id}, ${this.isOpen ? `in hand for ${Math.round(this.lease.remainingMs())} ms` : "settled or lost"} }`;
});
