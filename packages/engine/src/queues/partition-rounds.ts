import type { QueueView } from "@trivet/core";
import type { StorageCommand } from "../ports/queue-storage.ts";
import type { Call, Gone, PartitionCommands } from "./partition-commands.ts";
import type { QueueFailure, QueueRefusal } from "./queues-api.ts";

/** What is asked next of a partition; null = it has done its part. `last` is what the round before counted, `total` all rounds. */
export type NextRound = (partition: number, round: number, last: number, total: number) => StorageCommand | null;
type Full = Extract<QueueRefusal, { readonly type: "queue-full" }>;
export type RoundsOutcome =
  | {
      readonly type: "counted";
      readonly count: number;
      /** Partitions that have no such group. */
      readonly strangers: number;
      /** Of the last partition that had no room for more. */
      readonly full: Full | null;
    }
  | QueueFailure
  | Gone;

/** Commands to several partitions one after the other, and to each as often as it has something left: work of any size in bounded steps. */
export function runRounds(
  commands: PartitionCommands,
  queue: QueueView,
  partitions: readonly number[],
  call: Call,
  next: NextRound,
  done: (outcome: RoundsOutcome) => void,
): void {
  let total = 0;
  let strangers = 0;
  let full: Full | null = null;
  const step = (at: number, round: number, last: number): void => {
    const partition = partitions[at];
    if (partition === undefined) return done({ type: "counted", count: total, strangers, full });
    const command = next(partition, round, last, total);
    if (command === null) return step(at + 1, 0, 0);
    commands.submit(queue, partition, command, call, `${partition}.${round}`, (outcome) => {
      if (outcome.type === "no-group" && command.type === "delete-group") {
        strangers++;
        return step(at + 1, 0, 0);
      }
      if (outcome.type === "queue-full" && command.type === "redrive") {
        full = outcome;
        return step(at + 1, 0, 0);
      }
      if (outcome.type !== "answered") return done(outcome);
      const count = outcome.result.type === "counted" ? outcome.result.count : 0;
      total += count;
      return step(at, round + 1, count);
    });
  };
  step(0, 0, 0);
}
