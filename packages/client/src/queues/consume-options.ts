import { limits } from "@trivet/wire";
import { TrivetError } from "../errors.ts";

export interface ConsumeOptions {
  /** Each group gets every message. Default "default". */
  readonly group?: string;
  /** Shown to people, and released together when this connection is lost. Default: the connection's label and a number. */
  readonly consumer?: string;
  /** Messages in hand at most: handed out, and no settlement of them begun. Default 100. */
  readonly credit?: number;
  /** Length of a lease; default the queue's. */
  readonly visibilityMs?: number;
  /** Ends the iteration: what is in hand is released, and `next` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Where a new group begins; default "earliest". */
  readonly start?: "earliest" | "latest";
  /** Only this partition; default all. */
  readonly partition?: number;
  /**
   * Leases of what is in hand are extended, while this process runs, until it is settled; after a settlement that failed and is not repeated for one more
   * visibility time. Without it nothing is asked for ahead of `next`. Default true.
   */
  readonly autoExtend?: boolean;
  /** Stored bytes of messages asked for at a time, at most; one message always fits. Default 1 MiB. */
  readonly maxBytes?: number;
}
export type ConsumeSettings = Required<Omit<ConsumeOptions, "signal" | "partition" | "consumer">> & {
  readonly consumer: string;
  readonly partition: number | null;
  readonly signal: AbortSignal | undefined;
};

/** Room for what is added to a consumer's name after a lost link. */
export const consumerSuffixBytes = 16;

let consumers = 0;

export function consumeSettings(options: ConsumeOptions, label: string): ConsumeSettings {
  const consumer = options.consumer ?? `${label.slice(0, 60)}#${++consumers}`;
  const settings: ConsumeSettings = {
    group: options.group ?? "default",
    consumer,
    credit: options.credit ?? 100,
    visibilityMs: options.visibilityMs ?? 0,
    start: options.start ?? "earliest",
    autoExtend: options.autoExtend ?? true,
    maxBytes: options.maxBytes ?? 1_048_576,
    partition: options.partition ?? null,
    signal: options.signal,
  };
  checkWhole("credit", settings.credit, 1, 65_536);
  checkWhole("visibilityMs", settings.visibilityMs, 0, limits.maxDurationMs);
  checkWhole("maxBytes", settings.maxBytes, 1, limits.maxDurationMs);
  if (settings.partition !== null) checkWhole("partition", settings.partition, 0, limits.maxPartitions - 1);
  checkGroup(settings.group);
  checkText("consumer", consumer, limits.maxKeyBytes - consumerSuffixBytes);
  return settings;
}

export function checkGroup(group: string): void {
  checkText("group", group, limits.maxKeyBytes);
}

function checkWhole(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new TrivetError("bad_request", `${name} must be a whole number from ${least} to ${most}`);
}

function checkText(name: string, value: string, most: number): void {
  if (value === "" || Buffer.byteLength(value) > most) throw new TrivetError("bad_request", `${name} must have 1 to ${most} bytes`);
}
