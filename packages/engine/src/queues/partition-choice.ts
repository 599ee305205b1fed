import { type NewMessage, partitionOf } from "@trivet/wire";

/** Messages of a request that go to one partition, with their places in the request. */
export interface PartitionShare {
  readonly partition: number;
  readonly messages: NewMessage[];
  readonly places: number[];
}

/**
 * Rule Q2: by key, else by dedupe id, else by request id (so that a repeat meets its first copy). What has none of these goes to the next
 * partition in turn, a whole request to one, so that it stays one command.
 */
export class PartitionChoice {
  private turn = 0;

  shares(messages: readonly NewMessage[], partitions: number, requestId: string): readonly PartitionShare[] {
    const shares = new Map<number, PartitionShare>();
    let other = -1;
    messages.forEach((message, place) => {
      const name = message.key === "" ? message.dedupId : message.key;
      if (name === "" && other < 0) other = requestId === "" ? this.turn++ % partitions : partitionOf(requestId, partitions);
      const partition = name === "" ? other : partitionOf(name, partitions);
      let share = shares.get(partition);
      if (share === undefined) shares.set(partition, (share = { partition, messages: [], places: [] }));
      share.messages.push(message);
      share.places.push(place);
    });
    return [...shares.values()];
  }
}
