import { parseArgs } from "node:util";
import { traceNames, type TraceName } from "./eviction/traces.ts";
import { subjectNames, type SubjectName } from "./subjects/subject.ts";

export interface RunArguments {
  readonly command: "run";
  readonly workloads: readonly string[];
  readonly subjects: readonly SubjectName[];
  readonly json: string | null;
  readonly quick: boolean;
  readonly rounds: number | null;
  readonly failovers: number | null;
  readonly messages: number | null;
  readonly seconds: number | null;
  readonly minutes: number | null;
  /** Puts each node of queue-backlog into a memory cgroup of 1 GiB. */
  readonly cgroup: boolean;
  readonly directory: string | null;
}
export type Arguments =
  | { readonly command: "list" }
  | { readonly command: "help" }
  | RunArguments
  | { readonly command: "state"; readonly locks: number }
  | { readonly command: "hit-ratio"; readonly traces: readonly TraceName[]; readonly directory: string | null }
  | { readonly command: "eviction" }
  | { readonly command: "idle"; readonly seconds: number; readonly settle: number }
  | { readonly command: "report"; readonly files: readonly string[]; readonly quick: boolean }
  | { readonly command: "wrong"; readonly reason: string };

export const usage: string = `npm run bench -- list
npm run bench -- run WORKLOAD… [--peers etcd,redis,floor,…] [--json FILE] [--quick] [--rounds N] [--failovers N]
                     [--messages N] [--seconds N] [--minutes N] [--cgroup] [--directory DIR]
npm run bench -- state [--locks N]
npm run bench -- hit-ratio [TRACE…] [--traces DIR]
npm run bench -- eviction
npm run bench -- idle [--seconds N] [--settle N]
npm run bench -- report [FILE…] [--quick]

  run     starts everything it needs, measures ours and each peer in the same run, alternating, and prints a table
          --peers LIST      also measure these; their Debian and npm packages are installed when they are missing. \`nats\` is two
                            subjects: with its default, and as nats-always with sync_interval: always. So is \`trivet-redis\`: ours with its
                            queues in one Redis, appendfsync everysec and always, for queue-http. Caches have
                            lru-cache,cacheable,node-redis,redis
          --subjects LIST   measure exactly these (for work on the harness itself)
          --json FILE       also write the results there; they are kept in .cache/benchmarks anyway
          --quick           seconds instead of minutes: shows that everything works, proves nothing
          --rounds N        rounds whose median is taken
          --failovers N     leaders to kill in lock-failover and queue-failover
          --messages N      messages of queue-backlog (default: ten million)
          --minutes N       longest that queue-backlog may take for a subject, half of it to fill (default: 120): then it goes on with
                            what there is, and every verdict names the count
          --seconds N       length of queue-http (default: 300)
          --cgroup          each node of queue-backlog in a memory cgroup of 1 GiB, where the kernel and the user allow one
          --directory DIR   where data directories are made (default: the system's temporary folder)
  state   measures the state of locks alone, without a cluster: memory per lock, snapshot, restore, listing, the end of large sessions,
          and the longest time any of them keeps the loop from turning (default: a million locks)
  hit-ratio  replays traces of caches with every eviction policy and prints the hit ratios beside those of a study; fails when the
          adaptive W-TinyLFU is more than a point below. Traces: ${traceNames.join(", ")}
          --traces DIR      where the trace files are (default: shared/traces beside this project)
  eviction  measures what a hit and a miss cost with each eviction policy, and with lru-cache
  idle  starts three nodes, leaves them alone and prints what they take: processor time and memory; fails when it is more than 2 %
          of one core or 140 MiB (RSS) for any of them
          --seconds N       how long they are watched (default: 60)
          --settle N        how long they are left alone before that, in seconds (default: 60). In its first minute a node also compiles
                            what has become hot; 15 counts that in
  report  writes docs/benchmarks.md, its charts, the raw results and the figures in README.md from the newest results of this machine,
          or from the files named; --quick also takes results of quick runs, and says so`;

/** Names that stand for several subjects: the same software in more than one setting. */
const together: Readonly<Record<string, readonly SubjectName[]>> = { "trivet-redis": ["trivet-redis-everysec", "trivet-redis-always"] };

function list(value: string | undefined): string[] {
  return (value ?? "")
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

function count(name: string, value: string | undefined, max = 10_000, min = 1): number | null {
  if (value === undefined) return null;
  const number = Number(value);
  if (!Number.isInteger(number) || number < min || number > max)
    throw new Error(`--${name} takes a number from ${min} to ${max}, not "${value}"`);
  return number;
}

function subjectsFrom(option: string, value: string | undefined): SubjectName[] {
  return list(value).flatMap((name): readonly SubjectName[] => {
    const known = together[name] ?? subjectNames.filter((candidate) => candidate === name);
    const all = [...Object.keys(together), ...subjectNames].join(", ");
    if (known.length === 0) throw new Error(`--${option}: no subject "${name}"; there are ${all}`);
    return known;
  });
}

function parseRun(args: readonly string[], workloadNames: readonly string[]): RunArguments {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      peers: { type: "string" },
      subjects: { type: "string" },
      json: { type: "string" },
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
      failovers: { type: "string" },
      messages: { type: "string" },
      seconds: { type: "string" },
      minutes: { type: "string" },
      cgroup: { type: "boolean", default: false },
      directory: { type: "string" },
    },
  });
  if (positionals.length === 0) throw new Error(`run needs at least one workload of ${workloadNames.join(", ")}`);
  const unknown = positionals.find((name) => !workloadNames.includes(name));
  if (unknown !== undefined) throw new Error(`no workload "${unknown}"; there are ${workloadNames.join(", ")}`);
  const exactly = subjectsFrom("subjects", values.subjects);
  // JetStream is compared as it comes and as durable as the others.
  const peers = subjectsFrom("peers", values.peers).flatMap((name): SubjectName[] => (name === "nats" ? [name, "nats-always"] : [name]));
  const subjects = exactly.length > 0 ? exactly : (["trivet", ...peers] as const);
  return {
    command: "run",
    workloads: [...new Set(positionals)],
    subjects: [...new Set(subjects)],
    json: values.json ?? null,
    quick: values.quick,
    rounds: count("rounds", values.rounds),
    failovers: count("failovers", values.failovers),
    messages: count("messages", values.messages, 100_000_000, 1000),
    seconds: count("seconds", values.seconds),
    minutes: count("minutes", values.minutes),
    cgroup: values.cgroup,
    directory: values.directory ?? null,
  };
}

function parseHitRatio(args: readonly string[]): Arguments {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: { traces: { type: "string" } } });
  const traces = positionals.map((name) => {
    const known = traceNames.find((candidate) => candidate === name);
    if (known === undefined) throw new Error(`no trace "${name}"; there are ${traceNames.join(", ")}`);
    return known;
  });
  return { command: "hit-ratio", traces, directory: values.traces ?? null };
}

/** The command line in words of this harness; what is wrong with it becomes a value, for the caller to print. */
export function parseArguments(args: readonly string[], workloadNames: readonly string[]): Arguments {
  const [command, ...rest] = args;
  try {
    switch (command) {
      case "list":
        return { command };
      case undefined:
      case "help":
      case "--help":
        return { command: "help" };
      case "run":
        return parseRun(rest, workloadNames);
      case "state": {
        const { values } = parseArgs({ args: rest, options: { locks: { type: "string", default: "1000000" } } });
        const locks = Number(values.locks);
        if (!Number.isInteger(locks) || locks < 1000 || locks > 10_000_000)
          throw new Error(`--locks takes a number from 1000 to 10000000, not "${values.locks}"`);
        return { command, locks };
      }
      case "idle": {
        const { values } = parseArgs({ args: rest, options: { seconds: { type: "string" }, settle: { type: "string" } } });
        const settle = count("settle", values.settle, 3_600, 15) ?? 60;
        return { command, seconds: count("seconds", values.seconds, 3_600, 5) ?? 60, settle };
      }
      case "hit-ratio":
        return parseHitRatio(rest);
      case "eviction":
        parseArgs({ args: rest, options: {} });
        return { command };
      case "report": {
        const { values, positionals } = parseArgs({
          args: rest,
          allowPositionals: true,
          options: { quick: { type: "boolean", default: false } },
        });
        return { command, files: positionals, quick: values.quick };
      }
      default:
        return { command: "wrong", reason: `no command "${command}"` };
    }
  } catch (error) {
    return { command: "wrong", reason: error instanceof Error ? error.message : String(error) };
  }
}
