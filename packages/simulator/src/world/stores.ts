import type { OrderedView, Prng } from "@trivet/core";
import {
  type ClockView,
  type Done,
  type DoneWith,
  type FileFault,
  IoError,
  type MemoryClock,
  MemoryOrderedStores,
  type OrderedStore,
  type OrderedStores,
  type StoreCut,
  type StoreOperation,
} from "@trivet/engine";

import type { Totals } from "./totals.ts";

/** What the disk below does at the moment. */
export interface DiskMood {
  /** Milliseconds until something completes again. */
  stalledMs(): number;
  slowness(): number;
  /** True once: the next flush fails. */
  takeFailure(): boolean;
  isFull(): boolean;
}

/** The shards' stores on a machine's disk: as slow, stalled, full and failing as that is, and as forgetful. */
export class SimStores implements OrderedStores {
  readonly memory: MemoryOrderedStores;
  /** No transaction finds space. */
  full = false;
  /** Flushes report what they do not do: for scripts. */
  lies = false;
  /** Flushes are never done: for scripts. */
  hangs = false;
  /** The next transaction leaves something in the state that no command put there, as a wrong apply or a flipped bit would: for scripts. */
  spoils = false;
  private readonly prng: Prng;
  private readonly totals: Totals;
  private readonly mood: DiskMood;

  constructor(clock: MemoryClock, prng: Prng, totals: Totals, mood: DiskMood) {
    this.prng = prng;
    this.totals = totals;
    this.mood = mood;
    this.memory = new MemoryOrderedStores(clock, {
      latencyMs: (operation) => this.latency(operation),
      fault: (operation) => this.fault(operation),
    });
  }

  /** For a program that starts now. */
  mount(process: ClockView): this {
    this.memory.clock = process;
    return this;
  }

  unmount(powerLoss: boolean): void {
    if (!powerLoss) {
      this.memory.endProcess();
      return;
    }
    const before = this.memory.unflushed;
    if (before > 0) this.totals.add("stores crashed with unflushed commits");
    this.totals.add("stores crashed", this.memory.names.length);
    this.memory.crash(this.prng);
  }

  /** Damages a value. Null = there is none yet. */
  rot(): string | null {
    const { names } = this.memory;
    if (names.length === 0) return null;
    const name = this.prng.pick(names);
    const keys: Uint8Array[] = [];
    this.memory.look(name, (view) =>
      view.scan(new Uint8Array(0), new Uint8Array([255]), (key) => {
        keys.push(key.slice());
        return true;
      }),
    );
    if (keys.length === 0) return null;
    const key = this.prng.pick(keys);
    this.memory.flipBit(name, key, this.prng.below(64));
    this.totals.add("stores damaged");
    return `store ${name}, key ${[...key.subarray(0, 8)].join(".")}`;
  }

  wipe(): void {
    this.memory.erase();
  }

  // ── The port ──

  open(name: string, done: DoneWith<OrderedStore>): void {
    this.memory.open(name, (error, store) => done(error, store === undefined ? undefined : new FaultyStore(store, name, this)));
  }

  list(done: DoneWith<readonly string[]>): void {
    this.memory.list(done);
  }

  remove(name: string, done: Done): void {
    this.memory.remove(name, done);
  }

  /** What a request costs the apply worker: little, and now and then the time of a few cold pages. */
  workerLatency(): number {
    const { prng } = this;
    const plain = 0.01 - 0.05 * Math.log(1 - prng.next());
    return (prng.chance(0.01) ? plain + prng.next() ** 3 * 80 : plain) * Math.min(this.mood.slowness(), 20);
  }

  /** What the apply worker of the next life keeps in memory of each store: nothing, a little, or so much that only a flush ends it. */
  bufferedBytes(choice: readonly number[]): number {
    return this.prng.pick(choice);
  }

  /** True once, when a script asked for it. */
  takeSpoiling(): boolean {
    const { spoils } = this;
    this.spoils = false;
    return spoils;
  }

  isFull(): boolean {
    if (!this.full && (!this.mood.isFull() || this.prng.chance(0.3))) return false;
    this.totals.add("stores full");
    return true;
  }

  private latency(operation: StoreOperation): number {
    const base = operation.type === "flush" ? 1 : 0.2;
    return (base - base * Math.log(1 - this.prng.next())) * this.mood.slowness();
  }

  private fault(operation: StoreOperation): FileFault | null {
    const stalledMs = this.mood.stalledMs();
    if (stalledMs > 0) return { type: "delay", ms: stalledMs };
    if (operation.type === "flush" && this.hangs) return { type: "stall" };
    if (operation.type === "flush" && this.lies) return { type: "lie" };
    if (operation.type !== "flush" || !this.mood.takeFailure()) return null;
    this.totals.add("failed store flushes");
    return { type: "error", code: "io" };
  }
}

/** After every key of the state machine. */
const strangeKey = new Uint8Array([250]);

/** A store whose transactions fail as a whole where there is no space, and that can be made to go wrong. */
class FaultyStore implements OrderedStore {
  private readonly store: OrderedStore;
  private readonly name: string;
  private readonly faults: Pick<SimStores, "isFull" | "takeSpoiling">;

  constructor(store: OrderedStore, name: string, faults: Pick<SimStores, "isFull" | "takeSpoiling">) {
    this.store = store;
    this.name = name;
    this.faults = faults;
  }

  write<T>(change: (view: OrderedView) => T): T {
    return this.store.write((view) => {
      const result = change(view);
      if (this.faults.takeSpoiling()) view.put(strangeKey, strangeKey);
      if (this.faults.isFull()) throw new IoError("no-space", "write", this.name);
      return result;
    });
  }

  read<T>(look: (view: OrderedView) => T): T {
    return this.store.read(look);
  }
  cut(): StoreCut {
    return this.store.cut();
  }
  flush(done: Done): void {
    this.store.flush(done);
  }
  size(): { readonly bytes: number; readonly freeBytes: number } {
    return this.store.size();
  }
  contentHash(): string {
    return this.store.contentHash();
  }
  close(done: Done): void {
    this.store.close(done);
  }
}
