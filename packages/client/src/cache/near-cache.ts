import { randomBytes } from "node:crypto";
import type { Line, Moment, PolicyName, ReadMode } from "@trivet/core/holder";
import {
  cacheShardOf,
  type ClientFrame,
  encodeClientFrame,
  type HolderMessage,
  type HomeMessage,
  lineName,
  type LineName,
  type LoadCached,
  type LoadingWay,
  mostBytesOf,
  namespaceOf,
  type ServerFrame,
  type ShardCommand,
  type ToHomes,
  type TraceContext,
} from "@trivet/wire";
import type { CommandStream, ShardAnswer } from "../command-stream.ts";
import { TrivetError, UnavailableError } from "../errors.ts";
import type { ClientTracing, Traces } from "../tracing/tracing.ts";
import { type KnownNamespace, NamespaceNames } from "./namespace-names.ts";
import { NearCopies } from "./near-copies.ts";
import { loadRefusal, NearQuestions, unknownInvalidation } from "./near-questions.ts";
import { NearHolder, type ReadAnswer } from "./near-holder.ts";
import { NearWrites } from "./near-writes.ts";
import { ownedRecord } from "./packing.ts";
import { Pace } from "./pace.ts";

/** How many copies of a namespace this process keeps, and which go. */
export interface CopyBounds {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly policy: PolicyName;
}

/** One namespace as this connection knows it. */
export interface Near {
  readonly name: string;
  readonly bounds: CopyBounds;
  readonly copies: NearCopies;
  known: KnownNamespace | null;
}

/** Leases are prolonged, and what was lost is sent again, in steps of so long. */
const tickMs = 50;
/** Of what is sent to homes in one message; what exceeds it goes into the next one. */
const maxMessageBytes = 524_288;
/** A shard that has not heard of a namespace is asked again after so long. */
const retryMs = 20;

/**
 * The copies that this process holds of cached values: a holder for each shard, whose messages go to the shards' homes through the node of the moment.
 * The lease is this process's own, so a change of nodes costs messages and no promise.
 */
export class NearCache {
  readonly timeoutMs: number;
  readonly tracing: ClientTracing;
  private readonly stream: CommandStream;
  private readonly names: NamespaceNames;
  private readonly writes: NearWrites;
  /** Known to the cluster alone: whoever has it may speak for this holder. */
  private readonly program = newName();
  private readonly holders = new Map<number, NearHolder>();
  private readonly byName = new Map<string, Near>();
  private readonly byNumber = new Map<string, Near>();
  private readonly questions: NearQuestions;
  private outgoing: ToHomes["messages"][number][] = [];
  private outgoingBytes = 0;
  /** Of those who asked for some of it. */
  private outgoingTraces: TraceContext[] | null = null;
  /** Of what is asked at this moment. */
  private asking: Traces = null;
  private ticker: NodeJS.Timeout | null = null;
  private lastTick = 0;
  private wasLate = false;
  private isClosed = false;
  private readonly behind = new Pace();

  constructor(stream: CommandStream, timeoutMs: number, tracing: ClientTracing) {
    this.stream = stream;
    this.timeoutMs = timeoutMs;
    this.tracing = tracing;
    this.names = new NamespaceNames(stream, (name, known) => this.changed(name, known));
    this.writes = new NearWrites(stream, newName);
    this.questions = new NearQuestions(stream);
  }

  /** Somebody awaits something: a silent node must be noticed. */
  get isWaiting(): boolean {
    if (this.names.isWaiting || this.questions.isWaiting) return true;
    for (const holder of this.holders.values()) if (holder.waiting > 0) return true;
    return false;
  }

  /** One for all handles of a namespace; who comes first says how much is kept. Throws TrivetError. */
  namespace(name: string, wanted: Partial<CopyBounds>, otherwise: CopyBounds): Near {
    const near = this.byName.get(name);
    if (near === undefined) {
      const bounds = { ...otherwise, ...wanted };
      const made: Near = { name, bounds, copies: new NearCopies(bounds.policy, bounds), known: null };
      this.byName.set(name, made);
      return made;
    }
    for (const field of ["maxEntries", "maxBytes", "policy"] as const) {
      if (wanted[field] === undefined || wanted[field] === near.bounds[field]) continue;
      throw new TrivetError("bad_request", `Namespace ${name} is in use on this connection with ${field} ${near.bounds[field]}`);
    }
    return near;
  }

  /** Rejects with TrivetError. */
  async read(near: Near, key: string, strict: boolean, deadline: number, traces: Traces = null): Promise<NonNullable<ReadAnswer>> {
    for (;;) {
      const known = near.known ?? (await this.resolve(near, deadline));
      const { holder, line } = this.place(known, key);
      const mode = strict ? ({ type: "strict" } as const) : modeOf(near, known);
      this.asking = traces;
      const asked = new Promise<ReadAnswer>((resolve) => holder.read(line, mode, deadline, resolve));
      this.asking = null;
      const answer = await asked;
      if (answer === null) throw this.notReached();
      // Else the name has come to mean another namespace meanwhile.
      if (near.known?.namespace === known.namespace) return answer;
    }
  }

  /** Rejects with TrivetError; answers are whatever the shard says. `mayLoad`: what the command depends on is loaded from the origin first. */
  async write(
    near: Near,
    key: string,
    deadline: number,
    command: (namespace: { readonly namespace: number; readonly version: number }, compressOver: number) => ShardCommand,
    mayLoad = true,
    traces: Traces = null,
  ): Promise<ShardAnswer> {
    for (;;) {
      const known = near.known ?? (await this.resolve(near, deadline));
      const { group, holder, line } = this.place(known, key);
      const { compressOver, mode, namespace, version } = known;
      const written = command({ namespace, version }, compressOver);
      const keep = mode.type === "write-through" && near.bounds.maxEntries > 0;
      this.asking = traces;
      const asked = this.writes.write(group, holder, line, written, keep, deadline);
      this.asking = null;
      const answer = await asked;
      if (answer.type === "cache-unloaded" && mayLoad && this.hasOrigin(near)) {
        // What the write depends on: it was not done. Executed anew, under another number.
        await this.load(near, key, "absent", deadline, traces);
        if (performance.now() + retryMs >= deadline) return answer;
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        continue;
      }
      if (answer.type !== "no-namespace") return answer;
      // The shard does not know it yet, or not any more. Nothing was done.
      if (performance.now() + retryMs >= deadline) throw this.notReached();
      this.forget(near, known);
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }

  /** Everything with the tag, or of the namespace (""). Again after a lost link: it may be done twice. Rejects with TrivetError. */
  async invalidate(near: Near, tag: string, deadline: number, traces: Traces = null): Promise<number> {
    await this.resolve(near, deadline);
    let wasAsked = false;
    for (;;) {
      const left = Math.floor(deadline - performance.now());
      if (left <= 0) throw wasAsked ? unknownInvalidation(near.name) : this.notReached();
      // To a node that is older than this nothing is said: it would close the stream.
      const frame = (request: number): ClientFrame | null =>
        this.stream.knowsCache ? { type: "invalidate-cache", request, name: near.name, tag, timeoutMs: left } : null;
      const answer = await this.questions.ask(frame, left, retryMs, traces, () => {
        wasAsked = true;
      });
      if (this.isClosed) throw new TrivetError("closed", "The connection was closed");
      if (answer === null || answer.refusal === "unavailable" || answer.refusal === "outcome-unknown") {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      } else if (answer.refusal === "none") return answer.type === "cache-invalidated" ? answer.shards : 0;
      else if (answer.refusal === "unknown") throw new TrivetError("namespace_unknown", `Cache namespace ${near.name} does not exist`);
      else throw new TrivetError("bad_request", `Cache namespace ${near.name}: ${answer.detail}`);
    }
  }

  /** Values of this namespace may come from an outside origin, and this node can be asked to load them. */
  hasOrigin(near: Near): boolean {
    return near.known?.hasOrigin === true && this.stream.loadsCache;
  }

  /** What the key's origin has is in the store afterwards, or that it has nothing: see `LoadingWay`. Rejects with TrivetError. */
  async load(near: Near, key: string, how: LoadingWay, deadline: number, traces: Traces = null): Promise<void> {
    await this.resolve(near, deadline);
    for (;;) {
      const left = Math.floor(deadline - performance.now());
      if (left <= 0) throw this.notReached();
      const frame = (request: number): ClientFrame | null =>
        this.stream.loadsCache ? { type: "load-cached", request, name: near.name, key, how, timeoutMs: left } : null;
      const answer = await this.questions.ask(frame, left, retryMs, traces);
      if (this.isClosed) throw new TrivetError("closed", "The connection was closed");
      if (answer !== null && answer.refusal !== "unavailable") return loadRefusal(near.name, key, answer);
      if (!this.stream.loadsCache) throw new TrivetError("upgrade_required", "The node is older than loads for programs");
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }

  /** The same behind whatever is answered: nobody waits, and what is lost is asked for again by the next reader. `absent`: the node looks itself whether its time is over. */
  loadBehind(near: Near, key: string, how: "absent" | "behind"): void {
    const { name } = near;
    if (!this.stream.isConnected || !this.stream.loadsCache || !this.behind.lets(`${name}\n${key}`, performance.now())) return;
    this.stream.send(encodeClientFrame({ type: "load-cached", request: 0, name, key, how, timeoutMs: this.timeoutMs }));
  }

  /**
   * Before a loader runs: null = another process's has ended, read again. Else it may run, and the function is called when it has ended. Where nobody can be asked
   * loaders run as if they were alone.
   */
  async claim(near: Near, key: string, deadline: number): Promise<(() => void) | null> {
    const { name } = near;
    const left = Math.floor(deadline - performance.now());
    if (left <= 0 || !this.stream.claimsLoads) return alone;
    let claim = 0;
    const load = (request: number, how: LoadingWay): LoadCached => ({ type: "load-cached", request, name, key, how, timeoutMs: left });
    const frame = (request: number): ClientFrame | null => {
      claim = request;
      return this.stream.claimsLoads ? load(request, "claim") : null;
    };
    const answer = await this.questions.ask(frame, left, 0);
    if (this.isClosed) throw new TrivetError("closed", "The connection was closed");
    if (answer?.refusal === "none") return null;
    // Also without an answer: it may be on its way, and another node knows nothing of this number.
    return () => {
      if (this.stream.claimsLoads) this.stream.send(encodeClientFrame(load(claim, "release")));
    };
  }

  frame(frame: ServerFrame): void {
    if (frame.type === "to-holders") {
      for (const { group, message } of frame.messages) this.holders.get(group)?.receive(owned(message));
    } else if (frame.type === "namespace-resolved") this.names.answered(frame);
    else if (frame.type === "cache-invalidated" || frame.type === "cache-loaded") this.questions.answered(frame);
  }

  /** Another node knows nothing of what was asked for here. Holders send again what was lost, and renew where they were not heard. */
  connected(): void {
    this.names.connected();
    this.questions.giveUp();
  }

  /** Nobody shall wait for this process's leases. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.ticker !== null) clearInterval(this.ticker);
    for (const holder of this.holders.values()) holder.leave();
    this.flush();
    this.names.close();
    this.questions.giveUp();
  }

  // ── Holders ──

  private place(known: KnownNamespace, key: string): { readonly group: number; readonly holder: NearHolder; readonly line: LineName } {
    if (this.isClosed) throw new TrivetError("closed", "The connection is closed");
    const group = cacheShardOf(known.namespace, key, known.shards);
    return { group, holder: this.holder(group), line: lineName(String(known.namespace), key) };
  }

  private holder(group: number): NearHolder {
    let holder = this.holders.get(group);
    if (holder === undefined) {
      const owner = {
        now,
        send: (message: HolderMessage) => this.send(group, message),
        kept: (keeper: NearHolder, line: Line) => this.kept(keeper, line),
        dropped: (line: LineName) => this.byNumber.get(namespaceOf(line))?.copies.dropped(keyOf(line)),
      };
      this.holders.set(group, (holder = new NearHolder(this.program, owner)));
    }
    if (this.ticker === null) {
      this.lastTick = performance.now();
      this.ticker = setInterval(() => this.tick(), tickMs);
      // The stream keeps the process alive; leases do not.
      this.ticker.unref();
    }
    return holder;
  }

  private kept(holder: NearHolder, line: Line): void {
    const near = this.byNumber.get(namespaceOf(line.name));
    if (near === undefined) holder.evict(line.name);
    else near.copies.kept(holder, line, keyOf(line.name));
  }

  private tick(): void {
    const moment = now();
    const isLate = moment.steady - this.lastTick >= 2 * tickMs;
    this.lastTick = moment.steady;
    // Once: between two turns that are both late there was one to read answers in.
    for (const holder of this.holders.values()) holder.tick(moment, !isLate || this.wasLate);
    this.wasLate = isLate;
  }

  private send(group: number, message: HolderMessage): void {
    const bytes = mostBytesOf(message);
    if (this.outgoingBytes + bytes > maxMessageBytes) this.flush();
    if (this.outgoing.length === 0) this.stream.atTurnEnd(() => this.flush());
    this.outgoing.push({ group, message });
    if (this.asking !== null) (this.outgoingTraces ??= []).push(...this.asking);
    this.outgoingBytes += bytes;
  }

  private flush(): void {
    if (this.outgoing.length === 0) return;
    const { outgoing: messages, outgoingTraces: traces } = this;
    this.outgoing = [];
    this.outgoingTraces = null;
    this.outgoingBytes = 0;
    // What finds no node is lost, and sent again by its holder.
    if (!this.stream.isConnected || !this.stream.knowsCache) return;
    const understood = this.stream.tellsCopies ? messages : messages.map(asBefore);
    this.stream.send(this.stream.under(traces, encodeClientFrame({ type: "to-homes", program: this.program, messages: understood })));
  }

  // ── Names ──

  private async resolve(near: Near, deadline: number): Promise<KnownNamespace> {
    const known = await this.names.resolve(near.name, deadline);
    if (near.known === null) this.changed(near.name, known);
    return near.known ?? known;
  }

  private forget(near: Near, known: KnownNamespace): void {
    this.names.forget(near.name, known);
    if (near.known === known) this.changed(near.name, null);
  }

  /** A name has another meaning: copies of what it meant before are no answer any more. */
  private changed(name: string, known: KnownNamespace | null): void {
    const near = this.byName.get(name);
    if (near === undefined) return;
    const before = near.known;
    near.known = known;
    if (before !== null && before.namespace !== known?.namespace) {
      near.copies.clear();
      this.byNumber.delete(String(before.namespace));
    }
    if (known !== null) this.byNumber.set(String(known.namespace), near);
  }

  private notReached(): TrivetError {
    if (this.isClosed) return new TrivetError("closed", "The connection was closed");
    if (!this.stream.knowsCache) return new TrivetError("upgrade_required", "The node is older than cached values over streams");
    if (!this.stream.isConnected) {
      return new UnavailableError("unreachable", `No node answered in time: ${this.stream.describeFailures()}`);
    }
    return new UnavailableError("no_leader", "The key's shard did not answer in time; nothing happened");
  }
}

function now(): Moment {
  return { steady: performance.now(), wall: Date.now() };
}

/** 128 random bits. */
function newName(): string {
  return randomBytes(16).toString("base64url");
}

/** Who keeps no copies asks for none. Not where a node's copy outlives writes: whoever has written would not find it there. */
function modeOf({ bounds }: Near, { mode }: KnownNamespace): ReadMode {
  return bounds.maxEntries > 0 || mode.type !== "write-through" ? mode : { type: "uncopied" };
}

/** To a node that answers nothing from copies of its own. */
function asBefore(asked: ToHomes["messages"][number]): ToHomes["messages"][number] {
  const { group, message } = asked;
  return message.type === "read" ? { group, message: { ...message, type: "fetch", confirmed: true } } : asked;
}

const alone = (): void => {};

function keyOf(line: LineName): string {
  return line.slice(line.indexOf("\u0000") + 1);
}

/** What a copy keeps must not keep the whole message that it came in. */
function owned(message: HomeMessage): HomeMessage {
  if (message.type !== "data" && message.type !== "done") return message;
  return { ...message, record: ownedRecord(message.record) };
}
