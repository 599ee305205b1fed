import { decodeUtf8, type HandedOut } from "@trivet/wire";

/** A message by the name its shard gave it. */
export interface MessageAt {
  readonly queue: number;
  readonly partition: number;
  readonly sequence: number;
}
/** What a client got, at the moment it got it: before anything is acknowledged. */
export interface Received extends MessageAt {
  readonly group: string;
  readonly acquired: number;
  /** What the producer called it. */
  readonly value: string;
  readonly at: number;
}
/** A message that the log accepted. Orders are places in the log of its shard. */
export interface Produced extends MessageAt {
  readonly value: string;
  readonly key: string;
  readonly order: number;
}
/** A hand-out as the log decided it. */
export interface Delivery extends MessageAt {
  readonly group: string;
  readonly acquired: number;
  readonly key: string;
  readonly order: number;
  /** Virtual time at which it was first known to be committed. */
  readonly at: number;
  /** Where the log ended its lease; null = nowhere. Its own place where it was settled at once. */
  endedAt: number | null;
}

export const nameOf = ({ queue, partition, sequence }: MessageAt): string => `${queue}/${partition}/${sequence}`;

/** The first part of a body says what it is; the rest is weight. */
export function valueOf(body: Uint8Array): string {
  const colon = body.indexOf(58);
  return decodeUtf8(colon < 0 ? body : body.subarray(0, colon));
}

export function received(queue: number, group: string, { acquired, body, partition, sequence }: HandedOut, at: number): Received {
  return { queue, partition, sequence, group, acquired, value: valueOf(body), at };
}
