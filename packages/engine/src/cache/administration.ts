import { levelOf, limits } from "@trivet/wire";
import type { NodeApi, Outcome } from "../node/node-api.ts";
import type { CacheApi, CacheFailure, NamespaceView } from "./cache-api.ts";
import type { CacheCalls } from "./cache-calls.ts";
import { namespaceProblem } from "./request-checks.ts";
import { integerProblem } from "../queues/request-checks.ts";
import type { Writing } from "./writing.ts";

/** Namespaces: their settings are kept in group 0 (rule G1). */
export class Administration {
  private readonly calls: CacheCalls;
  private readonly writing: Writing;
  private readonly api: NodeApi;

  constructor(calls: CacheCalls, writing: Writing, api: NodeApi) {
    this.calls = calls;
    this.writing = writing;
    this.api = api;
  }

  define(...[name, settings, mode, options, done]: Parameters<CacheApi["defineNamespace"]>): void {
    const problem = namespaceProblem(name) ?? settingsProblem(settings);
    if (problem !== null) return this.calls.refuse(problem, done);
    const command = { type: "define-namespace", name, mode, settings, principal: "" } as const;
    const tooNew = this.calls.host.features.refusal(levelOf(command));
    if (tooNew !== null) return this.calls.later(() => done(tooNew));
    this.api.submit(command, options, (outcome) => {
      if (outcome.type !== "answered") return done(outcome);
      const { result } = outcome;
      if (result.type !== "namespace-defined") return done(failureOf(outcome, name));
      const { created, type: _, ...namespace } = result;
      return done({ type: "defined", created, namespace });
    });
  }

  /** Once it is gone from group 0, its values are gone from every shard, and nobody can read one that is older. */
  remove(...[name, options, done]: Parameters<CacheApi["removeNamespace"]>): void {
    const problem = namespaceProblem(name);
    if (problem !== null) return this.calls.refuse(problem, done);
    const call = this.calls.call(options);
    return this.calls.later(() =>
      this.calls.find(name, call, done, (view) => {
        this.api.submit({ type: "delete-namespace", name, principal: "" }, options, (outcome) => {
          if (outcome.type !== "answered") return done(outcome);
          if (outcome.result.type !== "namespace-deleted") return done(failureOf(outcome, name));
          return this.writing.withdrawAll(view, call, (failure) => done(failure ?? { type: "removed" }));
        });
      }),
    );
  }

  one(...[name, timeoutMs, done]: Parameters<CacheApi["namespace"]>): void {
    const problem = namespaceProblem(name);
    if (problem !== null) return this.calls.refuse(problem, done);
    return this.calls.names.refresh(timeoutMs, done, () => {
      const namespace = this.calls.names.known(name);
      done(namespace === null ? { type: "unknown-namespace", namespace: name } : { type: "namespace", namespace });
    });
  }

  list(...[prefix, cursor, limit, timeoutMs, done]: Parameters<CacheApi["namespaces"]>): void {
    const problem = integerProblem("limit", limit, limits.maxMessagesPerCommand, 1);
    if (problem !== null) return this.calls.refuse(problem, done);
    return this.calls.names.refresh(timeoutMs, done, () => done({ type: "listed", ...this.calls.names.page(prefix, cursor, limit) }));
  }
}

function settingsProblem(settings: Parameters<CacheApi["defineNamespace"]>[1]): string | null {
  const { copyBytes, copyEntries, maxBehind, maxBytes, maxEntries, negativeTtlMs, revalidateMs, staleMs, ttlMs } = settings;
  const numbers = { copy_bytes: copyBytes, copy_entries: copyEntries, max_bytes: maxBytes, max_entries: maxEntries, max_behind: maxBehind };
  const times = { negative_ttl_ms: negativeTtlMs, stale_ms: staleMs, ttl_ms: ttlMs, revalidate_ms: revalidateMs };
  for (const [field, value] of Object.entries(numbers)) {
    const problem = value === undefined ? null : integerProblem(field, value);
    if (problem !== null) return problem;
  }
  for (const [field, value] of Object.entries(times)) {
    const problem = value === undefined ? null : integerProblem(field, value, limits.maxDurationMs);
    if (problem !== null) return problem;
  }
  return null;
}

function failureOf({ result }: Extract<Outcome, { readonly type: "answered" }>, name: string): CacheFailure {
  if (result.type === "malformed") return { type: "malformed", detail: result.detail };
  if (result.type === "refused") return { type: "refused", reason: result.reason };
  if (result.type !== "namespace-refused") return { type: "malformed", detail: `unexpected answer ${result.type}` };
  switch (result.reason) {
    case "exists": {
      const { reason: _reason, type: _type, ...namespace } = result;
      return { type: "namespace-exists", namespace: namespace satisfies NamespaceView };
    }
    case "unknown":
      return { type: "unknown-namespace", namespace: name };
    case "fixed":
      return { type: "fixed", field: "mode", value: result.value, asked: result.asked };
    case "too-many":
      return { type: "too-many-namespaces", max: result.max };
    case "invalid":
      return { type: "malformed", detail: result.detail };
    case "standing":
      return { type: "refused", reason: `${name} is always there` };
  }
}
