import { groupId } from "@trivet/core";
import { MemoryClock } from "@trivet/engine";
import { expect } from "vitest";
import { rememberedChanges } from "../../src/cache/limits.ts";
import { Watches } from "../../src/cache/watches.ts";
import type { ValueChange } from "../../src/shards/worker-protocol.ts";
import { guard } from "../hosts/guard.ts";

const shard = groupId(1);

/** Namespaces above it are not heard of here yet. */
const known = 1;

/** Watches of one shard. */
class Bench {
  readonly clock = new MemoryClock(1_000);
  private version = 0;
  private readonly watches = new Watches({
    clock: this.clock,
    newName: () => "run",
    shards: () => 1,
    isHere: () => true,
    namespaceNumbered: (namespace) => (namespace > known ? null : "ns"),
    isUnheard: (namespace) => namespace > known,
  });

  change(count: number, namespace = 1): void {
    const one = (): ValueChange => ({ namespace, key: "k", tag: null, change: "put", version: ++this.version });
    this.watches.applied(shard, Array.from({ length: count }, one));
  }

  watch(from: string | null): (number | string)[] {
    const told: (number | string)[] = [];
    const listener = {
      changed: ({ version }: { readonly version: number }) => told.push(version),
      ended: ({ type }: { type: string }) => told.push(type),
    };
    this.watches.watch({ namespace: "ns", prefix: "", from }, listener);
    this.clock.runUntilIdle();
    return told;
  }
}

guard(
  "cache-watch-gap-untold",
  "M10: a position on this side of what is remembered gets all the rest, one on the other side is told so",
  () => {
    const b = new Bench();
    const all = b.watch(null);
    // One more than the ring holds: the older half goes.
    b.change(2 * rememberedChanges + 1);
    expect(all).toHaveLength(2 * rememberedChanges + 1);
    const rest = Array.from({ length: rememberedChanges + 1 }, (_, place) => rememberedChanges + 1 + place);
    expect(b.watch(`run.${rememberedChanges}`)).toEqual(rest);
    expect(b.watch(`run.${rememberedChanges - 1}`)).toEqual(["position-gone"]);
    // Who is told of what comes is told of the next one, whoever else has gone.
    b.change(1);
    expect(all.at(-1)).toBe(2 * rememberedChanges + 2);
  },
);

guard("cache-watch-gap-untold", "M10: who waits for a namespace longer than changes are remembered is told that some are gone", () => {
  const b = new Bench();
  const waiting = b.watch(null);
  b.change(1, 2);
  b.change(2 * rememberedChanges);
  expect(waiting).toEqual(["position-gone"]);
});
