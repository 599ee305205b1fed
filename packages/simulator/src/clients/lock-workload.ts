import type { Violation } from "../checkers/history.ts";
import { checkLiveness } from "../checkers/liveness.ts";
import { LockJudge } from "../judge/lock-judge.ts";
import type { World } from "../world/world.ts";
import { HttpClient } from "./http-client.ts";
import { LockHistory } from "./lock-history.ts";
import { ReadHistory } from "./read-history.ts";
import { SessionClient } from "./session-client.ts";
import { VirtualClient } from "./virtual-client.ts";
import type { Workload } from "./workload.ts";

/** After the heal, a wait ends within its own time plus what holders ahead may keep, an election and some retries. */
const settleMs = 30_000;

/** Clients that compete for a few locks in every way the API offers. */
export class LockWorkload implements Workload {
  readonly name = "locks";
  readonly history: LockHistory = new LockHistory();
  readonly reads: ReadHistory = new ReadHistory();
  private readonly world: World;
  private readonly sessions: SessionClient[] = [];
  private readonly callers: HttpClient[] = [];
  private readonly clients: VirtualClient[] = [];
  private asking = true;
  private windingAt = 0;

  constructor(world: World) {
    this.world = world;
  }

  start(): void {
    const { world } = this;
    const { clients, operationsPerClient, seed } = world.options;
    const contention = world.prng.next();
    for (let i = 0; i < clients; i += 1) {
      // A seed of its own for each: leaving one out does not change the others.
      const client = new VirtualClient(world, `c${i + 1}`, Math.imul(seed, 7_919) + i + 1);
      this.clients.push(client);
      world.clients.push(client.name);
      const mayStart = (): boolean => this.asking;
      if (i % 3 === 2) this.callers.push(new HttpClient(client, this.history, this.reads, operationsPerClient, contention, mayStart));
      else this.sessions.push(new SessionClient(client, this.history, operationsPerClient, contention, mayStart));
    }
  }

  wind(): void {
    this.asking = false;
    this.windingAt = this.world.clock.now();
    for (const client of this.sessions) client.wind();
  }

  issued(): number {
    return this.history.operations.length;
  }

  answered(): number {
    return this.history.operations.filter((operation) => operation.ret !== null).length;
  }

  settled(): boolean {
    return this.sessions.every((client) => client.settled) && this.callers.every((client) => client.settled);
  }

  open(): readonly string[] {
    const alive = new Set(this.clients.filter((client) => client.alive).map((client) => client.name));
    return this.history.operations
      .filter(({ ret, refused, abandoned, client }) => ret === null && !refused && !abandoned && alive.has(client))
      .map(({ id, call }) => `${id} since ${call.toFixed(0)}`);
  }

  stall(client: number, durationMs: number): void {
    const chosen = this.clients[client % this.clients.length];
    if (chosen === undefined) return;
    chosen.process.pause();
    this.world.clock.schedule(durationMs, () => chosen.process.resume());
  }

  kill(client: number): void {
    // At least half of them live on, so that there is something to judge.
    const alive = this.clients.filter((candidate) => candidate.alive);
    const chosen = alive[client % alive.length];
    if (chosen === undefined || alive.length * 2 <= this.clients.length) return;
    this.world.totals.add("clients killed");
    chosen.process.kill();
  }

  check(): Violation | null {
    const { golden } = this.world.watcher;
    this.count();
    const alive = new Set(this.clients.filter((client) => client.alive).map((client) => client.name));
    const waits = this.history.operations
      .filter((operation) => alive.has(operation.client) && !operation.refused && !operation.abandoned)
      .map(({ id, call, ret, allowedMs }) => ({ id, call, ret, allowedMs }));
    return (
      checkLiveness(waits, this.windingAt, this.world.clock.now(), settleMs) ?? new LockJudge(golden, this.history, this.reads).check()
    );
  }

  private count(): void {
    const { totals, watcher } = this.world;
    totals.add("operations", this.history.operations.length);
    totals.add("operations answered", this.answered());
    totals.add("log repeats", watcher.golden.repeats);
    for (const { event } of watcher.golden.events) {
      if (event.type === "wait-ended") totals.add(`waits ended: ${event.cause}`);
      else if (event.type === "lock-released") totals.add(`locks released: ${event.cause}`);
      else if (event.type === "lock-granted") totals.add("locks granted");
      const expired = (event.type === "session-ended" || event.type === "lock-released") && event.cause === "expired";
      if (expired || (event.type === "wait-ended" && event.cause === "timeout")) totals.add("expiries");
    }
    for (const { result } of watcher.golden.answers.values()) if (result.type === "deadlock") totals.add("deadlocks");
  }
}
