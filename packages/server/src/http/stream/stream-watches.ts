import type { ShardAccess } from "@trivet/engine";
import type { QueueReady } from "@trivet/wire";

/** A stream that is told when something is ready. */
export interface ReadyListener {
  ready(frame: QueueReady): void;
}

/** Which streams of this node consume from which groups. The node is listened to once for all of them, and only while there are any. */
export class StreamWatches {
  readonly #shards: () => ShardAccess;
  /** By queue, then group. */
  readonly #watched = new Map<number, Map<string, Map<ReadyListener, number>>>();
  /** How many streams a consumer watches on: a reconnect may be here before its old stream is known to be gone. */
  readonly #consumers = new Map<string, number>();
  #unwatch: (() => void) | null = null;

  constructor(shards: () => ShardAccess) {
    this.#shards = shards;
  }

  add(queue: number, group: string, consumer: string, listener: ReadyListener): void {
    const groups = this.#watched.get(queue) ?? new Map<string, Map<ReadyListener, number>>();
    const listeners = groups.get(group) ?? new Map<ReadyListener, number>();
    listeners.set(listener, (listeners.get(listener) ?? 0) + 1);
    groups.set(group, listeners);
    this.#watched.set(queue, groups);
    const key = keyOf(queue, consumer);
    this.#consumers.set(key, (this.#consumers.get(key) ?? 0) + 1);
    this.#unwatch ??= this.#shards().watchReady((...hint) => this.#hint(...hint));
  }

  /** True when the consumer watches on no stream of this node any more. */
  remove(queue: number, group: string, consumer: string, listener: ReadyListener): boolean {
    const groups = this.#watched.get(queue);
    const listeners = groups?.get(group);
    const left = (listeners?.get(listener) ?? 0) - 1;
    if (left > 0) listeners?.set(listener, left);
    else listeners?.delete(listener);
    if (listeners?.size === 0) groups?.delete(group);
    if (groups?.size === 0) this.#watched.delete(queue);
    if (this.#watched.size === 0) {
      this.#unwatch?.();
      this.#unwatch = null;
    }
    const key = keyOf(queue, consumer);
    const streams = (this.#consumers.get(key) ?? 0) - 1;
    if (streams > 0) this.#consumers.set(key, streams);
    else this.#consumers.delete(key);
    return streams <= 0;
  }

  #hint(queue: number, partition: number, group: string): void {
    if (partition >= 0) {
      for (const listener of this.#watched.get(queue)?.get(group)?.keys() ?? []) {
        listener.ready({ type: "queue-ready", queue, partition, group });
      }
      return;
    }
    // Nobody knows what was missed: everything may be ready.
    for (const [each, groups] of this.#watched) {
      for (const [name, listeners] of groups) {
        for (const listener of listeners.keys()) listener.ready({ type: "queue-ready", queue: each, partition: -1, group: name });
      }
    }
  }
}

function keyOf(queue: number, consumer: string): string {
  return `${queue}/${consumer}`;
}
