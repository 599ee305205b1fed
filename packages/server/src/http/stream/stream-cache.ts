import { httpLimits } from "@trivet/contract";
import { groupId } from "@trivet/core";
import type { CacheEntry, CacheFailure, NamespaceView, ProgramsApi } from "@trivet/engine";
import {
  type CacheInvalidated,
  cacheStreamProtocol,
  claimsStreamProtocol,
  type ClosingCode,
  type HomeMessage,
  type InvalidateCache,
  type LoadCached,
  limits as wireLimits,
  mostBytesOf,
  packedStreamProtocol,
  type NamespaceRefusal,
  type NamespaceResolved,
  type ResolveNamespace,
  type ServerFrame,
  type ToHolders,
  type ToHomes,
  type TraceContext,
} from "@trivet/wire";
import { faultOf } from "../../observability/tracing.ts";
import type { HttpContext } from "../context.ts";
import { StreamCacheSpans } from "./stream-cache-spans.ts";
import type { StreamCaller } from "./stream-commands.ts";

/** Names of namespaces that a stream is told of when they come to mean something else. */
const maxNames = 1_024;
/** Names and invalidations under way. */
const maxAsked = 256;
/** Loaders of one stream that others wait for, or that wait for others; what is beyond loads unasked. */
const maxLoaders = 4_096;

const isCall = ({ type }: ToHomes["messages"][number]["message"]): boolean => type === "fetch" || type === "read" || type === "write";

/** The stream that this belongs to. */
export interface CacheStream {
  readonly bufferedBytes: number;
  send(frame: ServerFrame): void;
  close(code: ClosingCode, detail: string): void;
  readonly caller: StreamCaller;
}

interface Told {
  readonly namespace: number;
  readonly version: number;
}
const toldOf = ({ namespace, version }: NamespaceView): Told => ({ namespace, version });

/** Cached values on one stream (protocol 4): what a program that holds copies and the homes say to each other, names, and invalidations. */
export class StreamCache {
  readonly #stream: CacheStream;
  readonly #context: HttpContext;
  /** Null = nothing is traced. */
  readonly #spans: StreamCacheSpans | null;
  #program: string | null = null;
  #detach: (() => void) | null = null;
  #messages: ToHolders["messages"][number][] = [];
  #bytes = 0;
  #flushing = false;
  #asked = 0;
  #closed = false;
  #protocol = 0;
  /** Loaders that run at the other end, or wait for their turn, by the numbers of their claims. Null = its home has not answered yet. */
  readonly #loaders = new Map<number, (() => void) | null>();
  /** By name, what the stream was told last: a number of a namespace, and the version of its settings. */
  readonly #names = new Map<string, Told>();

  constructor(stream: CacheStream, context: HttpContext) {
    this.#stream = stream;
    this.#context = context;
    this.#spans = context.tracing === null ? null : new StreamCacheSpans(context.tracing);
  }

  /** Throws CodecError for what no program may say. */
  frame(frame: ToHomes | ResolveNamespace | InvalidateCache | LoadCached, protocol: number, traces: readonly TraceContext[]): void {
    this.#protocol = protocol;
    if (protocol < protocolOf(frame)) this.#stream.close("protocol", `${frame.type} is not of protocol ${protocol}`);
    else if (frame.type === "to-homes") this.#toHomes(frame, protocol >= packedStreamProtocol, traces);
    else if (frame.type === "resolve-namespace") this.#resolve(frame);
    else if (frame.type === "load-cached") this.#load(frame, traces);
    else this.#invalidate(frame, traces);
  }

  /** `unpacks`: the program reads and writes compressed values. */
  #toHomes({ messages, program }: ToHomes, unpacks: boolean, traces: readonly TraceContext[]): void {
    const { programs } = this.#context;
    if (programs === null || programs.shards === 0) return;
    if (this.#program !== null && this.#program !== program) {
      this.#stream.close("protocol", "two holders on one stream");
      return;
    }
    this.#program = program;
    this.#detach ??= programs.attach(program, (group, message) => this.#told(group, message), unpacks);
    // Over its rate nothing is asked; a holder asks again, as it does after a lost message. What others wait for always goes.
    const asks = messages.filter(({ message }) => isCall(message)).length;
    const isOver = asks > 0 && this.#stream.caller.take(asks) !== null;
    const passed = isOver ? messages.filter(({ message }) => !isCall(message)) : messages;
    if (this.#spans === null) pass(programs, program, passed);
    else this.#spans.pass(passed, traces, () => pass(programs, program, passed));
  }

  #resolve({ name, request }: ResolveNamespace): void {
    const { cache, config, programs } = this.#context;
    if (cache === null || programs === null) return this.#resolved(request, name, "invalid", "this node keeps no cached values");
    if (!this.#begin()) return this.#resolved(request, name, "unavailable", tooMany);
    cache.namespace(name, config.http.requestTimeoutMs, (outcome) => {
      this.#asked -= 1;
      if (outcome.type !== "namespace") return this.#resolved(request, name, ...refusalOf(outcome));
      if (programs.shards === 0) return this.#resolved(request, name, "unavailable", "this node takes part in no shards yet");
      // Who is not told when a name means something else must not go by it.
      if (this.#names.size >= maxNames && !this.#names.has(name)) return this.#resolved(request, name, "unavailable", tooManyNames);
      this.#names.set(name, toldOf(outcome.namespace));
      return this.#found(request, outcome.namespace);
    });
  }

  #invalidate({ name, request, tag, timeoutMs }: InvalidateCache, traces: readonly TraceContext[]): void {
    const { cache } = this.#context;
    const answer = (shards: number, refusal: NamespaceRefusal, detail: string): void => {
      const frame: CacheInvalidated = { type: "cache-invalidated", request, shards, refusal, detail };
      if (!this.#closed) this.#stream.send(frame);
    };
    if (cache === null) return answer(0, "invalid", "this node keeps no cached values");
    if (!this.#begin()) return answer(0, "unavailable", tooMany);
    this.#ask("stream invalidate", traces, (ended) =>
      cache.invalidate(name, tag === "" ? null : tag, { timeoutMs }, (outcome) => {
        this.#asked -= 1;
        ended(outcome.type);
        if (outcome.type === "invalidated") answer(outcome.shards, "none", "");
        else answer(0, ...refusalOf(outcome));
      }),
    );
  }

  #ask(name: string, traces: readonly TraceContext[], ask: (ended: (outcome: string) => void) => void): void {
    if (this.#spans === null) ask(() => undefined);
    else this.#spans.ask(name, traces, (ended) => ask((outcome) => ended(outcome, faultOf(outcome))));
  }

  #load(frame: LoadCached, traces: readonly TraceContext[]): void {
    const { how, key, name, request, timeoutMs } = frame;
    const { cache } = this.#context;
    const answer = (refusal: NamespaceRefusal, detail: string): void => {
      if (!this.#closed) this.#stream.send({ type: "cache-loaded", request, refusal, detail });
    };
    if (how === "release") return this.#release(request);
    if (how === "claim") return this.#claim(frame, answer);
    if (cache === null) return answer("invalid", "this node keeps no cached values");
    if (this.#stream.caller.take(1) !== null || !this.#begin()) return answer("unavailable", tooMany);
    return this.#ask("stream load", traces, (ended) => {
      const told = (outcome: CacheEntry | CacheFailure): void => {
        this.#asked -= 1;
        ended(outcome.type);
        if (outcome.type === "entry") answer("none", "");
        else answer(...refusalOf(outcome));
      };
      if (how === "absent") cache.get(name, key, "strict", timeoutMs, told);
      else cache.revalidate(name, key, how, timeoutMs, told);
    });
  }

  /** Claims wait long, and so take no place of what is asked. */
  #claim({ key, name, request, timeoutMs }: LoadCached, answer: (refusal: NamespaceRefusal, detail: string) => void): void {
    const { cache } = this.#context;
    if (cache === null) return answer("invalid", "this node keeps no cached values");
    if (this.#loaders.has(request)) return this.#stream.close("protocol", `two claims with the number ${request}`);
    if (this.#loaders.size >= maxLoaders || this.#stream.caller.take(1) !== null) return answer("unavailable", tooMany);
    this.#loaders.set(request, null);
    return cache.claimLoad(name, key, timeoutMs, (claim) => {
      // Whoever asked is gone, or has loaded without an answer and is done: others shall not wait for it.
      const isWanted = this.#loaders.has(request);
      if (claim.type === "load-yours" && isWanted) this.#loaders.set(request, claim.release);
      else this.#loaders.delete(request);
      if (claim.type === "load-yours" && !isWanted) claim.release();
      if (!isWanted) return;
      if (claim.type === "load-over") answer("none", "");
      else if (claim.type === "load-yours") answer("yours", "");
      else answer(...refusalOf(claim));
    });
  }

  #release(request: number): void {
    const release = this.#loaders.get(request);
    this.#loaders.delete(request);
    release?.();
  }

  /** Tells of names that mean another namespace now, one with other settings, or none. */
  lookForNames(): void {
    const { programs } = this.#context;
    if (programs === null) return;
    for (const [name, told] of this.#names) {
      const now = programs.namespace(name);
      // This node may be behind what another has told it.
      if (now?.namespace === told.namespace && now.version <= told.version) continue;
      if (now === null) {
        this.#names.delete(name);
        this.#resolved(0, name, "unknown", "");
      } else {
        this.#names.set(name, toldOf(now));
        this.#found(0, now);
      }
    }
  }

  closed(): void {
    this.#closed = true;
    this.#detach?.();
    this.#detach = null;
    this.#messages = [];
    this.#spans?.closed();
    for (const request of this.#loaders.keys()) this.#release(request);
  }

  #begin(): boolean {
    if (this.#asked >= maxAsked) return false;
    this.#asked += 1;
    return true;
  }

  /** Everything of a turn in one frame. A value for who reads slowly is dropped: who lacks it asks again; what takes things from holders always goes. */
  #told(group: number, message: HomeMessage): void {
    if (this.#closed) return;
    const bytes = mostBytesOf(message);
    const hasValue = (message.type === "data" || message.type === "done") && message.record.value !== null;
    if (hasValue && this.#stream.bufferedBytes > httpLimits.maxBufferedBytes / 2) return;
    this.#spans?.told(group, message);
    if (this.#bytes + bytes > wireLimits.maxFrameBytes) this.#flush();
    this.#messages.push({ group, message });
    this.#bytes += bytes;
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#messages.length === 0 || this.#closed) return;
    const messages = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    this.#stream.send({ type: "to-holders", messages });
  }

  #found(request: number, { name, namespace, settings, version }: NamespaceView): void {
    if (this.#closed) return;
    const { mode, staleMs } = settings;
    const unpacks = this.#protocol >= packedStreamProtocol;
    const compressOver = unpacks ? settings.compressOver : 0;
    const hasOrigin = unpacks && settings.origin !== "none";
    const revalidateMs = this.#protocol >= claimsStreamProtocol ? settings.revalidateMs : 0;
    const shards = this.#context.programs?.shards ?? 0;
    const known = { namespace, version, mode, staleMs, compressOver, hasOrigin, revalidateMs, shards } as const;
    this.#stream.send({ type: "namespace-resolved", request, name, ...known, refusal: "none", detail: "" });
  }

  #resolved(request: number, name: string, refusal: NamespaceRefusal, detail: string): void {
    const unset = { staleMs: 0, compressOver: 0, hasOrigin: false, revalidateMs: 0 };
    const nothing = { namespace: 0, version: 0, mode: "strict", ...unset, shards: 0 } as const;
    const frame: NamespaceResolved = { type: "namespace-resolved", request, name, ...nothing, refusal, detail };
    if (!this.#closed) this.#stream.send(frame);
  }
}

function pass(programs: ProgramsApi, program: string, messages: ToHomes["messages"]): void {
  for (const { group, message } of messages) programs.toHome(program, groupId(group), message);
}

function protocolOf(frame: ToHomes | ResolveNamespace | InvalidateCache | LoadCached): number {
  if (frame.type !== "load-cached") return cacheStreamProtocol;
  return frame.how === "claim" || frame.how === "release" ? claimsStreamProtocol : packedStreamProtocol;
}

const tooManyNames = `more than ${maxNames} namespaces on one stream`;
const tooMany = "too many names and invalidations of this stream are under way";

function refusalOf(failure: CacheFailure): readonly [refusal: NamespaceRefusal, detail: string] {
  switch (failure.type) {
    case "unknown-namespace":
      return ["unknown", ""];
    case "malformed":
      return ["invalid", failure.detail];
    case "unavailable":
      return ["unavailable", failure.detail];
    case "unknown":
      return ["outcome-unknown", `request ${failure.requestId}`];
    case "origin-unavailable":
      return ["origin-unavailable", failure.reason];
    case "cache-full":
      return ["full", `${failure.limit}, at most ${failure.max}`];
    default:
      return ["unavailable", failure.type];
  }
}
