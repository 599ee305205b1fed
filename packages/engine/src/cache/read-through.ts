import type { ReadMode } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { decodeBase64 } from "../base/base64.ts";
import type { Unavailable } from "../ports/calls.ts";
import type { CacheEntry } from "./cache-api.ts";
import type { CacheCalls, Call, Done, Place } from "./cache-calls.ts";
import { notLed, refusalOf } from "./cache-writes.ts";
import { entryOf } from "./entries.ts";
import { askHome } from "./home-calls.ts";
import { retryMs } from "./limits.ts";
import type { LoadReply } from "./origin-loads.ts";
import { readMode } from "./read-mode.ts";

/** Reads of keys that are stored nowhere, in namespaces with an origin: the home loads them, once for all who ask. */
export class ReadThrough {
  private readonly calls: CacheCalls;

  constructor(calls: CacheCalls) {
    this.calls = calls;
  }

  /** `found`: that nothing is stored. */
  load(place: Place, found: CacheEntry, call: Call, done: Done<CacheEntry>): void {
    // A copy of nothing may be older than the namespace's promise allows for a token: the home would refuse the load, and be asked again.
    if (found.source === "cache") return this.look(place, { type: "strict" }, call, done);
    const { host } = this.calls;
    const { group, key, namespace } = place;
    const question = { type: "load", namespace: namespace.namespace, key, token: found.token } as const;
    return askHome(host, group, question, call.deadline, (reply) => {
      if (reply === null) return done(notLed);
      if (reply.type === "answered" || reply.type === "dropped") return this.again(place, call, done);
      return this.told(reply, place, found, call, done);
    });
  }

  /** What the origin says from now on, whatever is stored (`revalidate`). A write through Trivet that comes meanwhile is later than that. */
  reload(place: Place, call: Call, done: Done<CacheEntry>): void {
    const { host } = this.calls;
    const { group, holder, key, line, namespace } = place;
    holder.read(line, { type: "strict" }, call.deadline, (answer) => {
      if (answer === null) return done(notLed);
      const found = entryOf(key, answer.record, holder.stateOf(line), "database");
      const question = { type: "load", namespace: namespace.namespace, key, token: found.token, isFresh: true } as const;
      return askHome(host, group, question, call.deadline, (reply) => {
        if (reply === null) return done(notLed);
        const isChanged = reply.type === "answered" || reply.type === "dropped" || reply.type === "changed";
        // What is stored goes on being read: who asked for what the origin has now must not believe that others read it, too.
        if (reply.type === "unstored" && reply.full !== undefined) return done(refusalOf(reply.full));
        if (!isChanged) return this.told(reply, place, found, call, done);
        // Where the namespace went, or lost its origin, nobody can say more.
        const origin = this.calls.names.numbered(namespace.namespace)?.settings.origin ?? "none";
        if (origin === "none") return done(found);
        if (host.ports.clock.now() + retryMs >= call.deadline) return done(tooManyChanges);
        return void host.ports.clock.schedule(retryMs, () => this.reload(place, call, done));
      });
    });
  }

  private told(reply: LoadReply, place: Place, found: CacheEntry, call: Call, done: Done<CacheEntry>): void {
    switch (reply.type) {
      case "failed":
        return done({ type: "origin-unavailable", reason: reply.reason });
      case "too-many":
        return done(overloaded("the key's home loads too many values at this moment"));
      case "unstored":
        return done(loadedEntry(found, reply.value, mutant("behind-version-untold") ? undefined : reply.version));
      case "loaded": {
        // In mode `ttl` this node may have a copy of nothing, which no write withdraws.
        const { settings } = place.namespace;
        const mode: ReadMode = settings.mode === "ttl" ? { type: "strict" } : readMode(settings);
        const tell: Done<CacheEntry> = (entry) => done(entry.type === "entry" ? { ...entry, source: "origin" } : entry);
        const { value } = reply;
        return this.look(place, mode, call, tell, value === undefined ? null : () => done(loadedEntry(found, value)));
      }
      case "changed":
        return this.again(place, call, done);
    }
  }

  private again(place: Place, call: Call, done: Done<CacheEntry>): void {
    const { clock } = this.calls.host.ports;
    if (clock.now() + retryMs >= call.deadline) return done(tooManyChanges);
    clock.schedule(retryMs, () => this.look(place, { type: "strict" }, call, done));
    return undefined;
  }

  /** What is stored; when that is still nothing, it is over already, or the load begins anew. */
  private look(place: Place, mode: ReadMode, call: Call, done: Done<CacheEntry>, isOver: (() => void) | null = null): void {
    const { holder, key, line } = place;
    holder.read(line, mode, call.deadline, (answer) => {
      if (answer === null) return done(notLed);
      const entry = entryOf(key, answer.record, holder.stateOf(line), answer.source === "copy" ? "cache" : "database");
      // The namespace may have lost its origin, or be gone, since the call began: then that there is nothing is the answer.
      const settings = this.calls.names.numbered(place.namespace.namespace)?.settings;
      const isAnswer = entry.found !== "absent" || settings === undefined || settings.origin === "none";
      if (isAnswer) return done(entry);
      return isOver === null ? this.load(place, entry, call, done) : isOver();
    });
  }
}

/** What the origin said while the call was under way: base64, or null = nothing. */
function loadedEntry(found: CacheEntry, told: string | null, version: number = found.version): CacheEntry {
  const value = told === null ? null : decodeBase64(told);
  return { ...found, version, found: value === null ? "absent" : "value", value, source: "origin", state: "I" };
}

const overloaded = (detail: string): Unavailable => ({ type: "unavailable", code: "overloaded", retryAfterMs: 1_000, detail });
const tooManyChanges: Unavailable = overloaded("the key changed whenever it was about to be stored");
