import type { BacklogOfNamespace, GroupId, NamespaceView, QueuedWriteOfKey } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { LineName, OriginName, ShardCommand } from "@trivet/wire";
import type { CacheOrigin, CacheOrigins, OriginWrite, OriginWritten } from "../ports/cache-origin.ts";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { ValuePacking } from "../ports/value-packing.ts";
import type { WorkerReply, WorkerRequest } from "../shards/worker-protocol.ts";
import {
  behindBatch,
  behindBatchBytes,
  behindFirstRetryMs,
  behindLingerMs,
  behindMaxRetryMs,
  behindRefusals,
  behindRestingLingerMs,
} from "./limits.ts";
import { lineOfKey } from "./lines.ts";
import { plainValue } from "./packed-values.ts";

export interface WriteBehindOwner {
  readonly node: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly origins: CacheOrigins | undefined;
  readonly packing: ValuePacking;
  namespace(number: number): NamespaceView | null;
  ask(request: WorkerRequest, done: (reply: WorkerReply) => void): void;
  /** Puts a command into the shard's log; `applied` comes once, or never when this node leads no longer. */
  propose(command: ShardCommand, applied: () => void): void;
}

/** What waits in this shard for outside origins, as its leader saw it last. */
export interface Backlog {
  readonly keys: number;
  readonly bytes: number;
  /** Since when the longest has waited, in group time; 0 = nothing waits. */
  readonly since: number;
}
const nothingWaits: Backlog = { keys: 0, bytes: 0, since: 0 };

interface Retry {
  readonly at: number;
  readonly afterMs: number;
}
type Part = { readonly view: NamespaceView; readonly origin: Exclude<OriginName, "none">; readonly writes: QueuedWriteOfKey[] };

/**
 * Brings what waits in one shard to its origins while this node leads the shard (decision 0020): in rounds over all that waits, in its order, a batch at
 * a time, and of each key the latest write alone. What an origin has is taken out through the log. A leader that is none any more, or one that
 * begins anew, may write the same again: the stamps make that harmless.
 */
export class WriteBehind {
  backlog: Backlog = nothingWaits;
  private readonly group: GroupId;
  private readonly owner: WriteBehindOwner;
  /** Counts the times this node began to lead, or ended: what began under another number is over. */
  private reign = 0;
  private leads = false;
  private isBusy = false;
  private hasChanged = false;
  /** When this round began, and when the next one does. */
  private roundAt = 0;
  private lookAt = 0;
  /** Namespaces whose origin is left alone for a while. */
  private readonly resting = new Map<number, Retry>();
  /** Single writes that their origin does not take; each version for itself. */
  private readonly refused = new Map<LineName, Retry & { readonly version: number }>();

  constructor(group: GroupId, owner: WriteBehindOwner) {
    this.group = group;
    this.owner = owner;
  }

  begin(): void {
    this.end();
    this.leads = true;
    // What a former leader has left.
    this.lookAt = this.owner.clock.now();
  }

  end(): void {
    this.reign++;
    this.leads = false;
    this.isBusy = false;
    this.hasChanged = false;
    this.backlog = nothingWaits;
    this.resting.clear();
    this.refused.clear();
  }

  /** Something of the shard was written, or a namespace has changed. */
  changed(): void {
    if (this.hasChanged || !this.leads) return;
    this.hasChanged = true;
    this.lookAt = Math.min(this.lookAt, this.soon());
  }

  tick(now: number): void {
    if (!this.leads || this.isBusy || now < this.lookAt) return;
    this.isBusy = true;
    this.hasChanged = false;
    this.roundAt = now;
    this.lookAt = Number.POSITIVE_INFINITY;
    this.page(this.reign, 0);
  }

  /** When the next round begins. */
  get tickAt(): number {
    return this.leads && !this.isBusy ? this.lookAt : Number.POSITIVE_INFINITY;
  }

  /** Where much may wait for an origin that is away, it is not gone through for each write. */
  private soon(): number {
    return this.owner.clock.now() + (this.resting.size === 0 ? behindLingerMs : behindRestingLingerMs);
  }

  private page(reign: number, after: number): void {
    const now = this.owner.clock.now();
    const without = [...this.resting].flatMap(([namespace, { at }]) => (at > now ? [namespace] : []));
    const bounds = { most: behindBatch, mostBytes: behindBatchBytes };
    this.owner.ask({ type: "cache-behind", group: this.group, after, without, ...bounds }, (reply) => {
      if (this.reign !== reign) return;
      // The worker waits for space, or another state took its place: what waits is looked for again.
      if (reply.type !== "cache-behind") return this.rest(this.owner.clock.now() + behindFirstRetryMs);
      if (after === 0) this.backlog = { since: reply.since, ...sumOf(reply.backlogs) };
      this.write(reign, reply.writes, () => {
        if (this.reign !== reign) return;
        if (reply.next > 0) this.page(reign, reply.next);
        else this.rest(Number.POSITIVE_INFINITY);
      });
    });
  }

  /** The round is over. What was written meanwhile, and what is tried again, begins the next one. */
  private rest(at: number): void {
    this.isBusy = false;
    const changed = this.hasChanged ? this.soon() : Number.POSITIVE_INFINITY;
    this.lookAt = Math.min(this.lookAt, at, changed, firstOf(this.resting, this.roundAt), firstOf(this.refused, this.roundAt));
  }

  /** Each namespace's origin gets its part of the page; `done` when the log has what they have. */
  private write(reign: number, writes: readonly QueuedWriteOfKey[], done: () => void): void {
    const parts = this.partsOf(writes);
    const written: QueuedWriteOfKey[] = [];
    let left = parts.length;
    if (left === 0) return done();
    for (const part of parts) {
      this.send(part, (outcomes) => {
        if (this.reign !== reign) return;
        for (const [place, queued] of part.writes.entries()) if (this.hear(part, queued, outcomes[place])) written.push(queued);
        this.hearAll(part, outcomes);
        left--;
        if (left > 0) return;
        if (written.length === 0) return done();
        const values = written.map(({ key, namespace, version }) => ({ namespace, key, version }));
        this.owner.propose({ type: "cache-flushed", values }, done);
        this.changed();
      });
    }
    return undefined;
  }

  private partsOf(writes: readonly QueuedWriteOfKey[]): readonly Part[] {
    const now = this.owner.clock.now();
    const parts = new Map<number, Part>();
    for (const queued of writes) {
      const { key, namespace, version } = queued;
      const refusal = this.refused.get(lineOfKey(namespace, key));
      if (refusal !== undefined && refusal.version === version && refusal.at > now) continue;
      const view = this.owner.namespace(namespace);
      // Group 0 is not that far here after a restart, or the namespace is gone and its writes are about to be.
      if (view === null) this.resting.set(namespace, next(this.resting.get(namespace), now));
      // Nobody can say where to: it waits until the namespace has an origin again, which `changed` tells.
      if (view === null || view.settings.origin === "none") continue;
      const part = parts.get(namespace) ?? { view, origin: view.settings.origin, writes: [] };
      part.writes.push(queued);
      parts.set(namespace, part);
    }
    return [...parts.values()];
  }

  private send({ origin, view, writes }: Part, done: (outcomes: readonly OriginWritten[]) => void): void {
    const { clock, node, origins } = this.owner;
    const port: CacheOrigin | undefined = origins?.[origin];
    let isTold = false;
    const tell = (outcomes: readonly OriginWritten[]): void => {
      if (isTold) return;
      isTold = true;
      timer?.cancel();
      done(outcomes);
    };
    const unreachable = (reason: string): void => tell(writes.map(() => ({ type: "unreachable", reason })));
    const timer = port === undefined ? null : clock.schedule(port.timeoutMs, () => unreachable(`no answer in ${port.timeoutMs} ms`));
    if (port === undefined) return clock.defer(() => unreachable(`node ${node} has no ${origin} configured as an origin`));
    const asked: OriginWrite[] = [];
    const answers = writes.map((queued) => {
      // Origins have values as their callers gave them.
      const value = mutant("behind-written-packed") ? queued.value : plainValue(this.owner.packing, queued);
      return value === undefined ? null : asked.push({ namespace: view.name, key: queued.key, value, stamp: stampOf(queued) }) - 1;
    });
    const all = (outcomes: readonly OriginWritten[]): void =>
      tell(answers.map((place) => (place === null ? unreadable : (outcomes[place] ?? tooFew))));
    return asked.length === 0 ? clock.defer(() => all([])) : port.write(asked, all);
  }

  /** True = the origin has it, or something newer that came from here. */
  private hear({ origin, view }: Part, { key, namespace, version }: QueuedWriteOfKey, outcome: OriginWritten = tooFew): boolean {
    const { clock, telemetry } = this.owner;
    telemetry.count("cache_behind_writes_total", 1, { origin, outcome: outcome.type });
    if (outcome.type === "unreachable") return mutant("behind-unreachable-taken-for-written");
    const line = lineOfKey(namespace, key);
    const former = this.refused.get(line);
    if (outcome.type !== "refused") {
      this.refused.delete(line);
      return true;
    }
    const retry = next(former?.version === version ? former : undefined, clock.now());
    if (former !== undefined || this.refused.size < behindRefusals) this.refused.set(line, { version, ...retry });
    else this.resting.set(namespace, retry);
    const { name } = view;
    const text = `a write of namespace ${name} waits, as ${origin} does not take it: ${outcome.reason}. It is tried again`;
    telemetry.log("warn", "origin.write", text, { namespace: name, key, origin, reason: outcome.reason });
    return false;
  }

  /** An origin that cannot be reached is left alone for a while, and so is one that takes nothing of a namespace. */
  private hearAll({ origin, view, writes }: Part, outcomes: readonly OriginWritten[]): void {
    const { clock, telemetry } = this.owner;
    const { name, namespace } = view;
    const former = this.resting.get(namespace);
    const lost = outcomes.find(({ type }) => type === "unreachable");
    const takesNothing = writes.length > 1 && outcomes.every(({ type }) => type === "refused");
    if (lost === undefined && !takesNothing) {
      if (former !== undefined && former.at <= clock.now()) this.resting.delete(namespace);
      return;
    }
    this.resting.set(namespace, next(former, clock.now()));
    if (former !== undefined || lost?.type !== "unreachable") return;
    const text = `writes of namespace ${name} wait for ${origin}: ${lost.reason}. They are kept in the log, and tried again`;
    telemetry.log("warn", "origin.behind", text, { namespace: name, origin, reason: lost.reason });
  }
}

/** When the first is to be tried again. One that this round could have tried and did not is not waited for any more: its write, or its namespace, is gone. */
function firstOf<Name>(retries: Map<Name, Retry>, roundAt: number): number {
  let first = Number.POSITIVE_INFINITY;
  for (const [name, { at }] of retries) {
    if (at <= roundAt && !mutant("behind-retries-what-is-gone")) retries.delete(name);
    else first = Math.min(first, at);
  }
  return first;
}

const unreadable: OriginWritten = { type: "refused", reason: "the value cannot be unpacked" };
const tooFew: OriginWritten = { type: "unreachable", reason: "the origin gave too few answers" };

function next(former: Retry | undefined, now: number): Retry {
  const afterMs = former === undefined ? behindFirstRetryMs : Math.min(2 * former.afterMs, behindMaxRetryMs);
  return { afterMs, at: now + afterMs };
}

/** Rises with each write of a key: a shard's group time never goes back, and its versions rise. */
export function stampOf({ at, version }: Pick<QueuedWriteOfKey, "at" | "version">): string {
  return `${digits(at)}${digits(version)}`;
}

const digits = (number: number): string => String(Math.floor(number)).padStart(16, "0");

function sumOf(backlogs: readonly BacklogOfNamespace[]): { readonly keys: number; readonly bytes: number } {
  const keys = backlogs.reduce((sum, backlog) => sum + backlog.keys, 0);
  return { keys, bytes: backlogs.reduce((sum, backlog) => sum + backlog.bytes, 0) };
}
