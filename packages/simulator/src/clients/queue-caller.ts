import type { ShardAnswer } from "@trivet/core";
import type { StorageCommand, StorageOutcome } from "@trivet/engine";
import { parseRequestId } from "@trivet/wire";

import type { Machine } from "../world/machine.ts";
import { canonical } from "./answers.ts";
import type { QueueHistory, QueueOperation } from "./queue-history.ts";
import type { VirtualClient } from "./virtual-client.ts";

interface Call {
  readonly operation: QueueOperation;
  /** Empty = one of its node's own lanes: such a call is not made twice. */
  readonly key: string;
  readonly through: Machine | null;
  readonly done: (result: ShardAnswer | null) => void;
  attempts: number;
  /** Some attempt may have reached the log. */
  uncertain: boolean;
  ended: boolean;
}

const maxAttempts = 10;
const timeoutMs = 2_500;

/** Sends commands of the shards through any node, the same again under its idempotency key until one is answered, and keeps the history. */
export class QueueCaller {
  private readonly client: VirtualClient;
  private readonly history: QueueHistory;
  private readonly shards: number;
  private open = 0;

  constructor(client: VirtualClient, history: QueueHistory, shards: number) {
    this.client = client;
    this.history = history;
    this.shards = shards;
  }

  get idle(): boolean {
    return this.open === 0;
  }

  /** `through` = only by that machine; `keyed` false = without a key, once. Null = it is not known, or nothing happened. */
  send(
    place: { readonly queue: number; readonly partition: number },
    command: StorageCommand,
    keyed: boolean,
    through: Machine | null,
    done: (result: ShardAnswer | null) => void,
  ): void {
    const { client, history } = this;
    const shard = 1 + ((place.queue + place.partition) % this.shards);
    const operation = history.begin(client.name, shard, place, command, client.world.clock.now());
    const key = keyed ? `${client.name}-${operation.id}` : "";
    if (keyed) {
      operation.caller = key;
      operation.sequence = 1;
    }
    this.open += 1;
    this.attempt({ operation, key, through, done, attempts: 0, uncertain: false, ended: false });
  }

  private attempt(call: Call): void {
    const { client } = this;
    if (call.ended) return;
    if (call.attempts >= (call.key === "" ? 1 : maxAttempts)) {
      call.operation.abandoned = call.uncertain;
      call.operation.refused = !call.uncertain;
      this.end(call, null);
      return;
    }
    call.attempts += 1;
    call.operation.sends += 1;
    if (call.attempts > 1) client.world.totals.add("queue retries");
    const attempt = call.attempts;
    const machine = call.through ?? client.prng.pick(client.world.machines);
    let refused = false;
    client.callProgram(
      machine,
      ({ storage }) => {
        const { command, partition, queue } = call.operation;
        const idempotency = call.key === "" ? {} : { idempotency: { key: call.key, fingerprint: command.type } };
        storage.submit({ queue, partition }, command, { timeoutMs, ...idempotency }, (outcome) =>
          client.arrive(machine, () => this.outcome(call, attempt, outcome)),
        );
      },
      () => {
        refused = true;
        client.after(100 + client.prng.below(300), () => this.attempt(call));
      },
    );
    client.after(timeoutMs + 1_500, () => {
      if (call.ended || refused || attempt !== call.attempts) return;
      call.uncertain = true;
      this.attempt(call);
    });
  }

  private outcome(call: Call, attempt: number, outcome: StorageOutcome): void {
    const { client } = this;
    if (outcome.type === "answered" && outcome.result.type !== "not-configured") {
      if (call.key === "") this.identify(call, outcome.requestId);
      this.answered(call, outcome.result);
      return;
    }
    if (call.ended || attempt !== call.attempts) return;
    if (outcome.type === "answered") {
      client.world.totals.add("queues not configured yet");
      client.after(50 + client.prng.below(200), () => this.attempt(call));
    } else if (outcome.type === "unknown") {
      if (call.key === "") this.identify(call, outcome.requestId);
      call.uncertain = true;
      this.attempt(call);
    } else {
      client.world.totals.add(`queues refused: ${outcome.code}`);
      client.after(outcome.retryAfterMs + client.prng.below(300), () => this.attempt(call));
    }
  }

  private identify({ operation }: Call, requestId: string): void {
    const request = parseRequestId(requestId);
    if (request === null) return;
    operation.caller = request.caller;
    operation.sequence = request.sequence;
  }

  private answered(call: Call, result: ShardAnswer): void {
    const { world } = this.client;
    const { operation } = call;
    if (operation.result !== null) {
      world.totals.add("queue duplicates answered");
      // A hand-out asked for again shows what it still holds (decision 0007).
      if (result.type !== "handed-out" && result.type !== "refused" && canonical(result) !== canonical(operation.result)) {
        world.fail("queue-answer-stable", `${operation.id} was answered ${canonical(operation.result)} and later ${canonical(result)}`);
      }
      return;
    }
    if (call.ended) return;
    operation.ret = world.clock.now();
    operation.result = result;
    world.answered(operation.id, result.type);
    this.end(call, result);
  }

  private end(call: Call, result: ShardAnswer | null): void {
    call.ended = true;
    this.open -= 1;
    call.done(result);
  }
}
