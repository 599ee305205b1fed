import { encodeMembershipPayload, type ShardLimits } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { CodecError } from "@trivet/wire";
import { IoError } from "../ports/file.ts";
import { type OrderedStore, type OrderedStores, StoreDamaged, type StoreCut } from "../ports/ordered-store.ts";
import { BufferedStore, type BufferedStoreOptions } from "../stores/index.ts";
import { ShardApplier } from "./shard-applier.ts";
import { cutChunk, ShardLoader } from "./shard-loader.ts";
import { readMark, type StoreMark } from "./store-mark.ts";
import { parseStoreName, storeName } from "./store-names.ts";
import type { StateNumber, WireMark, WorkerReply, WorkerRequest } from "./worker-protocol.ts";

interface OpenGroup {
  readonly name: string;
  readonly state: StateNumber;
  readonly applier: ShardApplier;
  readonly cuts: Map<number, StoreCut>;
  loading: { readonly load: StateNumber; readonly loader: ShardLoader; readonly name: string; readonly index: number } | null;
}

export interface ShardWorkerOptions {
  readonly limits?: ShardLimits;
  readonly buffer?: BufferedStoreOptions;
  /** The state's hash comes with every answer: for simulations. */
  readonly hashes?: boolean;
}
type Answer = (reply: WorkerReply) => void;
type GroupRequest = Exclude<WorkerRequest, { readonly type: "list" }>;

/** What the apply worker of a node does with the requests of its host, over the stores it alone has open. */
export class ShardWorker {
  private readonly stores: OrderedStores;
  private readonly options: ShardWorkerOptions;
  private readonly groups = new Map<number, OpenGroup>();
  private lastState: StateNumber = 0;
  /** Of groups with a request under way: those that came meanwhile. */
  private readonly turns = new Map<number, { readonly request: GroupRequest; readonly answer: Answer }[]>();

  constructor(stores: OrderedStores, options: ShardWorkerOptions = {}) {
    this.stores = stores;
    this.options = options;
  }

  /** Requests of one group are carried out one after the other: the next when the last was answered, but for `flush`. */
  handle(request: WorkerRequest, answer: Answer): void {
    if (request.type === "list") return this.attempt(request, answer);
    const waiting = this.turns.get(request.group);
    if (waiting !== undefined) {
      waiting.push({ request, answer });
      return;
    }
    this.turns.set(request.group, []);
    this.take(request, answer);
  }

  private take(request: GroupRequest, answer: Answer): void {
    const { group } = request;
    const over = (): void => {
      const next = this.turns.get(group)?.shift();
      if (next === undefined) this.turns.delete(group);
      else this.take(next.request, next.answer);
    };
    if (request.type === "flush") {
      this.attempt(request, answer);
      over();
    } else {
      this.attempt(request, (reply) => {
        answer(reply);
        over();
      });
    }
  }

  private attempt(request: WorkerRequest, answer: Answer): void {
    try {
      if (this.isSuperseded(request)) answer(superseded("another state took the place of the one that was asked"));
      else this.carryOut(request, answer);
    } catch (error) {
      answer(failure(error));
    }
  }

  private isSuperseded(request: WorkerRequest): boolean {
    return request.type !== "list" && request.state !== undefined && this.groups.get(request.group)?.state !== request.state;
  }

  /** Closes every store. */
  stop(done: () => void): void {
    const open = [...this.groups.keys()];
    const next = (): void => {
      const group = open.pop();
      if (group === undefined) done();
      else this.handle({ type: "close", group, remove: false }, next);
    };
    next();
  }

  private carryOut(request: WorkerRequest, answer: Answer): void {
    switch (request.type) {
      case "list":
        return this.list(answer);
      case "open":
        return this.open(request.group, answer);
      case "apply": {
        const { applier } = this.group(request.group);
        applier.route(request.routed, request.unrouted);
        return answer(applier.apply(request.entries, request.attended));
      }
      case "lead":
        this.group(request.group).applier.lead(request.leads);
        return answer({ type: "done" });
      case "due":
        return answer({ type: "due", ...this.group(request.group).applier.due(request.attended, request.most) });
      case "retry-due":
        this.group(request.group).applier.retryDue(request.leases);
        return answer({ type: "done" });
      case "fences":
        return answer({ type: "fences", ...this.group(request.group).applier.fences(request.from, request.most) });
      case "query":
        return answer({ type: "queried", reply: this.group(request.group).applier.query(request.query) });
      case "lookup":
        return answer(this.group(request.group).applier.lookup(request.caller, request.sequence));
      case "definitions":
        return answer({ type: "definitions", ...this.group(request.group).applier.definitions() });
      case "cache-read":
      case "cache-home":
      case "cache-behind":
      case "cache-due":
        return answer(this.group(request.group).applier.readValues(request));
      case "flush":
        return this.flush(request.group, answer);
      case "hash":
        return answer({ type: "hashed", hash: this.group(request.group).applier.hash() });
      case "cut":
      case "cut-next":
      case "cut-end":
        return this.cut(request, answer);
      case "load":
        return this.load(request.group, request.index, answer);
      case "load-chunk":
        return this.loadChunk(request, answer);
      case "load-end":
        return this.loaded(request.group, request.load, answer);
      case "load-abort":
        if (this.group(request.group).loading?.load !== request.load) return answer({ type: "done" });
        return this.abortLoad(request.group, () => answer({ type: "done" }));
      case "close":
        return this.close(request.group, request.remove, answer);
    }
  }

  private group(group: number): OpenGroup {
    const open = this.groups.get(group);
    if (open === undefined) throw new Error(`group ${group} is not open`);
    return open;
  }

  private list(answer: Answer): void {
    this.stores.list((error, names) => {
      if (error !== null || names === undefined) return answer(failure(error));
      answer({ type: "groups", groups: [...new Set(names.flatMap((name) => parseStoreName(name)?.group ?? []))] });
    });
  }

  /** The newest complete state; those of before it, and incomplete ones, go. */
  private open(group: number, answer: Answer): void {
    this.indexesOf(group, answer, (indexes) => this.openBest(group, indexes, answer));
  }

  /** What a removal that was cut off has left. */
  private removeStores(group: number, answer: Answer): void {
    this.indexesOf(group, answer, (indexes) =>
      this.removeAll(group, indexes, (error) => answer(error === null ? { type: "done" } : failure(error))),
    );
  }

  /** Newest first. */
  private indexesOf(group: number, failed: Answer, done: (indexes: readonly number[]) => void): void {
    this.stores.list((error, names) => {
      if (error !== null || names === undefined) return failed(failure(error));
      const indexes = names.flatMap((name) => {
        const parsed = parseStoreName(name);
        return parsed?.group === group ? [parsed.index] : [];
      });
      indexes.sort((a, b) => b - a);
      done(indexes);
    });
  }

  private openBest(group: number, indexes: readonly number[], answer: Answer): void {
    const [index = 0, ...older] = indexes;
    const name = storeName(group, index);
    this.stores.open(name, (error, store) => {
      if (error !== null || store === undefined) return answer(failure(error));
      let mark: StoreMark;
      try {
        mark = store.read(readMark);
      } catch (damage) {
        store.close(() => answer(failure(damage)));
        return;
      }
      if (index > 0 && mark.index === 0 && !mutant("shard-incomplete-load-used")) {
        // Its filling was not finished.
        store.close(() => this.stores.remove(name, () => this.openBest(group, older, answer)));
        return;
      }
      this.removeAll(group, older, (removeError) => {
        if (removeError !== null) return answer(failure(removeError));
        this.adopt(group, name, store, answer);
      });
    });
  }

  private adopt(group: number, name: string, store: OrderedStore, answer: Answer): void {
    let reply: WorkerReply;
    try {
      const { buffer, hashes, limits } = this.options;
      const applier = new ShardApplier(new BufferedStore(store, buffer), limits, hashes);
      const state = ++this.lastState;
      reply = opened(applier, state);
      // Only now: damage that is found by looking leaves nothing open.
      this.groups.set(group, { name, state, applier, cuts: new Map(), loading: null });
    } catch (error) {
      store.close(() => answer(failure(error)));
      return;
    }
    answer(reply);
  }

  private removeAll(group: number, indexes: readonly number[], done: (error: IoError | null) => void): void {
    const [index, ...rest] = indexes;
    if (index === undefined) return done(null);
    this.stores.remove(storeName(group, index), (error) => (error === null ? this.removeAll(group, rest, done) : done(error)));
  }

  private flush(group: number, answer: Answer): void {
    const { applier } = this.group(group);
    // The host moves the log's floor behind it, so it must know of all that was applied.
    applier.refuseWhileOwing();
    const { store, mark } = applier;
    const { index } = mark;
    // Asked now: a shard that is given away may have its store closed before this flush is through.
    const size = store.size();
    store.flush((error) => answer(error === null ? { type: "flushed", index, ...size } : failure(error)));
  }

  private cut(request: Extract<WorkerRequest, { readonly type: "cut" | "cut-next" | "cut-end" }>, answer: Answer): void {
    const { applier, cuts } = this.group(request.group);
    const cut = cuts.get(request.cut);
    if (request.type === "cut") {
      applier.refuseUnlessAt(request.index);
      cuts.set(request.cut, applier.store.cut());
      return answer({ type: "done" });
    }
    if (request.type === "cut-next") return answer({ type: "chunk", chunk: nextChunk(request, applier, cut) });
    cut?.close();
    cuts.delete(request.cut);
    answer({ type: "done" });
  }

  private load(group: number, index: number, answer: Answer): void {
    const open = this.group(group);
    this.abortLoad(group, () => {
      // Also where the state to be replaced stands at that very index (rule W7): the newest store has the highest number.
      const name = storeName(group, mutant("shard-w7-store-overwritten") ? index : Math.max(index, number(open.name) + 1));
      // An attempt that a crash ended may have left something.
      this.stores.remove(name, (removeError) => {
        if (removeError !== null && removeError.code !== "not-found") return answer(failure(removeError));
        this.stores.open(name, (error, store) => {
          if (error !== null || store === undefined) return answer(failure(error));
          const load = ++this.lastState;
          open.loading = { load, loader: new ShardLoader(store), name, index };
          answer({ type: "loading", load });
        });
      });
    });
  }

  /** Of two snapshots that are loaded one upon the other, the pieces of the first must not get into the second. */
  private loadChunk({ group, load, chunk }: Extract<WorkerRequest, { readonly type: "load-chunk" }>, answer: Answer): void {
    const { loading } = this.group(group);
    if (loading === null || (loading.load !== load && !mutant("shard-load-mixed")))
      return answer(superseded("a chunk of a load that is over"));
    loading.loader.push(chunk);
    answer({ type: "done" });
  }

  /** Complete, then durable, then used: only now the state of before goes. */
  private loaded(group: number, load: StateNumber, answer: Answer): void {
    const open = this.group(group);
    const { loading } = open;
    if (loading === null || (loading.load !== load && !mutant("shard-load-mixed")))
      return answer(superseded("the end of a load that is over"));
    const { loader, name, index } = loading;
    loader.finish(index);
    const flush = (done: (error: IoError | null) => void): void => {
      if (mutant("shard-load-not-flushed")) done(null);
      else loader.store.flush(done);
    };
    flush((error) => {
      if (error !== null) return answer(failure(error));
      open.loading = null;
      this.dispose(open, true, (closeError) => {
        if (closeError !== null) return answer(failure(closeError));
        this.groups.delete(group);
        this.adopt(group, name, loader.store, answer);
      });
    });
  }

  private abortLoad(group: number, done: () => void): void {
    const open = this.group(group);
    const { loading } = open;
    if (loading === null) return done();
    open.loading = null;
    loading.loader.store.close(() => this.stores.remove(loading.name, () => done()));
  }

  private close(group: number, remove: boolean, answer: Answer): void {
    const open = this.groups.get(group);
    if (open === undefined) {
      if (remove) this.removeStores(group, answer);
      else answer({ type: "done" });
      return;
    }
    this.abortLoad(group, () =>
      this.dispose(open, remove, (error) => {
        this.groups.delete(group);
        answer(error === null ? { type: "done" } : failure(error));
      }),
    );
  }

  private dispose({ applier, cuts, name }: OpenGroup, remove: boolean, done: (error: IoError | null) => void): void {
    for (const cut of cuts.values()) cut.close();
    cuts.clear();
    if (remove) applier.store.abandon();
    applier.store.close((error) => {
      if (error !== null || !remove) done(error);
      else this.stores.remove(name, done);
    });
  }
}

function nextChunk(
  { cut: number, maxBytes }: Extract<WorkerRequest, { readonly type: "cut-next" }>,
  applier: ShardApplier,
  cut: StoreCut | undefined,
): Uint8Array | null {
  if (cut !== undefined) return cutChunk(cut, maxBytes);
  if (mutant("shard-unknown-cut-is-over")) return null;
  // It waits for space itself: this one was sent before that was known.
  applier.refuseWhileOwing();
  throw new Error(`there is no cut ${number}: what was read of it is not the whole state`);
}

function number(name: string): number {
  return parseStoreName(name)?.index ?? 0;
}

function opened(applier: ShardApplier, state: StateNumber): WorkerReply {
  return { type: "opened", state, mark: wireMark(applier.mark), hash: applier.store.contentHash(), ...applier.times() };
}

function wireMark({ index, term, membership, membershipIndex }: StoreMark): WireMark {
  return { index, term, membershipIndex, membership: membership === null ? null : encodeMembershipPayload(membership) };
}

function superseded(detail: string): WorkerReply {
  return { type: "failed", cause: "superseded", detail };
}

function failure(error: unknown): WorkerReply {
  const detail = error instanceof Error ? error.message : String(error);
  if (error instanceof StoreDamaged || (error instanceof Error && error.cause instanceof StoreDamaged))
    return { type: "failed", cause: "damaged", detail };
  if (error instanceof CodecError) return { type: "failed", cause: "bad-chunk", detail };
  if (!(error instanceof IoError)) return { type: "failed", cause: "other", detail };
  return { type: "failed", cause: error.code === "no-space" ? "no-space" : "io", detail };
}
