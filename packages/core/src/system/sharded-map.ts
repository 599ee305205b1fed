const shardBits = 6;
const shardMask = (1 << shardBits) - 1;

/** Records by id, over 64 Maps: one big Map stops the loop for tens of milliseconds each time it grows. */
export class ShardedMap<Value> {
  readonly shards: readonly Map<number, Value>[] = Array.from({ length: shardMask + 1 }, () => new Map<number, Value>());
  private count = 0;

  get size(): number {
    return this.count;
  }

  get(id: number): Value | undefined {
    return this.shard(id).get(id);
  }

  /** `id` must be new. */
  add(id: number, value: Value): void {
    this.shard(id).set(id, value);
    this.count++;
  }

  /** `id` must be there. */
  remove(id: number): void {
    if (this.shard(id).delete(id)) this.count--;
  }

  /** In no meaningful order: never let an outcome depend on it. */
  *values(): IterableIterator<Value> {
    for (const shard of this.shards) yield* shard.values();
  }

  private shard(id: number): Map<number, Value> {
    return this.shards[id & shardMask] as Map<number, Value>;
  }
}
