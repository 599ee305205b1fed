import type { Command } from "commander";
import type { GraphAnswer, LockAnswer } from "../api/answers.ts";
import { listLocks, lockPath, showLock } from "../api/locks.ts";
import { confirm, toolsOf, type Context } from "../context.ts";
import { usageError } from "../output/errors.ts";
import { milliseconds, printable, table, type Output } from "../output/output.ts";
import { registerLockRun } from "./lock-run.ts";

export function registerLock(program: Command, context: Context, typed: () => readonly string[]): void {
  const lock = program
    .command("lock")
    .usage("[options] NAME... -- COMMAND [ARGUMENT...]\n       trivet lock [options] VERB")
    .description("locks: run a command under one; who holds them, who waits");

  registerLockRun(lock, context, typed);

  lock
    .command("ls")
    .argument("[prefix]", "only names that begin so", "")
    .option("--limit <n>", "at most so many", wholeNumber, 100)
    .description("locks that are held or waited for")
    .action(async (prefix: string, options: { limit: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { locks, total, waiters, more } = await listLocks(api, prefix, options.limit);
      output.result("locks", { locks, total, waiters, more }, () =>
        locks.length === 0 ? "No locks are held.\n" : lockTable(output, locks),
      );
      if (more) output.say(`Showing ${locks.length}; --limit shows more.`);
    });

  lock
    .command("show")
    .argument("<name>")
    .description("holders and waiters of one lock")
    .action(async (name: string, _options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const found = await showLock(api, name);
      output.result("lock", { lock: found }, () => lockText(output, found));
    });

  lock
    .command("graph")
    .description("who waits for whom, and the last deadlocks that were resolved")
    .action(async (_options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const graph = (await api.call("GET", "/v1/lock-graph")) as GraphAnswer;
      output.result("lock-graph", { ...graph }, () => graphText(output, graph));
    });

  lock
    .command("force-release")
    .argument("<name>")
    .requiredOption("--reason <text>", "kept with the event: why the holder is robbed")
    .option("--fence <n>", "only the grant with this fence; without it every hold of the name")
    .option("--yes", "do not ask")
    .description("take a lock away from its holder, who is not asked")
    .action(async (name: string, options: { reason: string; fence?: string; yes?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      await confirm(context, `The holder of ${printable(name)} may go on working as if it still held it.`, name, options.yes);
      const body = { reason: options.reason, ...(options.fence === undefined ? {} : { fence: options.fence }) };
      const answer = (await api.call("POST", `${lockPath(name)}/force-release`, body)) as { granted_to: readonly string[] };
      output.result("force-release", { name, granted_to: answer.granted_to }, () =>
        answer.granted_to.length > 0 ? `Released; now held by ${answer.granted_to.map(printable).join(", ")}.` : "Released; it is free.",
      );
    });

  // Of the family alone: its verbs have been made.
  lock.showHelpAfterError("(to run a command under a lock: trivet lock NAME -- COMMAND; --help shows the verbs)");
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 100_000)
    throw usageError(`${text} is not a whole number from 1 to 100000.`, "--limit 100");
  return value;
}

function lockTable(output: Output, locks: readonly LockAnswer[]): string {
  const rows = locks.map((lock) => {
    const first = lock.holders[0];
    const others = lock.holders.length > 1 ? ` +${lock.holders.length - 1}` : "";
    return [
      printable(lock.name),
      lock.status,
      first ? `${printable(first.owner)}${others}` : "",
      first?.mode ?? "",
      first?.fence ?? "",
      first ? milliseconds(first.expires_in_ms) : "",
      String(lock.waiters.length),
    ];
  });
  return table(["NAME", "STATUS", "HOLDER", "MODE", "FENCE", "EXPIRES IN", "WAITERS"], rows, output.paint);
}

function lockText(output: Output, lock: LockAnswer): string {
  const { paint } = output;
  const semaphore = lock.of ? `, semaphore of ${lock.of}` : "";
  const lines = [`${paint.bold(printable(lock.name))}: ${lock.status}${semaphore}`];
  if (lock.holders.length > 0) {
    const rows = lock.holders.map((holder) => [
      printable(holder.owner),
      holder.session_id ?? "",
      holder.mode,
      holder.fence,
      String(holder.depth),
      milliseconds(holder.held_ms),
      milliseconds(holder.expires_in_ms),
    ]);
    lines.push("", table(["HOLDER", "SESSION", "MODE", "FENCE", "DEPTH", "HELD FOR", "EXPIRES IN"], rows, paint));
  }
  if (lock.waiters.length > 0) {
    const rows = lock.waiters.map((waiter) => [
      String(waiter.position),
      printable(waiter.owner),
      waiter.session_id ?? "",
      waiter.mode,
      milliseconds(waiter.waiting_ms),
    ]);
    lines.push("", table(["PLACE", "WAITER", "SESSION", "MODE", "WAITING FOR"], rows, paint));
  }
  return `${lines.join("\n")}\n`;
}

function graphText(output: Output, graph: GraphAnswer): string {
  const { paint } = output;
  const lines: string[] = [];
  if (graph.edges.length === 0) lines.push("Nobody waits.");
  else {
    const rows = graph.edges.map((edge) => [
      printable(edge.waiter),
      printable(edge.holder),
      printable(edge.name),
      edge.mode,
      edge.kind === "hard" ? "holder" : "earlier waiter",
      milliseconds(edge.waiting_ms),
    ]);
    lines.push(table(["WAITER", "WAITS FOR", "LOCK", "MODE", "WHO IS", "SINCE"], rows, paint));
  }
  for (const resolution of graph.last_resolutions) {
    const cycle = resolution.cycle.map(
      (step) => `${printable(step.owner)} waits for ${printable(step.waits_for)} of ${printable(step.held_by)}`,
    );
    lines.push(
      "",
      `Deadlock at ${new Date(resolution.at_ms).toISOString()}, victim ${printable(resolution.victim)}:`,
      ...cycle.map((step) => `  ${step}`),
    );
  }
  return `${lines.join("\n")}\n`;
}
