import { exitCodes } from "@trivet/contract";
import type { Command } from "commander";
import { readFileSync } from "node:fs";
import type { CacheStateAnswer, WarmedAnswer } from "../api/cache-answers.ts";
import type { Api } from "../api/http.ts";
import { toolsOf, type Context } from "../context.ts";
import { CliError, usageError } from "../output/errors.ts";
import { printable, type Output } from "../output/output.ts";
import { namespaceOption } from "./cache-fields.ts";
import { wholeNumber } from "./fields.ts";

/** As many as one call takes. */
const keysPerCall = 128;
const keysPerPage = 500;
const defaultLimit = 10_000;

interface WarmOptions {
  readonly namespace?: string;
  readonly file?: string;
  readonly like?: string;
  readonly limit: number;
}

/** A verb that brings keys into the cache before anybody asks for them, a call after the other. */
export function registerWarm(cache: Command, context: Context): void {
  cache
    .command("warm")
    .argument("[keys...]", "keys to read")
    .addOption(namespaceOption())
    .option("--file <path>", "keys from a file, one a line")
    .option("--like <url>", "keys that this node keeps copies of: after a restart, those of one that went on")
    .option("--limit <n>", "at most so many", wholeNumber("--limit", 1, 1_000_000), defaultLimit)
    .description("load keys from the namespace's origin, and have the asked node keep copies of them")
    .action(async (given: readonly string[], options: WarmOptions, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { namespace = "default" } = options;
      const keys = await keysOf(api, given, namespace, options);
      const total = { loaded: 0, stored: 0, absent: 0, failed: [] as WarmedAnswer["failed"][number][] };
      let told = 0;
      for (let from = 0; from < keys.length; from += keysPerCall) {
        const some = keys.slice(from, from + keysPerCall);
        const warmed = (await api.call("POST", "/v1/cache-warm", { namespace, keys: some })) as WarmedAnswer;
        total.loaded += warmed.loaded;
        total.stored += warmed.stored;
        total.absent += warmed.absent;
        total.failed.push(...warmed.failed);
        const done = from + some.length;
        // A line for each tenth, and one at the end.
        if (done * 10 < (told + 1) * keys.length && done < keys.length) continue;
        told = Math.floor((done * 10) / keys.length);
        output.say(
          `${done} of ${keys.length} keys: ${total.loaded} loaded, ${total.stored} there already, ${total.absent} without a value`,
        );
      }
      report(output, namespace, keys.length, total);
    });
}

function report(output: Output, namespace: string, count: number, total: WarmedAnswer): void {
  const { absent, failed, loaded, stored } = total;
  output.result(
    "cache-warmed",
    { namespace, keys: count, loaded, stored, absent, failed },
    () => `${loaded + stored} of ${count} keys are warm.`,
  );
  const [first] = failed;
  if (first === undefined) return;
  throw new CliError({
    code: first.code,
    exitCode: exitCodes.unavailable,
    what: `${failed.length} of ${count} keys could not be read, ${printable(first.key)} first.`,
    why: first.detail,
    next: "do it again when that is mended: keys that are warm cost little",
  });
}

/** Each once, in their order. */
async function keysOf(
  api: Api,
  given: readonly string[],
  namespace: string,
  { file, like, limit }: WarmOptions,
): Promise<readonly string[]> {
  const sources = [given.length > 0, file !== undefined, like !== undefined].filter(Boolean).length;
  if (sources !== 1) throw usageError("Say which keys: names, --file or --like, and one of them only.", "trivet cache warm item:1 item:2");
  const found = file !== undefined ? keysIn(file) : like !== undefined ? await keysAt(api, like, namespace, limit) : given;
  const keys = [...new Set(found)];
  if (keys.length > limit) throw usageError(`${keys.length} keys are more than --limit ${limit}.`, `--limit ${keys.length}`);
  return keys;
}

function keysIn(path: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw usageError(
      `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      "--file PATH, with one key a line",
    );
  }
  return text.split(/\r?\n/).filter((line) => line !== "");
}

async function keysAt(api: Api, url: string, namespace: string, limit: number): Promise<readonly string[]> {
  const keys: string[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(keysPerPage) });
    if (cursor !== null) query.set("cursor", cursor);
    const answer = await api.ask(url.replace(/\/+$/, ""), `/v1/cache-state?${query.toString()}`);
    if ("problem" in answer || answer.status !== 200) {
      const why = "problem" in answer ? answer.problem : `it answered ${answer.status}`;
      throw usageError(`${url} does not say what it keeps: ${why}`, "--like URL, of a node that is up");
    }
    const state = answer.body as CacheStateAnswer;
    for (const copy of state.keys) if (copy.namespace === namespace && copy.state !== "I") keys.push(copy.key);
    cursor = state.next_cursor;
  } while (cursor !== null && keys.length < limit);
  return keys.slice(0, limit);
}
