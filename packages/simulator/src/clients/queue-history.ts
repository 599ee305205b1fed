import type { ShardAnswer } from "@trivet/core";
import type { StorageCommand } from "@trivet/engine";

import type { Relied } from "../checkers/lease-kept.ts";
import type { Received } from "../checkers/queue-history.ts";

/** One command of one client, from the first time it was sent to the answer it saw. */
export interface QueueOperation {
  readonly id: string;
  readonly client: string;
  readonly shard: number;
  readonly queue: number;
  readonly partition: number;
  readonly command: StorageCommand;
  readonly call: number;
  /** Null = nobody has told the client which request of the log it is. */
  caller: string | null;
  sequence: number;
  /** Virtual time at which the client saw the answer. */
  ret: number | null;
  result: ShardAnswer | null;
  /** Every attempt was answered "nothing happened". */
  refused: boolean;
  /** Given up, with its outcome unknown. */
  abandoned: boolean;
  sends: number;
  /** Sent without waiting for what its client sent before, behind which it is to be stored (rule X4). */
  inOrder: boolean;
}

/** Everything that the clients of the queues asked and were told. */
export class QueueHistory {
  readonly operations: QueueOperation[] = [];
  /** Messages at the moment a client got them. */
  readonly received: Received[] = [];
  readonly relied: Relied[] = [];

  begin(
    client: string,
    shard: number,
    place: { readonly queue: number; readonly partition: number },
    command: StorageCommand,
    call: number,
  ): QueueOperation {
    const operation: QueueOperation = {
      id: `q${this.operations.length + 1}-${command.type}`,
      client,
      shard,
      ...place,
      command,
      call,
      caller: null,
      sequence: 0,
      ret: null,
      result: null,
      refused: false,
      abandoned: false,
      sends: 0,
      inOrder: false,
    };
    this.operations.push(operation);
    return operation;
  }
}
