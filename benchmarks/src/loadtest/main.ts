import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { LoadTest } from "./load-test.ts";
import { headlinesOf } from "./headlines.ts";
import { loadTestUsage, parseOptions, type Options } from "./options.ts";
import { servePage } from "./page-server.ts";
import { progressLine, summaryLines } from "./progress.ts";
import { reportOf } from "./report.ts";

/** Entry of `npm run loadtest`. Exit codes: 0 nothing unexpected, 1 something unexpected or nothing done, 64 wrong flags, 69 the page's port is taken. */

const defaultReport = join(fileURLToPath(new URL("../../../", import.meta.url)), ".cache", "loadtest", "report.html");

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function start(options: Options): { readonly test: LoadTest; readonly done: Promise<void> } {
  const test = new LoadTest(options);
  const done = test.run((second) => {
    if (!options.onlySummary && second.at % 2 === 0) say(progressLine(test.progress()));
  });
  return { test, done: done.then(() => finish(test, options)) };
}

/** The end of a run, in words and on disk. */
function finish(test: LoadTest, { html, headless }: Options): void {
  for (const line of summaryLines(test.tally)) say(line);
  for (const { id, measured } of headlinesOf(test)) say(`${id}  ${measured}`);
  const file = html ?? (headless ? defaultReport : null);
  if (file !== null) {
    mkdirSync(dirname(resolve(file)), { recursive: true });
    writeFileSync(file, reportOf(test));
    say(`Report: ${resolve(file)}`);
  }
  const { succeeded, unexpected } = test.progress();
  if (succeeded === 0) say("Nothing succeeded: is the cluster up, and is --host its address?");
  if (succeeded === 0 || unexpected > 0) process.exitCode = 1;
}

async function headless(options: Options): Promise<void> {
  const { test, done } = start(options);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => test.stop());
  await done;
}

async function withPage(options: Options): Promise<void> {
  let current: LoadTest | null = null;
  let last: Promise<void> = Promise.resolve();
  const server = await servePage(options, {
    current: () => current,
    start: (chosen) => {
      const started = start(chosen);
      current = started.test;
      last = started.done.catch((error: unknown) => {
        process.stderr.write(`error: the run failed: ${String(error)}\n`);
        process.exitCode = 1;
      });
    },
    stop: () => current?.stop(),
  });
  say(`Open http://${options.webHost === "0.0.0.0" ? "localhost" : options.webHost}:${options.webPort} to begin; Ctrl-C ends it.`);
  await new Promise<void>((resolvePromise) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolvePromise());
  });
  current = stopped(current);
  await last;
  server.closeAllConnections();
  server.close();
}

function stopped(test: LoadTest | null): LoadTest | null {
  test?.stop();
  return test;
}

const options = parseOptions(process.argv.slice(2));
if (options === "help") say(loadTestUsage);
else if ("wrong" in options) {
  process.stderr.write(`error: ${options.wrong}\n  Next: npm run loadtest -- --help\n`);
  process.exitCode = 64;
} else {
  try {
    await (options.headless ? headless(options) : withPage(options));
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n  Next: another --web-port, or --headless\n`);
    process.exitCode = 69;
  }
}
