import type { OrderedView, Prng } from "@trivet/core";
import type { Clock } from "../ports/clock.ts";
import { IoError } from "../ports/file.ts";
import type { Done, DoneWith } from "../ports/file.ts";
import { StoreDamaged } from "../ports/ordered-store.ts";
import type { OrderedStore, OrderedStores, StoreCut } from "../ports/ordered-store.ts";
import { checkKey, checkStoreName } from "../stores/index.ts";
import type { FileFault } from "./file-handle.ts";
import { StoreContent } from "./store-content.ts";
import { compareBytes } from "./sorted-pairs.ts";
import type { Pair, SortedPairs } from "./sorted-pairs.ts";

export interface StoreOperation {
  readonly type: "open" | "list" | "remove" | "flush" | "close";
  /** Empty for `list`. */
  readonly store: string;
}

export interface MemoryStoresOptions {
  /** Virtual milliseconds an operation takes; 0 = it is done at the end of the turn. */
  readonly latencyMs?: (operation: StoreOperation) => number;
  /** Called before every operation. A flush that lies reports success and makes nothing durable. */
  readonly fault?: (operation: StoreOperation) => FileFault | null;
}

/** Stores in memory that forget like real ones: see `crash`. All delays come from the clock, all chance from the generator given to `crash`. */
export class MemoryOrderedStores implements OrderedStores {
  /** May be replaced between two lives of a node. */
  clock: Clock;
  options: MemoryStoresOptions;
  private readonly contents = new Map<string, StoreContent>();
  private readonly opened = new Set<string>();
  /** When the last timed operation is done: answers come in the order of the calls. */
  private readyAt = 0;
  private timed = 0;
  /** Counts crashes: nothing asked for before one is answered after it. */
  private life = 0;

  constructor(clock: Clock, options: MemoryStoresOptions = {}) {
    this.clock = clock;
    this.options = options;
  }

  // ── For tests ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Power loss: every store is back at some commit that is not older than its last finished flush. */
  crash(prng: Prng): void {
    this.endProcess();
    for (const name of [...this.contents.keys()].toSorted()) this.contents.get(name)?.crash(prng);
  }

  /** kill -9: open stores are dead, and all that was committed is there. */
  endProcess(): void {
    for (const content of this.contents.values()) content.rollBack();
    this.life++;
    this.opened.clear();
    this.timed = 0;
    this.readyAt = 0;
  }

  /** Looks at what was committed, whoever has the store open. Null when there is none of that name. */
  look<T>(name: string, look: (view: OrderedView) => T): T | null {
    const content = this.contents.get(name);
    return content === undefined ? null : look(new MemoryStore(this, name, content, this.life));
  }

  get names(): readonly string[] {
    return [...this.contents.keys()].toSorted();
  }

  /** Commits that a power loss may take, over all stores. */
  get unflushed(): number {
    let commits = 0;
    for (const content of this.contents.values()) commits += content.unflushedCommits;
    return commits;
  }

  /** Bit rot in a value. False when there is no such pair. */
  flipBit(name: string, key: Uint8Array, bit: number): boolean {
    return this.contents.get(name)?.flipBit(key, bit) ?? false;
  }

  /** Some store has a value with a flipped bit, noticed or not. */
  get isDamaged(): boolean {
    return [...this.contents.values()].some((content) => content.isDamaged);
  }

  /** A lost disk. */
  erase(): void {
    this.endProcess();
    this.contents.clear();
  }

  // ── The port ──────────────────────────────────────────────────────────────────────────────────────────────────────

  open(name: string, done: DoneWith<OrderedStore>): void {
    checkStoreName(name);
    this.run({ type: "open", store: name }, done, () => {
      if (this.opened.has(name)) throw new IoError("locked", "open", name);
      this.opened.add(name);
      let content = this.contents.get(name);
      if (content === undefined) this.contents.set(name, (content = new StoreContent()));
      // Opening makes durable what it finds, as the real one must.
      content.flushed(content.commits);
      return new MemoryStore(this, name, content, this.life);
    });
  }

  list(done: DoneWith<readonly string[]>): void {
    this.run({ type: "list", store: "" }, done, () => [...this.contents.keys()].toSorted());
  }

  remove(name: string, done: Done): void {
    checkStoreName(name);
    this.run({ type: "remove", store: name }, done, () => {
      if (this.opened.has(name)) throw new IoError("locked", "remove", name);
      if (!this.contents.delete(name)) throw new IoError("not-found", "remove", name);
    });
  }

  // ── For the stores ────────────────────────────────────────────────────────────────────────────────────────────────

  /** False for what belongs to a process that ended. */
  isCurrent(life: number): boolean {
    return life === this.life;
  }

  closed(name: string): void {
    this.opened.delete(name);
  }

  /** Performs `effect` when the operation's time has come, and reports. `failed` is called before an injected error is reported. */
  run<T>(
    operation: StoreOperation,
    done: (error: IoError | null, value: T | undefined) => void,
    effect: (fault: FileFault | null) => T,
    failed: () => void = () => {},
  ): void {
    const { life } = this;
    const fault = this.options.fault?.(operation) ?? null;
    if (fault?.type === "stall") return;
    const delayMs = (this.options.latencyMs?.(operation) ?? 0) + (fault?.type === "delay" ? fault.ms : 0);
    const timed = delayMs > 0 || this.timed > 0;
    const complete = (): void => {
      if (life !== this.life) return;
      if (timed) this.timed--;
      if (fault?.type === "error") {
        failed();
        return done(new IoError(fault.code, operation.type, operation.store), undefined);
      }
      let value: T;
      try {
        value = effect(fault);
      } catch (error) {
        if (error instanceof IoError) return done(error, undefined);
        throw error;
      }
      done(null, value);
    };
    if (!timed) return this.clock.defer(complete);
    const now = this.clock.now();
    this.timed++;
    this.readyAt = Math.max(this.readyAt, now + delayMs);
    this.clock.schedule(this.readyAt - now, complete);
  }
}

class MemoryStore implements OrderedStore, OrderedView {
  private readonly stores: MemoryOrderedStores;
  private readonly name: string;
  private readonly content: StoreContent;
  private readonly life: number;
  private state: "idle" | "reading" | "writing" | "failed" | "closed" = "idle";

  constructor(stores: MemoryOrderedStores, name: string, content: StoreContent, life: number) {
    this.stores = stores;
    this.name = name;
    this.content = content;
    this.life = life;
  }

  write<T>(change: (view: OrderedView) => T): T {
    this.enter("writing");
    let committed = false;
    try {
      const result = change(this);
      this.content.commit();
      committed = true;
      return result;
    } finally {
      if (!committed) this.content.rollBack();
      this.state = "idle";
    }
  }

  read<T>(look: (view: OrderedView) => T): T {
    this.enter("reading");
    try {
      return look(this);
    } finally {
      this.state = "idle";
    }
  }

  cut(): StoreCut {
    this.check();
    return new MemoryCut(this.content.pairs.copy(), (pair) => this.intact(pair.value));
  }

  flush(done: Done): void {
    this.check();
    const { commits } = this.content;
    this.stores.run(
      { type: "flush", store: this.name },
      done,
      (fault) => {
        if (fault?.type !== "lie") this.content.flushed(commits);
      },
      () => {
        this.state = "failed";
      },
    );
  }

  size(): { readonly bytes: number; readonly freeBytes: number } {
    this.check();
    return this.content.size();
  }

  contentHash(): string {
    return this.content.hash.toString();
  }

  close(done: Done): void {
    if (this.state === "closed") throw new Error(`store ${this.name} is closed`);
    const { commits } = this.content;
    const flushes = this.state !== "failed";
    this.state = "closed";
    if (!this.stores.isCurrent(this.life)) return;
    this.stores.run({ type: "close", store: this.name }, done, () => {
      if (flushes) this.content.flushed(commits);
      this.stores.closed(this.name);
    });
  }

  // ── The view ──────────────────────────────────────────────────────────────────────────────────────────────────────

  get(key: Uint8Array): Uint8Array | undefined {
    checkKey(key);
    const value = this.content.pairs.get(key);
    return value === undefined ? undefined : this.intact(value);
  }

  put(key: Uint8Array, value: Uint8Array): void {
    checkKey(key);
    this.checkWriting();
    this.content.put(key, value);
  }

  remove(key: Uint8Array): boolean {
    checkKey(key);
    this.checkWriting();
    return this.content.remove(key);
  }

  scan(from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    this.content.pairs.walk(from, ({ key, value }) => compareBytes(key, to) < 0 && visit(key, this.intact(value)));
  }

  private intact(value: Uint8Array): Uint8Array {
    const { damaged } = this.content;
    if (damaged.size > 0 && damaged.has(value)) throw new StoreDamaged(this.name, "a value does not match its checksum");
    return value;
  }

  private enter(state: "reading" | "writing"): void {
    this.check();
    if (this.state !== "idle") throw new Error(`store ${this.name} is ${this.state} already`);
    this.state = state;
  }

  private checkWriting(): void {
    if (this.state !== "writing") throw new Error(`store ${this.name} is changed outside of a transaction`);
  }

  private check(): void {
    if (!this.stores.isCurrent(this.life)) throw new Error(`store ${this.name} belongs to a process that ended`);
    if (this.state === "closed") throw new Error(`store ${this.name} is closed`);
    if (this.state === "failed") throw new IoError("io", "use", this.name, new Error("a flush of it failed"));
  }
}

class MemoryCut implements StoreCut {
  private readonly pairs: SortedPairs;
  private readonly check: (pair: Pair) => void;
  private from: Uint8Array | null = new Uint8Array(0);

  constructor(pairs: SortedPairs, check: (pair: Pair) => void) {
    this.pairs = pairs;
    this.check = check;
  }

  next(maxBytes: number): readonly (readonly [key: Uint8Array, value: Uint8Array])[] | null {
    if (this.from === null) return null;
    const found: (readonly [Uint8Array, Uint8Array])[] = [];
    let bytes = 0;
    let next: Uint8Array | null = null;
    this.pairs.walk(this.from, (pair) => {
      if (bytes >= maxBytes && found.length > 0) {
        next = pair.key;
        return false;
      }
      this.check(pair);
      found.push([pair.key, pair.value]);
      bytes += pair.key.length + pair.value.length;
      return true;
    });
    this.from = next;
    return found.length === 0 ? null : found;
  }

  close(): void {
    this.from = null;
  }
}
