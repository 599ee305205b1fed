import type { CommandStream } from "../command-stream.ts";
import type { ClientTracing } from "../tracing/tracing.ts";
import type { QueueNames } from "./queue-names.ts";
import type { Settler } from "./settler.ts";

/** Somebody who waits for messages of a group. */
export interface Watcher {
  hint(partition: number): void;
  /** There is a new link, which knows nothing of this one. */
  connected(): void;
  /** The link was lost, with what it was told. */
  disconnected(): void;
  /** Another node is about to take over from one that still answers. */
  leaving(): void;
  close(): Promise<void>;
}

/** What producers and consumers of a connection share. */
export interface QueueClient {
  readonly stream: CommandStream;
  readonly names: QueueNames;
  readonly settler: Settler;
  readonly timeoutMs: number;
  readonly tracing: ClientTracing;
  /** Begins the names of consumers that were given none. */
  readonly label: string;
  /** Told of links, and closed with the connection, until it leaves. */
  enter(watcher: Watcher): void;
  leave(watcher: Watcher): void;
  /** Told of hints. */
  add(queue: number, group: string, watcher: Watcher): void;
  remove(queue: number, group: string, watcher: Watcher): void;
}
