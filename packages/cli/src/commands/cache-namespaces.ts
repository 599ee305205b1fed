import type { Command } from "commander";
import type { NamespaceAnswer, NamespaceListAnswer } from "../api/cache-answers.ts";
import { confirm, toolsOf, type Context } from "../context.ts";
import { printable, table, type Output } from "../output/output.ts";
import { bodyOf, inPath, pairs, wholeNumber } from "./fields.ts";

type Pairs = readonly (readonly [string, string])[];
const namespacePath = (name: string): string => `/v1/cache-namespaces/${inPath(name, "namespace")}`;
const settingsOf = (set: Pairs): Record<string, unknown> => Object.fromEntries(set.map(([field, value]) => [field, bodyOf(value)]));

/** Verbs about namespaces of cached values. */
export function registerNamespaces(cache: Command, context: Context): void {
  const namespace = cache.command("namespace").description("namespaces: their mode, limits and times to live");

  namespace
    .command("ls")
    .argument("[prefix]", "only names that begin so", "")
    .option("--limit <n>", "at most so many", wholeNumber("--limit", 1, 1_000), 100)
    .description("namespaces by name")
    .action(async (prefix: string, options: { limit: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const query = new URLSearchParams({ limit: String(options.limit), ...(prefix === "" ? {} : { prefix }) });
      const { namespaces, next_cursor: cursor } = (await api.call(
        "GET",
        `/v1/cache-namespaces?${query.toString()}`,
      )) as NamespaceListAnswer;
      const more = cursor !== null;
      output.result("cache-namespaces", { namespaces, more }, () => namespaceTable(output, namespaces));
      if (more) output.say(`Showing ${namespaces.length}; --limit shows more.`);
    });

  namespace
    .command("create")
    .argument("<name>")
    .option("--set <name=value>", "a setting, as the API names it (repeatable)", pairs("--set"), [])
    .description("make a namespace; refused when it is there")
    .action(async (name: string, options: { set: Pairs }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const made = (await api.call("PUT", namespacePath(name), settingsOf(options.set), { "if-none-match": "*" })) as NamespaceAnswer;
      output.result("cache-namespace", { namespace: made }, () => namespaceTable(output, [made]));
    });

  namespace
    .command("set")
    .argument("<name>")
    .argument("<settings...>", "name=value, as the API names them")
    .description("change settings of a namespace, or make it with them")
    .action(async (name: string, settings: readonly string[], _options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const read = pairs("trivet cache namespace set NAME");
      const set = settings.reduce<Pairs>((before, text) => read(text, before), []);
      const changed = (await api.call("PUT", namespacePath(name), settingsOf(set))) as NamespaceAnswer;
      output.result("cache-namespace", { namespace: changed }, () => namespaceTable(output, [changed]));
    });

  namespace
    .command("delete")
    .argument("<name>")
    .option("--yes", "do not ask")
    .description("delete a namespace with all its values")
    .action(async (name: string, options: { yes?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const path = namespacePath(name);
      await confirm(context, `Deleting namespace ${printable(name)} removes every value of it, for good.`, name, options.yes);
      await api.call("DELETE", path);
      output.result("cache-namespace-deleted", { name }, () => "Deleted.");
    });
}

/** 0 = none. */
const limit = (value: number | string | undefined): string => (value === 0 || value === undefined ? "" : String(value));

const originOf = ({ origin, write }: NamespaceAnswer["settings"]): string => {
  if (origin === "none" || origin === undefined) return "";
  return write === "behind" ? `${String(origin)} (written behind)` : String(origin);
};

function namespaceTable(output: Output, namespaces: readonly NamespaceAnswer[]): string {
  const rows = namespaces.map(({ name, id, settings }) => [
    printable(name),
    id,
    String(settings["mode"] ?? ""),
    settings["mode"] === "ttl" ? String(settings["stale_ms"] ?? "") : "",
    limit(settings["ttl_ms"]),
    limit(settings["max_entries"]),
    limit(settings["max_bytes"]),
    originOf(settings),
  ]);
  return table(["NAME", "ID", "MODE", "STALE MS", "TTL MS", "MAX ENTRIES", "MAX BYTES", "ORIGIN"], rows, output.paint);
}
