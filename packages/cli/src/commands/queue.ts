import type { Command } from "commander";
import type { QueueListAnswer, QueueStateAnswer, QueueSummaryAnswer } from "../api/queue-answers.ts";
import type { Api } from "../api/http.ts";
import { confirm, toolsOf, type Context } from "../context.ts";
import { printable, table, type Output } from "../output/output.ts";
import { bodyOf, pairs, queuePath, wholeNumber } from "./fields.ts";
import { registerQueueMessages } from "./queue-messages.ts";

export function registerQueue(program: Command, context: Context): void {
  const queue = program.command("queue").description("queues: what there is, messages in and out, dead letters");

  queue
    .command("ls")
    .argument("[prefix]", "only names that begin so", "")
    .option("--limit <n>", "at most so many", wholeNumber("--limit", 1, 100_000), 100)
    .description("queues by name")
    .action(async (prefix: string, options: { limit: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { queues, more } = await list(api, prefix, options.limit);
      output.result("queues", { queues, more }, () => (queues.length === 0 ? "There are no queues.\n" : queueTable(output, queues)));
      if (more) output.say(`Showing ${queues.length}; --limit shows more.`);
    });

  queue
    .command("create")
    .argument("<name>")
    .option("--partitions <n>", "1 = total order; more for speed, with order per key; fixed", wholeNumber("--partitions", 1, 1_024))
    .option("--visibility-ms <ms>", "length of a lease", wholeNumber("--visibility-ms", 100, 43_200_000))
    .option("--set <name=value>", "another setting, as the API names it (repeatable)", pairs("--set"), [])
    .description("make a queue; refused when it is there")
    .action(
      async (
        name: string,
        options: { partitions?: number; visibilityMs?: number; set: readonly (readonly [string, string])[] },
        command: Command,
      ) => {
        const { output, api } = toolsOf(context, command);
        const body = {
          ...(options.partitions === undefined ? {} : { partitions: options.partitions }),
          ...(options.visibilityMs === undefined ? {} : { visibility_ms: options.visibilityMs }),
          ...Object.fromEntries(options.set.map(([field, value]) => [field, bodyOf(value)])),
        };
        const made = (await api.call("PUT", queuePath(name), body, { "if-none-match": "*" })) as QueueSummaryAnswer;
        output.result("queue", { queue: made }, () => settingsText(output, made));
      },
    );

  queue
    .command("show")
    .argument("<name>")
    .description("settings, groups and numbers of one queue")
    .action(async (name: string, _options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const found = (await api.call("GET", queuePath(name))) as QueueStateAnswer;
      output.result("queue", { queue: found }, () => stateText(output, found));
    });

  for (const [verb, description, done] of [
    ["pause", "hand out nothing until resumed; produces go on", "Paused."],
    ["resume", "hand out again", "Resumed."],
  ] as const) {
    queue
      .command(verb)
      .argument("<name>")
      .description(description)
      .action(async (name: string, _options: unknown, command: Command) => {
        const { output, api } = toolsOf(context, command);
        const changed = (await api.call("POST", `${queuePath(name)}/${verb}`)) as QueueSummaryAnswer;
        output.result("queue", { queue: changed }, () => done);
      });
  }

  queue
    .command("delete")
    .argument("<name>")
    .option("--yes", "do not ask")
    .description("delete a queue with all its messages")
    .action(async (name: string, options: { yes?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const path = queuePath(name);
      await confirm(context, `Deleting queue ${printable(name)} removes every message of it, for good.`, name, options.yes);
      await api.call("DELETE", path);
      output.result("queue-deleted", { name }, () => "Deleted.");
    });

  registerQueueMessages(queue, context);
}

const pageSize = 500;

async function list(api: Api, prefix: string, limit: number): Promise<{ queues: readonly QueueSummaryAnswer[]; more: boolean }> {
  const queues: QueueSummaryAnswer[] = [];
  let cursor: string | null = null;
  for (;;) {
    const query = new URLSearchParams({ limit: String(Math.min(pageSize, limit - queues.length)) });
    if (prefix !== "") query.set("prefix", prefix);
    if (cursor !== null) query.set("cursor", cursor);
    const page = (await api.call("GET", `/v1/queues?${query.toString()}`)) as QueueListAnswer;
    queues.push(...page.queues);
    cursor = page.next_cursor;
    if (cursor === null || queues.length >= limit) return { queues, more: cursor !== null };
  }
}

function queueTable(output: Output, queues: readonly QueueSummaryAnswer[]): string {
  const rows = queues.map(({ name, id, settings }) => [
    printable(name),
    id,
    String(settings["partitions"] ?? ""),
    `${settings["visibility_ms"] ?? ""} ms`,
    String(settings["max_deliveries"] ?? ""),
    settings["paused"] === true ? "paused" : "",
  ]);
  return table(["NAME", "ID", "PARTITIONS", "LEASE", "FAILURES", "STATE"], rows, output.paint);
}

function settingsText(output: Output, queue: QueueSummaryAnswer): string {
  const rows = Object.entries(queue.settings).map(([name, value]) => [name, String(value)]);
  const paused = queue.settings["paused"] === true ? ", paused" : "";
  return `${output.paint.bold(printable(queue.name))}: id ${queue.id}, version ${queue.version}${paused}\n\n${table(["SETTING", "VALUE"], rows, output.paint)}\n`;
}

function stateText(output: Output, queue: QueueStateAnswer): string {
  const { paint } = output;
  const { totals } = queue;
  const oldest = totals.oldest_at === null ? "" : `, oldest of ${new Date(totals.oldest_at).toISOString()}`;
  const lines = [
    settingsText(output, queue),
    `Kept in ${queue.backend}; an acknowledged message has reached: ${queue.durability}.`,
    `${totals.messages} messages (${totals.bytes} bytes), ${totals.delayed} delayed, ${totals.dead} dead, ${totals.produced} produced so far${oldest}.`,
  ];
  if (queue.groups.length > 0) {
    const rows = queue.groups.map((group) =>
      [printable(group.group), group.ready, group.leased, group.settled, group.dead, group.expired, group.purged].map(String),
    );
    lines.push("", table(["GROUP", "READY", "LEASED", "SETTLED", "DEAD", "EXPIRED", "PURGED"], rows, paint));
  }
  const rows = queue.partitions.map((one) =>
    [one.partition, one.leader ?? "", one.messages, one.bytes, one.delayed, one.dead, one.produced].map(String),
  );
  lines.push("", table(["PARTITION", "LEADER", "MESSAGES", "BYTES", "DELAYED", "DEAD", "PRODUCED"], rows, paint));
  return `${lines.join("\n")}\n`;
}
