import type { StorageCommand, StorageOutcome } from "@trivet/engine";
import { encodeUtf8, type HandedOut, type ShardResult } from "@trivet/wire";

import type { Machine } from "../world/machine.ts";
import type { Tuning } from "../world/program.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { Found } from "./scenario.ts";

const patienceMs = 10_000;

/** Nodes with one shard and one queue: scripts talk to the storage of each. */
export class ShardBench extends ClusterBench {
  queue = 0;
  private produced = 0;

  constructor(nodes: number, tuning: Partial<Tuning> = {}) {
    // What scripts do to a store, they do to one that has everything.
    super(nodes, { bufferedBytes: [0], ...tuning }, 1, 1);
    const settings = { visibilityMs: 1_000, partitions: 1 };
    const result = this.submit(this.theLeader(), { type: "define-queue", name: "q", mode: "ensure", settings, principal: "p" });
    if (result.type !== "queue-defined") throw new Found("liveness", JSON.stringify(result));
    this.queue = result.queue;
    this.until(() => this.shardLeader() !== null, patienceMs, "the shard is led");
    this.produce(this.machines[0] as Machine);
  }

  shardLeader(): Machine | null {
    return this.machines.find((machine) => machine.running?.program.shard(1)?.raft.role === "leader") ?? null;
  }

  /** Asks for it and goes on; what was answered is told later. */
  begin(machine: Machine, command: StorageCommand, timeoutMs: number): { outcome: StorageOutcome | null } {
    const told: { outcome: StorageOutcome | null } = { outcome: null };
    const { running } = machine;
    if (running === null) throw new Found("liveness", `${machine.name} does not run`);
    const submit = (): void =>
      void running.program.storage.submit({ queue: this.queue, partition: 0 }, command, { timeoutMs }, (outcome) => {
        told.outcome = outcome;
      });
    running.process.guard(submit)();
    return told;
  }

  /** The answer; a queue that the shard does not know yet is asked for again. */
  ask(machine: Machine, command: StorageCommand): ShardResult {
    for (let attempt = 0; attempt < 40; attempt += 1) {
      const told = this.begin(machine, command, patienceMs);
      this.until(() => told.outcome !== null, patienceMs + 2_000, `an answer to ${command.type} at ${machine.name}`);
      const { outcome } = told;
      const result = outcome?.type === "answered" ? outcome.result : null;
      if (result !== null && result.type !== "not-configured" && result.type !== "refused" && result.type !== "malformed") return result;
      this.run(50);
    }
    throw new Found("liveness", `${command.type} at ${machine.name} is never answered`);
  }

  produceCommand(delayMs: number = 0): StorageCommand {
    this.produced += 1;
    const body = encodeUtf8(`m${this.produced}:${"x".repeat(200)}`);
    const message = { key: "", body, headers: [], priority: 0, delayMs, dueAt: 0, ttlMs: 0, dedupId: "" };
    return { type: "produce", queue: this.queue, partition: 0, version: 1, messages: [message], ifFence: null };
  }

  produce(machine: Machine): void {
    this.ask(machine, this.produceCommand());
  }

  consume(machine: Machine): readonly HandedOut[] {
    const result = this.ask(machine, {
      type: "consume",
      queue: this.queue,
      partition: 0,
      group: "g",
      consumer: "c",
      maxMessages: 1,
      maxBytes: 0,
      visibilityMs: 0,
      autoAck: false,
      start: { type: "earliest" },
    });
    return result.type === "handed-out" ? result.messages : [];
  }

  extend({ acquired, incarnation, sequence }: HandedOut): StorageCommand {
    const receipts = [{ partition: 0, sequence, acquired, incarnation }];
    return { type: "settle", queue: this.queue, group: "g", settlement: "extend", delayMs: 1_000, reason: "", receipts };
  }
}
