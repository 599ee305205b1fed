import { mutant } from "#mutation";
import {
  CodecError,
  type DefineNamespace,
  limits as wireLimits,
  type NamespaceRefused,
  type NamespaceSettings,
  type Result,
} from "@trivet/wire";
import { evictionLimits } from "../eviction/limits.ts";
import { avalanche, hashText, mix } from "./digest.ts";
import type { Ledger } from "./ledger.ts";
import { defaultNamespaceSettings } from "./limits.ts";
import { compareNames } from "./names.ts";
import type { NamespacePage, NamespaceView } from "./view.ts";

/** Nobody has to make it: every cluster has it from the beginning, under this number. */
const standing: NamespaceView = { namespace: 1, name: "default", version: 1, settings: defaultNamespaceSettings, createdAt: 0 };

/** The namespaces of cached values (rule G1): what exists, under which number, with which settings. */
export class NamespaceRegistry {
  /** Number of the newest one. Never given again, so that copies of a namespace cannot be taken for those of another of that name. */
  lastNamespace: number = standing.namespace;
  /** Version of the newest settings: one counter for all. */
  lastVersion: number = standing.version;
  /** Views are replaced, never changed: who has one, as a snapshot does, keeps it. */
  private readonly byNumber = new Map<number, NamespaceView>([[standing.namespace, standing]]);
  private readonly byName = new Map<string, NamespaceView>([[standing.name, standing]]);
  /** In byte order. */
  private readonly names: string[] = [standing.name];
  private readonly ledger: Ledger;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  get(name: string): NamespaceView | null {
    return this.byName.get(name) ?? null;
  }

  withNumber(namespace: number): NamespaceView | null {
    return this.byNumber.get(namespace) ?? null;
  }

  /** A page in the order of the names, after `cursor`. */
  page(prefix: string, cursor: string, limit: number): NamespacePage {
    const namespaces: NamespaceView[] = [];
    const start = compareNames(cursor, prefix) < 0 ? prefix : cursor;
    for (let place = this.placeOf(start); place < this.names.length; place++) {
      const name = this.names[place] as string;
      if (name === cursor) continue;
      if (!name.startsWith(prefix)) break;
      if (namespaces.length >= limit) return { namespaces, next: namespaces.at(-1)?.name ?? null };
      namespaces.push(this.byName.get(name) as NamespaceView);
    }
    return { namespaces, next: null };
  }

  define({ mode, name, settings }: DefineNamespace): Result {
    const known = this.byName.get(name);
    if (known === undefined) return mode === "update" ? refused({ reason: "unknown" }) : this.create(name, settings);
    if (mode === "create") return refused({ reason: "exists", ...known });
    return this.change(known, settings);
  }

  delete(name: string): Result {
    const known = this.byName.get(name);
    if (known === undefined) return refused({ reason: "unknown" });
    if (known.namespace === standing.namespace) return refused({ reason: "standing" });
    this.names.splice(this.placeOf(name), 1);
    this.byName.delete(name);
    this.byNumber.delete(known.namespace);
    this.ledger.sink.changed({ type: "namespace-deleted", namespace: known.namespace });
    return { type: "namespace-deleted", namespace: known.namespace };
  }

  /** All but `default` as it stands: for snapshots. */
  *defined(): Iterable<NamespaceView> {
    for (const view of this.byNumber.values()) if (view !== standing) yield view;
  }

  restore(lastNamespace: number, lastVersion: number, namespaces: readonly NamespaceView[]): void {
    this.lastNamespace = lastNamespace;
    this.lastVersion = lastVersion;
    const seen = new Set<number>();
    for (const view of namespaces) {
      const { name, namespace, version } = view;
      if (namespace === 0 || namespace > lastNamespace || version > lastVersion) {
        throw new CodecError(`namespace ${namespace} in version ${version} was never defined`);
      }
      if (seen.has(namespace) || (this.byName.has(name) && namespace !== standing.namespace))
        throw new CodecError(`namespace ${name} twice`);
      seen.add(namespace);
      this.insert(view);
    }
  }

  /** For the state hash; 0 while there is only `default` as it stands, as before there were namespaces. */
  digest(): number {
    let sum = 0;
    for (const view of this.defined()) sum = (sum + digestOf(view)) | 0;
    const counters = this.lastVersion === standing.version ? 0 : avalanche(mix(mix(0x6e616d65, this.lastNamespace), this.lastVersion));
    return (sum + counters) | 0;
  }

  private create(name: string, settings: Partial<NamespaceSettings>): Result {
    const max = this.ledger.limits.namespaces;
    if (this.byNumber.size >= max && !mutant("system-namespaces-unbounded")) return refused({ reason: "too-many", max });
    const chosen = { ...defaultNamespaceSettings, ...settings };
    const wrong = fault(chosen);
    if (wrong !== null) return refused({ reason: "invalid", detail: wrong });
    this.lastNamespace = mutant("system-namespace-number-reused") ? this.byNumber.size + 1 : this.lastNamespace + 1;
    return this.write(this.lastNamespace, name, chosen, this.ledger.groupTime, true);
  }

  private change(known: NamespaceView, settings: Partial<NamespaceSettings>): Result {
    const { createdAt, name, namespace } = known;
    const present = known.settings;
    const { mode } = settings;
    // Copies that were kept under another promise would outlive the change.
    if (mode !== undefined && mode !== present.mode && !mutant("system-namespace-mode-changed")) {
      return refused({ reason: "fixed", field: "mode", value: present.mode, asked: mode });
    }
    const chosen = { ...present, ...settings };
    const wrong = fault(chosen);
    if (wrong !== null) return refused({ reason: "invalid", detail: wrong });
    const same = (Object.keys(present) as (keyof NamespaceSettings)[]).every((setting) => present[setting] === chosen[setting]);
    // A shard configures each version anew: what changes nothing must not cost every shard an entry.
    if (same) return { type: "namespace-defined", created: false, ...known };
    return this.write(namespace, name, chosen, createdAt, false);
  }

  private write(namespace: number, name: string, settings: NamespaceSettings, createdAt: number, created: boolean): Result {
    this.lastVersion++;
    const view: NamespaceView = { namespace, name, version: this.lastVersion, settings, createdAt };
    this.insert(view);
    this.ledger.sink.changed({ type: "namespace-defined", namespace });
    return { type: "namespace-defined", created, ...view };
  }

  /** Puts a namespace in place: a new one, or a new version of a known one. */
  insert(view: NamespaceView): void {
    if (!this.byName.has(view.name)) this.names.splice(this.placeOf(view.name), 0, view.name);
    this.byName.set(view.name, view);
    this.byNumber.set(view.namespace, view);
  }

  /** Of the first name that is not before `name`. */
  private placeOf(name: string): number {
    let low = 0;
    let high = this.names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareNames(this.names[middle] as string, name) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

type WithoutType<T> = T extends unknown ? Omit<T, "type"> : never;

function refused(why: WithoutType<NamespaceRefused>): Result {
  return { type: "namespace-refused", ...why };
}

/** What is wrong with the settings, for people; null = nothing. */
function fault({
  compressOver,
  copyEntries,
  mode,
  negativeTtlMs,
  origin,
  revalidateMs,
  staleMs,
  ttlMs,
  write,
}: NamespaceSettings): string | null {
  const { maxDurationMs } = wireLimits;
  for (const [what, ms] of [
    ["time to live", ttlMs],
    ["time to live of negative entries", negativeTtlMs],
    ["staleness", staleMs],
    ["time in which a value is read while it is loaded again", revalidateMs],
  ] as const) {
    if (ms > maxDurationMs) return `the ${what} is ${ms} ms, not 0 to ${maxDurationMs}`;
  }
  if (mode === "ttl" && staleMs === 0) return "a namespace of mode ttl says in stale_ms how stale a copy may be";
  if (revalidateMs > 0 && origin === "none") return "there is no origin to load values from again: set origin, or revalidate_ms to 0";
  if (write === "behind" && origin === "none") return "write is behind, and there is no origin to write to: set origin, or write to here";
  if (compressOver > wireLimits.maxBodyBytes) return `compress_over is ${compressOver}, not 0 to ${wireLimits.maxBodyBytes}`;
  return copyEntries > evictionLimits.entries ? `copies: ${evictionLimits.entries} at most` : null;
}

function digestOf({ createdAt, name, namespace, settings, version }: NamespaceView): number {
  let hash = mix(mix(hashText(name), namespace), mix(createdAt, version));
  const { copyBytes, copyEntries, maxBytes, maxEntries, mode, negativeTtlMs, origin, policy, staleMs, ttlMs } = settings;
  hash = mix(mix(hash, hashText(mode)), hashText(policy));
  for (const number of [staleMs, ttlMs, negativeTtlMs, maxEntries, maxBytes, copyEntries, copyBytes]) hash = mix(hash, number);
  // As before there were origins, where there is none: replicas of different versions compare these.
  if (origin !== "none") hash = mix(hash, hashText(origin));
  if (settings.write !== "here") hash = mix(hash, hashText(settings.write));
  if (settings.maxBehind > 0) hash = mix(hash, settings.maxBehind);
  if (settings.compressOver > 0) hash = mix(hash, mix(settings.compressOver, 0x636f6d70));
  if (settings.revalidateMs > 0) hash = mix(hash, mix(settings.revalidateMs, 0x72657661));
  return avalanche(hash);
}
