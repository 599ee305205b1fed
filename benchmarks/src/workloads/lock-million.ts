import type { ClientProcess } from "../clients/client-process.ts";
import { heldName, type FillResult } from "../driver/fill.ts";
import { usageOf } from "../measure/proc.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { RunningSubject, Subject } from "../subjects/subject.ts";
import { monotonicMs, pause } from "../waiting.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "lock-million";
const prefix = "held";
const ttlMs = 3_600_000;
const inFlight = 256;
const fillTimeoutMs = 30 * 60_000;
const restartTimeoutMs = 180_000;
const probeTimeoutMs = 60_000;
/** Memory counts as settled when it changed by less than one per cent for two seconds. */
const settleSteps = 20;

function heaviest(running: RunningSubject): number {
  return Math.max(...running.nodes.map(({ pid }) => usageOf(pid).rss_anon_bytes ?? 0));
}

/** Anonymous memory of the largest node once garbage is collected (our own nodes are told to) and nothing moves any more. */
async function settledMemory(bench: Bench): Promise<number> {
  let last = heaviest(bench.running);
  for (let step = 0; step < settleSteps; step++) {
    if (bench.subject.collectable) for (const { pid } of bench.running.nodes) process.kill(pid, "SIGUSR2");
    await pause(2000);
    const now = heaviest(bench.running);
    if (Math.abs(now - last) < last / 100) return now;
    last = now;
  }
  return last;
}

/** Every held name that was looked at must still be held: a fast restart that forgot the locks is not a restart. */
async function countForgotten(context: RunContext, client: ClientProcess): Promise<number> {
  const { sessions, locksPerSession } = context.effort;
  let forgotten = 0;
  for (let sample = 0; sample < 20; sample++) {
    const session = Math.floor((sample / 20) * sessions);
    const lock = (sample * 7919) % locksPerSession;
    if (await client.call("isFree", { name: heldName(prefix, session, lock) }, slackMs)) forgotten++;
  }
  return forgotten;
}

/** kill -9 of all nodes at once, all started again: until a new lock is granted to a fresh client. */
async function restartAll(context: RunContext, bench: Bench): Promise<{ readonly servingMs: number; readonly grantMs: number }> {
  const { nodes } = bench.running;
  await Promise.all(nodes.map((node) => node.kill()));
  const startedAt = monotonicMs();
  for (const node of nodes) node.restart();
  await bench.running.healthy(restartTimeoutMs);
  const servingMs = monotonicMs() - startedAt;
  const client = await bench.client();
  await client.call("prepare", { callers: 1 }, slackMs);
  const { granted_at_ms: grantedAt } = await client.call("probe", { caller: 0, timeoutMs: probeTimeoutMs }, probeTimeoutMs + slackMs);
  const forgotten = await countForgotten(context, client);
  await client.stop();
  if (forgotten > 0) throw new Error(`${forgotten} of 20 locks were free after the restart`);
  return { servingMs, grantMs: grantedAt - startedAt };
}

interface Million {
  readonly fill: FillResult;
  readonly cost: Cost;
  readonly more: Round["more"];
}

function measure(context: RunContext, subject: Subject): Promise<Million> {
  const { sessions, locksPerSession } = context.effort;
  const total = sessions * locksPerSession;
  return withSubject(
    context,
    subject,
    async (bench) => {
      const client = await bench.client();
      await client.call("prepare", { callers: 1 }, slackMs);
      const before = await settledMemory(bench);
      const options = { sessions, locksPerSession, ttlMs, inFlight, prefix };
      const { result, cost } = await bench.cost(client, () => client.call("fill", options, fillTimeoutMs));
      if (result.held !== total) throw new Error(`${result.held} of ${total} locks are held: ${result.first_error ?? "no error"}`);
      const peak = heaviest(bench.running);
      const settled = await settledMemory(bench);
      context.note(
        `  ${subject.name}: ${total} locks in ${result.seconds.toFixed(1)} s, ${Math.round((settled - before) / total)} bytes each`,
      );
      const { servingMs, grantMs } = await restartAll(context, bench);
      const restarted = await settledMemory(bench);
      context.note(`  ${subject.name}: serving again after ${(servingMs / 1000).toFixed(1)} s`);
      const more = {
        locks: total,
        bytes_per_lock: (settled - before) / total,
        bytes_per_lock_peak: (peak - before) / total,
        bytes_per_lock_after_restart: (restarted - before) / total,
        rss_anon_before_bytes: before,
        rss_anon_settled_bytes: settled,
        fill_s: result.seconds,
        restart_to_serving_ms: servingMs,
        restart_to_grant_ms: grantMs,
      };
      return { fill: result, cost, more };
    },
    { collectable: true },
  );
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Million>(context, name);
  for (const subject of subjects) await attempts.add(subject, () => measure(context, subject));
  return attempts.results((subject, values) => {
    const key = { workload: name, subject, transport: subject.transport, clients: context.effort.sessions, latency: "none" };
    const rounds = values.map(({ fill, cost, more }) => {
      // One acquire per lock, no release.
      const base = { ops: fill.held, seconds: fill.seconds, errors: fill.errors, firstError: fill.first_error, cost, more };
      return { ...base, p50_ms: null, p99_ms: null, p999_ms: null };
    });
    return [{ ...resultOf(context, key, rounds), samples: {} }];
  });
}

/** Many locks held for long: what they weigh, and how soon a cluster serves again after losing power with all of them. */
export const lockMillion: Workload = {
  name,
  service: "locks",
  summary: "1 000 sessions × 1 000 held locks: memory per lock and node; all nodes killed → serving again with every lock",
  excludes: (subject) => (subject.keepsLocks ? null : "keeps no locks"),
  minutes: 4,
  run,
};
