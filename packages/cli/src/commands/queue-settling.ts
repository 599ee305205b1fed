import type { Command } from "commander";
import type { SettledAnswer } from "../api/queue-answers.ts";
import { toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { printable } from "../output/output.ts";
import { given, queuePath, wholeNumber } from "./fields.ts";

const maxDurationMs = 2_147_483_647;

/** What becomes of messages that `consume` handed out: by the receipts that it printed. */
export function registerSettling(queue: Command, context: Context): void {
  verb(queue, "ack", "done with messages: they do not come again").action(
    async (name: string, receipts: readonly string[], _options: unknown, command: Command) =>
      settle(context, command, name, "ack", { receipts }, "Settled"),
  );
  verb(queue, "nack", "messages failed: handed out again, after so many failures dead letters")
    .option("--delay-ms <ms>", "again after so long; else after the queue's back-off", wholeNumber("--delay-ms", 0, maxDurationMs))
    .option("--reason <text>", "shown with a dead letter")
    .option("--dead", "to the dead letters at once")
    .action(
      async (
        name: string,
        receipts: readonly string[],
        { dead, delayMs, reason }: { delayMs?: number; reason?: string; dead?: boolean },
        command: Command,
      ) => settle(context, command, name, "nack", { receipts, ...given({ delay_ms: delayMs, reason, dead }) }, "Given back"),
    );
  verb(queue, "release", "give messages back unharmed: handed out again at once, and no failure is counted").action(
    async (name: string, receipts: readonly string[], _options: unknown, command: Command) =>
      settle(context, command, name, "release", { receipts }, "Given back"),
  );
  verb(queue, "extend", "keep messages for longer: their leases begin anew")
    .option("--visibility-ms <ms>", "from now on; else the queue's", wholeNumber("--visibility-ms", 100, 43_200_000))
    .action(async (name: string, receipts: readonly string[], { visibilityMs }: { visibilityMs?: number }, command: Command) =>
      settle(context, command, name, "extend", { receipts, ...given({ visibility_ms: visibilityMs }) }, "Extended"),
    );
}

const verb = (queue: Command, name: string, description: string): Command =>
  queue.command(name).argument("<name>").argument("<receipts...>", "as consume printed them").description(description);

async function settle(context: Context, command: Command, name: string, path: string, body: object, done: string): Promise<void> {
  const { output, api } = toolsOf(context, command);
  try {
    const answer = (await api.call("POST", `${queuePath(name)}/${path}`, body)) as SettledAnswer;
    output.result("settled", { ...answer }, () => `${done}: ${answer.settled}.`);
  } catch (error) {
    throw error instanceof CliError && Array.isArray(error.details["results"]) ? withEach(error) : error;
  }
}

/** With what became of each receipt: some may have taken effect. */
function withEach(error: CliError): CliError {
  const results = error.details["results"] as SettledAnswer["results"];
  const each = results.map(({ outcome, receipt }) => `${printable(receipt)}: ${outcome}`);
  const { code, details, exitCode, message, next, why } = error;
  return new CliError({ code, exitCode, what: message, why: [why, ...each].join("\n"), next, details, cause: error });
}
