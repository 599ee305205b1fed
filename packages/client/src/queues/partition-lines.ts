interface Line<T> {
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
  begin({ queue, version }: { readonly queue: number; readonly version: number }): void {
    const definition = `${queue}/${version}`;
    if (definition === this.definition) return;
    this.definition = definition;
    this.known.clear();
  }

  /** Null = a command may go there at once. Else where to hold it. */
  heldAt(partition: number): T[] | null {
    const line = this.lines.get(partition);
    if (line !== undefined) return line.held;
    if (!this.known.has(partition)) this.lines.set(partition, { held: [], isRenewed: false });
    return null;
  }

  /** The shard does not know the queue: all that has to be sent again. Null = whoever was told first sees to it. */
  unknown(partition: number, refused: readonly T[]): T[] | null {
    this.known.delete(partition);
    const line = this.lines.get(partition) ?? { held: [], isRenewed: false };
    this.lines.set(partition, line);
    line.held.push(...refused);
    line.held.sort((a, b) => a.serial - b.serial);
    if (line.isRenewed) return null;
    line.isRenewed = true;
    return line.held;
  }

  /** A command has its outcome; `isKnown`: and it says that the shard knows the queue. What was held for it. */
  answered(partition: number, isKnown: boolean): readonly T[] {
    const line = this.lines.get(partition);
    if (line?.isRenewed === true) return [];
    if (isKnown) this.known.add(partition);
    this.lines.delete(partition);
    // Taken out: the deadlines of those who waited here are not of what is sent.
    return line?.held.splice(0) ?? [];
  }

  /** It is looked up again. */
  renewed(partition: number): void {
    this.lines.delete(partition);
  }
}
