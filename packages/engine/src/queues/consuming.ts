import type { QueueView } from "@trivet/core";
import type { Submission } from "../hosts/node-api.ts";
import type { Clock } from "../ports/clock.ts";
import { ConsumeLine, type Waiter } from "./consume-line.ts";
import type { Call, PartitionCommands } from "./partition-commands.ts";
import type { QueueNames } from "./queue-names.ts";
import type { Consumed, ConsumeRequest, QueueFailure } from "./queues-api.ts";

const stopping: QueueFailure = { type: "unavailable", code: "stopping", retryAfterMs: 100, detail: "this node is stopping: ask another" };
const nothing: Consumed = { type: "consumed", messages: [], leaseMs: 0 };

/** Consumes of this node: a line for each queue and group that somebody waits for. */
export class Consuming {
  private readonly clock: Clock;
  private readonly commands: PartitionCommands;
  private readonly names: QueueNames;
  private ending = false;
  private readonly lines: Map<number, Map<string, ConsumeLine>> = new Map();

  constructor(clock: Clock, commands: PartitionCommands, names: QueueNames) {
    this.clock = clock;
    this.commands = commands;
    this.names = names;
  }

  consume(request: ConsumeRequest, call: Call, done: (outcome: Consumed | QueueFailure) => void): Submission {
    const until = this.clock.now() + request.waitMs;
    const asked: { line: ConsumeLine | null; waiter: Waiter | null; abandoned: boolean } = { line: null, waiter: null, abandoned: false };
    const fail = (failure: QueueFailure): void => done(failure.type === "unknown-queue" ? nothing : failure);
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
    this.clock.defer(() => this.names.with(request.queue, false, call, fail, run));
    const abandon = (): void => {
      asked.abandoned = true;
      if (asked.waiter !== null) asked.line?.abandon(asked.waiter);
    };
    return { requestId: "", abandon };
  }

  /** This node stops: what waits is answered now, and new consumes are better asked elsewhere. */
  endWaits(): void {
    this.ending = true;
    for (const groups of this.lines.values()) for (const line of groups.values()) line.end();
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
    const line = new ConsumeLine(this.clock, this.commands, queue, () => {
      groups.delete(group);
      if (groups.size === 0) this.lines.delete(queue.queue);
    });
    groups.set(group, line);
    return line;
  }
}
