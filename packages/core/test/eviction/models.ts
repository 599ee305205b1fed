import { FrequencySketch } from "../../src/eviction/frequency-sketch.ts";
import { HillClimber } from "../../src/eviction/hill-climber.ts";
import type { PolicyName } from "../../src/eviction/policy.ts";
import { Prng } from "../../src/kernel/prng.ts";

/**
 * The policies as the papers tell them: arrays of keys, youngest first, searched from end to end; copies of weight 1; room is made before
 * a copy is inserted. Slow and obvious.
 */
export interface Model {
  readonly kept: () => readonly number[];
  /** One request. The key that had to go for it, null when none had to. */
  readonly request: (key: number) => number | null;
  readonly drop: (key: number) => void;
}

type MakeModel = (capacity: number, seed: number, hashOf: (key: number) => number) => Model;

export const models: Readonly<Record<PolicyName, MakeModel>> = { lru, lfu, sieve, s3fifo, arc, wtinylfu };

function without(keys: number[], key: number): boolean {
  const at = keys.indexOf(key);
  if (at >= 0) keys.splice(at, 1);
  return at >= 0;
}

function lru(capacity: number): Model {
  const keys: number[] = [];
  return {
    kept: () => keys,
    request: (key) => {
      const hit = without(keys, key);
      const evicted = !hit && keys.length === capacity ? keys.pop() : undefined;
      keys.unshift(key);
      return evicted ?? null;
    },
    drop: (key) => void without(keys, key),
  };
}

function lfu(capacity: number): Model {
  /** In the order of use. */
  const keys: number[] = [];
  const hits = new Map<number, number>();
  return {
    kept: () => keys,
    request: (key) => {
      let evicted: number | null = null;
      if (without(keys, key)) hits.set(key, (hits.get(key) ?? 0) + 1);
      else {
        hits.set(key, 1);
        if (keys.length === capacity) {
          const least = Math.min(...keys.map((kept) => hits.get(kept) ?? 0));
          evicted = keys.findLast((kept) => hits.get(kept) === least) ?? null;
          if (evicted !== null) without(keys, evicted);
        }
      }
      keys.unshift(key);
      return evicted;
    },
    drop: (key) => void without(keys, key),
  };
}

function sieve(capacity: number): Model {
  const keys: number[] = [];
  const marked = new Set<number>();
  let hand: number | null = null;
  const towardsYoung = (key: number): number | null => keys[keys.indexOf(key) - 1] ?? null;
  const remove = (key: number): void => {
    if (hand === key) hand = towardsYoung(key);
    without(keys, key);
    marked.delete(key);
  };
  return {
    kept: () => keys,
    request: (key) => {
      if (keys.includes(key)) {
        marked.add(key);
        return null;
      }
      let evicted: number | null = null;
      if (keys.length === capacity) {
        let at: number = hand ?? (keys.at(-1) as number);
        while (marked.delete(at)) at = towardsYoung(at) ?? (keys.at(-1) as number);
        hand = at;
        remove(at);
        evicted = at;
      }
      keys.unshift(key);
      return evicted;
    },
    drop: remove,
  };
}

function s3fifo(capacity: number): Model {
  const [small, main, ghosts]: [number[], number[], number[]] = [[], [], []];
  const hits = new Map<number, number>();
  const evict = (): number => {
    while (small.length > 0 && (main.length === 0 || small.length >= 0.1 * capacity)) {
      const oldest = small.pop() as number;
      if ((hits.get(oldest) ?? 0) < 2) {
        without(ghosts, oldest);
        ghosts.unshift(oldest);
        ghosts.length = Math.min(ghosts.length, Math.max(1, Math.floor(0.9 * capacity)));
        return oldest;
      }
      hits.set(oldest, 0);
      main.unshift(oldest);
    }
    for (;;) {
      const oldest = main.pop() as number;
      const left = hits.get(oldest) ?? 0;
      if (left === 0) return oldest;
      hits.set(oldest, left - 1);
      main.unshift(oldest);
    }
  };
  return {
    kept: () => [...small, ...main],
    request: (key) => {
      if (small.includes(key) || main.includes(key)) {
        hits.set(key, Math.min(3, (hits.get(key) ?? 0) + 1));
        return null;
      }
      // Whether it is a ghost is known before room for it is made.
      const known = without(ghosts, key);
      const evicted = small.length + main.length === capacity ? evict() : null;
      hits.set(key, 0);
      (known ? main : small).unshift(key);
      return evicted;
    },
    drop: (key) => void (without(small, key) || without(main, key)),
  };
}

/** Figure 4 of the paper, case by case. */
function arc(capacity: number): Model {
  const [t1, t2, b1, b2]: [number[], number[], number[], number[]] = [[], [], [], []];
  let p = 0;
  const replace = (inB2: boolean): number => {
    const fromT1 = t1.length > 0 && (t1.length > p || (inB2 && t1.length === p));
    const [from, ghosts] = fromT1 || t2.length === 0 ? [t1, b1] : [t2, b2];
    const evicted = from.pop() as number;
    ghosts.unshift(evicted);
    return evicted;
  };
  /** Invalidations are not in the paper: while they leave room, nothing is replaced. */
  const isFull = (): boolean => t1.length + t2.length === capacity;
  return {
    kept: () => [...t1, ...t2],
    request: (key) => {
      let evicted: number | null = null;
      if (without(t1, key) || without(t2, key)) t2.unshift(key);
      else if (b1.includes(key)) {
        p = Math.min(capacity, p + Math.max(1, b2.length / b1.length));
        without(b1, key);
        if (isFull()) evicted = replace(false);
        t2.unshift(key);
      } else if (b2.includes(key)) {
        p = Math.max(0, p - Math.max(1, b1.length / b2.length));
        without(b2, key);
        if (isFull()) evicted = replace(true);
        t2.unshift(key);
      } else {
        if (t1.length + b1.length === capacity) {
          if (t1.length < capacity) {
            b1.pop();
            if (isFull()) evicted = replace(false);
          } else evicted = t1.pop() as number;
        } else {
          if (t1.length + t2.length + b1.length + b2.length === 2 * capacity) b2.pop();
          if (isFull()) evicted = replace(false);
        }
        t1.unshift(key);
      }
      return evicted;
    },
    drop: (key) => void (without(t1, key) || without(t2, key)),
  };
}

/** The sketch and the climber are the real ones, which have tests of their own; the segments, the moves and the judging are here. */
function wtinylfu(capacity: number, seed: number, hashOf: (key: number) => number): Model {
  const prng = new Prng(seed);
  const sketch = new FrequencySketch(capacity, prng.nextUint32());
  const climber = new HillClimber();
  const [window, probation, safe]: [number[], number[], number[]] = [[], [], []];
  let share = 0.01;
  const most = 0.01 + 0.8 * 0.99;
  const room = (): number => Math.max(1, Math.floor(share * capacity));
  const demote = (): void => {
    const limit = Math.max(0, Math.min(Math.floor((most - share) * capacity), capacity - room() - 1));
    while (safe.length > limit) probation.unshift(safe.pop() as number);
  };
  const judge = (candidate: number): number => {
    const oldest = probation.at(-1) as number;
    const victim = oldest === candidate ? (safe.at(-1) ?? candidate) : oldest;
    const [asked, kept] = [sketch.frequency(hashOf(candidate)), sketch.frequency(hashOf(victim))];
    if (victim === candidate || asked > kept + (kept >= 2 ? 1 : 0)) return victim;
    return asked >= 6 && prng.below(128) === 0 ? victim : candidate;
  };
  return {
    kept: () => [...window, ...probation, ...safe],
    request: (key) => {
      sketch.increment(hashOf(key));
      if (without(window, key)) window.unshift(key);
      else if (without(safe, key)) safe.unshift(key);
      else if (without(probation, key)) {
        safe.unshift(key);
        demote();
      } else {
        climber.recordMiss();
        window.unshift(key);
        const all = (): number => window.length + probation.length + safe.length;
        const step = climber.climb(10 * capacity);
        const wider = Math.min(most, Math.max(0, share + step));
        if (step !== 0 && wider === share) climber.turnBack();
        share = wider;
        demote();
        while (window.length < room() && all() - window.length > capacity - room() && probation.length > 0) {
          window.unshift(probation.pop() as number);
        }
        let candidate: number | null = null;
        while (window.length > room()) {
          const oldest = window.pop() as number;
          probation.unshift(oldest);
          candidate ??= oldest;
        }
        if (all() <= capacity) return null;
        const evicted = candidate === null ? (probation.at(-1) ?? safe.at(-1) ?? window.at(-1) ?? key) : judge(candidate);
        if (!without(probation, evicted) && !without(safe, evicted)) without(window, evicted);
        return evicted;
      }
      climber.recordHit();
      return null;
    },
    drop: (key) => void (without(window, key) || without(probation, key) || without(safe, key)),
  };
}
