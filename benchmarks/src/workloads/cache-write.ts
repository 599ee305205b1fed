import type { ClientProcess } from "../clients/client-process.ts";
import { percentileOf, ratio, rotated } from "../driver/statistics.ts";
import type { Cost } from "../measure/window.ts";
import type { Missing, Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import { resultOf, type Round } from "./cells.ts";
import { Attempts, slackMs, withSubject, type Bench, type RunContext, type Workload } from "./workload.ts";

const name = "cache-write";
const sharers = 2;
const sharedKey = "user:shared:profile";
const ownKey = "user:own:profile";
const warmUpWrites = 20;
const writeMs = 30_000;
/** Copies that a sharer has when it dies: only the first write of one of them may wait. */
const copiesOfTheDead = 8;

async function timedWrite(writer: ClientProcess, key: string): Promise<number> {
  return (await writer.call("cacheWrite", { key }, writeMs)).ms;
}

async function sharer(bench: Bench): Promise<ClientProcess> {
  const client = await bench.cacheClient();
  await client.call("cacheOpen", { entries: 1000 }, slackMs);
  return client;
}

function hold(client: ClientProcess, keys: readonly string[]): Promise<null> {
  return client.call("cacheHold", { keys, timeoutMs: slackMs }, slackMs * 2);
}

interface Writes {
  readonly shared: readonly number[];
  readonly own: readonly number[];
}

/** In turns: a write of a value of which two processes have copies, and one that nobody else has, which is a commit. */
async function writesInTurns(writer: ClientProcess, holders: readonly ClientProcess[], count: number): Promise<Writes> {
  const shared: number[] = [];
  const own: number[] = [];
  for (let write = 0; write < count; write++) {
    await Promise.all(holders.map((holder) => hold(holder, [sharedKey])));
    shared.push(await timedWrite(writer, sharedKey));
    own.push(await timedWrite(writer, ownKey));
  }
  return { shared, own };
}

interface Death {
  readonly first: number;
  /** The longest of the writes after it: of the other copies, and of all of them again. */
  readonly later: number;
}

/** A process with copies is silent from now on; the writes that follow. */
async function afterDeath(bench: Bench, writer: ClientProcess, signal: "SIGKILL" | "SIGSTOP"): Promise<Death> {
  const keys = Array.from({ length: copiesOfTheDead }, (_, number) => `user:${signal}-${number}:profile`);
  for (const key of keys) await timedWrite(writer, key);
  const victim = await sharer(bench);
  await hold(victim, keys);
  if (signal === "SIGKILL") await victim.kill();
  else victim.pause();
  const times: number[] = [];
  for (const key of [...keys, ...keys]) times.push(await timedWrite(writer, key));
  if (signal === "SIGSTOP") await victim.kill();
  const [first = 0, ...later] = times;
  return { first, later: Math.max(...later) };
}

async function measure(context: RunContext, bench: Bench): Promise<Round> {
  const { writes, deaths } = context.effort.cache;
  const writer = await sharer(bench);
  await timedWrite(writer, sharedKey);
  const holders: ClientProcess[] = [];
  for (let count = 0; count < sharers; count++) holders.push(await sharer(bench));
  await writesInTurns(writer, holders, warmUpWrites);
  const { result, cost } = await bench.cost(writer, () => writesInTurns(writer, holders, writes));
  const killed: Death[] = [];
  const stopped: Death[] = [];
  for (let death = 0; death < deaths; death++) {
    killed.push(await afterDeath(bench, writer, "SIGKILL"));
    stopped.push(await afterDeath(bench, writer, "SIGSTOP"));
  }
  return roundOf(result, cost, killed, stopped);
}

function roundOf({ shared, own }: Writes, cost: Cost, killed: readonly Death[], stopped: readonly Death[]): Round {
  const p50 = percentileOf(shared, 0.5);
  const commit = percentileOf(own, 0.5);
  return {
    ops: shared.length,
    seconds: shared.reduce((sum, ms) => sum + ms, 0) / 1000,
    errors: 0,
    firstError: null,
    p50_ms: p50,
    p99_ms: percentileOf(shared, 0.99),
    p999_ms: null,
    // The sharers' reads between the writes are in it, and most of the time.
    cost: { ...cost, cpu_s: null, cpu_s_by_role: {}, written_bytes: null, fsyncs: null },
    more: {
      commit_p50_ms: commit,
      commit_p99_ms: percentileOf(own, 0.99),
      commits: ratio(p50, commit),
      killed_first_max_ms: Math.max(...killed.map(({ first }) => first)),
      killed_later_max_ms: Math.max(...killed.map(({ later }) => later)),
      stopped_first_max_ms: Math.max(...stopped.map(({ first }) => first)),
      stopped_later_max_ms: Math.max(...stopped.map(({ later }) => later)),
    },
  };
}

async function run(context: RunContext, subjects: readonly Subject[]): Promise<readonly (Result | Missing)[]> {
  const attempts = new Attempts<Round>(context, name);
  for (let round = 0; round < context.effort.rounds; round++) {
    for (const subject of rotated(subjects, round)) {
      const value = await attempts.add(subject, () => withSubject(context, subject, (bench) => measure(context, bench)));
      if (value === null) continue;
      const figures = Object.entries(value.more).map(([what, figure]) => `${what} ${figure?.toFixed(2)}`);
      context.note(
        `  round ${round + 1} of ${context.effort.rounds}: ${subject.name}: p50 ${value.p50_ms?.toFixed(2)} ms, ${figures.join(", ")}`,
      );
    }
  }
  const latency = "a write of a value of which two other processes have copies";
  return attempts.results((subject, rounds) => [
    resultOf(context, { workload: name, subject, transport: subject.transport, clients: 1 + sharers, latency }, rounds),
  ]);
}

/** What others' copies cost a writer. */
export const cacheWrite: Workload = {
  name,
  service: "cache",
  summary:
    "writes of a value that two other processes keep, beside writes that nobody else keeps; and after a sharer was killed or stopped",
  excludes: (subject) => (subject.cache?.shared === true ? null : "has no copies in other processes"),
  minutes: 1,
  run,
};
