import { Argument, type Command } from "commander";
import { exitCodes } from "@trivet/contract";
import { connectSdk, errorFromSdk } from "../api/sdk.ts";
import { benchServices, measureService, mostStoredBytes, newBenchName, type Bench, type BenchService } from "../bench/services.ts";
import { errorsText, figuresText, type Figure } from "../bench/figures.ts";
import { targetOf } from "../bench/target.ts";
import { confirm, toolsOf, type Context } from "../context.ts";
import { CliError, Ended } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import { wholeNumber } from "./fields.ts";

/** Of one measurement; there are five. */
const mostSeconds = 60;
const mostInFlight = 1_024;
const mostSize = 65_536;
const interrupted = 130;

interface BenchOptions {
  readonly seconds: number;
  readonly inFlight: number;
  readonly size: number;
  readonly yes?: boolean;
}

export function registerBench(program: Command, context: Context): void {
  program
    .command("bench")
    .addArgument(new Argument("[service]", "only this one; default: all").choices(benchServices))
    .option("--seconds <n>", `length of each measurement, ${mostSeconds} at most`, wholeNumber("--seconds", 1, mostSeconds), 5)
    .option("--in-flight <n>", "operations under way at a time", wholeNumber("--in-flight", 1, mostInFlight), 64)
    .option("--size <bytes>", "of a message and of a cached value", wholeNumber("--size", 1, mostSize), 1_024)
    .option("--yes", "do not ask")
    .description("put a bounded load on the cluster, and say how fast it answers")
    .addHelpText(
      "after",
      `
One process, one connection of the SDK, so many callers of which each waits for its answer before it asks again. Everything it makes has a name of its own (trivet-bench-…) and
is removed at the end, also after Ctrl-C. A measurement stores ${mostStoredBytes / 1_048_576} MiB at most and then ends early. Where a node is not on this machine's loopback the host has to be typed, or --yes given:
what else runs there is slower meanwhile. Comparisons with other systems, open loops and faults are what npm run bench of a clone measures.`,
    )
    .action(async (service: BenchService | undefined, options: BenchOptions, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { elsewhere, voters } = await targetOf(api);
      if (elsewhere !== null)
        await confirm(context, `This puts load on a cluster that is not on this machine (${elsewhere}).`, elsewhere, options.yes);
      const stop = new AbortController();
      const onTerm = (): void => stop.abort();
      process.once("SIGTERM", onTerm);
      const connection = await connectSdk(context, command);
      try {
        const figures: Figure[] = [];
        let failure: unknown = null;
        const bench: Bench = {
          connection,
          api,
          voters,
          ...options,
          signal: AbortSignal.any([context.signal, stop.signal]),
          say: (text) => output.say(text),
          measured: (figure, { firstError }) => {
            figures.push(figure);
            failure ??= firstError;
          },
          name: newBenchName(),
        };
        await measureAll(bench, service === undefined ? benchServices : [service]);
        report(output, bench, figures, failure);
      } finally {
        process.off("SIGTERM", onTerm);
        await connection.close();
      }
    });
}

async function measureAll(bench: Bench, services: readonly BenchService[]): Promise<void> {
  for (const service of services) {
    if (bench.signal.aborted) return;
    try {
      await measureService[service](bench);
    } catch (error) {
      throw leftBehind(errorFromSdk(error), bench.name, service);
    }
  }
}

/** Whatever went wrong: where it is not certain that nothing is left, a person hears what to look for. */
function leftBehind(error: unknown, name: string, service: BenchService): unknown {
  if (!(error instanceof CliError) || service === "locks") return error;
  const { code, exitCode, message, why, next, details } = error;
  const look = service === "queue" ? `trivet queue delete ${name} --yes` : `trivet cache namespace delete ${name} --yes`;
  return new CliError({
    code,
    exitCode,
    what: message,
    why,
    next: [next, `should something be left of it: ${look}`].filter(Boolean).join("\n"),
    details,
    cause: error,
  });
}

function report(output: Output, bench: Bench, figures: readonly Figure[], failure: unknown): void {
  const { inFlight: in_flight, size, seconds, voters, signal } = bench;
  if (figures.length > 0)
    output.result("bench", { in_flight, size, seconds, voters, interrupted: signal.aborted, figures }, () => figuresText(output, figures));
  if (signal.aborted) throw new Ended(interrupted);
  if (failure === null) return;
  const error = errorFromSdk(failure);
  throw new CliError({
    code: error instanceof CliError ? error.code : "failed",
    exitCode: error instanceof CliError ? error.exitCode : exitCodes.failure,
    what: "Some operations failed.",
    why: `${figures.map(({ operation, errors }) => `${operation}: ${errorsText(errors)}`).join("\n")}\nthe first: ${error instanceof CliError ? error.why || error.message : String(error)}`,
    next: "trivet status (is every node there?), trivet doctor on the node's machine",
  });
}
