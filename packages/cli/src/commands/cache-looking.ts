import { exitCodes } from "@trivet/contract";
import type { Command } from "commander";
import type { CacheCopyAnswer, CacheStateAnswer, ExplainedAnswer, VerifiedAnswer } from "../api/cache-answers.ts";
import type { Api } from "../api/http.ts";
import { toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { milliseconds, printable, table, type Output } from "../output/output.ts";
import { keyPath, namespaceOption } from "./cache-fields.ts";
import { wholeNumber } from "./fields.ts";

/** Verbs that say where copies are and whether all is right. */
export function registerCacheLooking(cache: Command, context: Context): void {
  cache
    .command("explain")
    .argument("<key>")
    .addOption(namespaceOption())
    .description("version, home, owner, sharers, leases and last changes of a key")
    .action(async (key: string, options: { namespace?: string }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const explained = (await api.call("GET", keyPath(key, options, "", { explain: "1" }))) as ExplainedAnswer;
      output.result("cache-explained", { explained }, () => explainedText(output, explained));
    });

  cache
    .command("verify")
    .description("check the invariants of all copies over all nodes; exit code 1 when one does not hold")
    .action(async (_options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const verified = (await api.call("GET", "/v1/cache-verify")) as VerifiedAnswer;
      output.result("cache-verified", { ...verified }, () => verifiedText(output, verified));
      if (!verified.ok) throw verified.violations.length > 0 ? incoherent(verified) : unverified(verified);
    });

  cache
    .command("ls")
    .option("--limit <n>", "at most so many", wholeNumber("--limit", 1, 100_000), 100)
    .description("copies that the asked node keeps, with its numbers")
    .action(async (options: { limit: number }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { copies, more, state } = await listCopies(api, options.limit);
      output.result("cache-state", { ...state, keys: copies, more }, () =>
        copies.length === 0 ? "No copies.\n" : copyTable(output, copies),
      );
      const { hits, misses, hit_ratio: ratio } = state.statistics;
      output.say(
        `${state.node_id}: ${state.entries} of ${state.max_entries} copies, ${state.bytes} bytes, ${state.policy}; ${hits} hits, ${misses} misses (${(ratio * 100).toFixed(1)} %).`,
      );
      if (more) output.say(`Showing ${copies.length}; --limit shows more.`);
    });
}

function incoherent({ violations, silent }: VerifiedAnswer): CliError {
  return new CliError({
    code: "cache_incoherent",
    exitCode: exitCodes.failure,
    what: `${violations.length} invariants of the cache do not hold.`,
    why: silent.length === 0 ? "" : `Nothing is known of ${silent.join(", ")}, which did not answer.`,
    next: "this is a fault in Trivet: report it with the output of trivet cache explain KEY",
  });
}

function unverified({ keys_checked: checked, truncated = [] }: VerifiedAnswer): CliError {
  return new CliError({
    code: "cache_unverified",
    exitCode: exitCodes.failure,
    what: "Not all copies were looked at.",
    why: `${truncated.join(", ")} ${truncated.length === 1 ? "has" : "have"} more than are looked at of one node; nothing is wrong with the ${checked} keys that were.`,
    next: "look at single keys with trivet cache explain KEY, or keep fewer copies (CACHE_CAPACITY)",
  });
}

function verifiedText(output: Output, { ok, keys_checked: checked, violations }: VerifiedAnswer): string {
  if (ok) return `All is right: ${checked} keys checked on all nodes.\n`;
  if (violations.length === 0) return `Nothing is wrong with ${checked} keys; there are more.\n`;
  const rows = violations.map(({ invariant, namespace, key, detail }) => [
    invariant,
    printable(namespace),
    printable(key),
    printable(detail),
  ]);
  return table(["INVARIANT", "NAMESPACE", "KEY", "DETAIL"], rows, output.paint);
}

function explainedText(output: Output, explained: ExplainedAnswer): string {
  const { paint } = output;
  const sharers = new Map(explained.sharers.map((sharer) => [sharer.node, sharer]));
  const lines = [
    `${paint.bold(printable(explained.key))} in ${printable(explained.namespace)}: version ${explained.version}${
      explained.version === "0" ? " (there is nothing)" : ""
    }${explained.ttl_ms === null ? "" : `, gone in ${milliseconds(explained.ttl_ms)}`}`,
    `Home: ${explained.home}, leader of shard ${explained.shard} in term ${explained.term}, ${explained.phase}. Its directory says ${explained.directory}${
      explained.owner === null ? "" : `, owner ${explained.owner}`
    }.`,
  ];
  if (explained.tags.length > 0) lines.push(`Tags: ${explained.tags.map(printable).join(", ")}`);
  if (explained.queued > 0 || explained.waiting_for.length > 0)
    lines.push(
      `${explained.queued} operations wait${explained.waiting_for.length === 0 ? "" : `, for ${explained.waiting_for.join(", ")}`}.`,
    );
  const { behind } = explained;
  if (behind !== undefined && behind !== null) {
    const what = behind.deleted ? "its deletion" : `version ${behind.version}`;
    lines.push(`The origin is behind: ${what} is not there yet, for ${milliseconds(behind.for_ms)}.`);
  }
  const rows = explained.copies.map(({ node, state, version, lease_left_ms: lease, age_ms: age, transitions }) => [
    node,
    state,
    version,
    sharers.has(node) ? "yes" : "",
    lease === 0 ? "" : milliseconds(lease),
    state === "I" ? "" : milliseconds(age),
    transitions.map(({ from, to }) => `${from}→${to}`).join(" "),
  ]);
  lines.push("", table(["NODE", "STATE", "VERSION", "IN DIRECTORY", "LEASE LEFT", "AGE", "LAST CHANGES"], rows, paint));
  // Holders that are no nodes: near caches of programs.
  const others = explained.sharers.filter(({ node }) => !explained.copies.some((copy) => copy.node === node));
  if (others.length > 0) lines.push("", `Other holders: ${others.map(({ node }) => printable(node)).join(", ")}`);
  if (explained.silent.length > 0) lines.push("", `No answer from ${explained.silent.join(", ")}.`);
  return `${lines.join("\n")}\n`;
}

const pageSize = 500;

async function listCopies(
  api: Api,
  limit: number,
): Promise<{ readonly copies: readonly CacheCopyAnswer[]; readonly more: boolean; readonly state: CacheStateAnswer }> {
  const copies: CacheCopyAnswer[] = [];
  let cursor: string | null = null;
  for (;;) {
    const query = new URLSearchParams({ limit: String(Math.min(pageSize, limit - copies.length)) });
    if (cursor !== null) query.set("cursor", cursor);
    const state = (await api.call("GET", `/v1/cache-state?${query.toString()}`)) as CacheStateAnswer;
    copies.push(...state.keys);
    cursor = state.next_cursor;
    if (cursor === null || copies.length >= limit) return { copies, more: cursor !== null, state };
  }
}

function copyTable(output: Output, copies: readonly CacheCopyAnswer[]): string {
  const rows = copies.map(({ namespace, key, state, version, age_ms: age }) => [
    printable(namespace),
    printable(key),
    state,
    version,
    milliseconds(age),
  ]);
  return table(["NAMESPACE", "KEY", "STATE", "VERSION", "AGE"], rows, output.paint);
}
