import { mutant } from "@trivet/core/mutation";
import type { GroupId, NamespaceView } from "@trivet/core";
import { limits, type LineName, type LoadToken, type ShardResult } from "@trivet/wire";
import { encodeBase64 } from "../base/base64.ts";
import type { OriginAnswer } from "../ports/cache-origin.ts";
import type { CacheCalls, Place } from "./cache-calls.ts";
import type { CacheWrites } from "./cache-writes.ts";
import { lineOfKey } from "./lines.ts";
import { briefMs, openLoads, retryMs, storeLoadedMs } from "./limits.ts";
import { packedPut, plainValue } from "./packed-values.ts";

/** What a node asks the home of a key that is stored nowhere; `token` is of the read that found nothing. */
export interface LoadQuestion {
  readonly type: "load";
  readonly namespace: number;
  readonly key: string;
  readonly token: LoadToken;
  /** What the origin says from now on: an answer that was asked for before is not enough. */
  readonly isFresh?: boolean;
}
/** What there was no room for. */
export type Full = Extract<ShardResult, { readonly type: "cache-full" }>;
export type LoadReply =
  /** It is stored now, or that there is nothing: read again. `value`: what, where its time may be over before that; as with `unstored`. */
  | { readonly type: "loaded"; readonly value?: string | null }
  /**
   * There was no room to store it, or it waits for the origin itself, under this version, which is what conditions are about: base64, or null = the
   * origin has nothing, or will have nothing. `full`: something else is stored, and stays for want of room.
   */
  | { readonly type: "unstored"; readonly value: string | null; readonly version?: number; readonly full?: Full }
  /** Something has changed since the read that found nothing, or may have. */
  | { readonly type: "changed" }
  | { readonly type: "failed"; readonly reason: string }
  | { readonly type: "too-many" };

interface Waiting {
  readonly token: LoadToken;
  readonly done: (reply: LoadReply) => void;
}
/** One load that is under way, and who waits for it. */
interface Flight {
  /** Of the read that began it; with a fresh one of the home's own, made before the origin is asked. */
  token: LoadToken;
  readonly waiting: readonly Waiting[];
  /** Who came while the origin was asked, and wants what it says later. */
  readonly next: Waiting[];
}
type Behind = { readonly reply: LoadReply } | { readonly token: LoadToken };

/** The home's part of read-through: whatever the number of nodes that ask for a key, its origin is asked once. */
export class OriginLoads {
  private readonly calls: CacheCalls;
  private readonly commands: CacheWrites;
  private readonly flights = new Map<LineName, Flight>();

  constructor(calls: CacheCalls, commands: CacheWrites) {
    this.calls = calls;
    this.commands = commands;
  }

  /** `done` comes later. */
  load(group: GroupId, { isFresh = false, key, namespace, token }: LoadQuestion, done: (reply: LoadReply) => void): void {
    const known = this.flights.get(lineOfKey(namespace, key));
    if (known === undefined || mutant("origin-flights-not-shared")) return this.begin(group, namespace, key, isFresh, [{ token, done }]);
    const isLater = isFresh && !mutant("origin-fresh-joins-earlier");
    (isLater ? known.next : (known.waiting as Waiting[])).push({ token, done });
  }

  private begin(group: GroupId, namespace: number, key: string, isFresh: boolean, waiting: Waiting[]): void {
    const [first] = waiting;
    if (first === undefined) return;
    const refuse = (reply: LoadReply): void => this.calls.later(() => waiting.forEach(({ done }) => done(reply)));
    const view = this.calls.names.numbered(namespace);
    if (view === null || view.settings.origin === "none") return refuse({ type: "changed" });
    if (this.flights.size >= openLoads && !mutant("origin-loads-unbounded")) return refuse({ type: "too-many" });
    const flight: Flight = { token: first.token, waiting, next: [] };
    const line = lineOfKey(namespace, key);
    this.flights.set(line, flight);
    const land = (reply: LoadReply): void => {
      this.land(line, flight, reply);
      if (flight.next.length > 0) this.begin(group, namespace, key, true, flight.next);
    };
    return this.lookBehind(group, namespace, key, first.token, (behind) => {
      if ("reply" in behind) return land(behind.reply);
      // Apply holds it against what the log says: it need not be confirmed, only older than the origin's answer.
      if (isFresh) flight.token = behind.token;
      return this.ask(view, key, (answer) => {
        if (answer.type === "failed") return land(answer);
        return this.store(group, view, key, flight.token, answer, land);
      });
    });
  }

  /** What waits for the origin is what the origin will say; `token`: nothing of this key does, and so it is stored here. */
  private lookBehind(group: GroupId, namespace: number, key: string, token: LoadToken, done: (behind: Behind) => void): void {
    const { host } = this.calls;
    const replica = host.shards?.replica(group);
    const lost = { type: "changed" } as const;
    if (replica === undefined || replica === null) return this.calls.later(() => done({ reply: lost }));
    let isTold = false;
    const told = (behind: Behind): void => {
      if (isTold) return;
      isTold = true;
      timer.cancel();
      done(behind);
    };
    const tell = (reply: LoadReply): void => told({ reply });
    // A machine whose place another takes answers nothing any more.
    const timer = host.ports.clock.schedule(storeLoadedMs, () => tell(lost));
    const request = { type: "cache-read", group, keys: [[namespace, key]], now: host.groupTime.now(), queued: true } as const;
    return replica.machine.ask(request, (reply) => {
      const value = reply.type === "cache-values" ? reply.values[0] : undefined;
      // A former home, which has not heard of what that reader was told.
      const isOlder = (value?.record.asOf ?? 0) < token.asOf && !mutant("behind-former-home-believed");
      if (value === undefined || isOlder || replica.group.stateDoubted) return tell(lost);
      const { asOf, version } = value.record;
      if (value.queued === undefined || mutant("behind-queued-not-read")) return told({ token: { version, asOf } });
      const waiting = plainValue(host.ports.packing, value.queued);
      if (waiting === undefined) return tell({ type: "failed", reason: "the value that waits for it cannot be unpacked" });
      if (waiting === null) return tell({ type: "unstored", value: null });
      return tell({ type: "unstored", value: encodeBase64(waiting), version: value.queued.version });
    });
  }

  /** Who began to look after the flight was begun may have heard of a change that the loaded value does not have. */
  private land(line: LineName, flight: Flight, reply: LoadReply): void {
    if (this.flights.get(line) === flight) this.flights.delete(line);
    for (const { done, token } of flight.waiting) {
      const isLate = token.asOf > flight.token.asOf && !mutant("origin-late-joiner-served");
      if (!isLate) done(reply);
      else if (reply.type === "unstored") done({ type: "changed" });
      else done(reply.type === "loaded" ? { type: "loaded" } : reply);
    }
  }

  private ask({ name, settings }: NamespaceView, key: string, done: (answer: OriginAnswer) => void): void {
    const { config, ports } = this.calls.host;
    const { clock, telemetry } = ports;
    const labels = { origin: settings.origin };
    const origin = settings.origin === "none" ? undefined : ports.cacheOrigins?.[settings.origin];
    const began = clock.now();
    let isTold = false;
    const tell = (answer: OriginAnswer): void => {
      if (isTold) return;
      isTold = true;
      timer?.cancel();
      telemetry.count("cache_origin_loads_total", 1, { ...labels, outcome: answer.type });
      telemetry.observe("cache_origin_load_duration_seconds", (clock.now() - began) / 1_000, labels);
      if (answer.type === "failed") {
        const text = `a value of namespace ${name} could not be loaded from ${settings.origin}: ${answer.reason}`;
        telemetry.log("warn", "origin.load", text, { namespace: name, key, ...labels, reason: answer.reason });
      }
      done(answer);
    };
    const timer =
      origin === undefined
        ? null
        : clock.schedule(origin.timeoutMs, () => tell({ type: "failed", reason: `no answer in ${origin.timeoutMs} ms` }));
    if (origin === undefined) {
      const reason = `node ${config.node} has no ${settings.origin} configured as an origin`;
      return clock.defer(() => tell({ type: "failed", reason }));
    }
    return origin.load(name, key, (answer) => tell(answer.type === "value" ? fitting(answer.value) : answer));
  }

  /** Rule M8: only if nothing has changed since the read that found nothing. */
  private store(
    group: GroupId,
    view: NamespaceView,
    key: string,
    token: LoadToken,
    answer: Exclude<OriginAnswer, { readonly type: "failed" }>,
    done: (reply: LoadReply) => void,
  ): void {
    const { negativeTtlMs, ttlMs } = view.settings;
    const value = answer.type === "value" ? answer.value : null;
    const call = this.calls.call({ timeoutMs: storeLoadedMs });
    const plain = {
      type: "cache-put",
      namespace: view.namespace,
      version: view.version,
      key,
      value,
      tags: [],
      // Where absence has no time of its own it is believed as long as a value.
      ttlMs: value === null && negativeTtlMs === 0 ? ttlMs : 0,
      condition: { type: "always" },
      token: mutant("origin-load-without-token") ? null : token,
      ifFence: null,
    } as const;
    const command = packedPut(this.calls.host.ports.packing, view.settings.compressOver, plain);
    const told = value === null ? null : encodeBase64(value);
    const lastsMs = value === null && negativeTtlMs > 0 ? negativeTtlMs : ttlMs;
    const isBrief = lastsMs > 0 && lastsMs < briefMs && !mutant("origin-brief-value-untold");
    const write = (place: Place): void =>
      this.commands.write(group, place.holder, place.line, command, false, call, (written) => {
        if (written.type !== "answered") return done({ type: "changed" });
        switch (written.result.type) {
          case "cache-written":
            return done(isBrief ? { type: "loaded", value: told } : { type: "loaded" });
          case "no-namespace":
            // The shard does not know it yet, or not any more. Nothing was done, and what was loaded is still good for the token.
            return this.retry(
              call.deadline,
              () => write(place),
              () => done({ type: "changed" }),
            );
          case "cache-full":
            return done(
              token.version === 0 && !mutant("origin-full-of-nothing")
                ? { type: "unstored", value: told }
                : { type: "unstored", value: told, full: written.result },
            );
          default:
            return done({ type: "changed" });
        }
      });
    this.calls.place(view, key, call, () => done({ type: "changed" }), write);
  }

  private retry(deadline: number, again: () => void, never: () => void): void {
    const { clock } = this.calls.host.ports;
    if (clock.now() + retryMs >= deadline) never();
    else clock.schedule(retryMs, again);
  }
}

function fitting(value: Uint8Array): OriginAnswer {
  const { maxBodyBytes } = limits;
  if (value.length <= maxBodyBytes) return { type: "value", value };
  return { type: "failed", reason: `the value has ${value.length} bytes, and ${maxBodyBytes} at most can be cached` };
}
