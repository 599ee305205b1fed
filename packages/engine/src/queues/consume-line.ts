import type { QueueView } from "@trivet/core";
import type { Consume } from "@trivet/wire";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Call, PartitionCommands, PartitionOutcome } from "./partition-commands.ts";
import { PartitionSlot } from "./partition-slot.ts";
import { KeyedLooks } from "./keyed-looks.ts";
import { formatMessageId, formatReceipt } from "./receipts.ts";
import type { Consumed, ConsumeRequest, Delivered, QueueFailure } from "./queues-api.ts";

type Outcome = Consumed | QueueFailure | { readonly type: "gone" };

/** One partition, as the line knows it. */
interface Slot {
  readonly of: PartitionSlot;
  readonly partition: number;
  /** Answers in a row that had nothing though there may be more. */
  inVain: number;
  pause: Timer | null;
  /** Why it is paused, where it could not be asked. */
  failure: QueueFailure | null;
}

/** One consume that waits for its turn or for messages. */
export interface Waiter {
  readonly request: ConsumeRequest;
  readonly call: Call;
  readonly arrival: number;
  readonly waitsUntil: number;
  readonly done: (outcome: Outcome) => void;
  /** Of a call with an idempotency key. */
  readonly keyed: KeyedLooks | null;
  readonly asked: Set<number>;
  /** Partitions that cannot be asked at present. */
  readonly failed: Map<number, QueueFailure>;
  /** Of a call with a key: why the partition whose turn it is could not be asked when it was last tried. */
  stuckAt: QueueFailure | null;
  busy: boolean;
  abandoned: boolean;
  timer: Timer | null;
}

/** Leaves the last command of a long poll time for its answer. */
export const lastAskMs = 1000;
const maxPauseMs = 500;
const releaseTimeoutMs = 10_000;

/**
 * The consumes of one group of one queue on this node, first come, first served. Of each partition as many are under way as lately found messages: who waits
 * behind them needs not ask when an answer says that nothing is left.
 */
export class ConsumeLine {
  private readonly clock: Clock;
  private readonly commands: PartitionCommands;
  private readonly queue: QueueView;
  private readonly isRated: () => boolean;
  private readonly ended: () => void;
  private readonly slots: readonly Slot[];
  private waiters: Waiter[] = [];
  /** Counts arrivals and questions, to tell which came first. */
  private moment = 0;
  private ending = false;
  /** The partition that is looked at first. */
  private turn = 0;
  private isClosed = false;

  /** `isRated`: whether the queue has a rate now. */
  constructor(clock: Clock, commands: PartitionCommands, queue: QueueView, isRated: () => boolean, ended: () => void) {
    this.clock = clock;
    this.commands = commands;
    this.queue = queue;
    this.isRated = isRated;
    this.ended = ended;
    this.slots = Array.from({ length: queue.definition.partitions }, (_, partition) => ({
      of: new PartitionSlot(partition),
      partition,
      inVain: 0,
      pause: null,
      failure: null,
    }));
  }

  enter(request: ConsumeRequest, call: Call, waitMs: number, done: (outcome: Outcome) => void): Waiter {
    const now = this.clock.now();
    const wait = Math.max(0, Math.min(waitMs, call.deadline - now - lastAskMs));
    const sets = { asked: new Set<number>(), failed: new Map<number, QueueFailure>() };
    const { idempotency } = call;
    const partitions = this.mine(request).map(({ partition }) => partition);
    const waiter: Waiter = {
      request,
      call,
      arrival: ++this.moment,
      waitsUntil: now + wait,
      done,
      keyed: idempotency === undefined ? null : new KeyedLooks(idempotency.key, partitions),
      ...sets,
      stuckAt: null,
      busy: false,
      abandoned: false,
      timer: null,
    };
    this.waiters.push(waiter);
    waiter.timer = this.clock.schedule(wait, () => this.waitIsOver(waiter));
    this.serveOne(waiter);
    return waiter;
  }

  abandon(waiter: Waiter): void {
    if (!this.waiters.includes(waiter)) return;
    waiter.abandoned = true;
    if (!waiter.busy) this.clock.defer(() => this.finish(waiter, nothing));
  }

  /** There may be something in `partition`, or in all with -1. */
  hint(partition: number): void {
    const moment = ++this.moment;
    for (const slot of this.slots) if (partition < 0 || slot.partition === partition) slot.of.hinted(moment);
    this.serve();
  }

  /** The queue is no more. Who has a question under way is told with its answer: it may have been given before. */
  close(): void {
    this.isClosed = true;
    for (const waiter of this.waiters.filter(({ busy }) => !busy)) this.finish(waiter, { type: "gone" });
  }

  /** Nobody waits here any longer; whom a question is under way for still gets its answer. */
  end(): void {
    this.ending = true;
    this.serve();
  }

  private serve(): void {
    for (const waiter of this.waiters.slice()) {
      if (!this.slots.some(({ of }) => of.hasRoom)) return;
      this.serveOne(waiter);
    }
  }

  private serveOne(waiter: Waiter): void {
    if (waiter.busy || !this.waiters.includes(waiter) || waiter.abandoned) return;
    if (this.ending) return this.clock.defer(() => this.finish(waiter, nothing));
    const mine = this.mine(waiter.request);
    const wanted = mine.filter(
      (slot) => slot.pause === null && (slot.of.mayHave || this.isNews(waiter, slot)) && !waiter.failed.has(slot.partition),
    );
    const slot = waiter.keyed === null ? this.free(wanted) : this.keyedSlot(waiter, waiter.keyed, wanted);
    if (slot !== null) return this.ask(waiter, slot);
    const waits = this.clock.now() < waiter.waitsUntil || this.isOwed(waiter, wanted);
    if (waits && this.clock.now() < waiter.call.deadline) return;
    // Who has to look at partitions in turn has not looked at the rest of them while one could not be asked.
    const [failure = waiter.stuckAt ?? this.unasked(waiter) ?? nothing] = waiter.failed.values();
    this.clock.defer(() => this.finish(waiter, failure));
  }

  /** Why a partition cannot be asked for it at present, as others were told: that is not to say that there is nothing. */
  private unasked(waiter: Waiter): QueueFailure | null {
    const isUnasked = (slot: Slot): boolean => slot.failure !== null && (slot.of.mayHave || this.isNews(waiter, slot));
    return this.mine(waiter.request).find(isUnasked)?.failure ?? null;
  }

  /** Something has to be looked at for it, whether or not it waits. */
  private isOwed(waiter: Waiter, wanted: readonly Slot[]): boolean {
    const { failed, keyed } = waiter;
    if (keyed === null) return wanted.some((one) => this.isNews(waiter, one));
    const { partition } = keyed;
    if (failed.has(partition)) return false;
    // One that is asked for others answers soon; one that is away may be so for long.
    const isThere = this.slots[partition]?.pause === null;
    return keyed.isReplaying || (isThere && wanted.some((one) => this.isNews(waiter, one)));
  }

  /** Nobody has been told since it came that there is nothing. */
  private isNews(waiter: Waiter, slot: Slot): boolean {
    return slot.of.isNewsFor(waiter.arrival) && !waiter.asked.has(slot.partition);
  }

  private mine({ partition: only }: ConsumeRequest): readonly Slot[] {
    return only === null ? this.slots : this.slots.filter(({ partition }) => partition === only);
  }

  private free(wanted: readonly Slot[]): Slot | null {
    const free = wanted.filter(({ of }) => of.hasRoom);
    return this.inTurn(free.filter(({ of }) => of.mayHave)) ?? this.inTurn(free);
  }

  /** The one whose turn it is, as soon as any is wanted. */
  private keyedSlot({ failed }: Waiter, keyed: KeyedLooks, wanted: readonly Slot[]): Slot | null {
    const slot = this.slots[keyed.partition] as Slot;
    if (slot.pause !== null || failed.has(slot.partition) || !slot.of.hasRoom) return null;
    return keyed.isReplaying || wanted.length > 0 ? slot : null;
  }

  private inTurn(slots: readonly Slot[]): Slot | null {
    return slots.find(({ partition }) => partition >= this.turn) ?? slots[0] ?? null;
  }

  private ask(waiter: Waiter, slot: Slot): void {
    const { group, consumer, maxMessages, maxBytes, visibilityMs, autoAck, start } = waiter.request;
    const { partition } = slot;
    const what = { group, consumer, maxMessages, maxBytes, visibilityMs, autoAck, start };
    const command: Consume = { type: "consume", queue: this.queue.queue, partition, ...what };
    const { call, keyed } = waiter;
    const moment = ++this.moment;
    slot.of.asked();
    waiter.busy = true;
    if (keyed === null) waiter.asked.add(partition);
    this.turn = (partition + 1) % this.slots.length;
    const label = keyed?.label ?? "";
    this.commands.submit(this.queue, partition, command, keyed === null ? { deadline: call.deadline } : call, label, (outcome) => {
      slot.of.answered();
      waiter.busy = false;
      this.answered(waiter, slot, outcome, moment);
    });
  }

  private answered(waiter: Waiter, slot: Slot, outcome: PartitionOutcome, moment: number): void {
    if (outcome.type === "gone") {
      this.finish(waiter, outcome);
      return this.close();
    }
    if (outcome.type === "unavailable") {
      // Another partition may have something; a new leader is simply asked again.
      waiter.failed.set(slot.partition, outcome);
      if (waiter.keyed !== null) waiter.stuckAt = outcome;
      slot.of.failed();
      slot.failure = outcome;
      this.pause(slot, Math.min(Math.max(outcome.retryAfterMs, 10), maxPauseMs));
      if (waiter.abandoned) this.finish(waiter, nothing);
    } else if (outcome.type !== "answered") this.finish(waiter, outcome);
    else if (outcome.result.type === "handed-out") this.handedOut(waiter, slot, outcome.result, moment);
    return this.isClosed ? this.close() : this.serve();
  }

  private handedOut(waiter: Waiter, slot: Slot, result: HandOut, moment: number): void {
    const { keyed } = waiter;
    const { leaseMs, messages, more } = result;
    const isKnown = isToldAgain(result);
    waiter.stuckAt = null;
    // Messages under a key may have been handed out long ago, to its first send, or to another one that looks at the same time. That there is more is believed
    // of them all the same: at worst one looks in vain.
    const isOld = keyed !== null && (isKnown || (messages.length > 0 && (keyed.isReplaying || !more)));
    slot.of.handedOut(messages.length, more, isOld ? null : moment);
    if (messages.length > 0 || !more || isKnown) slot.inVain = 0;
    // Its rate is used up: once more at once, then less and less often. Else it passed by messages that are not to be handed out, and goes on there.
    else if (slot.pause === null && this.isRated() && slot.inVain++ > 0) this.pause(slot, Math.min(5 * 2 ** slot.inVain, maxPauseMs));
    if (keyed !== null && messages.length === 0) {
      keyed.passed(!isKnown);
      if (!isKnown) waiter.asked.add(slot.partition);
      // What this key was handed is settled: it gets nothing instead.
      if ((isKnown && !more) || keyed.isWorn) return this.finish(waiter, nothing);
    }
    if (waiter.abandoned) {
      // A repeat may have been told of the very same hand-out; else its leases run out.
      if (keyed === null) this.release(waiter, result);
      return this.finish(waiter, nothing);
    }
    if (messages.length > 0) {
      const delivered = messages.map((message) => this.delivered(waiter, message));
      this.finish(waiter, { type: "consumed", messages: delivered, leaseMs });
    }
  }

  private delivered({ request }: Waiter, message: HandOut["messages"][number]): Delivered {
    const name = { queue: this.queue.queue, partition: message.partition, sequence: message.sequence };
    const receipt = formatReceipt({ ...name, acquired: message.acquired, group: request.group, incarnation: message.incarnation });
    return { ...message, id: formatMessageId(name), receipt };
  }

  /** Given back unharmed. What was settled with its hand-out is lost: at most once. */
  private release({ request }: Waiter, { messages }: HandOut): void {
    const [first] = messages;
    if (first === undefined || request.autoAck) return;
    const receipts = messages.map(({ partition, sequence, acquired, incarnation }) => ({ partition, sequence, acquired, incarnation }));
    const why = { settlement: "release", delayMs: -1, reason: "" } as const;
    const deadline = this.clock.now() + releaseTimeoutMs;
    // Should it fail, the leases run out.
    this.commands.submit(
      this.queue,
      first.partition,
      { type: "settle", queue: this.queue.queue, group: request.group, ...why, receipts },
      { deadline },
      "",
      () => undefined,
    );
  }

  private pause(slot: Slot, ms: number): void {
    slot.pause?.cancel();
    slot.pause = this.clock.schedule(ms, () => {
      slot.pause = null;
      slot.failure = null;
      for (const waiter of this.waiters) waiter.failed.delete(slot.partition);
      this.serve();
    });
  }

  private waitIsOver(waiter: Waiter): void {
    waiter.timer = this.clock.schedule(Math.max(0, waiter.call.deadline - this.clock.now()), () => this.serveOne(waiter));
    this.serveOne(waiter);
  }

  private finish(waiter: Waiter, outcome: Outcome): void {
    const at = this.waiters.indexOf(waiter);
    if (at < 0 || waiter.busy) return;
    this.waiters.splice(at, 1);
    waiter.timer?.cancel();
    if (this.waiters.length === 0 && this.slots.every(({ of }) => of.isIdle)) {
      for (const slot of this.slots) slot.pause?.cancel();
      this.ended();
    }
    waiter.done(outcome);
  }
}

/** A look under an idempotency key that was made before, and has nothing now. With `more`: it had nothing then; without: what it had is settled. */
function isToldAgain({ leaseMs, messages }: HandOut): boolean {
  return leaseMs === 0 && messages.length === 0;
}

const nothing: Consumed = { type: "consumed", messages: [], leaseMs: 0 };
type HandOut = Extract<Extract<PartitionOutcome, { readonly type: "answered" }>["result"], { readonly type: "handed-out" }>;
