import type { NamespaceView } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { LineName } from "@trivet/wire";
import type { CacheEntry } from "./cache-api.ts";
import type { CacheCalls, Place } from "./cache-calls.ts";
import { entryOf } from "./entries.ts";
import { askHome } from "./home-calls.ts";
import { revalidateEveryMs, revalidations, storeLoadedMs } from "./limits.ts";
import { lineOfKey } from "./lines.ts";

/**
 * Values of namespaces with `revalidateMs` whose time is over: who reads one is answered with it at once, and it is loaded again. The load is the home's, so it
 * is one in the whole cluster however many nodes ask for it, and its put is a loader's: what was written through Trivet meanwhile stays.
 */
export class Revalidation {
  private readonly calls: CacheCalls;
  /** When a line may be asked for again, the earliest first. */
  private readonly pauses = new Map<LineName, number>();

  constructor(calls: CacheCalls) {
    this.calls = calls;
  }

  /** The entry as it is told. `ageMs`: how old what it says of its time is. */
  look(view: NamespaceView, entry: CacheEntry, ageMs: number): CacheEntry {
    if (!isStale(view, entry, ageMs)) return entry;
    this.begin(view, entry.key, false);
    return { ...entry, ttlMs: Math.max(1, entry.ttlMs - ageMs), isStale: true };
  }

  /** Somebody wants it loaded again, whatever is left of its time. No oftener than if its time was over. */
  askFor(view: NamespaceView, key: string): void {
    this.begin(view, key, true);
  }

  private begin(view: NamespaceView, key: string, isWanted: boolean): void {
    const line = lineOfKey(view.namespace, key);
    const now = this.calls.host.ports.clock.now();
    if ((this.pauses.get(line) ?? 0) > now && !mutant("revalidation-unpaced")) return;
    if (this.pauses.size >= revalidations) this.forgetOver(now);
    if (this.pauses.size >= revalidations) return;
    this.pauses.delete(line);
    this.pauses.set(line, now + revalidateEveryMs);
    const call = this.calls.call({ timeoutMs: storeLoadedMs });
    this.calls.later(() => this.calls.place(view, key, call, givenUp, (place) => this.ask(place, isWanted, call.deadline)));
  }

  /** The home's own word first: the copy may be old, and so may its token. */
  private ask({ group, holder, key, line, namespace }: Place, isWanted: boolean, deadline: number): void {
    holder.read(line, { type: "strict" }, deadline, (answer) => {
      if (answer === null) return;
      const entry = entryOf(key, answer.record, "I", "database");
      if (!isWanted && !isStale(namespace, entry, 0)) return;
      const question = { type: "load", namespace: namespace.namespace, key, token: entry.token } as const;
      askHome(this.calls.host, group, question, deadline, (reply) => {
        const outcome = reply === null ? "no-home" : reply.type;
        this.calls.host.ports.telemetry.count("cache_revalidations_total", 1, { outcome });
      });
    });
  }

  private forgetOver(now: number): void {
    for (const [line, until] of this.pauses) {
      if (until > now) return;
      this.pauses.delete(line);
    }
  }
}

/** Whatever goes wrong: the value is read until its end, and the next reader tries again. */
const givenUp = (): void => {};

/** Within the last `revalidateMs` of what is left of it. Negative entries end with their time. */
function isStale({ settings }: NamespaceView, { found, ttlMs }: CacheEntry, ageMs: number): boolean {
  return found === "value" && ttlMs > 0 && ttlMs - ageMs <= settings.revalidateMs;
}
