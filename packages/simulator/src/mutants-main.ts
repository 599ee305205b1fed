import { availableParallelism } from "node:os";

import { Flags } from "./cli.ts";
import { type Kill, recordedKills, recordKills } from "./mutants/kills.ts";
import { type Killed, Replayer } from "./mutants/replay.ts";
import { notApplicable } from "./mutants/not-applicable.ts";
import { registry } from "./mutants/registry.ts";
import { findKill } from "./mutants/search.ts";
import { mutantsInSources } from "./mutants/sources.ts";
import { loadSwitch, noMutants } from "./mutants/switch.ts";
import { Pool } from "./pool.ts";

const usage = `npm run mutants -- [options]

Switches every named bug on, one at a time, and replays what is known to catch it; then the same without the bug.

  --only TEXT    mutants whose name contains TEXT
  --jobs J       processes (default: one per core, at most 4)
  --search       look for kills of mutants that have none: scripts first, then seeds; records what it finds
  --seeds N      seeds to try per mutant when searching (default 60)
  --start S      first seed to try (default 1)`;

const flags = new Flags(process.argv.slice(2), ["only", "jobs", "seeds", "start"], ["search"], usage);
const mutants = await loadSwitch();
if (mutants === noMutants) {
  process.stderr.write("mutants exist only in the simulator build: run this with npm run mutants\n");
  process.exit(64);
}

const only = flags.text("only") ?? "";
const wanted = registry.filter(({ name }) => name.includes(only));
const pool = new Pool(flags.number("jobs", Math.min(4, availableParallelism()), 1));
const kills = new Map(recordedKills());
const replayer = new Replayer(pool, mutants);
let failed = checkRegistry();
if (flags.has("search")) await search();
await replayAll();
pool.close();

/** A bug that nobody registered is a bug that nobody tests, and the other way round. */
function checkRegistry(): number {
  const sources = mutantsInSources();
  const unknown = [...sources].filter(([name]) => !registry.some((mutant) => mutant.name === name));
  const gone = registry.filter(({ name }) => !sources.has(name));
  for (const [name, file] of unknown) process.stdout.write(`NOT REGISTERED ${name} (${file})\n`);
  for (const { name } of gone) process.stdout.write(`NOT IN THE SOURCES ${name}\n`);
  return unknown.length + gone.length;
}

async function search(): Promise<void> {
  const seeds = flags.number("seeds", 60, 1);
  const start = flags.number("start", 1);
  const queue = wanted.filter(({ name }) => !kills.has(name));
  const lane = async (): Promise<void> => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const { name } = mutant;
      const script = replayer.firstScenario(name);
      const found: { readonly kill: Kill | null; readonly reached: boolean } =
        script === null ? await findKill(pool, name, start, seeds) : { kill: script, reached: true };
      process.stdout.write(
        `${name.padEnd(44)} ${found.kill === null ? (found.reached ? "survives" : "never reached") : JSON.stringify(found.kill)}\n`,
      );
      if (found.kill === null) continue;
      kills.set(name, found.kill);
      recordKills(kills);
    }
  };
  await Promise.all(Array.from({ length: pool.size }, lane));
}

async function replayAll(): Promise<void> {
  const results = await replayer.replay(wanted, kills);
  const width = Math.max(...wanted.map(({ name }) => name.length));
  process.stdout.write(`${"mutant".padEnd(width)}  no.  with it            without  caught by\n`);
  for (const { name, raft, breaks } of wanted) {
    const result = results.get(name);
    process.stdout.write(`${name.padEnd(width)}  ${raft === undefined ? "  " : String(raft).padStart(2, "0")}   ${row(result)}\n`);
    if (result?.killed !== true) {
      failed += 1;
      process.stdout.write(`${" ".repeat(width)}       ${breaks}\n`);
    }
  }
  if (only === "") {
    process.stdout.write("\nNot applicable here:\n");
    for (const [number, reason] of Object.entries(notApplicable)) process.stdout.write(`  ${number}  ${reason}\n`);
  }
  const killed = [...results.values()].filter((result) => result.killed).length;
  process.stdout.write(`\n${killed} of ${wanted.length} mutants killed\n${killed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}

function row(result: Killed | undefined): string {
  if (result === undefined) return "SURVIVES (nothing is recorded that would catch it)";
  const verdict = result.killed ? result.invariant : `SURVIVES: ${result.problem}`;
  return `${verdict.padEnd(20)} ${result.killed ? "clean  " : "       "}  ${result.by}`;
}
