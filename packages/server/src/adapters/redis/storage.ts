import type { ShardAnswer } from "@trivet/core";
import type {
  Clock,
  Durability,
  KeptOutcome,
  QueueStorage,
  Random,
  StorageCommand,
  StorageOptions,
  StorageOutcome,
  StorageQuery,
  StorageReply,
  Submission,
  Telemetry,
  Unavailable,
} from "@trivet/engine";
import type { ConsumerGone, QueueDefinition, Settle, SettleOutcome } from "@trivet/wire";
import { adviceOf } from "./advice.ts";
import { type CallName, formatCallId, parseCallId } from "./call-ids.ts";
import { Confirmations } from "./confirmation.ts";
import { LinkHealth } from "./health.ts";
import { redisLimits } from "./limits.ts";
import { fateOf, type LinkWatcher, reasonOf, type RedisLink } from "./link.ts";
import type { RedisAck, RedisOptions } from "./options.ts";
import { linkTo, linkToWakeUps } from "./links.ts";
import { failureOf, tooMany, unavailable } from "./outcomes.ts";
import { KnownQueue, Partitions } from "./partitions.ts";
import { type Place, Pump } from "./pump.ts";
import { answerOf, browsedOf, placeOf, rememberedOf, type Reply, statsOf } from "./replies.ts";
import { purge } from "./purging.ts";
import { callerFields, noFences, noQuorum, type PartitionCommand, problemOf, requestOf } from "./requests.ts";

type ReadyListener = (queue: number, partition: number, group: string) => void;
interface Answered {
  readonly result: ShardAnswer;
  readonly durability: Durability;
}

/**
 * Messages of queues in Redis: streams with consumer groups, one script per step. Redis has no owner that could speak for a partition, so everything
 * is decided by scripts, by the server's clock, and any node may run any of them (rule Q4). While Redis is away every call is answered at once.
 */
export class RedisQueueStorage implements QueueStorage {
  readonly backend = "redis";
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly telemetry: Telemetry;
  private readonly health: LinkHealth;
  private readonly main: RedisLink;
  private readonly prefix: string;
  private readonly ack: RedisAck;
  private readonly confirmations: Confirmations;
  private readonly wakeUps: RedisLink;
  private readonly partitions: Partitions;
  private readonly pump: Pump;
  private readonly queues: Map<number, KnownQueue> = new Map();
  /** Partitions of queues that are gone for good and still have keys, by their place. */
  private readonly leftovers: Map<string, { readonly known: KnownQueue; readonly partition: number }> = new Map();
  private readonly listeners: Set<ReadyListener> = new Set();
  private readonly advised: Set<string> = new Set();
  private open = 0;

  constructor(options: RedisOptions, tools: { readonly clock: Clock; readonly random: Random; readonly telemetry: Telemetry }) {
    this.clock = tools.clock;
    this.random = tools.random;
    this.telemetry = tools.telemetry;
    this.health = new LinkHealth(tools.telemetry, options, () => this.returned());
    const around = { clock: this.clock, random: () => this.random.nextUint32() / 2 ** 32 };
    this.main = linkTo(options, around, this.health);
    this.prefix = options.prefix;
    this.ack = options.ack;
    this.confirmations = new Confirmations(
      () => linkTo(options, around, silent),
      (text) => this.tellOnce(text),
    );
    this.confirmations.of(options.ack);
    this.partitions = new Partitions(this.main, this.confirmations, options);
    this.wakeUps = linkToWakeUps(options, around, {
      ready: (queue, partition, group) => this.tell(queue, partition, group),
      forbidden: (text) => this.tellOnce(text),
    });
    this.pump = new Pump(tools.clock, (place, tidy) => void this.look(place, tidy));
  }

  /** Whether the servers can be reached, as far as is known: for health and metrics. */
  get isUp(): boolean {
    return this.health.isUp;
  }

  submit(place: Place, command: StorageCommand, options: StorageOptions, done: (outcome: StorageOutcome) => void): Submission {
    const { idempotency, timeoutMs } = options;
    const notAfter = Math.ceil(this.clock.wallNow()) + timeoutMs;
    // Only what has a key is remembered.
    const requestId =
      idempotency === undefined ? `redis.${this.random.hex(12)}` : formatCallId({ ...place, notAfter, key: idempotency.key });
    let isOpen = true;
    const answer = (outcome: StorageOutcome): void => {
      if (!isOpen) return;
      isOpen = false;
      timer.cancel();
      done(outcome);
    };
    const timer = this.clock.schedule(timeoutMs, () => answer({ type: "unknown", requestId }));
    const refused = this.open >= redisLimits.openCommands ? tooMany() : null;
    if (refused !== null) {
      this.clock.defer(() => answer(refused));
    } else {
      this.open++;
      void this.outcome(place, command, options, requestId).then((outcome) => {
        this.open--;
        answer(outcome);
      });
    }
    return { requestId, abandon: () => undefined };
  }

  query(query: StorageQuery, timeoutMs: number, done: (reply: StorageReply) => void): void {
    void this.reply(query).then(this.inTime<StorageReply>(timeoutMs, done));
  }

  /**
   * An answer that is not there is "pending", past the deadline too: no log says that a command will not come any more. Nobody remembers calls without
   * an idempotency key.
   */
  request(requestId: string, timeoutMs: number, done: (outcome: KeptOutcome) => void): void {
    const name = parseCallId(requestId);
    if (name === null) this.clock.defer(() => done({ type: "invalid" }));
    else void this.recall(name).then(this.inTime<KeptOutcome>(timeoutMs, done));
  }

  kept(place: Place, key: string, timeoutMs: number, done: (outcome: KeptOutcome) => void): void {
    void this.recall({ ...place, notAfter: 0, key }).then(this.inTime<KeptOutcome>(timeoutMs, done));
  }

  configure(queue: number, definition: QueueDefinition | null): void {
    const before = this.queues.get(queue);
    if (definition === null) {
      if (before !== undefined) this.drop(before);
    } else if (before === undefined || before.definition.version < definition.version) {
      this.queues.set(queue, new KnownQueue(queue, definition));
      if (before !== undefined && givesMore(before.definition, definition)) this.clock.defer(() => this.tell(queue, -1, ""));
    }
    this.pump.watch(
      [...this.queues.values()].flatMap((known) =>
        Array.from({ length: known.definition.partitions }, (_, partition) => ({ queue: known.queue, partition })),
      ),
    );
  }

  watchReady(listener: ReadyListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.pump.stop();
    await Promise.all([this.main, this.confirmations, this.wakeUps].map((link) => link.close()));
  }

  /** Never rejects. */
  private async outcome(place: Place, command: StorageCommand, options: StorageOptions, requestId: string): Promise<StorageOutcome> {
    try {
      return { type: "answered", requestId, ...(await this.execute(place, command, options)) };
    } catch (error) {
      const failure = failureOf(error);
      if (failure !== "unknown") return failure;
      this.report(error);
      return { type: "unknown", requestId };
    }
  }

  private async execute(place: Place, command: StorageCommand, options: StorageOptions): Promise<Answered> {
    const known = this.queues.get(place.queue);
    const version = known?.definition.version ?? 0;
    if (command.type === "raise-fence") return plain({ type: "malformed", detail: noFences });
    if (known === undefined || (command.type === "produce" && command.version > version)) {
      return plain({ type: "not-configured", queue: place.queue, version });
    }
    if (command.type === "consumer-gone") return this.consumerGone(known, command);
    if (command.type === "settle") return this.settle(known, command, options);
    const problem = problemOf(command, place.partition, known.definition);
    if (problem !== null) return plain({ type: "malformed", detail: problem });
    return this.single(known, place.partition, command, options);
  }

  private async single(known: KnownQueue, partition: number, command: PartitionCommand, options: StorageOptions): Promise<Answered> {
    if (command.type === "purge-queue") {
      const { count, reply } = await purge((request) => this.run(command.type, known, partition, request), command, options);
      return plain(reply.type === "counted" ? { type: "counted", count } : answerOf(reply, { queue: known.queue, partition, group: "" }));
    }
    const { bytes, fields } = requestOf(command);
    const request = { bytes, fields: { ...fields, ...callerFields(options) } };
    const group = "group" in command ? command.group : "";
    const asked = { queue: known.queue, partition, group };
    if (command.type !== "produce") return plain(answerOf(await this.run(command.type, known, partition, request), asked));
    const { ack = this.ack } = options;
    if (ack === "quorum" || ack === "memory") return plain({ type: "malformed", detail: noQuorum });
    const { durability, reply } = await this.partitions.write(command.type, known, partition, request, ack);
    this.pump.due(asked, reply.dueInMs);
    return { result: answerOf(reply, asked), durability };
  }

  /** The receipts of each partition are a step of their own. */
  private async settle(known: KnownQueue, command: Settle, options: StorageOptions): Promise<Answered> {
    const indexes = [...new Set(command.receipts.map(({ partition }) => partition))];
    const inside = indexes.filter((partition) => partition < known.definition.partitions);
    const outcomes = new Map<number, SettleOutcome[]>();
    let other: ShardAnswer | null = null;
    for (const partition of inside) {
      const receipts = command.receipts.filter((receipt) => receipt.partition === partition);
      const { result } = await this.single(known, partition, { ...command, receipts }, options);
      if (result.type === "settled") outcomes.set(partition, [...result.outcomes]);
      else other = result;
    }
    if (outcomes.size === 0 && other !== null) return plain(other);
    return plain({ type: "settled", outcomes: command.receipts.map(({ partition }) => outcomes.get(partition)?.shift() ?? "unknown") });
  }

  private async consumerGone(known: KnownQueue, { begun: said, consumer, type }: ConsumerGone): Promise<Answered> {
    let count = 0;
    for (let partition = 0; partition < known.definition.partitions; partition++) {
      const begun = said === null || said.partitions.includes(partition) ? (said?.messages ?? null) : 0;
      const reply = await this.run(type, known, partition, { fields: { consumer, begun }, bytes: [] });
      if (reply.type === "counted") count += reply.answer.number(1);
    }
    return plain({ type: "counted", count });
  }

  private async run(...[name, known, partition, request]: Parameters<Partitions["run"]>): Promise<Reply> {
    const reply = await this.partitions.run(name, known, partition, request);
    this.pump.due({ queue: known.queue, partition }, reply.dueInMs);
    return reply;
  }

  /** Tells `done` what it is told, once, or when the time is over. */
  private inTime<T>(timeoutMs: number, done: (reply: T | Unavailable) => void): (reply: T) => void {
    let isOpen = true;
    const answer = (reply: T | Unavailable): void => {
      if (!isOpen) return;
      isOpen = false;
      timer.cancel();
      done(reply);
    };
    const timer = this.clock.schedule(timeoutMs, () => answer(unavailable("no answer in time")));
    return answer;
  }

  /** Never rejects. */
  private async recall({ queue, partition, notAfter, key }: CallName): Promise<KeptOutcome> {
    const known = this.queues.get(queue);
    try {
      if (known !== undefined && partition < known.definition.partitions) {
        const { type, answer } = await this.partitions.run("recall", known, partition, { fields: { caller: key }, bytes: [] });
        if (type === "kept") return { type: "shard-answered", answer: rememberedOf(answer.list(1), { queue, partition }) };
      }
      return { type: this.clock.wallNow() > notAfter + redisLimits.keepAnswersMs ? "gone" : "pending" };
    } catch (error) {
      return this.failed(error);
    }
  }

  /** Of a question that changes nothing. */
  private failed(error: unknown): Unavailable {
    const failure = failureOf(error);
    if (failure !== "unknown") return failure;
    this.report(error);
    return unavailable(reasonOf(error));
  }

  /** Never rejects. */
  private async reply(query: StorageQuery): Promise<StorageReply> {
    const { partition, queue } = query;
    const known = this.queues.get(queue);
    try {
      if (query.type === "stats") {
        const request = { fields: {}, bytes: [] };
        const reply = known === undefined ? null : await this.partitions.run("stats", known, partition, request);
        return { type: "stats", stats: statsOf(reply, partition) };
      }
      const { cursor, limit, state } = query;
      const after = placeOf(cursor, state);
      if (known === undefined || after === null) return { type: "browsed", messages: [], next: null };
      const reply = await this.partitions.run("browse", known, partition, { fields: { state, after, limit }, bytes: [] });
      return { type: "browsed", ...browsedOf(reply, partition, state) };
    } catch (error) {
      return this.failed(error);
    }
  }

  /** The pump looks at a partition; what it misses now comes with the next round. Never rejects. */
  private async look(place: Place, tidy: boolean): Promise<void> {
    const known = this.queues.get(place.queue);
    if (known === undefined) return;
    try {
      const reply = await this.run("pump", known, place.partition, { fields: { tidy }, bytes: [] });
      if (reply.type !== "pumped") return;
      const groups = reply.answer.list(1);
      for (let at = 0; at < groups.length; at++) this.tell(place.queue, place.partition, groups.text(at));
    } catch (error) {
      this.report(error);
    }
  }

  private drop(known: KnownQueue): void {
    this.queues.delete(known.queue);
    for (let partition = 0; partition < known.definition.partitions; partition++) {
      this.leftovers.set(`${known.queue}/${partition}`, { known, partition });
    }
    void this.sweepOut();
  }

  /** What cannot be removed now is removed when Redis is back. Never rejects. */
  private async sweepOut(): Promise<void> {
    for (const [place, { known, partition }] of this.leftovers) {
      try {
        await this.partitions.run("drop", known, partition, { fields: {}, bytes: [] });
        this.leftovers.delete(place);
      } catch (error) {
        return this.report(error);
      }
    }
  }

  private returned(): void {
    this.clock.defer(() => {
      this.tell(-1, -1, "");
      void this.sweepOut();
      void this.advise();
    });
  }

  /** What people should know of the server's settings, once each. Never rejects. */
  private async advise(): Promise<void> {
    for (const text of await adviceOf(this.main, this.prefix)) this.tellOnce(text);
  }

  private tellOnce(text: string): void {
    if (this.advised.has(text)) return;
    this.advised.add(text);
    this.telemetry.log("warn", "redis.settings", text);
  }

  private tell(queue: number, partition: number, group: string): void {
    for (const listener of this.listeners) listener(queue, partition, group);
  }

  /** A script that failed half-way is a bug of ours; a lost connection is told of by the link. */
  private report(error: unknown): void {
    const fate = fateOf(error);
    if (fate === "broken" || error instanceof TypeError) {
      this.telemetry.log("error", "redis.script", `A script failed: ${reasonOf(error)}`, { reason: reasonOf(error) });
    }
  }
}

const silent: LinkWatcher = { up: () => undefined, down: () => undefined };

function plain(result: ShardAnswer): Answered {
  return { result, durability: "primary" };
}

/** Those who were told that there is no more may have more now. */
function givesMore(before: QueueDefinition, after: QueueDefinition): boolean {
  return (before.paused && !after.paused) || mayBeLeased(after) > mayBeLeased(before);
}

function mayBeLeased({ maxLeased }: QueueDefinition): number {
  return maxLeased > 0 ? maxLeased : Number.POSITIVE_INFINITY;
}
