import {
  type Bounds,
  type Copy,
  createPolicy,
  type EvictionPolicy,
  type HolderState,
  isEvictable,
  type Line,
  type LineState,
  makeRoom,
  type PolicyName,
  type Resident,
} from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { avalanche, hashText, type LineName, type NamespaceSettings, utf8Length } from "@trivet/wire";
import type { CacheEntry } from "./cache-api.ts";
import { keyOfLine } from "./lines.ts";

/** A copy that this node keeps, as its policy sees it. */
export interface Copied {
  readonly namespace: number;
  readonly key: string;
  readonly line: Line;
  readonly holder: HolderState;
  readonly keptAt: number;
  resident: Resident<Copied> | null;
  /** What a hit tells, made at the first one: the others allocate nothing. */
  entry: CacheEntry | null;
  /** What it was made of. */
  told: Copy | null;
  readonly policy: EvictionPolicy<Copied>;
  state: LineState;
}

export interface CopyBounds extends Bounds {
  readonly policy: PolicyName;
}
export interface CopiesOwner {
  /** How a namespace wants its copies kept; null = it is not known. */
  settings(namespace: number): NamespaceSettings | null;
  /** The policy gives this copy up: its home is told (rule M9). */
  evict(copy: Copied): void;
  seed(): number;
}

/** Beside the value: the line, its place in tables, what the policy keeps of it. */
const copyOverhead = 256;

/** Which copies this node keeps, over all shards: found by key without making a name, bounded in entries and bytes. */
export class Copies {
  evictions = 0;
  readonly bounds: CopyBounds;
  private readonly owner: CopiesOwner;
  private readonly byNamespace = new Map<number, Map<string, Copied>>();
  private sharedPolicy: EvictionPolicy<Copied> | null = null;
  private readonly own = new Map<number, { readonly settings: NamespaceSettings; readonly policy: EvictionPolicy<Copied> }>();

  constructor(bounds: CopyBounds, owner: CopiesOwner) {
    this.bounds = bounds;
    this.owner = owner;
  }

  /** Made with the first copy: its tables take room. */
  private get shared(): EvictionPolicy<Copied> {
    this.sharedPolicy ??= createPolicy(this.bounds.policy, this.bounds, this.owner.seed());
    return this.sharedPolicy;
  }

  get entries(): number {
    let entries = this.sharedPolicy?.entries ?? 0;
    for (const { policy } of this.own.values()) entries += policy.entries;
    return entries;
  }

  get bytes(): number {
    let bytes = this.sharedPolicy?.bytes ?? 0;
    for (const { policy } of this.own.values()) bytes += policy.bytes;
    return bytes;
  }

  find(namespace: number, key: string): Copied | undefined {
    return this.byNamespace.get(namespace)?.get(key);
  }

  *all(): Iterable<Copied> {
    for (const copies of this.byNamespace.values()) yield* copies.values();
  }

  hit({ policy, resident }: Copied): void {
    if (resident !== null) policy.recordHit(resident);
  }

  /** A copy came. In the same turn some may have to go, perhaps this one. */
  kept(holder: HolderState, line: Line, now: number): void {
    if (line.copy === null) return;
    const [namespace, key] = keyOfLine(line.name);
    this.forget(namespace, key, "dropped");
    const policy = this.policyOf(namespace);
    const copy: Copied = { namespace, key, line, holder, keptAt: now, resident: null, entry: null, told: null, policy, state: line.state };
    let copies = this.byNamespace.get(namespace);
    if (copies === undefined) this.byNamespace.set(namespace, (copies = new Map()));
    copies.set(key, copy);
    copy.resident = policy.admit(copy, avalanche(hashText(line.name)), weightOf(line));
    if (copy.resident === null) return this.evict(copy);
    if (mutant("cache-copies-unbounded")) return;
    const mayEvict = (other: Copied): boolean => isEvictable(other.holder, other.line.name);
    const evict = (other: Copied): void => {
      other.resident = null;
      this.evict(other);
    };
    if (!makeRoom(policy, mayEvict, evict)) this.evict(copy);
  }

  /** As it was when it was looked at last. */
  stateOf(line: LineName): LineState {
    return this.find(...keyOfLine(line))?.state ?? "I";
  }

  noteState(line: LineName, state: LineState): void {
    const copy = this.find(...keyOfLine(line));
    if (copy !== undefined) copy.state = state;
  }

  /** A copy is no more. */
  dropped(line: LineName): void {
    const [namespace, key] = keyOfLine(line);
    this.forget(namespace, key, "dropped");
  }

  private evict(copy: Copied): void {
    this.evictions++;
    this.forget(copy.namespace, copy.key, "evicted");
    this.owner.evict(copy);
  }

  private forget(namespace: number, key: string, why: "evicted" | "dropped"): void {
    const copies = this.byNamespace.get(namespace);
    const copy = copies?.get(key);
    if (copies === undefined || copy === undefined) return;
    copies.delete(key);
    if (copies.size === 0) this.byNamespace.delete(namespace);
    if (copy.resident !== null) copy.policy.remove(copy.resident, why);
    copy.resident = null;
  }

  /** A namespace with bounds of its own has a policy of its own; other bounds than before begin with an empty one. */
  private policyOf(namespace: number): EvictionPolicy<Copied> {
    const settings = this.owner.settings(namespace);
    if (settings === null || (settings.copyEntries === 0 && settings.copyBytes === 0)) return this.shared;
    const known = this.own.get(namespace);
    if (known !== undefined && sameBounds(known.settings, settings)) return known.policy;
    // One with a write under way goes when that is answered.
    for (const copy of this.byNamespace.get(namespace)?.values() ?? [])
      if (copy.policy !== this.shared && isEvictable(copy.holder, copy.line.name)) this.evict(copy);
    for (const former of this.own.keys()) if (this.owner.settings(former) === null) this.own.delete(former);
    const bounds = {
      maxEntries: settings.copyEntries === 0 ? this.bounds.maxEntries : settings.copyEntries,
      maxBytes: settings.copyBytes === 0 ? Number.POSITIVE_INFINITY : settings.copyBytes,
    };
    const policy = createPolicy<Copied>(settings.policy, bounds, this.owner.seed());
    this.own.set(namespace, { settings, policy });
    return policy;
  }
}

function sameBounds(one: NamespaceSettings, other: NamespaceSettings): boolean {
  return one.copyEntries === other.copyEntries && one.copyBytes === other.copyBytes && one.policy === other.policy;
}

function weightOf({ copy, name }: Line): number {
  const record = copy?.record;
  const tags = record?.tags.reduce((sum, tag) => sum + utf8Length(tag), 0) ?? 0;
  return copyOverhead + 2 * name.length + tags + (record?.value?.length ?? 0);
}
