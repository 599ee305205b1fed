import type { ShardAnswer } from "@trivet/core";

import { isCacheCommand } from "@trivet/wire";

import { checkAckFinality, type Acknowledged } from "../checkers/ack-finality.ts";
import { checkDedupe } from "../checkers/dedupe.ts";
import type { Violation } from "../checkers/history.ts";
import { checkKeyOrder } from "../checkers/key-order.ts";
import { checkSendOrder, type SentInOrder } from "../checkers/send-order.ts";
import { checkLeasesKept } from "../checkers/lease-kept.ts";
import { checkConservation, type PartitionTally } from "../checkers/queue-counts.ts";
import { valueOf } from "../checkers/queue-history.ts";
import { checkReceipts } from "../checkers/receipts.ts";
import { checkTotalQueue } from "../checkers/total-queue.ts";
import { canonical } from "../clients/answers.ts";
import type { QueueHistory, QueueOperation } from "../clients/queue-history.ts";
import { partitionsOf, type SimQueue } from "../clients/queue-names.ts";
import { requestKey } from "../watch/golden-log.ts";
import type { GoldenShard, ShardStep } from "../watch/golden-shard.ts";
import { QueueChronicle } from "./queue-chronicle.ts";

/** Judges a drained run of queues: what clients saw, against the logs of the shards and against the promises. */
export class QueueJudge {
  private readonly shards: readonly GoldenShard[];
  private readonly history: QueueHistory;
  private readonly queues: readonly SimQueue[];
  private readonly chronicles: readonly QueueChronicle[];

  constructor(shards: readonly GoldenShard[], history: QueueHistory, queues: readonly SimQueue[]) {
    this.shards = shards;
    this.history = history;
    this.queues = queues.filter(({ queue }) => queue > 0);
    this.chronicles = shards.map((golden) => new QueueChronicle(golden));
  }

  /** The first promise that was broken. Plain ones first: their messages say most. */
  check(): Violation | null {
    return (
      this.checkAnswers() ??
      this.checkRealTime() ??
      this.checkPhantoms() ??
      checkSendOrder(this.sentInOrder()) ??
      this.checkTotals() ??
      this.ofEach(({ named }) => checkDedupe(named)) ??
      this.ofEach(({ receipts }) => checkReceipts(receipts)) ??
      this.ofEach(({ deliveries, produced }) => checkKeyOrder(produced, deliveries)) ??
      this.ofEach(({ deliveries }) => checkAckFinality(this.acknowledged(), deliveries)) ??
      this.ofEach(({ ranOut }) => checkLeasesKept(this.history.relied, ranOut)) ??
      checkConservation(this.tallies()) ??
      this.checkStates()
    );
  }

  private ofEach(check: (chronicle: QueueChronicle) => Violation | null): Violation | null {
    for (const chronicle of this.chronicles) {
      const found = check(chronicle);
      if (found !== null) return found;
    }
    return null;
  }

  /** Every answer a client saw is the answer of the log; what it was refused did not happen. */
  private checkAnswers(): Violation | null {
    for (const operation of this.history.operations) {
      const logged = this.logged(operation);
      const { id, result } = operation;
      if (result !== null && result.type !== "refused" && result.type !== "malformed") {
        if (logged === null)
          return { invariant: "queue-durability", detail: `${id} was answered ${result.type}, but the log has no answer to it` };
        if (!matches(logged.answer, result)) {
          return {
            invariant: "queue-answer-stable",
            detail: `${id} was answered ${canonical(result)}, the log says ${canonical(logged.answer)}`,
          };
        }
      }
      if (operation.refused && logged !== null) {
        return {
          invariant: "queue-refused-has-no-effect",
          detail: `${id} was told that nothing happened; the log says ${canonical(logged.answer)}`,
        };
      }
    }
    return null;
  }

  /** An answer's place in the log lies between the call and the answer. */
  private checkRealTime(): Violation | null {
    for (const operation of this.history.operations) {
      const logged = this.logged(operation);
      if (logged === null) continue;
      const { call, id, ret } = operation;
      if (logged.at < call) return { invariant: "queue-real-time", detail: `${id} was asked at ${call}, but took effect at ${logged.at}` };
      if (ret !== null && ret < logged.at) {
        return { invariant: "queue-real-time", detail: `${id} was answered at ${ret}, before it was committed at ${logged.at}` };
      }
    }
    return null;
  }

  private checkPhantoms(): Violation | null {
    const known = new Set<string>();
    let unnamed = 0;
    for (const operation of this.history.operations) {
      if (operation.caller === null) unnamed += 1;
      else known.add(`${operation.shard} ${requestKey(operation.caller, operation.sequence)}`);
    }
    let strange = 0;
    let example = "";
    for (const golden of this.shards) {
      for (const [request, { command }] of golden.answers) {
        if (known.has(`${golden.shard} ${request}`) || isCacheCommand(command)) continue;
        strange += 1;
        example = `a ${command.type} of ${request} in shard ${golden.shard}`;
      }
    }
    // Whose sender was told nothing, not even the request's name, is one of these.
    return strange <= unnamed
      ? null
      : { invariant: "queue-no-phantom", detail: `${strange} commands that no client sent, ${unnamed} could be theirs: ${example}` };
  }

  private sentInOrder(): readonly SentInOrder[] {
    return this.history.operations
      .filter(({ inOrder }) => inOrder)
      .map((operation) => {
        const { client, id, partition, queue } = operation;
        const answer = this.logged(operation)?.answer;
        const sequence = answer?.type === "produced" ? (answer.messages[0]?.sequence ?? null) : null;
        return { id, lane: `${client} to ${queue}/${partition}`, sequence };
      });
  }

  private checkTotals(): Violation | null {
    for (const queue of this.queues) {
      for (const group of queue.groups) {
        const found = this.checkTotal(queue, group);
        if (found !== null) return found;
      }
    }
    return null;
  }

  private checkTotal(queue: SimQueue, group: string): Violation | null {
    const attempted = new Set<string>();
    const acknowledged: string[] = [];
    for (const { command, partition, result } of this.history.operations) {
      if (command.type !== "produce" || command.queue !== queue.queue) continue;
      for (const { body } of command.messages) {
        const value = `${partition}/${valueOf(body)}`;
        attempted.add(value);
        if (queue.strict && result?.type === "produced") acknowledged.push(value);
      }
    }
    const found = this.history.received.filter((message) => message.queue === queue.queue && message.group === group);
    const values = found.map(({ partition, value }) => `${partition}/${value}`);
    return checkTotalQueue(`${queue.name} of ${group}`, { attempted, acknowledged, found: [...values, ...this.deadLetters(queue, group)] });
  }

  private deadLetters(queue: SimQueue, group: string): readonly string[] {
    const found: string[] = [];
    for (let partition = 0; partition < partitionsOf(queue); partition += 1) {
      let next: string | null = "";
      while (next !== null) {
        const cursor: string = next;
        const page = this.shardOf(queue, partition).look((shard) => shard.browse(queue.queue, partition, "dead", cursor, 100));
        for (const { body, dead } of page.messages) if (dead?.group === group) found.push(`${partition}/${valueOf(body)}`);
        next = page.next;
      }
    }
    return found;
  }

  private acknowledged(): readonly Acknowledged[] {
    const acks: Acknowledged[] = [];
    for (const { command, result, ret } of this.history.operations) {
      if (command.type !== "settle" || command.settlement !== "ack" || result?.type !== "settled" || ret === null) continue;
      command.receipts.forEach(({ partition, sequence }, at) => {
        if (result.outcomes[at] === "settled") acks.push({ queue: command.queue, partition, sequence, group: command.group, ret });
      });
    }
    return acks;
  }

  private tallies(): readonly PartitionTally[] {
    return this.queues.flatMap((queue) =>
      Array.from({ length: partitionsOf(queue) }, (_, partition): PartitionTally => {
        const golden = this.shardOf(queue, partition);
        const chronicle = this.chronicles[golden.shard - 1] as QueueChronicle;
        const place = `${queue.queue}/${partition}`;
        const stats = golden.stats(queue.queue, partition);
        const accepted = chronicle.produced.filter((message) => `${message.queue}/${message.partition}` === place).length;
        const mixed = chronicle.mixed.has(place);
        return {
          ...stats,
          name: `${queue.name}/${partition}`,
          logged: {
            // Dead letters that come back to the only group are counted as produced once more.
            produced: mixed ? stats.produced : accepted,
            settled: chronicle.settled.get(place) ?? new Map<string, number>(),
            leased: chronicle.leased(place),
            whole: queue.strict && !mixed,
          },
        };
      }),
    );
  }

  /** What the state of every partition must always be (core's invariants). */
  private checkStates(): Violation | null {
    for (const queue of this.queues) {
      for (let partition = 0; partition < partitionsOf(queue); partition += 1) this.shardOf(queue, partition).check(queue.queue, partition);
    }
    return null;
  }

  private shardOf(queue: SimQueue, partition: number): GoldenShard {
    return this.shards[(queue.queue + partition) % this.shards.length] as GoldenShard;
  }

  private logged({ caller, sequence, shard }: QueueOperation): ShardStep | null {
    if (caller === null) return null;
    return this.shards[shard - 1]?.answers.get(requestKey(caller, sequence)) ?? null;
  }
}

/** A hand-out that is asked for again shows what of it is still held. */
function matches(logged: ShardAnswer, seen: ShardAnswer): boolean {
  if (logged.type !== "handed-out" || seen.type !== "handed-out") return canonical(logged) === canonical(seen);
  return seen.messages.every((message) =>
    logged.messages.some(({ acquired, sequence }) => acquired === message.acquired && sequence === message.sequence),
  );
}
