import type { ReadMode } from "@trivet/core/holder";
import { encodeClientFrame, type NamespaceResolved } from "@trivet/wire";
import type { CommandStream } from "../command-stream.ts";
import { TrivetError, UnavailableError } from "../errors.ts";

/** What must be known of a namespace to find its keys. */
export interface KnownNamespace {
  readonly namespace: number;
  readonly version: number;
  readonly mode: ReadMode;
  /** Values of more bytes are written compressed; 0 = none is. */
  readonly compressOver: number;
  readonly hasOrigin: boolean;
  /** Within so long before the end of its time a value is loaded again; 0 = never, and in mode `ttl`, whose copies say nothing of that end. */
  readonly revalidateMs: number;
  readonly shards: number;
}

interface Asked {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly told: ((answer: NamespaceResolved | null) => void)[];
}

/** Pause after a node that cannot tell at present. */
const pauseMs = 50;

/** Names of namespaces to their numbers: asked of the node once, which tells when they come to mean something else. */
export class NamespaceNames {
  private readonly stream: CommandStream;
  /** A name means another namespace from now on, or none. */
  private readonly changed: (name: string, known: KnownNamespace | null) => void;
  private readonly known = new Map<string, KnownNamespace>();
  private readonly asked = new Map<number, Asked>();
  private requests = 0;
  private isClosed = false;

  constructor(stream: CommandStream, changed: (name: string, known: KnownNamespace | null) => void) {
    this.stream = stream;
    this.changed = changed;
  }

  get isWaiting(): boolean {
    return this.asked.size > 0;
  }

  cached(name: string): KnownNamespace | undefined {
    return this.known.get(name);
  }

  /** What is remembered is old. */
  forget(name: string, known: KnownNamespace): void {
    if (this.known.get(name) === known) this.known.delete(name);
  }

  /** Rejects with TrivetError. */
  async resolve(name: string, deadline: number): Promise<KnownNamespace> {
    for (;;) {
      const known = this.known.get(name);
      if (known !== undefined) return known;
      if (this.isClosed) throw new TrivetError("closed", "The connection is closed");
      if (!this.stream.knowsCache) throw new TrivetError("upgrade_required", "The node is older than cached values over streams");
      const answer = await this.ask(name, deadline);
      switch (answer?.refusal) {
        case undefined:
          throw this.unreachable();
        case "none":
          continue;
        case "unknown":
          throw new TrivetError("namespace_unknown", `Cache namespace ${name} does not exist`);
        case "invalid":
          throw new TrivetError("bad_request", `Cache namespace ${name}: ${answer?.detail}`);
        case "unavailable":
        case "outcome-unknown":
        case "origin-unavailable":
        case "full":
        case "yours":
          if (performance.now() + pauseMs > deadline)
            throw new UnavailableError("no_leader", `Cache namespace ${name} cannot be looked up: ${answer?.detail}`);
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  answered(answer: NamespaceResolved): void {
    if (answer.refusal === "none") this.learn(answer);
    else if (answer.refusal === "unknown" && this.known.delete(answer.name)) this.changed(answer.name, null);
    const asked = this.asked.get(answer.request);
    if (asked === undefined) return;
    this.asked.delete(answer.request);
    for (const told of asked.told) told(answer);
  }

  /** There is a new link, to a node that was asked for nothing: it is asked for all names in use, so that it tells of their changes. */
  connected(): void {
    if (!this.stream.knowsCache) return;
    for (const { bytes } of this.asked.values()) this.stream.send(bytes);
    for (const name of this.known.keys()) this.send(name, null);
  }

  close(): void {
    this.isClosed = true;
    for (const { told } of this.asked.values()) for (const one of told) one(null);
    this.asked.clear();
  }

  private learn({ compressOver, hasOrigin, mode, name, namespace, revalidateMs, shards, staleMs, version }: NamespaceResolved): void {
    const before = this.known.get(name);
    const revalidated = mode === "ttl" ? 0 : revalidateMs;
    // An answer of a node that lags behind another, or that says nothing new: an older one leaves out what it does not know.
    if (before !== undefined && (before.namespace > namespace || (before.namespace === namespace && before.version > version))) return;
    const isSame = before?.namespace === namespace && before.version === version;
    if (isSame && before.compressOver === compressOver && before.hasOrigin === hasOrigin && before.revalidateMs === revalidated) return;
    const known: KnownNamespace = {
      namespace,
      version,
      mode: mode === "ttl" ? { type: mode, staleMs } : { type: mode },
      compressOver,
      hasOrigin,
      revalidateMs: revalidated,
      shards,
    };
    this.known.set(name, known);
    this.changed(name, known);
  }

  /** Null = no answer by the deadline, or closed. */
  private ask(name: string, deadline: number): Promise<NamespaceResolved | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => told(null), Math.max(0, deadline - performance.now()));
      const told = (answer: NamespaceResolved | null): void => {
        clearTimeout(timer);
        resolve(answer);
      };
      const under = [...this.asked.values()].find((one) => one.name === name);
      if (under === undefined) this.send(name, told);
      else under.told.push(told);
    });
  }

  private send(name: string, told: ((answer: NamespaceResolved | null) => void) | null): void {
    const request = ++this.requests;
    const asked = { name, bytes: encodeClientFrame({ type: "resolve-namespace", request, name }), told: told === null ? [] : [told] };
    if (told !== null) this.asked.set(request, asked);
    this.stream.send(asked.bytes);
  }

  private unreachable(): TrivetError {
    if (this.isClosed) return new TrivetError("closed", "The connection was closed");
    return new UnavailableError("unreachable", `No node answered in time: ${this.stream.describeFailures()}`);
  }
}
