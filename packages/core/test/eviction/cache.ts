import { createPolicy } from "../../src/eviction/create.ts";
import { makeRoom, type Bounds, type EvictionPolicy, type PolicyName } from "../../src/eviction/policy.ts";
import type { Resident } from "../../src/eviction/resident.ts";

/** 32 mixed bits of a small number. */
export function hashOf(key: number): number {
  const mixed = Math.imul(key + 1, 0x9e3779b1);
  return Math.imul(mixed ^ (mixed >>> 15), 0x85ebca77) | 0;
}

/** What a cache does with a policy: a table of copies by key, and what it was told to evict. */
export class TestCache {
  readonly policy: EvictionPolicy<number>;
  readonly copies = new Map<number, Resident<number>>();
  readonly evicted: number[] = [];
  private readonly hash: (key: number) => number;
  mayEvict: (key: number) => boolean = () => true;

  constructor(name: PolicyName, bounds: Partial<Bounds>, seed = 1, hash = hashOf) {
    this.policy = createPolicy(name, { maxEntries: 1000, maxBytes: Infinity, ...bounds }, seed);
    this.hash = hash;
  }

  /** A request for `key`, filled with `bytes` when there is no copy. True when it was a hit. */
  request(key: number, bytes = 1): boolean {
    const known = this.copies.get(key);
    if (known !== undefined) {
      this.policy.recordHit(known);
      return true;
    }
    const resident = this.policy.admit(key, this.hash(key), bytes);
    if (resident === null) return false;
    this.copies.set(key, resident);
    if (!this.makeRoom()) this.drop(key);
    return false;
  }

  makeRoom(): boolean {
    return makeRoom(this.policy, this.mayEvict, (key) => {
      this.evicted.push(key);
      this.copies.delete(key);
    });
  }

  drop(key: number): void {
    const resident = this.copies.get(key);
    if (resident === undefined) return;
    this.policy.remove(resident, "dropped");
    this.copies.delete(key);
  }

  /** Evicts all that may go. */
  drain(): number[] {
    const gone: number[] = [];
    for (let victim = this.policy.chooseVictim(this.mayEvict); victim !== null; victim = this.policy.chooseVictim(this.mayEvict)) {
      this.policy.remove(victim, "evicted");
      this.copies.delete(victim.line);
      gone.push(victim.line);
    }
    return gone;
  }

  weight(): number {
    return [...this.copies.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }
}
