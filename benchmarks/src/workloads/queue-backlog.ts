import type { ClientProcess } from "../clients/client-process.ts";
import type { BacklogDrainResult, BacklogFillResult } from "../driver/backlog.ts";
import { ratio } from "../driver/statistics.ts";
import { memoryCgroup, type MemoryCgroup } from "../measure/memory-cgroup.ts";
import { usageOf } from "../measure/proc.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { RunningSubject, Subject } from "../subjects/subject.ts";
import { monotonicMs } from "../waiting.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "queue-backlog";
const group = "workers";
const shape = { groups: [group], keyed: false, onePartition: false };
const inFlight = 256;
const credit = 1024;
/** The rates on an empty queue are taken over so many messages at most. */
const referenceMessages = 200_000;
const silenceMs = 30_000;
const restartMs = 600_000;
const watchEveryMs = 500;

/** Longest a step with so many messages may take: a rate below 200 per second is a failure to report, not to wait for. */
function longest(messages: number): number {
  return messages * 5 + 10 * slackMs;
}

/** Anonymous memory of the largest node over the run. */
class MemoryWatch {
  readonly samples: number[] = [];
  readonly #running: RunningSubject;
  readonly #timer: NodeJS.Timeout;

  constructor(running: RunningSubject) {
    this.#running = running;
    this.#timer = setInterval(() => {
      this.#look();
    }, watchEveryMs);
  }

  #look(): void {
    const known = this.#running.nodes.flatMap(({ pid }) => usageOf(pid).rss_anon_bytes ?? []);
    if (known.length > 0) this.samples.push(Math.max(...known));
  }

  get peak(): number {
    return Math.max(0, ...this.samples);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#look();
  }
}

/** A cgroup around each node, or the reason why there is none. The nodes that are started again go in again. */
class Cage {
  readonly reason: string | null;
  readonly #groups: readonly MemoryCgroup[];
  readonly #running: RunningSubject;

  constructor(running: RunningSubject, maxBytes: number) {
    this.#running = running;
    const made = running.nodes.map((_, index) => memoryCgroup(String(index), maxBytes));
    this.#groups = made.filter((group): group is MemoryCgroup => typeof group !== "string");
    this.reason = made.find((group) => typeof group === "string") ?? null;
    this.enter();
  }

  enter(): void {
    for (const [index, group] of this.#groups.entries()) {
      const node = this.#running.nodes[index];
      if (node !== undefined) group.add(node.pid);
    }
  }

  kills(): number {
    return this.#groups.reduce((sum, group) => sum + group.kills(), 0);
  }

  remove(): void {
    for (const group of this.#groups) group.remove();
  }
}

function fill(client: ClientProcess, queue: string, messages: number): Promise<BacklogFillResult> {
  return client.call("backlogFill", { queue, from: 0, messages, inFlight }, longest(messages));
}

function drain(client: ClientProcess, queue: string, messages: number): Promise<BacklogDrainResult> {
  return client.call("backlogDrain", { queue, group, from: 0, messages, credit, silenceMs }, longest(messages));
}

function rateOf(count: number, seconds: number): number | null {
  return seconds > 0 ? count / seconds : null;
}

interface Backlog {
  readonly fill: BacklogFillResult;
  readonly drained: BacklogDrainResult;
  readonly cost: Cost;
  readonly memory: readonly number[];
  readonly more: Round["more"];
}

/** kill -9 of all nodes at once, all started again: until a fresh client has been handed a message. */
async function restartAll(
  bench: Bench,
  cage: Cage | null,
  queue: string,
): Promise<{ readonly ms: number; readonly client: ClientProcess }> {
  const { nodes } = bench.running;
  await Promise.all(nodes.map((node) => node.kill()));
  const startedAt = monotonicMs();
  for (const node of nodes) node.restart();
  cage?.enter();
  await bench.running.healthy(restartMs);
  const client = await bench.queueClient();
  await client.call("queueOpen", { queue, shape }, slackMs * 2);
  return { ms: monotonicMs() - startedAt, client };
}

async function measureOn(context: RunContext, bench: Bench, cage: Cage | null): Promise<Backlog> {
  const { messages } = context.effort;
  const { name: subject } = bench.subject;
  const client = await bench.queueClient();
  const reference = Math.min(referenceMessages, Math.ceil(messages / 4));
  await client.call("queueOpen", { queue: "bench-shallow", shape }, slackMs * 2);
  await fill(client, "bench-shallow", Math.ceil(reference / 4));
  await drain(client, "bench-shallow", Math.ceil(reference / 4));
  const emptyFill = await fill(client, "bench-shallow", reference);
  const emptyDrain = await drain(client, "bench-shallow", reference);

  const queue = "bench-deep";
  await client.call("queueOpen", { queue, shape }, slackMs * 2);
  const watch = new MemoryWatch(bench.running);
  try {
    const { result: filled, cost } = await bench.cost(client, () => fill(client, queue, messages));
    if (filled.produced !== messages)
      throw new Error(`${filled.produced} of ${messages} were produced: ${filled.first_error ?? "no error"}`);
    context.note(
      `  ${subject}: ${messages} messages in ${filled.seconds.toFixed(1)} s, RssAnon at most ${Math.round(watch.peak / 2 ** 20)} MiB`,
    );
    const filledPeak = watch.peak;
    await client.stop();
    const { ms, client: fresh } = await restartAll(bench, cage, queue);
    const drained = await drain(fresh, queue, messages);
    context.note(`  ${subject}: first message ${((ms + (drained.first_ms ?? 0)) / 1000).toFixed(1)} s after the start of all nodes`);
    context.note(`  ${subject}: ${drained.acked} drained in ${drained.seconds.toFixed(1)} s, ${drained.lost} lost`);
    watch.stop();
    const produceRate = rateOf(messages, filled.seconds);
    const drainRate = rateOf(drained.acked, drained.seconds - (drained.first_ms ?? 0) / 1000);
    const emptyProduceRate = rateOf(reference, emptyFill.seconds);
    const emptyDrainRate = rateOf(emptyDrain.acked, emptyDrain.seconds - (emptyDrain.first_ms ?? 0) / 1000);
    const more = {
      messages,
      produce_per_s: produceRate,
      empty_produce_per_s: emptyProduceRate,
      produce_ratio: ratio(produceRate, emptyProduceRate),
      drain_per_s: drainRate,
      empty_drain_per_s: emptyDrainRate,
      drain_ratio: ratio(drainRate, emptyDrainRate),
      rss_anon_filled_bytes: filledPeak,
      rss_anon_peak_bytes: watch.peak,
      restart_to_first_message_ms: drained.first_ms === null ? null : ms + drained.first_ms,
      lost: drained.lost,
      duplicates: drained.duplicates,
      memory_max_bytes: cage === null || cage.reason !== null ? null : context.memoryMax,
      oom_kills: cage === null || cage.reason !== null ? null : cage.kills(),
    };
    return { fill: filled, drained, cost, memory: watch.samples, more };
  } finally {
    watch.stop();
  }
}

async function measure(context: RunContext, subject: Subject): Promise<Backlog> {
  let cage: Cage | null = null;
  try {
    return await withSubject(context, subject, async (bench) => {
      if (context.memoryMax !== null) {
        cage = new Cage(bench.running, context.memoryMax);
        if (cage.reason !== null) context.note(`  ${subject.name}: without a memory cgroup: ${cage.reason}`);
      }
      return measureOn(context, bench, cage);
    });
  } finally {
    (cage as Cage | null)?.remove();
  }
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Backlog>(context, name);
  for (const subject of subjects) await attempts.add(subject, () => measure(context, subject));
  return attempts.results((subject, values) => {
    const key = { workload: name, subject, transport: subject.transport, clients: inFlight, latency: "none" };
    const rounds = values.map(({ fill: filled, drained, cost, more }) => {
      const lost = drained.lost === 0 ? null : `${drained.lost} messages were never delivered`;
      const errors = filled.errors + drained.errors + drained.lost;
      const base = { ops: filled.produced, seconds: filled.seconds, errors, cost, more };
      return { ...base, firstError: lost ?? filled.first_error ?? drained.first_error, p50_ms: null, p99_ms: null, p999_ms: null };
    });
    const samples = {
      produced_per_second: values.flatMap(({ fill: filled }) => filled.per_second),
      drained_per_second: values.flatMap(({ drained }) => drained.per_second),
      rss_anon_bytes: values.flatMap(({ memory }) => memory),
    };
    return [{ ...resultOf(context, key, rounds), samples }];
  });
}

/** Consumers are away: what the backlog does to speed, to memory, and to a restart. */
export const queueBacklog: Workload = {
  name,
  service: "queues",
  summary: "ten million messages of 1 KiB that nobody reads, then all nodes killed and started, then all of it drained",
  excludes: ({ queues }) => (queues?.consumes === true ? null : "keeps nothing to consume"),
  minutes: 30,
  run,
};
