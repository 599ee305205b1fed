import type { BrowseState, PlacementView, QueueView } from "@trivet/core";
import { type Begun, type GroupStart, limits } from "@trivet/wire";
import type { Submission, Unavailable } from "../node/node-api.ts";
import type { Clock } from "../ports/clock.ts";
import type { QueueStorage } from "../ports/queue-storage.ts";
import { Consuming } from "./consuming.ts";
import { browse, lookAtDetails } from "./looking.ts";
import { type Call, PartitionCommands } from "./partition-commands.ts";
import { type NextRound, runRounds, type RoundsOutcome } from "./partition-rounds.ts";
import { Producing } from "./producing.ts";
import type { QueueDirectory } from "./queue-directory.ts";
import { QueueNames } from "./queue-names.ts";
import type {
  Consumed,
  ConsumeRequest,
  Produced,
  ProduceRequest,
  QueueCallOptions,
  QueueFailure,
  QueuesApi,
  Settled,
  SettleRequest,
} from "./queues-api.ts";
import { parseMessageId } from "./receipts.ts";
import { consumeProblem, groupProblem, integerProblem, produceProblem, settleProblem, textProblem } from "./request-checks.ts";
import { Settling } from "./settling.ts";

export interface QueueServiceParts {
  readonly clock: Clock;
  readonly storage: QueueStorage;
  readonly directory: QueueDirectory;
}

/** Messages that a purge, a lost consumer or a redrive may concern at a time: who counts so many asks again. */
const most: number = limits.maxMessagesPerCommand;
const consumerGoneTimeoutMs = 10_000;
type Done<T> = (outcome: T | QueueFailure) => void;
type Counted = { readonly type: "counted"; readonly count: number };

/** Of a lost consumer: should its release fail, its leases run out. The release only speeds that up (rule Q3). */
const whatever = (): void => undefined;

/** Queues by name over a storage of numbered partitions. Tells the storage all definitions, as they become known here. */
export class QueueService implements QueuesApi {
  private readonly clock: Clock;
  private readonly storage: QueueStorage;
  private readonly directory: QueueDirectory;
  private readonly commands: PartitionCommands;
  private readonly names: QueueNames;
  private readonly producing: Producing;
  private readonly consuming: Consuming;
  private readonly settling: Settling;
  private readonly watches: readonly (() => void)[];

  constructor({ clock, storage, directory }: QueueServiceParts) {
    this.clock = clock;
    this.storage = storage;
    this.directory = directory;
    this.commands = new PartitionCommands(clock, storage, directory);
    this.names = new QueueNames(directory, this.commands);
    this.producing = new Producing(this.commands, this.names);
    this.consuming = new Consuming(clock, this.commands, this.names);
    this.settling = new Settling(this.commands, this.names, directory);
    this.watches = [
      storage.watchReady((queue, partition, group) => this.consuming.hint(queue, partition, group)),
      directory.watch((queue, definition) => {
        storage.configure(queue, definition);
        if (definition === null) this.consuming.gone(queue);
        else this.consuming.defined(definition.name);
      }),
    ];
    for (const { queue, definition } of directory.list("", "", Number.MAX_SAFE_INTEGER).queues) storage.configure(queue, definition);
  }

  get backend(): QueuesApi["backend"] {
    return this.storage.backend;
  }

  /** Hears nothing more of storage and directory. Calls under way end by their own deadlines. */
  close(): void {
    for (const end of this.watches) end();
  }

  /** Before a graceful stop: nobody waits for messages here any longer. */
  endWaits(): void {
    this.consuming.endWaits();
  }

  define(...[name, settings, mode, options, done]: Parameters<QueuesApi["define"]>): void {
    const problem = textProblem("queue", name, limits.maxNameBytes, 1);
    if (problem !== null) return this.refuse(problem, done);
    return this.directory.define(name, settings, mode, options, done);
  }

  remove(name: string, options: QueueCallOptions, done: Done<{ readonly type: "removed" }>): void {
    this.directory.remove(name, options, done);
  }

  list(
    prefix: string,
    cursor: string,
    limit: number,
    timeoutMs: number,
    done: (outcome: { readonly type: "listed"; readonly queues: readonly QueueView[]; readonly next: string | null } | Unavailable) => void,
  ): void {
    this.directory.refresh(timeoutMs, (fresh) =>
      done(fresh.type === "ready" ? { type: "listed", ...this.directory.list(prefix, cursor, limit) } : fresh),
    );
  }

  details(...[name, timeoutMs, done]: Parameters<QueuesApi["details"]>): void {
    const call = this.call({ timeoutMs });
    this.find(name, call, done, (queue) => lookAtDetails(this.storage, this.commands, queue, call, done));
  }

  /** All or none within a partition only: see Producing. */
  produce(request: ProduceRequest, options: QueueCallOptions, done: Done<Produced>): void {
    const problem = textProblem("queue", request.queue, limits.maxNameBytes, 1) ?? produceProblem(request);
    if (problem !== null) return this.refuse(problem, done);
    const call = this.call(options);
    return this.later(() => this.producing.produce(request, call, done));
  }

  awaitQueue(name: string, waitMs: number, told: (isThere: boolean) => void): () => void {
    return this.consuming.awaitQueue(name, waitMs, told);
  }

  consume(request: ConsumeRequest, options: QueueCallOptions, done: Done<Consumed>): Submission {
    const problem = consumeProblem(request);
    if (problem === null) return this.consuming.consume(request, this.call(options), done);
    this.refuse(problem, done);
    return { requestId: "", abandon: () => undefined };
  }

  settle(request: SettleRequest, options: QueueCallOptions, done: Done<Settled>): void {
    const problem = settleProblem(request);
    if (problem !== null) return this.refuse(problem, done);
    const call = this.call(options);
    return this.later(() => this.settling.settle(request, call, done));
  }

  consumerGone(name: string, consumer: string, begun: Begun | null): void {
    if (textProblem("consumer", consumer, limits.maxKeyBytes, 1) !== null) return;
    const call = this.call({ timeoutMs: consumerGoneTimeoutMs });
    this.find(name, call, whatever, (queue) => {
      const next: NextRound = (_partition, round, last) =>
        round === 0 || last >= most ? { type: "consumer-gone", queue: queue.queue, consumer, begun } : null;
      runRounds(this.commands, queue, this.placesOf(queue), call, next, whatever);
    });
  }

  createGroup(
    name: string,
    group: string,
    start: GroupStart,
    options: QueueCallOptions,
    done: Done<{ readonly type: "group"; readonly created: boolean }>,
  ): void {
    const next: NextRound = (partition, round) => (round > 0 ? null : { type: "create-group", queue: 0, partition, group, start });
    this.rounds(
      name,
      groupProblem(group),
      options,
      () => next,
      done,
      ({ count }) => done({ type: "group", created: count > 0 }),
    );
  }

  deleteGroup(name: string, group: string, options: QueueCallOptions, done: Done<{ readonly type: "removed" }>): void {
    const next: NextRound = (partition, round) => (round > 0 ? null : { type: "delete-group", queue: 0, partition, group });
    this.rounds(
      name,
      groupProblem(group),
      options,
      () => next,
      done,
      ({ count }) => done(count > 0 ? { type: "removed" } : { type: "no-group", group }),
    );
  }

  purge(name: string, dead: boolean, options: QueueCallOptions, done: Done<Counted>): void {
    const next: NextRound = (partition, round, last) =>
      round === 0 || last >= most ? { type: "purge-queue", queue: 0, partition, dead } : null;
    this.rounds(
      name,
      null,
      options,
      () => next,
      done,
      ({ count }) => done({ type: "counted", count }),
    );
  }

  redrive(name: string, ids: readonly string[], limit: number, options: QueueCallOptions, done: Done<Counted>): void {
    const problem = ids.length > most ? `ids: ${most} at most` : integerProblem("limit", limit);
    const next = (queue: QueueView): NextRound => {
      const names = ids.flatMap((id) => parseMessageId(id) ?? []).filter((one) => one.queue === queue.queue);
      return (partition, round, last, total) => {
        const sequences = names.filter((one) => one.partition === partition).map(({ sequence }) => sequence);
        const left = ids.length > 0 ? most : Math.min(limit - total, most);
        // It may have stopped at a number of bytes: only nothing says that nothing is left.
        const isOver = (round > 0 && last === 0) || left <= 0 || (ids.length > 0 && sequences.length === 0);
        return isOver ? null : { type: "redrive", queue: 0, partition, sequences, limit: left, bounded: true };
      };
    };
    this.rounds(name, problem, options, next, done, ({ count, full }) =>
      done(count === 0 && full !== null ? full : { type: "counted", count }),
    );
  }

  browse(...[name, state, cursor, limit, timeoutMs, done]: Parameters<QueuesApi["browse"]>): void {
    const problem = integerProblem("limit", limit, most, 1);
    if (problem !== null) return this.refuse(problem, done);
    const call = this.call({ timeoutMs });
    const request: { readonly state: BrowseState; readonly cursor: string; readonly limit: number } = { state, cursor, limit };
    return this.find(name, call, done, (queue) => browse(this.storage, this.commands, queue, request, call, done));
  }

  raiseFence(name: string, lock: string, fence: number, options: QueueCallOptions, done: Done<{ readonly type: "raised" }>): void {
    const problem = textProblem("lock", lock, limits.maxNameBytes, 1) ?? integerProblem("fence", fence);
    if (problem !== null) return this.refuse(problem, done);
    const call = this.call(options);
    const next: NextRound = (_partition, round) => (round > 0 ? null : { type: "raise-fence", lock, fence });
    return this.find(name, call, done, (queue, again) => {
      runRounds(this.commands, queue, this.placesOf(queue), call, next, (outcome) => {
        if (outcome.type === "gone") again();
        else done(outcome.type === "counted" ? { type: "raised" } : outcome);
      });
    });
  }

  placement(): PlacementView | null {
    return this.directory.placement();
  }

  /** Rounds over all partitions of the queue. Commands name queue 0: the queue's number comes in here. */
  private rounds(
    name: string,
    problem: string | null,
    options: QueueCallOptions,
    nextOf: (queue: QueueView) => NextRound,
    fail: (failure: QueueFailure) => void,
    done: (counted: Extract<RoundsOutcome, { readonly type: "counted" }>) => void,
  ): void {
    if (problem !== null) return this.refuse(problem, fail);
    const call = this.call(options);
    return this.find(name, call, fail, (queue, again) => {
      const ask = nextOf(queue);
      const next: NextRound = (...round) => {
        const command = ask(...round);
        return command === null || command.type === "raise-fence" ? command : { ...command, queue: queue.queue };
      };
      const partitions = Array.from({ length: queue.definition.partitions }, (_, partition) => partition);
      runRounds(this.commands, queue, partitions, call, next, (outcome) => {
        if (outcome.type === "gone") again();
        else if (outcome.type === "counted") done(outcome);
        else fail(outcome);
      });
    });
  }

  /** Partitions that stand for the shards of the queue: consecutive ones are in different shards (decision 0008 §3). */
  private placesOf({ definition }: QueueView): readonly number[] {
    const shards = this.directory.placement()?.shards.length ?? definition.partitions;
    return Array.from({ length: Math.min(shards, definition.partitions) }, (_, partition) => partition);
  }

  private find(name: string, call: Call, fail: (failure: QueueFailure) => void, run: (queue: QueueView, again: () => void) => void): void {
    this.later(() => this.names.with(name, false, call, fail, run));
  }

  private call({ timeoutMs, idempotency }: QueueCallOptions): Call {
    return { deadline: this.clock.now() + timeoutMs, ...(idempotency === undefined ? {} : { idempotency }) };
  }

  private refuse(detail: string, done: (failure: QueueFailure) => void): void {
    this.later(() => done({ type: "malformed", detail }));
  }

  private later(run: () => void): void {
    this.clock.defer(run);
  }
}
