import { type Result, resultNumbers } from "@trivet/wire";
import { Digest, avalanche, hashText, mix } from "../system/digest.ts";

/** What the table keeps for a sequence: its answer, or the id of the wait that will bring it. */
export type Slot = Result | number;

/**
 * One caller's answers (rule X1): a ring over the window above `ackedUpTo`, as two parallel arrays that grow by doubling. Most callers
 * are used once (an idempotency key): the first place lies in the record itself, and arrays come with the second.
 */
export class CallerRecord {
  readonly caller: string;
  readonly hash: number;
  /** Null while only a cancel ahead of its request made the record. */
  fingerprint: string | null;
  ackedUpTo = 0;
  notAfter: number;
  /** Sequence 0 is never used: an empty place. */
  private firstSequence = 0;
  private firstSlot: Slot | undefined = undefined;
  private sequences: number[] = none;
  private slots: (Slot | undefined)[] = none;
  bucket: Bucket | null = null;
  next: CallerRecord | null = null;
  previous: CallerRecord | null = null;
  epoch: number;
  /** Its part of the state hash. */
  low = 0;
  high = 0;

  constructor(caller: string, fingerprint: string | null, notAfter: number, epoch: number) {
    this.caller = caller;
    this.hash = hashText(caller);
    this.fingerprint = fingerprint;
    this.notAfter = notAfter;
    this.epoch = epoch;
  }

  get(sequence: number): Slot | undefined {
    if (sequence <= this.ackedUpTo) return undefined;
    const { sequences } = this;
    if (sequences.length === 0) return this.firstSequence === sequence ? this.firstSlot : undefined;
    const place = sequence & (sequences.length - 1);
    return sequences[place] === sequence ? this.slots[place] : undefined;
  }

  /** `sequence` lies in the window. */
  set(sequence: number, slot: Slot): void {
    if (this.sequences.length === 0) {
      if (this.firstSequence === sequence || this.firstSequence <= this.ackedUpTo) {
        this.firstSequence = sequence;
        this.firstSlot = slot;
        return;
      }
      this.grow(2);
    }
    for (;;) {
      const place = sequence & (this.sequences.length - 1);
      const taken = this.sequences[place] as number;
      if (taken === sequence || taken <= this.ackedUpTo) {
        this.sequences[place] = sequence;
        this.slots[place] = slot;
        return;
      }
      this.grow(this.sequences.length * 2);
    }
  }

  /** Forgets what `sequence` was answered, and returns it. */
  forget(sequence: number): Slot | undefined {
    const slot = this.get(sequence);
    if (slot === undefined) return undefined;
    if (this.sequences.length === 0) {
      this.firstSequence = 0;
      this.firstSlot = undefined;
    } else {
      const place = sequence & (this.sequences.length - 1);
      this.sequences[place] = 0;
      this.slots[place] = undefined;
    }
    return slot;
  }

  /** Every kept (sequence, slot), oldest first. */
  kept(): [number, Slot][] {
    if (this.sequences.length === 0) return this.firstSlot === undefined ? [] : [[this.firstSequence, this.firstSlot]];
    const kept: [number, Slot][] = [];
    this.sequences.forEach((sequence, place) => {
      const slot = this.slots[place];
      if (slot !== undefined) kept.push([sequence, slot]);
    });
    return kept.sort((a, b) => a[0] - b[0]);
  }

  private grow(size: number): void {
    const kept = this.kept();
    this.sequences = Array.from({ length: size }, () => 0);
    this.slots = Array.from({ length: size }, () => undefined);
    for (const [sequence, slot] of kept) {
      this.sequences[sequence & (size - 1)] = sequence;
      this.slots[sequence & (size - 1)] = slot;
    }
    this.firstSequence = 0;
    this.firstSlot = undefined;
  }
}

const none: never[] = [];

/** Callers whose records end at the same time. */
export class Bucket {
  /** Group time from which the records are gone. */
  readonly endsAt: number;
  first: CallerRecord | null = null;
  count = 0;
  gone = false;
  readonly digest: Digest = new Digest();

  constructor(endsAt: number) {
    this.endsAt = endsAt;
  }
}

/** Of everything but the answers. */
export function baseDigest(record: CallerRecord): number {
  let hash = mix(record.hash ^ 0x43414c4c, record.ackedUpTo);
  hash = mix(hash, record.notAfter);
  return avalanche(mix(hash, record.fingerprint === null ? 1 : hashText(record.fingerprint)));
}

/** Of one answer, or of the promise of one. */
export function slotDigest(record: CallerRecord, sequence: number, slot: Slot): number {
  const hash = mix(record.hash, sequence);
  if (typeof slot === "number") return avalanche(mix(mix(hash, 99), slot));
  return avalanche(mix(mix(hash, resultNumbers[slot.type]), slot.type === "granted" || slot.type === "released" ? slot.fence : 0));
}
