import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArguments, usage, type RunArguments } from "./arguments.ts";
import { measureEvictionCost } from "./eviction/cost.ts";
import { compareHitRatios } from "./eviction/hit-ratio.ts";
import { provide, versionIn } from "./installation.ts";
import { measureIdle } from "./idle.ts";
import { describeMachine, filesystemOf } from "./measure/machine.ts";
import { ProcessKeeper } from "./processes.ts";
import { verdictLines } from "./report/targets.ts";
import { writeReport } from "./report/write.ts";
import { writeResults, type Missing, type Result } from "./results.ts";
import { subjects } from "./subjects/all.ts";
import { measureState } from "./state/measure.ts";
import type { Subject } from "./subjects/subject.ts";
import { describeResults } from "./table.ts";
import { workloads } from "./workloads/all.ts";
import type { Effort, RunContext, Workload } from "./workloads/workload.ts";

/** Entry of `npm run bench`. Exit codes: 0 done, 1 a subject could not be measured or a hit ratio was missed, 2 wrong arguments. */

const root = fileURLToPath(new URL("../../", import.meta.url));
const tracesFolder = join(root, "..", "shared", "traces");
const resultsFolder = join(root, ".cache", "benchmarks");

const minuteMs = 60_000;
const quickCache = { hits: 200_000, reads: 500, writes: 50, deaths: 1, staleWrites: 500 };
const fullCache = { hits: 600_000, reads: 10_000, writes: 400, deaths: 4, staleWrites: 20_000 };
const quickEffort = {
  rounds: 1,
  warmUpMs: 500,
  measureMs: 1000,
  failovers: 5,
  soakMs: 15_000,
  sessions: 100,
  locksPerSession: 200,
  cache: quickCache,
};
const fullEffort = {
  rounds: 5,
  warmUpMs: 3000,
  measureMs: 4000,
  failovers: 100,
  soakMs: 600_000,
  sessions: 1000,
  locksPerSession: 1000,
  cache: fullCache,
};

function effortOf({ quick, rounds, failovers, messages, minutes, seconds }: RunArguments): Effort {
  const base = quick
    ? { ...quickEffort, messages: 20_000, backlogMs: 10 * minuteMs, httpMs: 5000 }
    : { ...fullEffort, messages: 10_000_000, backlogMs: 120 * minuteMs, httpMs: 5 * minuteMs };
  return {
    quick,
    ...base,
    rounds: rounds ?? base.rounds,
    failovers: failovers ?? base.failovers,
    messages: messages ?? base.messages,
    backlogMs: minutes === null ? base.backlogMs : minutes * minuteMs,
    httpMs: seconds === null ? base.httpMs : seconds * 1000,
  };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function narrate(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** A file system in memory makes every fsync free: the results would flatter whoever syncs most. */
function dataFolder(asked: string | null): string {
  const parent = asked ?? (filesystemOf(tmpdir()) === "tmpfs" ? resultsFolder : tmpdir());
  mkdirSync(parent, { recursive: true });
  if (filesystemOf(parent) === "tmpfs") throw new Error(`${parent} is a tmpfs: fsync does nothing there; name another with --directory`);
  return mkdtempSync(join(parent, "trivet-bench-"));
}

function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
  return version;
}

/** The subjects that can run, and a line for each that cannot. */
function available(asked: RunArguments["subjects"]): { readonly usable: Subject[]; readonly reasons: ReadonlyMap<Subject, string> } {
  const usable: Subject[] = [];
  const reasons = new Map<Subject, string>();
  for (const name of asked) {
    const subject = subjects[name];
    const reason = provide(name, narrate);
    if (reason === null) {
      usable.push(subject);
    } else {
      reasons.set(subject, reason);
      narrate(`${name}: MISSING: ${reason}`);
    }
  }
  return { usable, reasons };
}

async function runWorkload(
  context: RunContext,
  workload: Workload,
  usable: readonly Subject[],
  reasons: ReadonlyMap<Subject, string>,
  earlier: readonly (Result | Missing)[],
): Promise<readonly (Result | Missing)[]> {
  narrate(`${workload.name}: ${workload.summary}`);
  const missing: Missing[] = [...reasons].map(([subject, reason]) => {
    return { run: context.run, workload: workload.name, subject: subject.name, missing: reason };
  });
  const taking = usable.filter((subject) => {
    const other = { locks: "is no lock service", queues: "is no queue", cache: "is no cache" }[workload.service];
    const elsewhere = subject.onlyIn?.includes(workload.name) === false ? `is measured in ${subject.onlyIn.join(", ")}` : null;
    const reason = subject.services.includes(workload.service) ? (elsewhere ?? workload.excludes(subject)) : other;
    if (reason !== null)
      missing.push({ run: context.run, workload: workload.name, subject: subject.name, missing: `does not apply: ${reason}` });
    return reason === null;
  });
  const results = [...(await workload.run(context, taking)), ...missing];
  const verdicts = verdictLines([...earlier, ...results], workload.name);
  say([`\n${workload.name}: ${workload.summary}`, describeResults(results), ...verdicts, ""].join("\n"));
  return results;
}

async function run(args: RunArguments): Promise<number> {
  const { usable, reasons } = available(args.subjects);
  const directory = dataFolder(args.directory);
  const keeper = new ProcessKeeper();
  const abort = (signal: NodeJS.Signals): void => {
    narrate(`${signal}: stopping what was started`);
    keeper.killAll();
    rmSync(directory, { recursive: true, force: true });
    process.exit(130);
  };
  process.once("SIGINT", abort);
  process.once("SIGTERM", abort);
  const started = new Date().toISOString();
  const memoryMax = args.cgroup ? 2 ** 30 : null;
  const context: RunContext = { run: started, keeper, effort: effortOf(args), memoryMax, directory, note: narrate };
  const machine = describeMachine(directory);
  const versions = Object.fromEntries(args.subjects.map((name) => [name, versionIn(name, ownVersion())]));
  narrate(
    `${machine.cores} × ${machine.cpu}, ${machine.filesystem}, append + fdatasync ${machine.fdatasync_p50_ms} ms, Node ${machine.node}`,
  );
  const results: (Result | Missing)[] = [];
  mkdirSync(resultsFolder, { recursive: true });
  const file = join(resultsFolder, `${started.replaceAll(/[:.]/g, "-")}.json`);
  try {
    for (const workload of workloads.filter(({ name }) => args.workloads.includes(name))) {
      results.push(...(await runWorkload(context, workload, usable, reasons, results)));
      // After each workload: an hour of measurements must not be lost to a mishap in the last minute.
      for (const path of args.json === null ? [file] : [file, args.json]) writeResults(path, { machine, versions, results });
    }
  } finally {
    await keeper.stopAll();
    rmSync(directory, { recursive: true, force: true });
    process.off("SIGINT", abort);
    process.off("SIGTERM", abort);
  }
  narrate(`results: ${args.json ?? file}`);
  return results.some((result) => "missing" in result && !result.missing.startsWith("does not apply")) ? 1 : 0;
}

function list(): void {
  say("workloads:");
  for (const { name, summary, minutes } of workloads) say(`  ${name.padEnd(18)} ${summary} (about ${minutes} min per subject)`);
  say("subjects:");
  for (const { name, wire, durability } of Object.values(subjects)) say(`  ${name.padEnd(22)} ${wire}; ${durability}`);
}

async function main(): Promise<number> {
  const args = parseArguments(
    process.argv.slice(2),
    workloads.map(({ name }) => name),
  );
  switch (args.command) {
    case "help":
      say(usage);
      return 0;
    case "wrong":
      narrate(`${args.reason}\n\n${usage}`);
      return 2;
    case "list":
      list();
      return 0;
    case "run":
      return run(args);
    case "state":
      measureState(args.locks, say);
      return 0;
    case "idle":
      return (await measureIdle(tmpdir(), args, say)) ? 0 : 1;
    case "hit-ratio":
      return compareHitRatios(args.traces, args.directory ?? tracesFolder, say) ? 0 : 1;
    case "eviction":
      measureEvictionCost(say);
      return 0;
    case "report": {
      const { written, selection } = writeReport({ root, resultsFolder, files: args.files, quick: args.quick });
      for (const line of selection.leftOut) narrate(`left out: ${line}`);
      for (const path of written) say(relative(process.cwd(), path));
      return 0;
    }
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  narrate(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
