import { type Command, Option } from "commander";
import type { CacheEntryAnswer, CacheWrittenAnswer } from "../api/cache-answers.ts";
import { toolsOf, confirm, type Context } from "../context.ts";
import { usageError } from "../output/errors.ts";
import { milliseconds, printable } from "../output/output.ts";
import { registerCacheLooking } from "./cache-looking.ts";
import { registerNamespaces } from "./cache-namespaces.ts";
import { registerWarm } from "./cache-warm.ts";
import { keyPath, namespaceOption } from "./cache-fields.ts";
import { bodyOf, given, wholeNumber } from "./fields.ts";

const maxDurationMs = 2_147_483_647;
const safe = Number.MAX_SAFE_INTEGER;

export function registerCache(program: Command, context: Context): void {
  const cache = program.command("cache").description("cached values: read, write, invalidate; where copies are, and whether all is right");
  registerReading(cache, context);
  registerPut(cache, context);
  registerChanging(cache, context);
  registerInvalidate(cache, context);
  registerWarm(cache, context);
  registerCacheLooking(cache, context);
  registerNamespaces(cache, context);
}

function registerReading(cache: Command, context: Context): void {
  cache
    .command("get")
    .argument("<key>")
    .addOption(namespaceOption())
    .addOption(
      new Option("--consistency <how>", "strict: a majority confirms this read; stale: what the node has").choices([
        "linearizable",
        "strict",
        "stale",
      ]),
    )
    .addOption(
      new Option("--revalidate <how>", "load it from its origin again: wait for that, or behind the answer").choices(["behind", "wait"]),
    )
    .description("read a value")
    .action(async (key: string, options: { namespace?: string; consistency?: string; revalidate?: string }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { consistency, revalidate } = options;
      const query = { ...(consistency === undefined ? {} : { consistency }), ...(revalidate === undefined ? {} : { revalidate }) };
      const entry = (await api.call("GET", keyPath(key, options, "", query))) as CacheEntryAnswer;
      output.result("cache-entry", { entry }, () => contentOf(entry));
      const left = entry.ttl_ms === null ? "" : `, gone in ${milliseconds(entry.ttl_ms)}`;
      const what = entry.found === "negative" ? "known not to exist, " : "";
      output.say(`${what}version ${entry.version}, ${entry.state}, from ${entry.source}${left}`);
    });
}

const escaped = (character: string): string => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
/** The value itself, for a program that reads on. JSON has an escape for each of the characters that must not reach a terminal. */
function contentOf({ value, value_base64: base64 }: CacheEntryAnswer): string {
  return base64 ?? JSON.stringify(value).replace(/\p{Cc}/gu, escaped);
}

interface PutOptions {
  readonly namespace?: string;
  readonly ttlMs?: number;
  readonly tag: readonly string[];
  readonly ifVersion?: number;
  readonly ifAbsent?: boolean;
}

function registerPut(cache: Command, context: Context): void {
  cache
    .command("put")
    .argument("<key>")
    .argument("<value>", "the value: JSON, or else a text")
    .addOption(namespaceOption())
    .option("--ttl-ms <ms>", "gone after so long", wholeNumber("--ttl-ms", 1, maxDurationMs))
    .option(
      "--tag <tag>",
      "to invalidate several keys in one call (repeatable)",
      (tag: string, before: readonly string[]) => [...before, tag],
      [],
    )
    .option("--if-version <n>", "only if this version is there; 0 = nothing", wholeNumber("--if-version", 0, safe))
    .option("--if-absent", "only if there is nothing")
    .description("store a value; done when no other copy can be read any more")
    .action(async (key: string, value: string, options: PutOptions, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { ttlMs, tag, ifVersion, ifAbsent } = options;
      if (ifAbsent === true && ifVersion !== undefined)
        throw usageError("--if-absent and --if-version are two conditions.", "give one of them");
      const body = {
        value: bodyOf(value),
        ...given({
          ttl_ms: ttlMs,
          tags: tag.length === 0 ? undefined : tag,
          if_version: ifVersion === undefined ? undefined : String(ifVersion),
          only_if: ifAbsent === true ? "absent" : undefined,
        }),
      };
      const answer = (await api.call("PUT", keyPath(key, options), body)) as CacheWrittenAnswer;
      output.result("cache-written", { ...answer }, () => `version ${answer.version}, ${answer.state}`);
    });
}

function registerChanging(cache: Command, context: Context): void {
  cache
    .command("del")
    .argument("<key>")
    .addOption(namespaceOption())
    .option("--if-version <n>", "only this version", wholeNumber("--if-version", 0, safe))
    .description("delete a value")
    .action(async (key: string, options: { namespace?: string; ifVersion?: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const query = options.ifVersion === undefined ? {} : { if_version: String(options.ifVersion) };
      const answer = (await api.call("DELETE", keyPath(key, options, "", query))) as { readonly deleted: boolean };
      output.result("cache-deleted", { ...answer }, () => (answer.deleted ? "Deleted." : "There was nothing."));
    });
  cache
    .command("incr")
    .argument("<key>")
    .argument("[by]", "how much; negative counts down", wholeNumber("BY", -safe, safe), 1)
    .addOption(namespaceOption())
    .option("--ttl-ms <ms>", "of a value that comes into being", wholeNumber("--ttl-ms", 1, maxDurationMs))
    .description("add to a whole number; what is absent counts as 0")
    .action(async (key: string, by: number, options: { namespace?: string; ttlMs?: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const body = given({ by, ttl_ms: options.ttlMs });
      const answer = (await api.call("POST", keyPath(key, options, "/increment"), body)) as CacheWrittenAnswer & { readonly value: number };
      output.result("cache-incremented", { ...answer }, () => String(answer.value));
    });
}

interface InvalidateOptions {
  readonly namespace?: string;
  readonly tag?: string;
  readonly all?: boolean;
  readonly yes?: boolean;
}

function registerInvalidate(cache: Command, context: Context): void {
  cache
    .command("invalidate")
    .argument("[key]", "drop the copies of this key; its stored value stays")
    .addOption(namespaceOption())
    .option("--tag <tag>", "end every value with this tag")
    .option("--all", "end every value of the namespace")
    .option("--yes", "do not ask")
    .description("drop copies, or end values by tag or namespace")
    .action(async (key: string | undefined, options: InvalidateOptions, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { namespace = "default", tag, all } = options;
      if ([key, tag, all].filter((each) => each !== undefined).length !== 1)
        throw usageError("Say what: a key, --tag or --all, and one of them only.", "trivet cache invalidate KEY");
      if (key !== undefined) {
        await api.call("POST", keyPath(key, options, "/invalidate"));
        output.result("cache-invalidated", { namespace, key }, () => "Every copy is given up; what is stored stays.");
        return;
      }
      if (all === true) await confirm(context, `Every value of namespace ${printable(namespace)} ends, for good.`, namespace, options.yes);
      const answer = (await api.call("POST", "/v1/cache-invalidate", { namespace, ...given({ tag, all }) })) as { readonly shards: number };
      output.result("cache-invalidated", { ...answer }, () => `Done on all ${answer.shards} shards; no copy can be read any more.`);
    });
}
