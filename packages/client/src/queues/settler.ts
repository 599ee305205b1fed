import { type Receipt, type Settle, type Settlement, type SettleOutcome, limits, shardNumberOf } from "@trivet/wire";
import type { AnsweredBy } from "../answered.ts";
import type { CommandStream, ShardAnswer } from "../command-stream.ts";
import type { ClientSpan, ClientTracing } from "../tracing/tracing.ts";
import { settleError } from "./answers.ts";
import type { KnownQueue } from "./queue-names.ts";
import { alsoSettled, settledAs, settling } from "./queue-spans.ts";

export interface SettleRequest {
  readonly name: string;
  readonly queue: KnownQueue;
  readonly group: string;
  readonly receipt: Receipt;
  readonly settlement: Settlement;
  /** -1 = the queue's back-off. */
  readonly delayMs: number;
  readonly reason: string;
}
interface Batch {
  readonly request: SettleRequest;
  readonly timeoutMs: number;
  readonly receipts: Receipt[];
  readonly span: ClientSpan | null;
  readonly told: AnsweredBy<SettleOutcome>[];
}

/** Settles messages: those of one turn that are settled alike share a command. */
export class Settler {
  private readonly stream: CommandStream;
  private readonly tracing: ClientTracing;
  private turn = new Map<string, Batch>();

  constructor(stream: CommandStream, tracing: ClientTracing) {
    this.stream = stream;
    this.tracing = tracing;
  }

  settle(request: SettleRequest, timeoutMs: number, done: AnsweredBy<SettleOutcome>): void {
    const { queue, receipt, group, settlement, delayMs, reason } = request;
    if (this.turn.size === 0) this.stream.atGatheredEnd(() => this.flush());
    const key = JSON.stringify([queue.queue, receipt.partition, settlement, delayMs, timeoutMs, group, reason]);
    let batch = this.turn.get(key);
    if (batch !== undefined && batch.receipts.length >= limits.maxMessagesPerCommand) {
      this.send(batch);
      batch = undefined;
    }
    if (batch === undefined) this.turn.set(key, (batch = { request, timeoutMs, receipts: [], told: [], span: this.begin(request) }));
    else if (batch.span !== null) alsoSettled(batch.span, this.tracing);
    batch.receipts.push(receipt);
    batch.told.push(done);
  }

  /** Sends what was settled until now; at the end of a turn that happens by itself. */
  flush(): void {
    const { turn } = this;
    this.turn = new Map();
    for (const batch of turn.values()) this.send(batch);
  }

  private begin({ group, name, settlement }: SettleRequest): ClientSpan | null {
    return this.tracing.isOn ? settling(this.tracing, name, group, settlement) : null;
  }

  private send({ request, timeoutMs, receipts, told, span }: Batch): void {
    const { queue, group, settlement, delayMs, reason, receipt, name } = request;
    const command: Settle = { type: "settle", queue: queue.queue, group, settlement, delayMs, reason, receipts };
    const answered: AnsweredBy<ShardAnswer> = (error, answer) => {
      if (answer?.type === "settled" && answer.outcomes.length === told.length) {
        answer.outcomes.forEach((outcome, at) => told[at]?.(null, outcome));
        return span?.end(settledAs(receipts), null);
      }
      const failure = answer === null ? error : settleError(name, answer);
      for (const done of told) done(failure, null);
      span?.end(settledAs(receipts), failure);
    };
    const shard = shardNumberOf(queue.queue, receipt.partition, queue.shards);
    this.stream.submitTo(shard, command, timeoutMs, answered, span?.traces ?? null);
  }
}
