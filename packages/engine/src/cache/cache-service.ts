import type { CacheApi, CacheStatePage, CacheStatistics, CacheWatch } from "./cache-api.ts";
import { Administration } from "./administration.ts";
import { CacheCalls, type CacheServiceParts } from "./cache-calls.ts";
import { notLed } from "./cache-writes.ts";
import { Claiming } from "./claiming.ts";
import { CopyReports } from "./copy-reports.ts";
import { explain, firstCopy } from "./explaining.ts";
import { LoadClaims } from "./load-claims.ts";
import { OriginLoads } from "./origin-loads.ts";
import { Reading } from "./reading.ts";
import { keyProblem } from "./request-checks.ts";
import { verify } from "./verifying.ts";
import { Writing } from "./writing.ts";

/** Cached values by name, from any node. */
export class CacheService implements CacheApi {
  readonly reports: CopyReports;
  readonly loads: OriginLoads;
  readonly claims: LoadClaims;
  private readonly calls: CacheCalls;
  private readonly reading: Reading;
  private readonly writing: Writing;
  private readonly administration: Administration;
  private readonly claiming: Claiming;

  constructor(parts: CacheServiceParts) {
    this.calls = new CacheCalls(parts);
    this.reading = new Reading(this.calls);
    this.writing = new Writing(this.calls, this.reading);
    this.loads = new OriginLoads(this.calls, this.writing.commands);
    this.claims = new LoadClaims(parts.host.ports.clock);
    this.claiming = new Claiming(this.calls);
    this.administration = new Administration(this.calls, this.writing, parts.api);
    this.reports = new CopyReports(parts.host, parts.cache);
  }

  peek(...asked: Parameters<CacheApi["peek"]>): ReturnType<CacheApi["peek"]> {
    return this.reading.peek(...asked);
  }

  get(...asked: Parameters<CacheApi["get"]>): void {
    this.reading.get(...asked);
  }

  revalidate(...asked: Parameters<CacheApi["revalidate"]>): void {
    this.reading.revalidate(...asked);
  }

  claimLoad(...[namespace, key, timeoutMs, done]: Parameters<CacheApi["claimLoad"]>): void {
    const problem = keyProblem(namespace, key);
    if (problem !== null) return this.calls.refuse(problem, done);
    const call = this.calls.call({ timeoutMs });
    return this.calls.later(() =>
      this.calls.find(namespace, call, done, (view) =>
        this.calls.place(view, key, call, done, (place) => this.claiming.claim(place, call, done)),
      ),
    );
  }

  getMany(...asked: Parameters<CacheApi["getMany"]>): void {
    this.reading.getMany(...asked);
  }

  put(...asked: Parameters<CacheApi["put"]>): void {
    this.writing.put(...asked);
  }

  delete(...asked: Parameters<CacheApi["delete"]>): void {
    this.writing.delete(...asked);
  }

  increment(...asked: Parameters<CacheApi["increment"]>): void {
    this.writing.increment(...asked);
  }

  invalidate(...asked: Parameters<CacheApi["invalidate"]>): void {
    this.writing.invalidate(...asked);
  }

  dropCopies(...asked: Parameters<CacheApi["dropCopies"]>): void {
    this.writing.dropCopies(...asked);
  }

  defineNamespace(...asked: Parameters<CacheApi["defineNamespace"]>): void {
    this.administration.define(...asked);
  }

  removeNamespace(...asked: Parameters<CacheApi["removeNamespace"]>): void {
    this.administration.remove(...asked);
  }

  namespace(...asked: Parameters<CacheApi["namespace"]>): void {
    this.administration.one(...asked);
  }

  namespaces(...asked: Parameters<CacheApi["namespaces"]>): void {
    this.administration.list(...asked);
  }

  fetchCopy(...[namespace, key, from, timeoutMs, done]: Parameters<CacheApi["fetchCopy"]>): void {
    const problem = keyProblem(namespace, key);
    if (problem !== null) return this.calls.refuse(problem, done);
    const call = this.calls.call({ timeoutMs });
    return this.calls.later(() =>
      this.calls.find(namespace, call, done, (view) =>
        this.calls.place(view, key, call, done, ({ line }) => {
          const nodes = from === null ? this.reports.others() : [from];
          firstCopy(this.reports, nodes, line, (found) => done(found ?? { type: "no-copy" }));
        }),
      ),
    );
  }

  explain(...[namespace, key, timeoutMs, done]: Parameters<CacheApi["explain"]>): void {
    const problem = keyProblem(namespace, key);
    if (problem !== null) return this.calls.refuse(problem, done);
    const { host } = this.calls;
    const call = this.calls.call({ timeoutMs });
    return this.calls.later(() =>
      this.calls.find(namespace, call, done, (view) =>
        this.calls.place(view, key, call, done, ({ group, line }) => {
          const asked = { namespace, key, line, group, deadline: call.deadline };
          explain(this.reports, host.ports.clock, host.config.node, asked, (explained) => done(explained ?? notLed));
        }),
      ),
    );
  }

  verify(...[, done]: Parameters<CacheApi["verify"]>): void {
    const { host, names } = this.calls;
    const nameOf = (namespace: number): string => names.numbered(namespace)?.name ?? `namespace ${namespace}`;
    const { clock } = host.ports;
    verify({ reports: this.reports, clock, self: host.config.node, shards: host.shards?.count ?? 1, nameOf }, done);
  }

  state(cursor: string, limit: number): CacheStatePage {
    const { cache, host, names } = this.calls;
    const now = host.ports.clock.now();
    const keys: CacheStatePage["keys"][number][] = [];
    const from = Number(cursor === "" ? 0 : cursor);
    let place = 0;
    for (const { keptAt, key, line, namespace } of cache.copies.all()) {
      if (place++ < from) continue;
      if (keys.length >= limit) return { type: "state", keys, next: String(place - 1) };
      const name = names.numbered(namespace)?.name;
      if (name === undefined) continue;
      keys.push({ namespace: name, key, state: line.state, version: line.copy?.record.version ?? 0, ageMs: now - keptAt });
    }
    return { type: "state", keys, next: null };
  }

  statistics(): CacheStatistics {
    const { cache, host } = this.calls;
    const { bounds, bytes, entries, evictions } = cache.copies;
    let [invalidationsReceived, invalidationsSent, lapses] = [0, 0, 0];
    for (const [, holder] of cache.all()) {
      invalidationsReceived += holder.withdrawals;
      lapses += holder.lapses;
    }
    const behind = { keys: 0, bytes: 0, forMs: 0 };
    for (const { home } of host.shards?.all() ?? []) {
      invalidationsSent += home.withdrawals;
      const { bytes, keys, since } = home.behind.backlog;
      behind.keys += keys;
      behind.bytes += bytes;
      if (since > 0) behind.forMs = Math.max(behind.forMs, host.groupTime.now() - since);
    }
    const states: Record<string, number> = {};
    for (const { line } of cache.copies.all()) states[line.state] = (states[line.state] ?? 0) + 1;
    const { programReads } = cache;
    return {
      hits: this.reading.hits + programReads.hits,
      misses: this.reading.misses + programReads.misses,
      writes: this.writing.writes,
      evictions,
      invalidationsSent,
      invalidationsReceived,
      lapses,
      states,
      transitions: cache.transitions.counted(),
      entries,
      bytes,
      ...bounds,
      behind,
    };
  }

  watch(request: CacheWatch, listener: Parameters<CacheApi["watch"]>[1]): () => void {
    return this.calls.cache.watches.watch(request, listener);
  }
}
