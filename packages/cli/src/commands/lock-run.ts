import { Option, type Command } from "commander";
import { hostname } from "node:os";
import type { Context } from "../context.ts";
import { runHeld, type HeldRun } from "../locking/run-held.ts";
import { dividedAtDashes } from "../locking/words.ts";
import { lossPolicies, type LossPolicy } from "../locking/warden.ts";
import { usageError } from "../output/errors.ts";
import { wholeNumber } from "./fields.ts";

/** Twelve hours: a wait that is longer begins anew, at the end of the line. */
const longestWaitSeconds = 43_200;
const longestTtlSeconds = 3_600;
const defaultTtlSeconds = 15;
const longestGraceSeconds = 5;
/** Of the lease: what is never used up, whatever timers do. */
const marginShare = 1 / 10;
/** Of the lease at most, grace and margin together: below that a leader that dies would cost the command its lock. */
const graceAndMarginShare = 1 / 2;
const maxPermits = 1_000_000;

interface RunOptions {
  readonly mode: HeldRun["mode"];
  readonly permits?: number;
  /** False = `--no-wait`. */
  readonly wait?: number | false;
  readonly ttl: number;
  readonly grace?: number;
  readonly onLost: LossPolicy;
  readonly owner?: string;
}

/** The verb in the middle of its line. `typed` gives the whole line: what is behind the dashes is not ours to read. */
export function registerLockRun(lock: Command, context: Context, typed: () => readonly string[]): void {
  lock
    .command("run")
    .argument("[names...]", "locks to take, all of them or none")
    .usage("[options] NAME... -- COMMAND [ARGUMENT...]")
    .addOption(new Option("--mode <mode>", "of every lock").choices(["exclusive", "shared", "update"]).default("exclusive"))
    .addOption(
      new Option("--permits <n>", "a semaphore instead: n hold it at a time; the first one fixes n")
        .argParser(wholeNumber("--permits", 1, maxPermits))
        .conflicts("mode"),
    )
    .option(
      "--wait <seconds>",
      "wait in line at most so long; default: until it is granted, 12 hours at most",
      seconds("--wait", 0, longestWaitSeconds),
    )
    .option("--no-wait", "do not wait: exit 10 when somebody holds it")
    .option(
      "--ttl <seconds>",
      "free after so long when this process or its machine is lost",
      seconds("--ttl", 1, longestTtlSeconds),
      defaultTtlSeconds,
    )
    .addOption(
      new Option("--on-lost <what>", "when the lock is lost: SIGTERM and then SIGKILL, SIGTERM alone, or nothing")
        .choices(lossPolicies)
        .default("kill"),
    )
    .option(
      "--grace <seconds>",
      "from SIGTERM to SIGKILL; default: a third of --ttl, 5 at most",
      seconds("--grace", 0, longestTtlSeconds / 2),
    )
    .option("--owner <text>", "shown to people; default: HOST/PROCESS")
    .description("run a command while locks are held; for short: trivet lock NAME... -- COMMAND")
    .addHelpText("after", help)
    .action((operands: readonly string[], options: RunOptions, command: Command) => {
      const divided = dividedAtDashes(typed(), operands);
      if (divided === null || divided.command.length === 0)
        throw usageError("No command follows that could be run.", "trivet lock NAME -- COMMAND [ARGUMENT...]");
      if (divided.names.length === 0)
        throw usageError("No lock is named.", "trivet lock NAME -- COMMAND; a name like a verb: trivet lock -- NAME -- COMMAND");
      const twice = divided.names.find((name, at) => divided.names.indexOf(name) !== at);
      if (twice !== undefined) throw usageError(`${twice} is named twice.`, "name each lock once");
      return runHeld(context, command, { ...divided, ...settingsOf(options) });
    });
}

function settingsOf(options: RunOptions): Omit<HeldRun, "names" | "command"> {
  const { mode, permits = null, wait, ttl, onLost: policy, owner = `${hostname()}/${process.pid}` } = options;
  const ttlMs = Math.round(ttl * 1_000);
  const graceMs = Math.round((options.grace ?? Math.min(longestGraceSeconds, ttl / 3)) * 1_000);
  const marginMs = Math.round(ttlMs * marginShare);
  if (graceMs + marginMs > ttlMs * graceAndMarginShare)
    throw usageError(
      `--grace ${graceMs / 1_000} is too long for --ttl ${ttl}: grace and a tenth of the lease have to be half of it at most.`,
      `--ttl ${Math.ceil(graceMs / 1_000 / (graceAndMarginShare - marginShare))}`,
    );
  const waitMs = wait === false ? 0 : Math.round((wait ?? longestWaitSeconds) * 1_000);
  return { mode, permits, waitMs, ttlMs, graceMs, marginMs, policy, owner };
}

function seconds(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= least && value <= most))
      throw usageError(`${text} is not a number of seconds from ${least} to ${most}.`, `${option} ${Math.max(least, Math.min(most, 10))}`);
    return value;
  };
}

const help = `
The command runs with this terminal and directory, without a shell. It finds in its environment TRIVET_LOCK_NAME and TRIVET_FENCE of the first lock,
TRIVET_OWNER, TRIVET_SESSION, and TRIVET_LOCKS, a JSON list of all with name, mode and fence: send the fence with every write that the lock protects.

Several names are one request: all are granted together, or none. A name like a verb or an option stands between dashes: trivet lock -- ls -- COMMAND.

The lease is renewed while the command runs. When it cannot be, or the lock was taken away, the command gets SIGTERM, and SIGKILL before the lease is over.
SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on; for a second one it gets SIGTERM, then SIGKILL. Ctrl-C at a terminal reaches it by itself. Without a terminal
it has a process group of its own, and what it starts is signalled with it.

Exit code: that of the command, 128+n when signal n ended it, 127 when there is no such command, 126 when it cannot be run; 10 not granted, 11 it would wait for
itself, 12 the lock was lost before the command had ended, 69 no node or no leader. With --json what is told comes on stderr as JSON, a document a line.`;
