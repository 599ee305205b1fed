/** What must be known of a definition of a queue to tell it from another. */
interface Definition {
  readonly queue: number;
  readonly version: number;
}
interface Line<T> {
  /** Of the first message that is under way there. */
  readonly first: number;
  /** What has to stay behind what is under way, in its order. */
  readonly held: T[];
  /** The shard did not know the queue: its number is looked up again. */
  isRenewed: boolean;
}

/**
 * What may go to a partition. Until its shard has shown that it knows the queue one command is under way, the others are held: were the first told that there is no such queue
 * and the second stored, they could not be put in order again.
 */
export class PartitionLines<T extends { readonly serial: number }> {
  private definition = "";
  /** Partitions whose shards know the definition. */
  private readonly known = new Set<number>();
  private readonly lines = new Map<number, Line<T>>();

  /** From now on it is about this definition of the queue. */
  begin(queue: Definition): void {
    const definition = nameOf(queue);
    if (definition === this.definition) return;
    this.definition = definition;
    this.known.clear();
  }

  /** Null = the command that begins with `first` may go there at once. Else where to hold it. */
  heldAt(partition: number, first: T): T[] | null {
    const line = this.lines.get(partition);
    if (line !== undefined) return line.held;
    if (!this.known.has(partition)) this.lines.set(partition, { first: first.serial, held: [], isRenewed: false });
    return null;
  }

  /** The shard does not know the queue: all that has to be sent again. Null = whoever was told first sees to it. */
  unknown(partition: number, refused: readonly [T, ...T[]]): T[] | null {
    this.known.delete(partition);
    const line = this.lines.get(partition) ?? { first: refused[0].serial, held: [], isRenewed: false };
    this.lines.set(partition, line);
    line.held.push(...refused);
    line.held.sort((a, b) => a.serial - b.serial);
    if (line.isRenewed) return null;
    line.isRenewed = true;
    return line.held;
  }

  /**
   * The command of `queue` that begins with `first` has its outcome; `isKnown`: and it says that the shard knows that. What was held for it: nothing where it
   * was sent when all could go, as what is held there now waits for another one.
   */
  answered(partition: number, queue: Definition, first: T, isKnown: boolean): readonly T[] {
    const line = this.lines.get(partition);
    if (line?.isRenewed === true || (line !== undefined && line.first !== first.serial)) return [];
    if (isKnown && nameOf(queue) === this.definition) this.known.add(partition);
    this.lines.delete(partition);
    // Taken out: the deadlines of those who waited here are not of what is sent.
    return line?.held.splice(0) ?? [];
  }

  /** It is looked up again. */
  renewed(partition: number): void {
    this.lines.delete(partition);
  }
}

function nameOf({ queue, version }: Definition): string {
  return `${queue}/${version}`;
}
