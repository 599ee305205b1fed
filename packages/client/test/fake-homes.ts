import { type HomeEffect, type HomeEvent, type HomeState, newHome, nothingRecorded, stepHome, writtenVersion } from "@trivet/core";
import {
  type CachedRecord,
  type CacheMode,
  cacheShardOf,
  decodeShardAnswer,
  encodeShardResult,
  ByteWriter,
  FrameCursor,
  type HolderMessage,
  type HomeMessage,
  lineName,
  type LineName,
  type LoadCached,
  type NamespaceRefusal,
  type NamespaceResolved,
  type Packing,
  type ShardCommand,
  type ShardResult,
  type WriteOutcome,
} from "@trivet/wire";

/** How a stream hears of a home. */
export type SayToHolder = (group: number, message: HomeMessage) => void;

interface Home {
  readonly group: number;
  readonly state: HomeState;
}
interface Namespace {
  readonly namespace: number;
  readonly mode: CacheMode;
}

/** Homes of a pretended cluster: the real directory over a store in memory, without a log. */
export class FakeHomes {
  readonly shards = 2;
  readonly namespaces = new Map<string, Namespace>([["default", { namespace: 1, mode: "write-through" }]]);
  /** Every command that took effect, in order. */
  readonly executed: ShardCommand[] = [];
  /** Messages to holders that are lost. */
  loses: (message: HomeMessage) => boolean = () => false;
  /** Told of everything that holders say. */
  hears: (message: HolderMessage) => void = () => {};
  /** So many writes are answered `no-namespace` first. */
  unconfigured = 0;
  /** Streams by program, the last one that spoke. */
  private readonly routes = new Map<string, SayToHolder>();
  private readonly homes: Home[] = [];
  private readonly stored = new Map<LineName, CachedRecord>();
  /** By lock: the highest fence seen of it, as if there were one shard. */
  readonly fences = new Map<string, number>();
  private readonly answers = new Map<string, Uint8Array>();
  private readonly told = new Map<number, () => void>();
  private version = 0;
  /** Of the last invalidation of everything; a loader's read must be newer. */
  private invalidatedAt = 0;
  /** Values of `put`, which come as no frame. */
  private readonly raw = new Map<Uint8Array, LineName>();
  private calls = 0;
  private term = 0;
  /** As the namespace's setting. */
  compressOver = 0;
  revalidateMs = 0;
  /** Of everything that is stored. */
  ttlMs = 0;
  /** What the namespaces' origin has, as JSON; null = they have none. */
  origin: Map<string, string> | null = null;
  isOriginAway = false;
  private readonly timer: NodeJS.Timeout;

  constructor() {
    for (let group = 1; group <= this.shards; group++) this.homes.push({ group, state: newHome() });
    this.elect();
    this.timer = setInterval(() => this.tick(), 10);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Other leaders, with empty directories, who know who is registered. */
  elect(): void {
    this.term++;
    const now = performance.now();
    for (const home of this.homes) {
      const registered = [...home.state.registered].map(([holder, { incarnation }]) => [holder, incarnation] as const);
      this.step(home, { type: "elected", term: this.term, electedAt: now, registered, barred: false, now });
    }
  }

  resolve(request: number, name: string): NamespaceResolved {
    const found = this.namespaces.get(name);
    const { mode, namespace } = found ?? { mode: "strict", namespace: 0 };
    const refusal = found === undefined ? "unknown" : "none";
    return {
      type: "namespace-resolved",
      request,
      name,
      namespace,
      version: 1,
      mode,
      staleMs: 0,
      compressOver: this.compressOver,
      hasOrigin: this.origin !== null,
      revalidateMs: this.revalidateMs,
      shards: this.shards,
      refusal,
      detail: "",
    };
  }

  receive(program: string, say: SayToHolder, group: number, message: HolderMessage): void {
    this.routes.set(program, say);
    this.hears(message);
    const home = this.homes[group - 1];
    if (home !== undefined) this.step(home, { type: "message", from: program, message: kept(message), now: performance.now() });
  }

  /** Somebody without a copy writes. */
  /** As a shard may have it, without any write. */
  keep(name: string, key: string, value: Uint8Array, packing: Packing): void {
    const namespace = this.namespaces.get(name)?.namespace ?? 0;
    this.store(lineName(String(namespace), key), value, [], packing);
  }

  /** As a node does for a program. */
  async load({ how, key }: LoadCached): Promise<NamespaceRefusal> {
    if (this.origin === null) return "invalid";
    const isStored = this.stored.has(lineName("1", key));
    if (how === "absent" && isStored) return "none";
    if (this.isOriginAway) return "origin-unavailable";
    await this.put(key, this.origin.get(key) ?? "");
    return "none";
  }

  /** Whose loader runs, and who waits for it. */
  private readonly claims = new Map<string, { readonly owner: string; readonly waiting: (() => void)[] }>();
  /** Loaders that were waited for. */
  waits = 0;

  claim(key: string, owner: string, told: (outcome: "none" | "yours") => void): void {
    const claim = this.claims.get(key);
    if (claim === undefined) {
      this.claims.set(key, { owner, waiting: [] });
      return told("yours");
    }
    this.waits += 1;
    claim.waiting.push(() => told("none"));
    return undefined;
  }

  release(key: string, owner: string): void {
    const claim = this.claims.get(key);
    if (claim?.owner !== owner) return;
    this.claims.delete(key);
    for (const told of claim.waiting) told();
  }

  /** "" = a negative entry. */
  put(key: string, value: string, namespace = 1): Promise<void> {
    const line = lineName(String(namespace), key);
    return new Promise((resolve) => {
      const id = ++this.calls;
      this.told.set(id, resolve);
      const command = new TextEncoder().encode(value);
      this.raw.set(command, line);
      const home = this.homes[cacheShardOf(namespace, key, this.shards) - 1];
      if (home !== undefined) this.step(home, { type: "write", line, id, command, now: performance.now() });
    });
  }

  /** Everything of the namespace goes. */
  async invalidate(namespace: number): Promise<void> {
    await Promise.all(
      this.homes.map(
        (home) =>
          new Promise<void>((resolve) => {
            const id = ++this.calls;
            this.told.set(id, resolve);
            const command = new Uint8Array([255]);
            this.step(home, { type: "invalidate", namespace: String(namespace), tag: null, id, command, now: performance.now() });
          }),
      ),
    );
  }

  private tick(): void {
    for (const home of this.homes) this.step(home, { type: "tick", now: performance.now() });
  }

  private step(home: Home, event: HomeEvent): void {
    for (const effect of stepHome(home.state, event)) setImmediate(() => this.carryOut(home, effect));
  }

  private carryOut(home: Home, effect: HomeEffect): void {
    const now = performance.now();
    switch (effect.type) {
      case "send":
        if (!this.loses(effect.message)) this.routes.get(effect.to)?.(home.group, effect.message);
        return;
      case "read":
        return this.step(home, { type: "value", line: effect.line, record: this.record(effect.line), due: null, now });
      case "read-confirmed":
        return this.step(home, { type: "confirmed-value", read: effect.read, record: this.record(effect.line), now });
      case "confirm":
        return this.step(home, { type: "confirmed", round: effect.round, now });
      case "propose": {
        const { proposal, what } = effect;
        if (what.type !== "write") return this.step(home, { type: "applied", proposal, outcome: null, record: null, now });
        const { line, outcome } = this.apply(what.command);
        return this.step(home, { type: "applied", proposal, outcome, record: line === null ? nothingRecorded : this.record(line), now });
      }
      case "answer":
        this.told.get(effect.id)?.();
        this.told.delete(effect.id);
        return;
      case "abandoned":
      case "opened":
      case "closed":
    }
  }

  private record(line: LineName): CachedRecord {
    return { ...(this.stored.get(line) ?? nothingRecorded), asOf: this.version };
  }

  private apply(command: Uint8Array): { readonly line: LineName | null; readonly outcome: WriteOutcome } {
    const raw = this.raw.get(command);
    if (raw !== undefined) {
      this.store(raw, command.length === 0 ? null : command);
      return { line: raw, outcome: { version: this.version, answer: new Uint8Array(0) } };
    }
    if (command.length === 1) {
      this.invalidatedAt = ++this.version;
      this.stored.clear();
      return { line: null, outcome: { version: null, answer: new Uint8Array(0) } };
    }
    const cursor = new FrameCursor();
    const { caller } = cursor.open(command);
    cursor.next();
    const name = `${caller}/${cursor.sequence}`;
    const decoded = cursor.decodeShard();
    if (!("key" in decoded)) throw new Error(`${decoded.type} is not pretended`);
    const line = lineName(String((decoded as { readonly namespace: number }).namespace), decoded.key);
    let answer = this.answers.get(name);
    if (answer === undefined) this.answers.set(name, (answer = encoded(this.execute(line, decoded))));
    return { line, outcome: { version: writtenVersion(decodeShardAnswer(answer)), answer } };
  }

  private execute(line: LineName, command: ShardCommand): ShardResult {
    if (this.unconfigured > 0) {
      this.unconfigured--;
      return { type: "no-namespace", namespace: 1, version: 0 };
    }
    this.executed.push(command);
    const fence = "ifFence" in command ? command.ifFence : null;
    if (fence !== null) {
      const highest = this.fences.get(fence.lock) ?? 0;
      if (fence.fence < highest) return { type: "fence-behind", lock: fence.lock, highest };
      this.fences.set(fence.lock, fence.fence);
    }
    const { version: before, value } = this.record(line);
    const depends = command.type === "cache-increment" || ("condition" in command && command.condition.type !== "always");
    if (this.origin !== null && depends && !this.stored.has(line)) return { type: "cache-unloaded" };
    switch (command.type) {
      case "cache-put": {
        const { condition, token } = command;
        if (condition.type === "version" && condition.version !== before)
          return { type: "cache-conflict", reason: "version", version: before };
        if (token !== null && (token.version !== before || token.asOf < this.invalidatedAt)) {
          return { type: "cache-conflict", reason: "token", version: before };
        }
        this.store(line, command.value?.slice() ?? null, command.tags, command.packing);
        return { type: "cache-written", version: this.version, number: null };
      }
      case "cache-increment": {
        const number = (value === null ? 0 : Number(new TextDecoder().decode(value))) + command.by;
        if (!Number.isSafeInteger(number)) return { type: "cache-not-a-number" };
        this.store(line, new TextEncoder().encode(String(number)));
        return { type: "cache-written", version: this.version, number };
      }
      case "cache-delete":
        if (command.condition.type === "version" && command.condition.version !== before)
          return { type: "cache-conflict", reason: "version", version: before };
        this.stored.delete(line);
        this.version++;
        return { type: "cache-deleted", version: before };
      default:
        throw new Error(`${command.type} is not pretended`);
    }
  }

  private store(line: LineName, value: Uint8Array | null, tags: readonly string[] = [], packing?: Packing): void {
    const packed = packing === undefined ? {} : { packing };
    this.stored.set(line, { version: ++this.version, value, ...packed, tags, ttlMs: this.ttlMs, asOf: 0 });
  }
}

function encoded(result: ShardResult): Uint8Array {
  const writer = new ByteWriter();
  encodeShardResult(writer, result);
  return writer.finish();
}

/** Commands are views of the message that they came in. */
function kept(message: HolderMessage): HolderMessage {
  return message.type === "write" ? { ...message, command: message.command.slice() } : message;
}
