import type { World } from "../world/world.ts";
import type { CacheHistory } from "./cache-history.ts";

/** What the log says of values whose time was over: not of a caller, and part of every key's history. */
export function noteEnds(world: World, history: CacheHistory): void {
  for (const { golden } of world.shards) {
    for (const { answer, at, command } of golden.steps) {
      if (command.type !== "cache-expire" || answer.type !== "counted" || answer.count === 0) continue;
      for (const { key, version } of command.values) history.ended(key, version, at);
      world.totals.add("cache values ended", answer.count);
    }
  }
}
