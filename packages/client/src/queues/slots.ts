/** One partition, as a consumer knows it. */
export interface Slot {
  readonly partition: number;
  /** May have something: nobody has said otherwise since the last hint. */
  mayHave: boolean;
  /** A hint came while a consume was under way, which may have been answered before. */
  hinted: boolean;
  busy: boolean;
  /** Answers in a row that were no hand-out, or an empty one though there may be more. */
  inVain: number;
  pause: NodeJS.Timeout | null;
}

const firstPauseMs = 5;
/** Pauses that are no longer than the first: a queue may have to pass by many messages of busy keys, 1024 at each answer. */
const shortPauses = 32;
const longestPauseMs = 500;

/** The partitions that a consumer asks, in turn. */
export class Slots {
  private readonly slots: readonly Slot[];
  private turn = 0;

  constructor(partitions: readonly number[]) {
    this.slots = partitions.map((partition) => ({ partition, mayHave: true, hinted: false, busy: false, inVain: 0, pause: null }));
  }

  /** Those that may be asked now, the one asked longest ago first. */
  askable(): readonly Slot[] {
    const free = this.slots.filter(({ mayHave, busy, pause }) => mayHave && !busy && pause === null);
    const at = free.findIndex(({ partition }) => partition >= this.turn);
    return at <= 0 ? free : [...free.slice(at), ...free.slice(0, at)];
  }

  asked(slot: Slot): void {
    slot.busy = true;
    slot.hinted = false;
    this.turn = slot.partition + 1;
  }

  /** -1 = all. */
  hint(partition: number): void {
    for (const slot of this.slots) {
      if (partition >= 0 && slot.partition !== partition) continue;
      slot.mayHave = true;
      slot.hinted = true;
    }
  }

  /** The answer says that something was handed out, and whether there is more. */
  handedOut(slot: Slot, count: number, more: boolean, again: () => void): void {
    if (!more) slot.mayHave = slot.hinted;
    if (count > 0 || !more) slot.inVain = 0;
    // Its rate is used up, or it passed by messages that are not to be handed out: once more at once, then less and less often.
    else if (slot.inVain++ > 0) this.pause(slot, again);
  }

  /** Asked again after a pause, longer each time. */
  pause(slot: Slot, again: () => void): void {
    if (slot.pause !== null) return;
    const ms =
      Math.min(longestPauseMs, firstPauseMs * 2 ** Math.max(0, Math.min(slot.inVain - shortPauses, 10))) * (0.75 + Math.random() / 4);
    slot.inVain++;
    slot.pause = setTimeout(() => {
      slot.pause = null;
      again();
    }, ms);
  }

  stop(): void {
    for (const slot of this.slots) {
      if (slot.pause !== null) clearTimeout(slot.pause);
      slot.pause = null;
    }
  }
}
