import type { QueueView } from "@trivet/core";
import type { Submission } from "../node/node-api.ts";
import type { Clock } from "../ports/clock.ts";
import { AwaitedNames } from "./awaited-names.ts";
import { ConsumeLine, type Waiter, lastAskMs } from "./consume-line.ts";
import type { Call, PartitionCommands } from "./partition-commands.ts";
import type { QueueNames } from "./queue-names.ts";
import type { Consumed, ConsumeRequest, QueueFailure } from "./queues-api.ts";

const stopping: QueueFailure = { type: "unavailable", code: "stopping", retryAfterMs: 100, detail: "this node is stopping: ask another" };
const nothing: Consumed = { type: "consumed", messages: [], leaseMs: 0 };

/** Where a consume stands: in the line of a queue, or waiting for a queue of its name. */
interface Asked {
  line: ConsumeLine | null;
  waiter: Waiter | null;
  leave: (() => void) | null;
  abandoned: boolean;
}

/** Consumes of this node: a line for each queue and group that somebody waits for. Who asks for a queue that is not there waits for the queue. */
export class Consuming {
  private readonly clock: Clock;
  private readonly commands: PartitionCommands;
  private readonly names: QueueNames;
  private ending = false;
  private readonly awaited: AwaitedNames;
  private readonly lines: Map<number, Map<string, ConsumeLine>> = new Map();

  constructor(clock: Clock, commands: PartitionCommands, names: QueueNames) {
    this.clock = clock;
    this.commands = commands;
    this.names = names;
    this.awaited = new AwaitedNames(clock);
  }

  consume(request: ConsumeRequest, call: Call, done: (outcome: Consumed | QueueFailure) => void): Submission {
    const until = Math.min(this.clock.now() + request.waitMs, call.deadline - lastAskMs);
    const asked: Asked = { line: null, waiter: null, leave: null, abandoned: false };
    const fail = (failure: QueueFailure): void => {
      if (failure.type !== "unknown-queue") return done(failure);
      // As with a queue that has nothing: a poller that were answered at once would only ask again at once.
      if (asked.abandoned || this.clock.now() >= until) return done(nothing);
      if (this.ending) return done(stopping);
      // It was made between the last look and now: nobody will tell of it again.
      if (this.names.knows(request.queue)) return look();
      asked.leave = this.awaited.await(request.queue, until, (isThere) => {
        asked.leave = null;
        if (isThere) look();
        else done(this.ending && !asked.abandoned ? stopping : nothing);
      });
    };
    const run = (queue: QueueView, again: () => void): void => {
      const { partitions } = queue.definition;
      const { partition } = request;
      if (partition !== null && partition >= partitions) {
        return fail({ type: "malformed", detail: `partition: 0 to ${partitions - 1}` });
      }
      if (asked.abandoned) return done(nothing);
      if (this.ending) return fail(stopping);
      asked.line = this.line(queue, request.group);
      asked.waiter = asked.line.enter(request, call, until - this.clock.now(), (outcome) =>
        outcome.type === "gone" ? again() : done(outcome),
      );
    };
    const look = (): void => this.names.with(request.queue, false, call, fail, run);
    this.clock.defer(look);
    const abandon = (): void => {
      asked.abandoned = true;
      if (asked.waiter !== null) asked.line?.abandon(asked.waiter);
      asked.leave?.();
    };
    return { requestId: "", abandon };
  }

  awaitQueue(name: string, waitMs: number, told: (isThere: boolean) => void): () => void {
    const until = this.clock.now() + (this.ending || this.names.knows(name) ? 0 : waitMs);
    return this.awaited.await(name, until, (isThere) => told(isThere || this.names.knows(name)));
  }

  /** This node stops: what waits is answered now, and new consumes are better asked elsewhere. */
  endWaits(): void {
    this.ending = true;
    for (const groups of this.lines.values()) for (const line of groups.values()) line.end();
    this.awaited.endAll();
  }

  /** A queue of that name is known here now: who waits for it looks for messages. */
  defined(name: string): void {
    this.awaited.appeared(name);
  }

  /** A hint of the storage; of all queues where it names none. */
  hint(queue: number, partition: number, group: string): void {
    const lines = queue < 0 ? [...this.lines.values()] : [this.lines.get(queue) ?? new Map<string, ConsumeLine>()];
    for (const groups of lines) {
      if (group !== "") groups.get(group)?.hint(partition);
      else for (const line of groups.values()) line.hint(partition);
    }
  }

  /** The queue is gone: nobody waits for it any longer. */
  gone(queue: number): void {
    for (const line of this.lines.get(queue)?.values() ?? []) line.close();
  }

  private line(queue: QueueView, group: string): ConsumeLine {
    const groups = this.lines.get(queue.queue) ?? new Map<string, ConsumeLine>();
    this.lines.set(queue.queue, groups);
    const known = groups.get(group);
    if (known !== undefined) return known;
    const isRated = (): boolean => (this.names.current(queue.queue) ?? queue).definition.ratePerSecond > 0;
    const line = new ConsumeLine(this.clock, this.commands, queue, isRated, () => {
      groups.delete(group);
      if (groups.size === 0) this.lines.delete(queue.queue);
    });
    groups.set(group, line);
    return line;
  }
}
