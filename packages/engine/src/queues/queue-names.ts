import type { QueueView } from "@trivet/core";
import type { QueueDirectory } from "./queue-directory.ts";
import type { Call, PartitionCommands } from "./partition-commands.ts";
import type { QueueFailure } from "./queues-api.ts";

/** A queue that was deleted and made again meanwhile is looked for so often. */
const lookUps = 3;

/** Names to queues. */
export class QueueNames {
  private readonly directory: QueueDirectory;
  private readonly commands: PartitionCommands;

  constructor(directory: QueueDirectory, commands: PartitionCommands) {
    this.directory = directory;
    this.commands = commands;
  }

  /** Whether there is a queue of that name as far as this node knows. */
  knows(name: string): boolean {
    return this.directory.queue(name) !== null;
  }

  /** A queue as this node knows it now. */
  current(queue: number): QueueView | null {
    return this.directory.byNumber(queue);
  }

  /**
   * Runs `run` with the queue of that name. One that is unknown here may have been defined through another node just now: only a fresh read says that it
   * is not there. `run` calls `again`, once, when it finds that this queue is gone: another one may have its name.
   */
  with(
    name: string,
    create: boolean,
    call: Call,
    fail: (failure: QueueFailure) => void,
    run: (queue: QueueView, again: () => void) => void,
    tries = 1,
  ): void {
    const found = (queue: QueueView): void => run(queue, () => this.again(name, create, call, fail, run, tries));
    const known = tries === 1 ? this.directory.queue(name) : null;
    if (known !== null) return found(known);
    this.directory.refresh(this.commands.left(call), (fresh) => {
      if (fresh.type !== "ready") return fail(fresh);
      const queue = this.directory.queue(name);
      if (queue !== null) return found(queue);
      if (!create) return fail({ type: "unknown-queue", name });
      this.directory.define(name, {}, "ensure", { timeoutMs: this.commands.left(call) }, (outcome) =>
        outcome.type === "defined" ? found(outcome.queue) : fail(outcome),
      );
    });
  }

  private again(
    name: string,
    create: boolean,
    call: Call,
    fail: (failure: QueueFailure) => void,
    run: (queue: QueueView, again: () => void) => void,
    tries: number,
  ): void {
    if (tries >= lookUps) fail({ type: "unknown-queue", name });
    else this.with(name, create, call, fail, run, tries + 1);
  }
}
