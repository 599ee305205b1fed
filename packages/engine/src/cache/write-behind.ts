import type { BacklogOfNamespace, GroupId, NamespaceView, QueuedWriteOfKey } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { OriginName, ShardCommand } from "@trivet/wire";
import type { CacheOrigin, CacheOrigins, OriginWrite, OriginWritten } from "../ports/cache-origin.ts";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { ValuePacking } from "../ports/value-packing.ts";
import type { WorkerReply, WorkerRequest } from "../shards/worker-protocol.ts";
import { BehindRetries } from "./behind-retries.ts";
import { behindBatch, behindBatchBytes, behindFirstRetryMs, behindLingerMs, behindPatience, behindRestingLingerMs } from "./limits.ts";
import { lineOfKey } from "./lines.ts";
import { plainValue } from "./packed-values.ts";

export interface WriteBehindOwner {
  readonly node: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly origins: CacheOrigins | undefined;
  readonly packing: ValuePacking;
  /** Group time now (rule L3): no stamp of this cluster is later. */
  groupTime(): number;
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

type Origin = Exclude<OriginName, "none">;
interface Part {
  readonly view: NamespaceView;
  readonly origin: Origin;
  readonly writes: QueuedWriteOfKey[];
}
/** First what nothing is known against, then what is tried again: what its origin does not take never stands before what it would. */
type Pass = "fresh" | "again";
interface Sent {
  readonly outcomes: readonly OriginWritten[];
  /** The time was too short for some. */
  readonly isLate: boolean;
  /** It took so long that it is not done often for nothing: others of the shard wait meanwhile. */
  readonly isDear: boolean;
}

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
  private readonly retries = new BehindRetries();
  /** Namespaces that this round leaves before their end: nothing was answered of those that are tried again. */
  private readonly passed = new Set<number>();
  /** Of this round: something waits that is tried again. */
  private hasAgain = false;
  /** The definitions under which the shard took its writes. */
  private versions: ReadonlyMap<number, number> = new Map();
  /** Writes of a namespace that go to its origin at a time, where it has no time for as many as may. */
  private readonly most = new Map<number, number>();
  /** Namespaces of which it was said that nothing is answered. */
  private readonly told = new Set<number>();

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
    this.retries.clear();
    this.told.clear();
    this.most.clear();
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
    this.passed.clear();
    this.hasAgain = false;
    this.page(this.reign, "fresh", 0);
  }

  /** When the next round begins. */
  get tickAt(): number {
    return this.leads && !this.isBusy ? this.lookAt : Number.POSITIVE_INFINITY;
  }

  /** Where much may wait for an origin that is away, it is not gone through for each write. */
  private soon(): number {
    return this.owner.clock.now() + (this.retries.doRest ? behindRestingLingerMs : behindLingerMs);
  }

  private page(reign: number, pass: Pass, after: number): void {
    const without = [...this.retries.restingAt(this.owner.clock.now()), ...this.passed];
    const bounds = { most: behindBatch, mostBytes: behindBatchBytes };
    this.owner.ask({ type: "cache-behind", group: this.group, after, without, ...bounds }, (reply) => {
      if (this.reign !== reign) return;
      // The worker waits for space, or another state took its place: what waits is looked for again.
      if (reply.type !== "cache-behind") return this.rest(this.owner.clock.now() + behindFirstRetryMs);
      this.versions = new Map(reply.backlogs.map(({ namespace, version }) => [namespace, version]));
      if (after === 0) this.backlog = { since: reply.since, ...sumOf(reply.backlogs) };
      this.write(reign, pass, reply.writes, () => {
        if (this.reign !== reign) return;
        if (reply.next > 0) this.page(reign, pass, reply.next);
        else if (pass === "fresh" && this.hasAgain) this.page(reign, "again", 0);
        else this.rest(Number.POSITIVE_INFINITY);
      });
    });
  }

  /** The round is over. What was written meanwhile, and what is tried again, begins the next one. */
  private rest(at: number): void {
    this.isBusy = false;
    const changed = this.hasChanged ? this.soon() : Number.POSITIVE_INFINITY;
    const again = this.retries.first(this.roundAt, this.owner.clock.now(), this.passed);
    this.lookAt = Math.min(this.lookAt, at, changed, again);
  }

  /** Each namespace's origin gets its part of the page; `done` when the log has what they have. */
  private write(reign: number, pass: Pass, writes: readonly QueuedWriteOfKey[], done: () => void): void {
    const parts = this.partsOf(pass, writes);
    const written: QueuedWriteOfKey[] = [];
    let left = parts.length;
    if (left === 0) return done();
    for (const part of parts) {
      this.send(part, (sent) => {
        if (this.reign !== reign) return;
        written.push(...this.hear(pass, part, sent));
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

  private partsOf(pass: Pass, writes: readonly QueuedWriteOfKey[]): readonly Part[] {
    const now = this.owner.clock.now();
    const parts = new Map<number, Part>();
    for (const queued of writes) {
      const { key, namespace, version } = queued;
      const turn = mutant("behind-refused-hold-up") ? "fresh" : this.retries.turnOf(lineOfKey(namespace, key), version, now);
      this.hasAgain ||= turn === "again";
      if (turn !== pass) continue;
      const view = this.known(namespace);
      // Group 0 is not that far here, or the namespace is gone and its writes are about to be.
      if (view === null) this.retries.rest(namespace, now, true);
      // Nobody can say where to: it waits until the namespace has an origin again, which `changed` tells.
      if (view === null || view.settings.origin === "none") continue;
      const part = parts.get(namespace) ?? { view, origin: view.settings.origin, writes: [] };
      if (part.writes.length < (this.most.get(namespace) ?? behindBatch)) part.writes.push(queued);
      // It has its turn in the next round.
      else this.changed();
      parts.set(namespace, part);
    }
    return [...parts.values()];
  }

  /** Under an older definition writes would go to an origin of before. */
  private known(namespace: number): NamespaceView | null {
    const view = this.owner.namespace(namespace);
    const isOlder = view !== null && view.version < (this.versions.get(namespace) ?? 0);
    return isOlder && !mutant("behind-origin-of-before") ? null : view;
  }

  /** What is known when the time is over counts; of the rest nobody knows. */
  private send({ origin, view, writes }: Part, done: (sent: Sent) => void): void {
    const { clock, node, origins } = this.owner;
    const port: CacheOrigin | undefined = origins?.[origin];
    if (port === undefined) {
      const reason = `node ${node} has no ${origin} configured as an origin`;
      const outcomes = writes.map(() => ({ type: "unreachable", reason }) as const);
      return clock.defer(() => done({ outcomes, isLate: false, isDear: false }));
    }
    const began = clock.now();
    const patience = port.timeoutMs * behindPatience;
    const silent: OriginWritten = { type: "unreachable", reason: `no answer in ${patience} ms` };
    const outcomes: (OriginWritten | null)[] = writes.map(() => null);
    let [left, isOver] = [writes.length, false];
    const end = (): void => {
      isOver = true;
      timer.cancel();
      const known = left > 0 && mutant("behind-all-or-nothing") ? outcomes.map(() => null) : outcomes;
      const isLate = left > 0 || known.some((outcome) => outcome?.type === "untried");
      done({ outcomes: known.map((outcome) => outcome ?? silent), isLate, isDear: clock.now() - began >= port.timeoutMs });
    };
    const timer = clock.schedule(patience, end);
    const hear = (place: number, outcome: OriginWritten): void => {
      if (isOver || outcomes[place] !== null) return;
      outcomes[place] = outcome;
      left--;
      if (left === 0) end();
    };
    const places: number[] = [];
    const asked: OriginWrite[] = [];
    for (const [place, queued] of writes.entries()) {
      // Origins have values as their callers gave them.
      const value = mutant("behind-written-packed") ? queued.value : plainValue(this.owner.packing, queued);
      if (value === undefined) {
        clock.defer(() => hear(place, unreadable));
        continue;
      }
      places.push(place);
      asked.push({ namespace: view.name, key: queued.key, value, stamp: stampOf(queued) });
    }
    if (asked.length > 0) port.write(asked, (at, outcome) => hear(places[at] as number, outcome));
    return undefined;
  }

  /** Which of them the origin has, or something newer that came from here. */
  private hear(pass: Pass, part: Part, { isDear, isLate, outcomes }: Sent): readonly QueuedWriteOfKey[] {
    const { origin, view, writes } = part;
    const { clock, telemetry } = this.owner;
    const { name, namespace } = view;
    const most = isLate ? Math.max(1, Math.floor(writes.length / 2)) : 2 * (this.most.get(namespace) ?? behindBatch);
    if (most < behindBatch) this.most.set(namespace, most);
    else this.most.delete(namespace);
    const judged = outcomes.map((outcome, place) => this.judge(part, writes[place] as QueuedWriteOfKey, outcome));
    const isAnswered = judged.some(({ type }) => type !== "unreachable" && type !== "untried");
    const taken = writes.filter((queued, place) => this.hearOne(part, queued, judged[place] as OriginWritten, isAnswered));
    if (isAnswered) this.told.delete(namespace);
    if (isAnswered && judged.some(({ type }) => type === "untried")) this.changed();
    const takesNothing = writes.length > 1 && judged.every(({ type }) => type === "refused");
    const lost = judged.find(({ type }) => type === "unreachable");
    const holdsUp = mutant("behind-one-holds-up-all") && lost !== undefined;
    if (isAnswered && !takesNothing && !holdsUp) {
      this.retries.answered(namespace, clock.now());
      return taken;
    }
    // Each of those that are tried again has its own time; an origin that answers nothing is not asked for all of them in a row.
    if (pass === "again" && !(isDear && !isAnswered)) this.passed.add(namespace);
    else this.retries.rest(namespace, clock.now(), isDear && !isAnswered);
    if (isAnswered || this.told.has(namespace) || lost?.type !== "unreachable") return taken;
    this.told.add(namespace);
    const text = `writes of namespace ${name} wait for ${origin}: ${lost.reason}. They are kept in the log, and tried again`;
    telemetry.log("warn", "origin.behind", text, { namespace: name, origin, reason: lost.reason });
    return taken;
  }

  /** True = the origin has it. */
  private hearOne({ origin, view }: Part, queued: QueuedWriteOfKey, outcome: OriginWritten, isAnswered: boolean): boolean {
    const { clock, telemetry } = this.owner;
    const { key, namespace, version } = queued;
    const line = lineOfKey(namespace, key);
    if (outcome.type === "untried") {
      this.retries.postpone(line, clock.now());
      return false;
    }
    telemetry.count("cache_behind_writes_total", 1, { origin, outcome: outcome.type });
    if (outcome.type === "written" || outcome.type === "newer") {
      this.retries.done(line);
      return true;
    }
    if (outcome.type === "unreachable" && mutant("behind-unreachable-taken-for-written")) return true;
    const isRefused = outcome.type === "refused";
    const isRemembered = this.retries.leaveAlone(line, namespace, isRefused ? version : null, clock.now());
    if (!isRemembered && isAnswered) this.retries.rest(namespace, clock.now(), false);
    // Of an origin that is away it is told once, and not for each of its writes.
    if (!isAnswered) return false;
    const { name } = view;
    const why = isRefused ? "does not take it" : "could not be reached for it";
    const text = `a write of namespace ${name} waits, as ${origin} ${why}: ${outcome.reason}. It is tried again`;
    telemetry.log("warn", "origin.write", text, { namespace: name, key, origin, reason: outcome.reason });
    return false;
  }

  /**
   * What stands in the way of a write at its origin. This leader sends the latest write that its log has of the key, so what is higher comes from a later
   * leader, or from a cluster of which this one is a copy; from neither when its time is still to come.
   */
  private judge({ origin, view }: Part, queued: QueuedWriteOfKey, outcome: OriginWritten): OriginWritten {
    if (outcome.type !== "newer" || outcome.stamp === null) return outcome;
    const { stamp } = outcome;
    const own = stampOf(queued);
    if (stamp === own) return outcome;
    const found = `what is there has the stamp ${stamp}, and this write ${own}`;
    if (!(timeOf(stamp) <= this.owner.groupTime()) && !mutant("behind-any-higher-stamp-is-ours"))
      return { type: "refused", reason: `${found}: it was written by another cluster, or under a clock that was ahead of this one's` };
    const text = `a write of namespace ${view.name} is given up, as ${origin} has a later one: ${found}`;
    const { key } = queued;
    this.owner.telemetry.log("warn", "origin.write", text, { namespace: view.name, key, origin, reason: found });
    return outcome;
  }
}

const unreadable: OriginWritten = { type: "refused", reason: "the value cannot be unpacked" };

/** Rises with each write of a key: a shard's group time never goes back, and its versions rise. */
export function stampOf({ at, version }: Pick<QueuedWriteOfKey, "at" | "version">): string {
  return `${digits(at)}${digits(version)}`;
}

/** NaN of what is no stamp. */
const timeOf = (stamp: string): number => (/^\d{32}$/.test(stamp) ? Number(stamp.slice(0, 16)) : Number.NaN);

const digits = (number: number): string => String(Math.floor(number)).padStart(16, "0");

function sumOf(backlogs: readonly BacklogOfNamespace[]): { readonly keys: number; readonly bytes: number } {
  const keys = backlogs.reduce((sum, backlog) => sum + backlog.keys, 0);
  return { keys, bytes: backlogs.reduce((sum, backlog) => sum + backlog.bytes, 0) };
}
