import { type Command, Option } from "commander";
import type { BrowsedAnswer, BrowsedMessageAnswer, ConsumedAnswer, ProducedAnswer } from "../api/queue-answers.ts";
import type { Api } from "../api/http.ts";
import { confirm, toolsOf, type Context } from "../context.ts";
import { printable, table, type Output } from "../output/output.ts";
import { bodyOf, given, pairs, queuePath, wholeNumber } from "./fields.ts";
import { registerSettling } from "./queue-settling.ts";

const maxDurationMs = 2_147_483_647;

/** Verbs about the messages of a queue. */
export function registerQueueMessages(queue: Command, context: Context): void {
  registerProduce(queue, context);
  registerConsume(queue, context);
  registerSettling(queue, context);
  registerLooking(queue, context);
  registerClearing(queue, context);
}

interface ProduceOptions {
  readonly key?: string;
  readonly delayMs?: number;
  readonly ttlMs?: number;
  readonly priority?: number;
  readonly dedupId?: string;
  readonly ack?: string;
  readonly header: readonly (readonly [string, string])[];
}

function registerProduce(queue: Command, context: Context): void {
  queue
    .command("produce")
    .argument("<name>")
    .argument("<body>", "the content: JSON, or else a text")
    .option("--key <key>", "messages of one key keep their order")
    .option("--delay-ms <ms>", "ready only after so long", wholeNumber("--delay-ms", 0, maxDurationMs))
    .option("--ttl-ms <ms>", "dropped when not settled by then", wholeNumber("--ttl-ms", 1, maxDurationMs))
    .option("--priority <n>", "0 is handed out first, 3 last", wholeNumber("--priority", 0, 3))
    .option("--dedup-id <id>", "a second message with it is not stored again")
    .option("--ack <level>", "of queues on Redis: primary, aof or replicas:N; the answer says what was reached")
    .option("--header <name=value>", "kept with the content (repeatable)", pairs("--header"), [])
    .description("put a message into a queue, which comes into being if need be")
    .action(async (name: string, body: string, options: ProduceOptions, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { ack, key, delayMs, ttlMs, priority, dedupId, header } = options;
      const fields = given({ ack, key, delay_ms: delayMs, ttl_ms: ttlMs, priority, dedup_id: dedupId });
      const headers = header.length === 0 ? {} : { headers: Object.fromEntries(header) };
      const answer = (await api.call("POST", `${queuePath(name)}/messages`, {
        body: bodyOf(body),
        ...fields,
        ...headers,
      })) as ProducedAnswer;
      output.result("produced", { ...answer }, () =>
        answer.messages.map(({ id, duplicate }) => `${id}${duplicate ? " (was there already)" : ""} ${answer.ack}`).join("\n"),
      );
    });
}

interface ConsumeOptions {
  readonly group?: string;
  readonly max: number;
  readonly waitMs?: number;
  readonly visibilityMs?: number;
  readonly ack: string;
}

function registerConsume(queue: Command, context: Context): void {
  queue
    .command("consume")
    .argument("<name>")
    .option("--group <group>", "each group gets every message")
    .option("--max <n>", "at most so many", wholeNumber("--max", 1, 1_024), 1)
    .option("--wait-ms <ms>", "wait so long for a message", wholeNumber("--wait-ms", 0, 600_000))
    .option("--visibility-ms <ms>", "length of the lease", wholeNumber("--visibility-ms", 100, 43_200_000))
    .addOption(
      new Option("--ack <mode>", "auto: settled at once; manual: leased, comes back unless its receipt is settled")
        .choices(["auto", "manual"])
        .default("manual"),
    )
    .description("take messages out of a queue; then ack, nack, extend or release them by their receipts")
    .action(async (name: string, options: ConsumeOptions, command: Command) => {
      const { output, api } = toolsOf(context, command, 15 + (options.waitMs ?? 0) / 1_000);
      const { group, max, waitMs, visibilityMs, ack } = options;
      const body = given({ group, max, wait_ms: waitMs, visibility_ms: visibilityMs, ack });
      const answer = (await api.call("POST", `${queuePath(name)}/consume`, body)) as ConsumedAnswer;
      output.result("consumed", { ...answer }, () => {
        if (answer.messages.length === 0) return "Nothing is ready.\n";
        const rows = answer.messages.map((one) => [
          one.id,
          printable(one.key ?? ""),
          String(one.acquired),
          String(one.deliveries),
          contentOf(one),
          ack === "auto" ? "" : one.receipt,
        ]);
        return table(["ID", "KEY", "ACQUIRED", "FAILURES", "BODY", "RECEIPT"], rows, output.paint);
      });
    });
}

const limit = (): Option => new Option("--limit <n>", "at most so many").argParser(wholeNumber("--limit", 1, 100_000)).default(20);

function registerLooking(queue: Command, context: Context): void {
  queue
    .command("peek")
    .argument("<name>")
    .addOption(new Option("--state <state>", "which messages").choices(["ready", "delayed", "dead"]).default("ready"))
    .addOption(limit())
    .description("look at messages without taking them")
    .action(async (name: string, options: { state: string; limit: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const page = await browse(api, `${queuePath(name)}/messages`, options.state, options.limit);
      show(output, "messages", page, "No such messages.\n");
    });
  queue
    .command("dlq")
    .argument("<name>")
    .addOption(limit())
    .description("dead letters, with why they died")
    .action(async (name: string, options: { limit: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const page = await browse(api, `${queuePath(name)}/dlq`, null, options.limit);
      show(output, "dead-letters", page, "No dead letters.\n");
    });
}

function registerClearing(queue: Command, context: Context): void {
  queue
    .command("redrive")
    .argument("<name>")
    .argument("[ids...]", "these dead letters; without any the oldest")
    .option("--limit <n>", "of the oldest, at most so many", wholeNumber("--limit", 1, 1_024))
    .description("make dead letters messages again, behind what is there")
    .action(async (name: string, ids: readonly string[], options: { limit?: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const body = given({ ids: ids.length === 0 ? undefined : ids, limit: options.limit });
      const answer = (await api.call("POST", `${queuePath(name)}/dlq/redrive`, body)) as { readonly redriven: number };
      output.result("redriven", { ...answer }, () => `${answer.redriven} dead letters are messages again.`);
    });
  queue
    .command("purge")
    .argument("<name>")
    .option("--dead", "the dead letters instead")
    .option("--yes", "do not ask")
    .description("remove every message that is not leased")
    .action(async (name: string, options: { dead?: boolean; yes?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const path = `${queuePath(name)}/messages${options.dead === true ? "?dead=true" : ""}`;
      const what = options.dead === true ? "dead letter" : "message that is not leased";
      await confirm(context, `Purging queue ${printable(name)} removes every ${what}, for good.`, name, options.yes);
      const answer = (await api.call("DELETE", path)) as { readonly purged: number };
      output.result("purged", { ...answer }, () => `${answer.purged} removed.`);
    });
}

interface Browsed {
  readonly messages: readonly BrowsedMessageAnswer[];
  readonly more: boolean;
}
const pageSize = 500;

async function browse(api: Api, path: string, state: string | null, limit: number): Promise<Browsed> {
  const messages: BrowsedMessageAnswer[] = [];
  let cursor: string | null = null;
  for (;;) {
    const query = new URLSearchParams({ limit: String(Math.min(pageSize, limit - messages.length)) });
    if (state !== null) query.set("state", state);
    if (cursor !== null) query.set("cursor", cursor);
    const page = (await api.call("GET", `${path}?${query.toString()}`)) as BrowsedAnswer;
    messages.push(...page.messages);
    cursor = page.next_cursor;
    if (cursor === null || messages.length >= limit) return { messages, more: cursor !== null };
  }
}

function show(output: Output, kind: string, { messages, more }: Browsed, nothing: string): void {
  output.result(kind, { messages, more }, () => {
    if (messages.length === 0) return nothing;
    const rows = messages.map((one) => [
      one.id,
      one.state,
      printable(one.key ?? ""),
      new Date(one.produced_at).toISOString(),
      contentOf(one),
      one.dead === null ? "" : `${printable(one.dead.group)}: ${printable(one.dead.reason)}`,
    ]);
    return table(["ID", "STATE", "KEY", "PRODUCED", "BODY", "DIED"], rows, output.paint);
  });
  if (more) output.say(`Showing ${messages.length}; --limit shows more.`);
}

const shownCharacters = 60;

/** As much of the content as a line of a table has room for; --json has all of it. */
function contentOf({ body, body_base64: base64 }: { readonly body: unknown; readonly body_base64?: string }): string {
  const text = base64 === undefined ? JSON.stringify(body) : `base64 ${base64}`;
  return printable(text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text);
}
