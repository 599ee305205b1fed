import { type GroupId, groupId, type NamespaceView } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { ShardCommand, ShardResult, WriteCondition } from "@trivet/wire";
import type { CacheCallOptions, CacheDelete, CacheDeleted, CacheFailure, CacheIncrement, CachePut, CacheWritten } from "./cache-api.ts";
import type { CacheCalls, Call, Done, Place } from "./cache-calls.ts";
import { stampSuffix } from "../ports/cache-origin.ts";
import { CacheWrites, notLed, notMember, refusalOf } from "./cache-writes.ts";
import { askHome } from "./home-calls.ts";
import { retryMs } from "./limits.ts";
import { packedPut } from "./packed-values.ts";
import type { Reading } from "./reading.ts";
import { deleteProblem, incrementProblem, keyProblem, putProblem } from "./request-checks.ts";

type Answered = { readonly result: ShardResult; readonly requestId: string };

/** Everything that changes a value, or takes copies from who has them. */
export class Writing {
  writes = 0;
  private readonly calls: CacheCalls;
  private readonly reading: Pick<Reading, "get">;
  readonly commands: CacheWrites;

  constructor(calls: CacheCalls, reading: Pick<Reading, "get">) {
    this.calls = calls;
    this.reading = reading;
    this.commands = new CacheWrites(calls.host);
  }

  put(request: CachePut, options: CacheCallOptions, done: Done<CacheWritten>): void {
    const problem = putProblem(request);
    if (problem !== null) return this.calls.refuse(problem, done);
    const { condition, ifFence, key, tags, token, ttlMs, value } = request;
    return this.write(
      request,
      this.calls.call(options),
      (namespace, view) => {
        const decided = decidedBy(view, condition);
        const plain = { type: "cache-put", ...namespace, key, value, tags, ttlMs, condition: decided, token, ifFence } as const;
        return packedPut(this.calls.host.ports.packing, view.settings.compressOver, plain);
      },
      done,
      (place, answered) => asAsked(condition, this.written(place, answered)),
    );
  }

  increment(request: CacheIncrement, options: CacheCallOptions, done: Done<CacheWritten>): void {
    const problem = incrementProblem(request);
    if (problem !== null) return this.calls.refuse(problem, done);
    const { by, ifFence, key, ttlMs } = request;
    return this.write(
      request,
      this.calls.call(options),
      (namespace) => ({ type: "cache-increment", ...namespace, key, by, ttlMs, ifFence }),
      done,
      (place, answered) => this.written(place, answered),
    );
  }

  delete(request: CacheDelete, options: CacheCallOptions, done: Done<CacheDeleted>): void {
    const problem = deleteProblem(request);
    if (problem !== null) return this.calls.refuse(problem, done);
    const { condition, ifFence, key } = request;
    return this.write<CacheDeleted>(
      request,
      this.calls.call(options),
      (namespace, view) => ({ type: "cache-delete", ...namespace, key, condition: decidedBy(view, condition), ifFence }),
      done,
      (_place, { requestId, result }) =>
        result.type === "cache-deleted"
          ? { type: "deleted", key, version: result.version, requestId }
          : asAsked(condition, refusalOf(result)),
    );
  }

  invalidate(
    namespace: string,
    tag: string | null,
    options: CacheCallOptions,
    done: Done<{ readonly type: "invalidated"; readonly shards: number }>,
  ): void {
    const problem = keyProblem(namespace, tag ?? "-");
    if (problem !== null) return this.calls.refuse(problem, done);
    const call = this.calls.call(options);
    return this.calls.later(() => this.calls.find(namespace, call, done, (view) => this.invalidateAll(view, tag, call, done)));
  }

  dropCopies(namespace: string, key: string, timeoutMs: number, done: Done<{ readonly type: "dropped"; readonly version: number }>): void {
    const problem = keyProblem(namespace, key);
    if (problem !== null) return this.calls.refuse(problem, done);
    const call = this.calls.call({ timeoutMs });
    return this.calls.later(() =>
      this.calls.find(namespace, call, done, (view) =>
        this.calls.place(view, key, call, done, ({ group, line }) => {
          askHome(this.calls.host, group, { type: "drop", line }, call.deadline, (reply) =>
            done(reply?.type === "dropped" ? { type: "dropped", version: 0 } : notLed),
          );
        }),
      ),
    );
  }

  private write<T>(
    { key, namespace: name }: { readonly namespace: string; readonly key: string },
    call: Call,
    command: (namespace: { readonly namespace: number; readonly version: number }, view: NamespaceView) => ShardCommand,
    done: Done<T>,
    fine: (place: Place, answered: Answered) => T | CacheFailure,
  ): void {
    this.writes++;
    const attempt = (): void =>
      this.calls.find(name, call, done, (view) => {
        this.calls.place(view, key, call, done, (place) => {
          const { group, holder, line } = place;
          const keep = view.settings.mode === "write-through";
          const { namespace, version } = view;
          if (isStampOf(view, key)) return done(keptForStamps);
          this.commands.write(group, holder, line, command({ namespace, version }, view), keep, call, (answer) => {
            if (answer.type !== "answered") return done(answer);
            if (answer.result.type === "cache-unloaded") return this.load(name, key, call, done, attempt);
            if (answer.result.type === "no-namespace") return this.again(name, namespace, call, done, attempt);
            return done(fine(place, answer));
          });
        });
      });
    this.calls.later(attempt);
  }

  private written({ holder, key, line }: Place, { requestId, result }: Answered): CacheWritten | CacheFailure {
    if (result.type !== "cache-written") return refusalOf(result);
    return { type: "written", key, version: result.version, number: result.number, state: holder.stateOf(line), requestId };
  }

  /** What the write depends on is loaded from the origin first (decision 0020). Nothing was done. */
  private load<T>(name: string, key: string, call: Call, done: Done<T>, attempt: () => void): void {
    const { clock } = this.calls.host.ports;
    if (clock.now() + retryMs >= call.deadline) return done(notLoaded);
    // Not by a copy of mode `ttl`, which may have outlived what was stored.
    return this.reading.get(name, key, "strict", this.calls.left(call), (entry) => {
      if (entry.type !== "entry") return done(entry);
      // There may have been no room to store what was loaded, or it has ended again.
      return clock.schedule(retryMs, attempt);
    });
  }

  /** The shard does not know the namespace yet, or not any more: its leader hears of it from group 0. Nothing was done. */
  private again<T>(
    name: string,
    namespace: number,
    call: Call,
    done: Done<T>,
    attempt: () => void,
    late: CacheFailure = notConfigured,
  ): void {
    const { clock } = this.calls.host.ports;
    if (clock.now() + retryMs >= call.deadline) return done(late);
    clock.schedule(retryMs, () => {
      const isGone = this.calls.names.known(name)?.namespace !== namespace;
      if (isGone) this.calls.names.refresh(this.calls.left(call), done, attempt);
      else attempt();
    });
  }

  /**
   * Of a namespace that group 0 has no more. Until a shard has dropped it, who has not heard of that goes on writing to it, and keeps that there is
   * nothing: so each is asked again, and its copies are withdrawn again, until it knows it no more.
   */
  withdrawAll(view: NamespaceView, call: Call, done: (failure: CacheFailure | null) => void): void {
    const { deadline } = call;
    this.invalidateAll(view, null, { deadline }, (outcome) => done(outcome.type === "invalidated" ? null : outcome), true);
  }

  private invalidateAll(
    view: NamespaceView,
    tag: string | null,
    call: Call,
    done: Done<{ readonly type: "invalidated"; readonly shards: number }>,
    isGone = false,
  ): void {
    const count = this.calls.host.shards?.count ?? 0;
    let left = count;
    let failure: CacheFailure | null = null;
    if (count === 0) return done(notMember);
    const one = (group: GroupId): void =>
      this.commands.invalidate(group, view.namespace, tag, call, (answer) => {
        if (answer.type === "answered" && answer.result.type === "no-namespace") {
          // It was dropped there, or never known.
          if (isGone) return told(null);
          return this.again(view.name, view.namespace, call, told, () => one(group));
        }
        if (answer.type !== "answered") return told(answer);
        if (isGone && answer.result.type === "cache-invalidated" && !mutant("cache-removed-before-dropped")) {
          const late = { type: "unknown", requestId: answer.requestId } as const;
          return this.again(view.name, view.namespace, call, told, () => one(group), late);
        }
        return told(answer.result.type === "cache-invalidated" ? null : refusalOf(answer.result));
      });
    const unheard = mutant("cache-invalidated-by-some") ? count - 1 : 0;
    const told = (outcome: CacheFailure | null): void => {
      failure ??= outcome;
      left--;
      if (left === unheard) done(failure ?? { type: "invalidated", shards: count });
    };
    for (let shard = 1; shard <= count; shard++) one(groupId(shard));
  }
}

/**
 * Version 0 says that there is nothing. Where a deletion waits for the origin it has a version, which nobody is told who reads that there is nothing:
 * there the shard is asked for just that.
 */
function decidedBy({ settings }: NamespaceView, condition: WriteCondition): WriteCondition {
  const isNothing = condition.type === "version" && condition.version === 0;
  return isNothing && settings.write === "behind" && !mutant("behind-deletion-has-version") ? { type: "absent" } : condition;
}

/** Such a key would be the stamp of another one there. */
function isStampOf({ settings }: NamespaceView, key: string): boolean {
  return settings.write === "behind" && settings.origin === "redis" && key.endsWith(stampSuffix) && !mutant("behind-stamp-overwritten");
}
const keptForStamps: CacheFailure = {
  type: "malformed",
  detail: `key: not one that ends in ${stampSuffix}, where values are written to Redis: the stamps of the others are kept there under such names`,
};

/** In the words of the caller's condition. */
function asAsked<T extends { readonly type: string }>(condition: WriteCondition, outcome: T | CacheFailure): T | CacheFailure {
  const isAnother = outcome.type === "conflict" && "reason" in outcome && outcome.reason === "exists" && condition.type === "version";
  return isAnother ? { ...outcome, reason: "version" } : outcome;
}

const notLoaded: CacheFailure = {
  type: "unavailable",
  code: "overloaded",
  retryAfterMs: 1_000,
  detail: "what the origin has of the key could not be stored here, and this write depends on it; nothing happened",
};
const notConfigured: CacheFailure = {
  type: "unavailable",
  code: "no_leader",
  retryAfterMs: 200,
  detail: "the shard has not heard of the namespace in time; nothing happened",
};
