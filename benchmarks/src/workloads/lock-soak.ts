import type { ClosedLoopResult } from "../driver/closed-loop.ts";
import { Histogram } from "../driver/histogram.ts";
import { usageOf } from "../measure/proc.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { RunningSubject, Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type RunContext, type Workload } from "./workload.ts";

const name = "lock-soak";
const clients = 256;
const watchEveryMs = 1000;

interface Soak {
  readonly closed: ClosedLoopResult;
  readonly cost: Cost;
  readonly leaderChanges: number;
  readonly unanswered: number;
  /** RssAnon of the largest node, once per second. */
  readonly memory: readonly number[];
}

/** Asks the nodes once a second who leads, and the kernel what they weigh. */
class Watch {
  readonly #running: RunningSubject;
  readonly memory: number[] = [];
  leaderChanges = 0;
  /** Questions that failed. Under full load a status answer may be slow; that is no leader change. */
  unanswered = 0;
  #term: number | null = null;
  #busy = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(running: RunningSubject) {
    this.#running = running;
  }

  async start(): Promise<void> {
    await this.#look();
    this.#timer = setInterval(() => {
      if (!this.#busy) void this.#look();
    }, watchEveryMs);
  }

  async #look(): Promise<void> {
    this.#busy = true;
    try {
      const sizes = this.#running.nodes.map(({ pid }) => usageOf(pid).rss_anon_bytes ?? 0);
      this.memory.push(Math.max(...sizes));
      const leadership = await this.#running.leadership();
      const term = leadership?.term ?? null;
      if (term !== null) {
        // Several terms may pass between two looks: each was an election.
        if (this.#term !== null) this.leaderChanges += Math.max(0, term - this.#term);
        this.#term = term;
      }
    } catch {
      this.unanswered++;
    } finally {
      this.#busy = false;
    }
  }

  /** One last look, so that a change at the very end counts. */
  async finish(): Promise<void> {
    this.stop();
    while (this.#busy) await new Promise((resolve) => setImmediate(resolve));
    await this.#look();
  }

  /** Looks no more; a timer left behind would keep a broken-off run alive for ever. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}

function measure(context: RunContext, subject: Subject): Promise<Soak> {
  const { warmUpMs, soakMs } = context.effort;
  return withSubject(context, subject, async (bench) => {
    const client = await bench.client();
    await client.call("prepare", { callers: clients }, slackMs);
    const loop = (durationMs: number): Promise<ClosedLoopResult> =>
      client.call("closed", { callers: clients, durationMs, prefix: "bench/soak" }, durationMs + slackMs);
    await loop(warmUpMs);
    const watch = new Watch(bench.running);
    await watch.start();
    try {
      const { result, cost } = await bench.cost(client, () => loop(soakMs));
      await watch.finish();
      return { closed: result, cost, leaderChanges: watch.leaderChanges, unanswered: watch.unanswered, memory: watch.memory };
    } finally {
      watch.stop();
    }
  });
}

function roundOf({ closed, cost, leaderChanges, unanswered, memory }: Soak): Round {
  const { p50_ms, p99_ms, p999_ms, max_ms } = Histogram.from(closed.acquire).summary();
  return {
    ops: closed.pairs * 2,
    seconds: closed.seconds,
    errors: closed.errors,
    firstError: closed.first_error,
    p50_ms,
    p99_ms,
    p999_ms,
    cost,
    more: {
      pairs_per_s: closed.pairs / closed.seconds,
      seconds: closed.seconds,
      leader_changes: leaderChanges,
      longest_gap_ms: closed.longest_gap_ms,
      max_ms,
      status_unanswered: unanswered,
      rss_anon_first_bytes: memory[0] ?? null,
      rss_anon_last_bytes: memory.at(-1) ?? null,
      rss_anon_peak_bytes: Math.max(...memory),
    },
  };
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Soak>(context, name);
  for (const subject of subjects) {
    context.note(`  ${subject.name}: ${context.effort.soakMs / 1000} s at ${clients} in flight`);
    await attempts.add(subject, () => measure(context, subject));
  }
  return attempts.results((subject, values) => {
    const key = { workload: name, subject, transport: subject.transport, clients, latency: "acquire, closed loop" };
    const series = {
      pairs_per_second: values.flatMap(({ closed }) => closed.per_second),
      rss_anon_bytes: values.flatMap(({ memory }) => memory),
    };
    return [{ ...resultOf(context, key, values.map(roundOf)), samples: series }];
  });
}

/** Full load for long: does the leader stay, does memory stay, does anything stall. */
export const lockSoak: Workload = {
  name,
  service: "locks",
  summary: "10 minutes at 256 in flight: leader changes, longest gap, errors, memory",
  excludes: (subject) => (subject.failsOver ? null : "has no leader that could change"),
  minutes: 10,
  run,
};
