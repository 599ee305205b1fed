import type { Begun, ConsumerBegun, WatchQueue } from "@trivet/wire";

/** A group of a queue that is watched for a consumer. */
interface Watched extends Pick<WatchQueue, "queue" | "group" | "consumer"> {
  /** Null = the consumer says nothing of what it begins. */
  begun: Begun | null;
}
type Name = Pick<WatchQueue, "queue" | "group" | "consumer">;

/** A consumer that is gone with its stream. */
type GoneConsumer = Omit<Watched, "group">;

/** What the consumers of one stream watch, and what of it they have begun (decision 0028). */
export class WatchedConsumers {
  readonly #watched = new Map<string, Watched>();

  get size(): number {
    return this.#watched.size;
  }

  has(name: Name): boolean {
    return this.#watched.has(keyOf(name));
  }

  add({ consumer, group, queue }: Name): void {
    this.#watched.set(keyOf({ queue, group, consumer }), { queue, group, consumer, begun: null });
  }

  remove(name: Name): void {
    this.#watched.delete(keyOf(name));
  }

  /** Who watches nothing has nothing to say. */
  begun(frame: ConsumerBegun): void {
    const watched = this.#watched.get(keyOf(frame));
    if (watched !== undefined) watched.begun = frame.begun;
  }

  /**
   * The consumers that are gone, each once: `isGone` says of each watch whether it was the consumer's last. `byNode`: this node ended the stream, which is no
   * failure of what was begun.
   */
  end(isGone: (name: Name) => boolean, byNode: boolean): readonly GoneConsumer[] {
    const said = new Map<string, Begun | null>();
    const gone: GoneConsumer[] = [];
    for (const watched of this.#watched.values()) {
      const { consumer, queue } = watched;
      const key = JSON.stringify([queue, consumer]);
      const before = said.get(key);
      const begun = before === undefined ? watched.begun : together(before, watched.begun);
      said.set(key, begun);
      if (!isGone(watched)) continue;
      gone.push({ queue, consumer, begun: byNode && begun !== null ? { messages: 0, partitions: [] } : begun });
    }
    this.#watched.clear();
    return gone;
  }
}

/** One name in several groups: all of them are given up together. */
function together(a: Begun | null, b: Begun | null): Begun | null {
  if (a === null || b === null) return null;
  const partitions = [...new Set([...a.partitions, ...b.partitions])].sort((x, y) => x - y);
  return { messages: Math.max(a.messages, b.messages), partitions };
}

function keyOf({ consumer, group, queue }: Name): string {
  return JSON.stringify([queue, group, consumer]);
}
