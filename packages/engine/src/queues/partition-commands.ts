import { invariant, type QueueView, type ShardAnswer } from "@trivet/core";
import { isCacheResult, limits } from "@trivet/wire";
import type { Submission, SubmitOptions } from "../node/node-api.ts";
import type { Clock } from "../ports/clock.ts";
import type { Durability, QueueStorage, StorageCommand, StorageOutcome } from "../ports/queue-storage.ts";
import type { QueueDirectory } from "./queue-directory.ts";
import type { QueueFailure } from "./queues-api.ts";

/** A call while it runs. */
export interface Call {
  /** On the monotonic clock. */
  readonly deadline: number;
  readonly idempotency?: NonNullable<SubmitOptions["idempotency"]>;
  /** Of a produce. */
  readonly ack?: Durability;
}

type Fine = Extract<ShardAnswer, { readonly type: "produced" | "handed-out" | "settled" | "counted" }>;
export interface PartitionAnswer {
  readonly type: "answered";
  readonly result: Fine;
  readonly requestId: string;
  readonly durability: Durability;
}
/** The queue of that number is no more. */
export interface Gone {
  readonly type: "gone";
}
export type PartitionOutcome = PartitionAnswer | QueueFailure | Gone;

/** How often a shard is told a definition, and how long it is given for it, doubling. */
const configureTries = 8;
const firstPauseMs = 5;

/**
 * Single commands to single partitions. A shard that has not heard of the queue, or only of an older definition, is told it and asked
 * again (rule G1).
 */
export class PartitionCommands {
  private readonly clock: Clock;
  private readonly storage: QueueStorage;
  private readonly directory: QueueDirectory;

  constructor(clock: Clock, storage: QueueStorage, directory: QueueDirectory) {
    this.clock = clock;
    this.storage = storage;
    this.directory = directory;
  }

  /** `label` tells the commands of one call with an idempotency key apart: each is a caller of its own (rule X2). */
  submit(
    { queue }: QueueView,
    partition: number,
    command: StorageCommand,
    call: Call,
    label: string,
    done: (outcome: PartitionOutcome) => void,
  ): Submission {
    const { ack, idempotency } = call;
    const asked = {
      ...(idempotency === undefined ? {} : { idempotency: { key: `${idempotency.key}.${label}`, fingerprint: idempotency.fingerprint } }),
      ...(ack === undefined ? {} : { ack }),
    };
    const send = (tries: number): Submission =>
      this.storage.submit({ queue, partition }, command, { timeoutMs: this.left(call), ...asked }, (outcome) => {
        if (outcome.type !== "answered" || outcome.result.type !== "not-configured") done(classified(command, outcome));
        else this.configure(queue, call, tries, () => void send(tries + 1), done);
      });
    return send(0);
  }

  /** Milliseconds that a call has left; at least 1. */
  left({ deadline }: Call): number {
    return Math.max(1, Math.ceil(deadline - this.clock.now()));
  }

  private configure(queue: number, call: Call, tries: number, again: () => void, done: (outcome: PartitionOutcome) => void): void {
    this.directory.refresh(this.left(call), (fresh) => {
      if (fresh.type !== "ready") return done(fresh);
      const view = this.directory.byNumber(queue);
      if (view === null) return done({ type: "gone" });
      this.storage.configure(queue, view.definition);
      const pauseMs = firstPauseMs * 2 ** tries;
      if (tries >= configureTries || this.clock.now() + pauseMs >= call.deadline) {
        const detail = "the shard has not heard of the queue yet; nothing happened";
        return done({ type: "unavailable", code: "no_leader", retryAfterMs: 200, detail });
      }
      this.clock.schedule(pauseMs, again);
    });
  }
}

function classified(command: StorageCommand, outcome: StorageOutcome): PartitionOutcome {
  if (outcome.type !== "answered") return outcome;
  const { durability, requestId, result } = outcome;
  invariant(!isCacheResult(result), "queue-command-answered-as-one", result.type);
  switch (result.type) {
    case "produced":
    case "handed-out":
    case "settled":
    case "counted":
      return { type: "answered", result, requestId, durability };
    case "fence-behind":
      return { type: "fence-behind", lock: result.lock, highest: String(result.highest) };
    case "not-configured":
      return { type: "gone" };
    case "no-group":
      return makesGroup(command) ? { type: "too-many-groups", max: limits.maxGroupsPerPartition } : result;
    case "queue-full":
    case "malformed":
    case "refused":
      return result;
  }
}

/** A group that is not there comes into being by them: that there is none afterwards says that there are too many. */
function makesGroup({ type }: StorageCommand): boolean {
  return type === "consume" || type === "create-group";
}
