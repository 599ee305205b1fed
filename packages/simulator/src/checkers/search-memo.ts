import { Prng } from "@trivet/core";

interface Visited {
  readonly words: Uint32Array;
  readonly state: number;
}

/**
 * Pairs (set of linearized operations, state) already visited. Sets are compared exactly; their Zobrist hash only finds the bucket,
 * so a hash collision can never prune a legal order.
 */
export class SearchMemo {
  private readonly words: Uint32Array;
  private readonly salt: Uint32Array;
  private readonly states = new Map<string, number>();
  private readonly buckets = new Map<number, Visited[]>();
  private hash = 0;

  constructor(operations: number) {
    this.words = new Uint32Array((operations + 31) >> 5);
    const prng = new Prng(operations);
    this.salt = Uint32Array.from({ length: operations }, () => prng.nextUint32());
  }

  /** Is (current set + `operation`, `stateKey`) new? Marks it visited. */
  visit(operation: number, stateKey: string): boolean {
    let state = this.states.get(stateKey);
    if (state === undefined) {
      state = this.states.size;
      this.states.set(stateKey, state);
    }
    this.add(operation);
    const bucketKey = (this.hash ^ Math.imul(state, 0x9e3779b1)) | 0;
    const bucket = this.buckets.get(bucketKey) ?? [];
    const seen = bucket.some((visited) => visited.state === state && sameWords(visited.words, this.words));
    if (!seen) {
      bucket.push({ words: this.words.slice(), state });
      this.buckets.set(bucketKey, bucket);
    }
    this.remove(operation);
    return !seen;
  }

  add(operation: number): void {
    this.toggle(operation);
  }
  remove(operation: number): void {
    this.toggle(operation);
  }

  private toggle(operation: number): void {
    const word = operation >> 5;
    this.words[word] = ((this.words[word] as number) ^ (1 << (operation & 31))) >>> 0;
    this.hash ^= this.salt[operation] as number;
  }
}

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}
