import { avalanche } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";

/** No place. */
const none = -1;
const firstPlaces = 64;

/**
 * Hashes of copies that were evicted, in the order of their eviction: find, forget and forget the oldest in O(1). Typed arrays, doubled
 * when they are full (a Map that forgets its oldest skips over the holes of all those forgotten before). Its owner bounds it.
 */
export class Ghosts {
  private hashes = new Int32Array(firstPlaces);
  private nextInChain = new Int32Array(firstPlaces);
  private younger = new Int32Array(firstPlaces);
  private older = new Int32Array(firstPlaces);
  /** First place of each chain; as many chains as places. */
  private chains = new Int32Array(firstPlaces).fill(none);
  private youngest = none;
  private oldest = none;
  /** Places given back, chained by `nextInChain`. */
  private free = none;
  private used = 0;
  private readonly seed: number;
  count = 0;

  /** Nobody who chooses keys may know which of them share a chain: places depend on the seed. */
  constructor(seed: number) {
    this.seed = seed | 0;
  }

  /** Makes `hash` the youngest, whether it is known or not. */
  add(hash: number): void {
    const key = hash | 0;
    const known = this.find(key);
    const place = known === none ? this.takePlace(key) : known;
    if (known !== none) this.unlink(known);
    this.older[place] = this.youngest;
    this.younger[place] = none;
    if (this.youngest === none) this.oldest = place;
    else this.younger[this.youngest] = place;
    this.youngest = place;
    this.count++;
  }

  /** True when it was known. */
  forget(hash: number): boolean {
    const place = this.find(hash | 0);
    if (place === none) return false;
    this.unlink(place);
    this.givePlace(place);
    return true;
  }

  /** There is at least one. */
  forgetOldest(): void {
    const place = this.oldest;
    invariant(place !== none, "eviction-ghosts", "none is left");
    this.unlink(place);
    this.givePlace(place);
  }

  private find(key: number): number {
    let place = at(this.chains, this.chainOf(key));
    while (place !== none && at(this.hashes, place) !== key) place = at(this.nextInChain, place);
    return place;
  }

  private chainOf(key: number): number {
    return avalanche(key ^ this.seed) & (this.chains.length - 1);
  }

  private unlink(place: number): void {
    const [younger, older] = [at(this.younger, place), at(this.older, place)];
    if (younger === none) this.youngest = older;
    else this.older[younger] = older;
    if (older === none) this.oldest = younger;
    else this.younger[older] = younger;
    this.count--;
  }

  private takePlace(key: number): number {
    if (this.free === none && this.used === this.hashes.length) this.grow();
    let place = this.free;
    if (place === none) place = this.used++;
    else this.free = at(this.nextInChain, place);
    this.hashes[place] = key;
    this.enchain(place);
    return place;
  }

  private givePlace(place: number): void {
    const chain = this.chainOf(at(this.hashes, place));
    const after = at(this.nextInChain, place);
    let before = at(this.chains, chain);
    if (before === place) this.chains[chain] = after;
    else {
      while (at(this.nextInChain, before) !== place) before = at(this.nextInChain, before);
      this.nextInChain[before] = after;
    }
    this.nextInChain[place] = this.free;
    this.free = place;
  }

  private enchain(place: number): void {
    const chain = this.chainOf(at(this.hashes, place));
    this.nextInChain[place] = at(this.chains, chain);
    this.chains[chain] = place;
  }

  /** Only called when every place is taken. */
  private grow(): void {
    this.hashes = doubled(this.hashes);
    this.nextInChain = doubled(this.nextInChain);
    this.younger = doubled(this.younger);
    this.older = doubled(this.older);
    this.chains = new Int32Array(this.hashes.length).fill(none);
    for (let place = 0; place < this.used; place++) this.enchain(place);
  }
}

function at(array: Int32Array, place: number): number {
  return array[place] as number;
}

function doubled(array: Int32Array): Int32Array<ArrayBuffer> {
  const twice = new Int32Array(array.length * 2);
  twice.set(array);
  return twice;
}
