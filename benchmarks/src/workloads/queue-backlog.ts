import type { ClientProcess } from "../clients/client-process.ts";
import type { BacklogDrainResult, BacklogFillResult } from "../driver/backlog.ts";
import { ratio } from "../driver/statistics.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { monotonicMs } from "../waiting.ts";
import { BacklogSteps, type Step } from "./backlog-steps.ts";
import { resultOf, type Round } from "./cells.ts";
import { MemoryCage } from "./memory-cage.ts";
import { leastStored } from "./node-watch.ts";
import { duration } from "./pace.ts";
import { Attempts, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "queue-backlog";
/** The rates on an empty queue are taken over so many messages at most. */
const referenceMessages = 200_000;
const restartMs = 600_000;
/** What is left to drain in, however long the fill and the restart took. */
const leastDrainMs = 60_000;
const inFlight = 256;

function rateOf(count: number, seconds: number): number | null {
  return seconds > 0 ? count / seconds : null;
}

/** Without the time until the first message: the consumer's start is no part of its speed. */
function drainRateOf({ acked, seconds, first_ms: firstMs }: BacklogDrainResult): number | null {
  return rateOf(acked, seconds - (firstMs ?? 0) / 1000);
}

interface Empty {
  readonly producePerSecond: number | null;
  readonly drainPerSecond: number | null;
}

interface Backlog {
  readonly fill: BacklogFillResult;
  readonly drained: BacklogDrainResult;
  readonly cost: Cost;
  readonly memory: readonly number[];
  readonly more: Round["more"];
}

/** What the nodes went through in a step, by name of the figure. */
function ordealOf(step: "fill" | "drain", { seen, result }: Step<{ readonly longest_gap_ms: number }>): Round["more"] {
  const { ordeal } = seen;
  return {
    [`${step}_leader_changes`]: ordeal.leaderChanges,
    [`${step}_heartbeats_missed`]: ordeal.heartbeatsMissed,
    [`${step}_longest_gap_ms`]: result.longest_gap_ms,
    [`${step}_longest_loop_delay_ms`]: ordeal.longestLoopDelayMs,
    [`${step}_unanswered_looks`]: ordeal.unanswered,
    [`${step}_nodes_died`]: seen.died,
  };
}

/** Produce and drain where no backlog is: a quarter of it first, unmeasured. */
async function measureEmpty(steps: BacklogSteps, client: ClientProcess, queue: string, messages: number): Promise<Empty> {
  await steps.open(client, queue);
  const warmUp = await steps.fill(client, queue, Math.ceil(messages / 4), restartMs);
  await steps.drain(client, queue, warmUp, restartMs);
  const filled = await steps.fill(client, queue, messages, restartMs);
  const drained = await steps.drain(client, queue, filled, restartMs);
  return { producePerSecond: rateOf(filled.produced, filled.seconds), drainPerSecond: drainRateOf(drained) };
}

/** kill -9 of all nodes at once, all started again, until a fresh client is there. */
async function restartAll(
  bench: Bench,
  steps: BacklogSteps,
  cage: MemoryCage | null,
  queue: string,
): Promise<{ readonly startedAtMs: number; readonly client: ClientProcess }> {
  const { nodes } = bench.running;
  await Promise.all(nodes.map((node) => node.kill()));
  const startedAtMs = monotonicMs();
  for (const node of nodes) node.restart();
  cage?.enter();
  await bench.running.healthy(restartMs);
  const client = await bench.queueClient();
  await steps.open(client, queue);
  return { startedAtMs, client };
}

async function measureOn(context: RunContext, bench: Bench, cage: MemoryCage | null): Promise<Backlog> {
  const { backlogMs, messages } = context.effort;
  const endsAt = monotonicMs() + backlogMs;
  const say = (line: string): void => {
    context.note(`  ${bench.subject.name}: ${line}`);
  };
  const steps = new BacklogSteps(bench.running, inFlight, say);
  const client = await bench.queueClient();
  const reference = Math.min(referenceMessages, Math.ceil(messages / 4));
  const empty = await measureEmpty(steps, client, "bench-shallow", reference);

  const queue = "bench-deep";
  await steps.open(client, queue);
  const drainMs = empty.drainPerSecond === null ? null : (messages / empty.drainPerSecond) * 1000;
  say(
    `at most ${duration(backlogMs)} for ${messages} messages${drainMs === null ? "" : `, of which draining takes about ${duration(drainMs)}`}`,
  );
  const { result: filling, cost } = await bench.cost(client, () =>
    steps.watched(client, "filled", messages, () => steps.fill(client, queue, messages, backlogMs / 2)),
  );
  const filled = filling.result;
  if (filled.produced === 0) throw new Error(`nothing was produced: ${filled.first_error ?? "no error either"}`);
  const stored = leastStored(bench.running.nodes);
  const filledPeak = peakOf(filling.seen.memory);
  say(
    `${filled.produced} of ${messages} messages in ${duration(filled.seconds * 1000)}, RssAnon at most ${mib(filledPeak)}, on disk ${mib(stored)} a node`,
  );
  await client.stop();

  const { startedAtMs, client: fresh } = await restartAll(bench, steps, cage, queue);
  const drainAtMs = monotonicMs();
  const draining = await steps.watched(fresh, "drained", filled.produced, () =>
    steps.drain(fresh, queue, filled, Math.max(leastDrainMs, endsAt - drainAtMs)),
  );
  const drained = draining.result;
  const toFirstMs = drained.first_ms === null ? null : drainAtMs - startedAtMs + drained.first_ms;
  const missing = drained.lost === null ? `${drained.undelivered} not drained in time` : `${drained.lost} lost`;
  say(`first message ${toFirstMs === null ? "never" : duration(toFirstMs)} after the start of all nodes`);
  say(`${drained.acked} drained in ${duration(drained.seconds * 1000)}, ${missing}`);

  const memory = [...filling.seen.memory, ...draining.seen.memory];
  const isCaged = cage !== null && cage.reason === null;
  const produceRate = rateOf(filled.produced, filled.seconds);
  const drainRate = drainRateOf(drained);
  const more = {
    messages: filled.produced,
    produce_per_s: produceRate,
    empty_produce_per_s: empty.producePerSecond,
    produce_ratio: ratio(produceRate, empty.producePerSecond),
    drain_per_s: drainRate,
    empty_drain_per_s: empty.drainPerSecond,
    drain_ratio: ratio(drainRate, empty.drainPerSecond),
    rss_anon_filled_bytes: filledPeak,
    rss_anon_peak_bytes: peakOf(memory),
    stored_bytes: stored,
    restart_to_first_message_ms: toFirstMs,
    lost: drained.lost,
    undelivered: drained.undelivered,
    duplicates: drained.duplicates,
    ...ordealOf("fill", filling),
    ...ordealOf("drain", draining),
    nodes: bench.running.nodes.length,
    memory_max_bytes: isCaged ? cage.maxBytes : null,
    cgroup_version: isCaged ? cage.version : null,
    oom_kills: isCaged ? cage.kills() : null,
  };
  return { fill: filled, drained, cost, memory, more };
}

/** `Math.max` takes no ten thousand arguments. */
function peakOf(samples: readonly number[]): number | null {
  return samples.reduce<number | null>((most, bytes) => Math.max(most ?? 0, bytes), null);
}

function mib(bytes: number | null): string {
  return bytes === null ? "unknown" : `${Math.round(bytes / 2 ** 20)} MiB`;
}

async function measure(context: RunContext, subject: Subject): Promise<Backlog> {
  const held: { cage: MemoryCage | null } = { cage: null };
  try {
    return await withSubject(context, subject, async (bench) => {
      if (context.memoryMax !== null) {
        held.cage = new MemoryCage(bench.running, context.memoryMax);
        held.cage.enter();
        const { reason, version } = held.cage;
        context.note(`  ${subject.name}: ${reason === null ? `in cgroups of version ${version}` : `without a memory cgroup: ${reason}`}`);
      }
      return measureOn(context, bench, held.cage);
    });
  } catch (error) {
    // A node that is killed may show as anything.
    const kills = held.cage?.kills() ?? 0;
    if (kills === 0) throw error;
    throw new Error(`the kernel killed ${kills} times for want of memory: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    held.cage?.remove();
  }
}

function roundOf({ fill: filled, drained, cost, more }: Backlog): Round {
  const lost = drained.lost === null || drained.lost === 0 ? null : `${drained.lost} messages were never delivered`;
  return {
    ops: filled.produced,
    seconds: filled.seconds,
    errors: filled.errors + drained.errors + (drained.lost ?? 0),
    firstError: lost ?? filled.first_error ?? drained.first_error,
    p50_ms: null,
    p99_ms: null,
    p999_ms: null,
    cost,
    more,
  };
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Backlog>(context, name);
  for (const subject of subjects) await attempts.add(subject, () => measure(context, subject));
  return attempts.results((subject, values) => {
    const key = { workload: name, subject, transport: subject.transport, clients: inFlight, latency: "none" };
    const samples = {
      produced_per_second: values.flatMap(({ fill: filled }) => filled.per_second),
      drained_per_second: values.flatMap(({ drained }) => drained.per_second),
      rss_anon_bytes: values.flatMap(({ memory }) => memory),
    };
    return [{ ...resultOf(context, key, values.map(roundOf)), samples }];
  });
}

/** Consumers are away: what the backlog does to speed, to memory, to the nodes' heartbeats, and to a restart. */
export const queueBacklog: Workload = {
  name,
  service: "queues",
  summary: "ten million messages of 1 KiB that nobody reads, then all nodes killed and started, then all of it drained",
  excludes: ({ queues }) => (queues?.consumes === true ? null : "keeps nothing to consume"),
  minutes: 30,
  run,
};
