import { availableParallelism } from "node:os";

import { Flags } from "./cli.ts";
import { loadSwitch } from "./mutants/switch.ts";
import { type FaultKind, faultKinds } from "./faults/kinds.ts";
import { defaultOptions, type RunOptions } from "./options.ts";
import { type Job, type JobResult, Pool, runAll } from "./pool.ts";
import { run, type RunReport } from "./run.ts";
import { recordedSeeds, recordSeed } from "./seeds.ts";
import { shrink } from "./shrink.ts";
import { Totals } from "./world/totals.ts";

const usage = `npm run simulate -- [options]

  --seeds N      fresh seeds to run (default 100), after all recorded ones
  --start S      first fresh seed (default 1)
  --seed S       only this seed
  --kinds A,B    fresh seeds have exactly these kinds of faults
  --production   fresh seeds run their apply workers as in production, all of them
  --minutes M    go on until so many minutes have passed
  --jobs J       processes (default: one per core, at most 4)
  --shrink       make the first failure smaller and record it
  --verbose      print every event of the run (with --seed)`;

/** Below so many seeds a run may by chance miss something; from here on every total must be above zero. */
const totalsCountFrom = 40;
/** One seed in so many runs twice. */
const twiceEvery = 25;
const shrinkBudget = 400;

const flags = new Flags(
  process.argv.slice(2),
  ["seeds", "start", "seed", "minutes", "jobs", "kinds"],
  ["shrink", "verbose", "production"],
  usage,
);
const failures: { readonly name: string; readonly report: RunReport }[] = [];
const totals = new Totals();
const startedAt = performance.now();
const progressEveryMs = 60_000;
let progressAt = startedAt;
let passed = 0;
let virtualMs = 0;

const only = flags.text("seed");
if (only === null) await runMany();
else await runOne(flags.number("seed", 1));
await report();

async function runOne(seed: number): Promise<void> {
  const print = flags.has("verbose") ? (line: string): void => void process.stdout.write(`${line}\n`) : null;
  const result = run(freshOptions(seed), { keep: print === null ? 60 : 0, print });
  for (const line of result.violation === null ? [] : result.tail) process.stdout.write(`${line}\n`);
  take(`seed ${seed}`, { report: result, reached: [] });
  process.stdout.write(`seed ${seed}: trace ${result.traceHash}, ${result.steps} steps\n`);
}

function freshOptions(seed: number): RunOptions {
  const options = defaultOptions(seed);
  const names = flags.text("kinds");
  const kinds = names === null ? options.kinds : names.split(",").map(kindOf);
  return { ...options, kinds, asInProduction: options.asInProduction || (flags.has("production") && options.shards > 0) };
}

function kindOf(name: string): FaultKind {
  const kind = faultKinds.find((known) => known === name);
  if (kind === undefined) throw new RangeError(`no kind of fault: ${name}; there are ${faultKinds.join(", ")}`);
  return kind;
}

async function runMany(): Promise<void> {
  const start = flags.number("start", 1);
  const minutes = flags.number("minutes", 0);
  const seeds = flags.text("seeds") === null && minutes > 0 ? Number.POSITIVE_INFINITY : flags.number("seeds", 100, 0);
  const deadline = minutes > 0 ? startedAt + minutes * 60_000 : Number.POSITIVE_INFINITY;
  const recorded = recordedSeeds();
  const names = new Map<string, string>();
  let nextRecorded = 0;
  let fresh = 0;
  const next = (): Job | null => {
    const stored = recorded[nextRecorded];
    if (stored !== undefined) {
      nextRecorded += 1;
      names.set(JSON.stringify(stored.options), stored.name);
      return { options: stored.options, twice: false };
    }
    if (fresh >= seeds || performance.now() >= deadline) return null;
    fresh += 1;
    return { options: freshOptions(start + fresh - 1), twice: fresh % twiceEvery === 1 };
  };
  const jobs = flags.number("jobs", Math.min(4, availableParallelism()), 1);
  const pool = new Pool(jobs);
  await runAll(pool, next, (result) => {
    const { options } = result.report;
    take(names.get(JSON.stringify(options)) ?? `seed ${options.seed}`, result);
    progress();
  });
  pool.close();
  progressEnd();
  process.stdout.write(`${recorded.length} recorded and ${fresh} fresh seeds\n`);
  if (fresh >= totalsCountFrom) requireTotals();
}

function take(name: string, { report: result }: JobResult): void {
  virtualMs += result.virtualMs;
  totals.merge(result.totals);
  if (result.violation === null) {
    passed += 1;
    return;
  }
  failures.push({ name, report: result });
  progressEnd();
  process.stdout.write(
    `FAILED ${name}: ${result.violation.invariant}\n  ${result.violation.detail}\n  again: npm run simulate -- --seed ${result.options.seed} --verbose\n`,
  );
}

/** One line: written over on a terminal, elsewhere a new one every minute. */
function progress(): void {
  const now = performance.now();
  const seconds = (now - startedAt) / 1000;
  const line = `${passed} passed, ${failures.length} failed, ${(virtualMs / 60_000).toFixed(0)} virtual minutes, ${((passed + failures.length) / seconds).toFixed(1)} seeds/s`;
  if (process.stdout.isTTY) process.stdout.write(`\r${line} `);
  else if (now - progressAt >= progressEveryMs) {
    progressAt = now;
    process.stdout.write(`${line}\n`);
  }
}

function progressEnd(): void {
  if (process.stdout.isTTY) process.stdout.write("\r\u001B[K");
}

function requireTotals(): void {
  for (const name of totals.missing()) {
    process.stdout.write(`FAILED totals: ${name} = 0: the simulator tests less than it claims\n`);
    process.exitCode = 1;
  }
}

async function report(): Promise<void> {
  process.stdout.write("totals:\n");
  for (const [name, count] of Object.entries(totals.toRecord())) process.stdout.write(`  ${name.padEnd(36)} ${count}\n`);
  const seconds = (performance.now() - startedAt) / 1000;
  process.stdout.write(`${(virtualMs / 60_000).toFixed(1)} virtual minutes in ${seconds.toFixed(1)} s\n`);
  const [first] = failures;
  if (first !== undefined && flags.has("shrink")) await shrinkAndRecord(first.report);
  process.stdout.write(`${passed} passed, ${failures.length} failed\n`);
  if (failures.length > 0) process.exitCode = 1;
}

async function shrinkAndRecord(failing: RunReport): Promise<void> {
  const mutants = await loadSwitch();
  const rerun = (options: RunOptions): RunReport => run(options, { keep: 80, print: null }, mutants);
  process.stdout.write(`shrinking seed ${failing.options.seed}\n`);
  const { report: smallest, runs } = shrink(failing, rerun, shrinkBudget, (line) => process.stdout.write(`  ${line}\n`));
  for (const line of smallest.tail) process.stdout.write(`${line}\n`);
  const violation = smallest.violation ?? failing.violation;
  process.stdout.write(`after ${runs} runs: ${violation?.invariant}: ${violation?.detail}\n`);
  for (const action of smallest.options.plan ?? []) process.stdout.write(`  ${JSON.stringify(action)}\n`);
  const path = recordSeed({ invariant: violation?.invariant ?? "unknown", note: "", options: smallest.options });
  process.stdout.write(`recorded in ${path}; it is replayed first from now on\n`);
}
