import { exitCodes } from "@trivet/contract";
import { type Command, InvalidArgumentError } from "commander";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Api } from "../api/http.ts";
import { toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { printable, table, type Output } from "../output/output.ts";
import { readLog } from "./audit-files.ts";
import { type Anchor, anchorsIn } from "./audit-printed.ts";

interface VerifyOptions {
  readonly anchor: readonly Anchor[];
  readonly anchorsOf: readonly string[];
  readonly former: readonly string[];
  readonly lost: readonly string[];
  readonly node?: string;
  readonly offline?: boolean;
}
// The chain is the server's; it is loaded only when one of these verbs runs.
const loadServer = () => import("@trivet/server");
type Server = Awaited<ReturnType<typeof loadServer>>;
type ClusterAudit = Parameters<Server["compareWithCluster"]>[0];
type Verdict = ReturnType<Server["verifyAudit"]>;

/** Files of one log in their order, and what is to be found in them. */
interface CheckedLog {
  readonly paths: readonly string[];
  readonly file: string;
  readonly verdict: Verdict;
}

export function registerAudit(program: Command, context: Context): void {
  const audit = program
    .command("audit")
    .description("the audit log of a node (AUDIT_LOG): what was administered and what was refused there");

  audit
    .command("verify")
    .argument(
      "[files...]",
      "the log, or its files in their order; AUDIT_LOG when not given. Of one file, what was put aside of it is checked as well",
    )
    .option("--anchor <seq:code>", "an anchor that the node printed to its ordinary log (repeatable)", anchorOption, [])
    .option("--anchors-of <file>", "an ordinary log of the node; all anchors in it are taken (repeatable)", fileOption, [])
    .option("--former <file>", "a log of the node from before it was begun anew (repeatable)", fileOption, [])
    .option("--lost <chain>", "a chain of the node whose log is known to be lost; it is not asked for (repeatable)", fileOption, [])
    .option("--node <id>", "the node whose log it must be; when not given NODE_ID for the file that AUDIT_LOG names, else as the log says")
    .option("--offline", "do not ask the cluster for anchors")
    .description(
      "check that no line was changed, moved or left out; against the anchors in the cluster (--url), that none is missing at the end and that no other log " +
        "was put in its place. Needs AUDIT_KEY",
    )
    .addHelpText(
      "after",
      "\nExit code 13 when something is wrong with the log; 69 when a cluster that was named (--url, TRIVET_URL) cannot be asked.",
    )
    .action((files: readonly string[], options: VerifyOptions, command: Command) => verify(context, files, options, command));

  audit
    .command("anchors")
    .description("what the cluster has of the nodes' audit logs: the newest anchor of each")
    .action(async (_options: unknown, command: Command) => {
      const { api, output } = toolsOf(context, command);
      const answer = (await api.call("GET", "/v1/audit/anchors")) as ClusterAudit;
      output.result("audit-anchors", { ...answer }, () => anchorsTable(answer, output));
    });

  audit
    .command("tail")
    .argument("[file]", "the log; AUDIT_LOG when not given")
    .option("-n, --lines <count>", "so many records from the end", countOption, 20)
    .description("the last records, unchecked")
    .action((file: string | undefined, options: { lines: number }, command: Command) => {
      const { output } = toolsOf(context, command);
      const lines = read(pathOf(context, file))
        .split("\n")
        .filter((line) => line !== "")
        .slice(-options.lines);
      output.result("audit", { records: lines.map(recordOf) }, () => lines.map(printable).join("\n"));
    });
}

async function verify(context: Context, files: readonly string[], options: VerifyOptions, command: Command): Promise<void> {
  const { api, output } = toolsOf(context, command);
  const key = context.env["AUDIT_KEY"];
  if (!key) throw missing("AUDIT_KEY is not set.", "The lines are sealed with it.", "AUDIT_KEY=… trivet audit verify FILE");
  const server = await loadServer();
  // Before the files are read: what is anchored by now is in them then.
  const wasNamed = isNamed(context, command);
  const asked = options.offline ? "it was not asked (--offline)" : await askCluster(api, wasNamed);
  const answered = typeof asked === "string" ? null : asked;
  const printed = [...options.anchor, ...options.anchorsOf.flatMap(anchorsOfFile)];
  const plain = printed.filter(({ chain }) => chain === null);
  const ofChains = byChain(printed, answered === null ? new Map() : server.anchorsOfChains(answered));
  const named = files.length > 0 ? files : [pathOf(context, undefined)];
  if (answered !== null && named.every((path) => !existsSync(path))) throw gone(answered, named, options.node ?? context.env["NODE_ID"]);
  const check = async (given: readonly string[], anchors: readonly Anchor[]): Promise<CheckedLog> => {
    const [first = ""] = given;
    const list = (): readonly string[] => (given.length === 1 ? [...server.setAside(first), first] : given);
    const { paths, texts } = await readLog({ list, read, wait });
    const verdict = server.verifyAudit(key, texts, anchors, ofChains);
    const log = { paths, file: paths.at(-1) ?? first, verdict };
    if (!verdict.ok) throw broken(log);
    return log;
  };
  const former: CheckedLog[] = [];
  for (const path of options.former) former.push(await check([path], []));
  const log = await check(named, plain);
  const all = [...former, log];
  const owner = options.node ?? ownerOf(context, named) ?? null;
  // Whoever says whose log it is asks what the cluster knows of that node's.
  const isOthers = answered !== null && !wasNamed && owner === null && !knowsAnyOf(answered, all);
  const cluster = isOthers ? null : answered;
  const compared = cluster === null ? null : server.compareWithCluster(cluster, all, options.lost, owner);
  const foreign = server.logsOfOthers(all, owner ?? log.verdict.node);
  const faults = [...otherLogs(printed, all, options.lost), ...(compared?.faults ?? foreign)];
  if (faults.length > 0) throw notWhatIsKnown(log.file, log.verdict.records, faults);
  const problem = isOthers ? strangers : typeof asked === "string" ? asked : null;
  const notes = [...(compared?.notes ?? []), ...whatIsNotKnown(log.verdict, printed.length, problem)];
  const { chain, first, head, met, node, records } = log.verdict;
  const value = { ok: true, node, chain, files: log.paths, begins_at: first, records, anchors: printed.length, anchors_met: met, head };
  output.result("audit-verdict", { ...value, cluster: { asked: cluster !== null, problem }, former: former.map(formerOf), notes }, () =>
    [...all.map(asText), ...notes].join("\n"),
  );
}

/** A file without any would be taken for one whose anchors were all met. */
function anchorsOfFile(path: string): readonly Anchor[] {
  const found = anchorsIn(read(path));
  if (found.length > 0) return found;
  const how = "Lines count as the node wrote them, behind what Compose or a journal puts before each.";
  throw missing(
    `${path} has no line of audit.anchor.`,
    how,
    "give NODE.log of the node's LOG_DIR, or what `docker compose logs` or `kubectl logs` prints, without --prefix",
  );
}

/** In a node's own environment its own log is meant. */
function ownerOf({ env }: Context, paths: readonly string[]): string | undefined {
  const own = env["AUDIT_LOG"];
  return own && paths.some((path) => resolve(path) === resolve(own)) ? env["NODE_ID"] || undefined : undefined;
}

const formerOf = ({ paths, verdict }: CheckedLog): Readonly<Record<string, unknown>> => ({
  files: paths,
  chain: verdict.chain,
  records: verdict.records,
  head: verdict.head,
});

function asText({ paths, verdict }: CheckedLog): string {
  const { head, met, node, records } = verdict;
  const anchors = met === 0 ? "" : `; ${met} ${met === 1 ? "anchor was" : "anchors were"} met`;
  return `${paths.join(", ")}: log of ${node ?? "no node"}, ${records} records, none changed${anchors}. The last is ${head.seq}:${head.mac}`;
}

/** What stays unsaid, so that nobody takes it for said. */
function whatIsNotKnown({ first }: Verdict, printed: number, problem: string | null): string[] {
  const unasked = `The anchors in the cluster were not compared: ${problem ?? ""}.`;
  return [
    ...(first === 1 ? [] : [`They begin with record ${first}; what was before is in files that were not given.`]),
    ...(problem === null ? [] : [unasked]),
    ...(problem === null || printed > 0
      ? []
      : ["No anchor was given, so neither a missing end nor another log in its place would be noticed (--url, or --anchors-of LOG)."]),
  ];
}

/** Named by the person, who wants it asked: then no answer is a failure. */
function isNamed(context: Context, command: Command): boolean {
  return command.optsWithGlobals<{ url?: string }>().url !== undefined || Boolean(context.env["TRIVET_URL"]);
}

/** At the usual addresses another cluster may be than the one whose logs these are: it says nothing of them then. */
const strangers = "the cluster at the usual addresses of this machine knows none of these logs (--url names theirs)";

function knowsAnyOf({ nodes }: ClusterAudit, logs: readonly CheckedLog[]): boolean {
  const known = new Set<string | null>(nodes.flatMap((audited) => audited.logs.map(({ chain }) => chain)));
  return logs.some(({ verdict }) => known.has(verdict.chain));
}

/** Text = why it has not answered. */
async function askCluster(api: Api, mustAnswer: boolean): Promise<ClusterAudit | string> {
  try {
    const answer = (await api.call("GET", "/v1/audit/anchors")) as Partial<ClusterAudit>;
    // At the usual addresses something else may listen.
    return Array.isArray(answer.nodes) ? (answer as ClusterAudit) : "what answers is no node";
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    if (error.code === "not_found") return "the nodes are of a version that has none";
    if (mustAnswer) throw error;
    return error.code === "no_answer" ? "no node answers at the usual addresses of this machine (--url)" : error.message.replace(/\.$/, "");
  }
}

/** What the node printed of logs that are not among these: one was begun anew, or put in another one's place. */
function otherLogs(printed: readonly Anchor[], logs: readonly CheckedLog[], lost: readonly string[]): string[] {
  const known = new Set<string | null>([null, ...lost, ...logs.map(({ verdict }) => verdict.chain)]);
  const others = new Map(printed.filter(({ chain }) => !known.has(chain)).map(({ chain, seq }) => [chain, seq]));
  return [...others].map(
    ([chain, seq]) =>
      `the node has printed anchors of another log (chain ${chain ?? ""}), up to its record ${seq}, which is not among these`,
  );
}

/** Anchors of all sources: two of one record that differ are for the check to find. */
function byChain(
  printed: readonly Anchor[],
  inCluster: ReadonlyMap<string, readonly { readonly seq: number; readonly mac: string }[]>,
): ReadonlyMap<string, readonly { readonly seq: number; readonly mac: string }[]> {
  const all = new Map([...inCluster].map(([chain, anchors]) => [chain, [...anchors]]));
  for (const { chain, seq, mac } of printed) if (chain !== null) all.set(chain, [...(all.get(chain) ?? []), { seq, mac }]);
  return all;
}

function broken({ file, paths, verdict }: CheckedLog): CliError {
  const where = verdict.file === null ? file : (paths.at(verdict.file) ?? file);
  return wrong(
    verdict.line === null ? `${where}: ${verdict.fault}.` : `${where}, line ${verdict.line}: ${verdict.fault}.`,
    `The ${verdict.records} records before it are as they were written.`,
    { file: where, line: verdict.line, records: verdict.records },
  );
}

function notWhatIsKnown(file: string, records: number, faults: readonly string[]): CliError {
  const [first = "", ...more] = faults;
  const what = `${first.slice(0, 1).toUpperCase()}${first.slice(1)}.`;
  return wrong(what, more.map((fault) => `${fault}.`).join("\n"), { file, line: null, records, faults });
}

/** No file, where the cluster knows of one. */
function gone({ nodes }: ClusterAudit, paths: readonly string[], node: string | undefined): CliError {
  const where = paths.join(", ");
  if (node === undefined)
    return missing(
      `${where} is not there.`,
      "Which node's log it was is not known, so the cluster cannot be asked about it.",
      "--node ID, or name the file",
    );
  const known = nodes
    .find((one) => one.node === node)
    ?.logs.map(({ anchors, chain }) => `chain ${chain} up to record ${anchors.at(-1)?.seq ?? 0}`);
  if (known === undefined || known.length === 0)
    return missing(
      `${where} is not there.`,
      `The cluster has no anchor of an audit log of ${node}.`,
      "name the file that AUDIT_LOG of the node names",
    );
  const faults = [`the audit log of ${node} is gone: ${where} is not there, and the cluster has anchors of it (${known.join("; ")})`];
  return notWhatIsKnown(where, 0, faults);
}

const wrong = (what: string, why: string, details: Readonly<Record<string, unknown>>): CliError =>
  new CliError({
    code: "audit_broken",
    exitCode: exitCodes.conflict,
    what,
    why,
    next: "keep the files; compare them with the anchors in the node's ordinary log (audit.anchor) and with what other nodes say. A log that was begun anew on purpose: give the one before it (--former FILE)",
    details,
  });

function anchorsTable({ anchoring, nodes }: ClusterAudit, { paint }: Output): string {
  const rows = nodes.flatMap(({ logs, logs_begun: begun, member, node }) =>
    logs.map(({ anchors, chain, number }) => {
      const newest = anchors.at(-1);
      const at = newest === undefined ? "" : new Date(newest.at_ms).toISOString();
      return [node, member ? "" : "removed", `${number} of ${begun}`, newest?.seq ?? "", at, chain];
    }),
  );
  const none = anchoring
    ? "No node has anchored an audit log (AUDIT_LOG)."
    : "Not every member of the cluster knows anchors yet (feature level 6).";
  return rows.length === 0 ? none : table(["node", "", "log", "record", "anchored", "chain"], rows, paint);
}

function pathOf(context: Context, file: string | undefined): string {
  const path = file ?? context.env["AUDIT_LOG"];
  if (!path) throw missing("No audit log is named.", "", "trivet audit verify FILE, or AUDIT_LOG=FILE");
  return path;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw missing(
      `${path} cannot be read.`,
      error instanceof Error ? error.message : String(error),
      "name the file that AUDIT_LOG of the node names",
    );
  }
}

function recordOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return { line };
  }
}

const missing = (what: string, why: string, next: string): CliError =>
  new CliError({ code: "configuration", exitCode: exitCodes.configuration, what, why, next });

function anchorOption(text: string, before: readonly Anchor[]): readonly Anchor[] {
  const match = /^([0-9]{1,15}):([0-9a-f]{64})$/.exec(text);
  if (match === null) throw new InvalidArgumentError("An anchor is NUMBER:CODE, as in the line audit.anchor of the node's log.");
  return [...before, { seq: Number(match[1]), mac: match[2] ?? "", chain: null }];
}

const fileOption = (text: string, before: readonly string[]): readonly string[] => [...before, text];

function countOption(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 100_000)
    throw new InvalidArgumentError("It must be a whole number from 1 to 100000.");
  return count;
}
