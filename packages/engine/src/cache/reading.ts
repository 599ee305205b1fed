import { groupId, type NamespaceView, readableCopy } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { type CachedRecord, cacheShardOf } from "@trivet/wire";
import { type CacheConsistency, type CacheEntry, type CacheFailure, type CacheRevalidation, defaultNamespace } from "./cache-api.ts";
import type { CacheCalls, Call, Done, Place } from "./cache-calls.ts";
import { notLed } from "./cache-writes.ts";
import { entryOf, isOfNothing } from "./entries.ts";
import { lineOfKey } from "./lines.ts";
import { plainRecord } from "./packed-values.ts";
import { readMode } from "./read-mode.ts";
import { Revalidation } from "./revalidation.ts";
import { ReadThrough } from "./read-through.ts";
import { keyProblem } from "./request-checks.ts";

/** Reads: a copy of this node's own, without the network, or whatever the home says. */
export class Reading {
  hits = 0;
  misses = 0;
  private readonly calls: CacheCalls;
  private readonly through: ReadThrough;
  private readonly again: Revalidation;

  constructor(calls: CacheCalls) {
    this.calls = calls;
    this.through = new ReadThrough(calls);
    this.again = new Revalidation(calls);
  }

  peek(namespace: string, key: string): CacheEntry | undefined {
    const view = this.calls.names.known(namespace);
    if (view === null) return undefined;
    const { cache, host } = this.calls;
    const found = cache.copies.find(view.namespace, key);
    if (found === undefined) return undefined;
    const { clock } = host.ports;
    const copy = readableCopy(found.holder, found.line, clock.now(), clock.wallNow());
    if (copy === undefined || mayBeGone(view, copy.record)) return undefined;
    // That nothing is stored does not say what there is, where values come from outside.
    if (copy.record.version === 0 && view.settings.origin !== "none" && !mutant("origin-copy-of-nothing-answers")) return undefined;
    this.hits++;
    cache.copies.hit(found);
    const { state } = found.line;
    if (found.entry === null || found.told !== copy || found.entry.state !== state) found.entry = entryOf(key, copy.record, state, "cache");
    found.told = copy;
    if (view.settings.revalidateMs === 0) return found.entry;
    return this.again.look(view, found.entry, clock.now() - found.keptAt);
  }

  get(namespace: string, key: string, consistency: CacheConsistency, timeoutMs: number, done: Done<CacheEntry>): void {
    const problem = keyProblem(namespace, key);
    if (problem !== null) return this.calls.refuse(problem, done);
    const copy = consistency === "strict" ? undefined : this.peek(namespace, key);
    if (copy !== undefined) return this.calls.later(() => done(copy));
    const call = this.calls.call({ timeoutMs });
    return this.calls.later(() => this.read(namespace, key, consistency, call, done));
  }

  revalidate(namespace: string, key: string, how: CacheRevalidation, timeoutMs: number, done: Done<CacheEntry>): void {
    const problem = keyProblem(namespace, key);
    if (problem !== null) return this.calls.refuse(problem, done);
    const call = this.calls.call({ timeoutMs });
    const run = (): void =>
      this.calls.find(namespace, call, done, (view) => {
        if (view.settings.origin === "none") return done({ type: "malformed", detail: noOrigin });
        if (how === "wait") return this.calls.place(view, key, call, done, (place) => this.through.reload(place, call, done));
        return this.get(namespace, key, "linearizable", this.calls.left(call), (entry) => {
          // What was just loaded needs it no more, and what is nowhere has been looked for.
          if (entry.type === "entry" && entry.found !== "absent" && entry.source !== "origin") this.again.askFor(view, key);
          done(entry);
        });
      });
    return this.calls.later(run);
  }

  getMany(
    namespace: string,
    keys: readonly string[],
    consistency: CacheConsistency,
    timeoutMs: number,
    done: Done<{ readonly type: "entries"; readonly entries: readonly (CacheEntry | CacheFailure)[] }>,
  ): void {
    const entries: (CacheEntry | CacheFailure)[] = [];
    let left = keys.length;
    if (left === 0) return this.calls.later(() => done({ type: "entries", entries }));
    for (const [place, key] of keys.entries()) {
      this.get(namespace, key, consistency, timeoutMs, (entry) => {
        entries[place] = entry;
        left--;
        if (left === 0) done({ type: "entries", entries });
      });
    }
  }

  private read(name: string, key: string, consistency: CacheConsistency, call: Call, done: Done<CacheEntry>): void {
    this.calls.find(name, call, done, (view) => {
      const load = (place: Place, entry: CacheEntry): void =>
        this.through.load(place, entry, call, (outcome) => this.loaded(outcome, view, name, key, consistency, call, done));
      const isAll = (entry: CacheEntry | CacheFailure): boolean =>
        entry.type !== "entry" || entry.found !== "absent" || view.settings.origin === "none";
      const told: Done<CacheEntry> = (entry) => {
        if (entry.type !== "entry" || isAll(entry)) done(entry);
        else this.calls.place(view, key, call, done, (place) => load(place, entry));
      };
      // Not behind `place`: who takes what there is need not wait for a leader.
      if (consistency === "stale" && this.readStale(view, key, call, told)) return;
      this.calls.place(view, key, call, done, (place) => {
        const { holder, line } = place;
        const mode = consistency === "strict" ? ({ type: "strict" } as const) : readMode(view.settings);
        holder.read(line, mode, call.deadline, (answer) => {
          if (answer === null) return done(notLed);
          const tell = (): void => {
            if (answer.source === "copy") this.hits++;
            else this.misses++;
            const entry = entryOf(key, answer.record, holder.stateOf(line), answer.source === "copy" ? "cache" : "database");
            const looked = view.settings.revalidateMs === 0 ? entry : this.again.look(view, entry, 0);
            if (isAll(looked)) done(looked);
            else load(place, looked);
          };
          if (!mayBeGone(view, answer.record)) return tell();
          // This node may have missed that the namespace was removed, and made again under another number.
          return this.calls.names.refresh(this.calls.left(call), done, () => {
            if (this.calls.names.known(name)?.namespace === view.namespace) tell();
            else this.read(name, key, consistency, call, done);
          });
        });
      });
    });
  }

  /** Where the namespace went meanwhile, one of that name may have been made again. */
  private loaded(
    outcome: CacheEntry | CacheFailure,
    { namespace }: NamespaceView,
    name: string,
    key: string,
    consistency: CacheConsistency,
    call: Call,
    done: Done<CacheEntry>,
  ): void {
    const isGone = outcome.type === "entry" && outcome.found === "absent" && this.calls.names.numbered(namespace) === null;
    if (isGone) this.read(name, key, consistency, call, done);
    else done(outcome);
  }

  /** What this node's replica of the shard has applied. False = there is none here, or the node takes no calls. */
  private readStale(view: NamespaceView, key: string, call: Call, done: Done<CacheEntry>): boolean {
    const { cache, host } = this.calls;
    const { shards } = host;
    if (shards === null || shards.count === 0 || host.refusesWork(false) !== null) return false;
    const group = groupId(cacheShardOf(view.namespace, key, shards.count));
    const replica = shards.replica(group);
    if (replica === null || replica.group.stateDoubted) return false;
    const line = lineOfKey(view.namespace, key);
    this.misses++;
    const request = { type: "cache-read", group, keys: [[view.namespace, key]], now: host.groupTime.now() } as const;
    let isTold = false;
    const tell = (outcome: CacheEntry | CacheFailure): void => {
      if (isTold) return;
      isTold = true;
      timer.cancel();
      done(outcome);
    };
    // A machine whose place another takes answers nothing any more.
    const timer = host.ports.clock.schedule(this.calls.left(call), () => tell(notLed));
    replica.machine.ask(request, (reply) => {
      const value = reply.type === "cache-values" ? reply.values[0] : undefined;
      const record = value === undefined ? null : plainRecord(host.ports.packing, value.record);
      tell(record === null ? notLed : entryOf(key, record, cache.holder(group)?.stateOf(line) ?? "I", "database"));
    });
    return true;
  }
}

const noOrigin = "revalidate: a namespace with an origin";

function mayBeGone({ name }: NamespaceView, record: CachedRecord): boolean {
  return name !== defaultNamespace && isOfNothing(record) && !mutant("cache-gone-namespace-believed");
}
