import { exitCodes } from "@trivet/contract";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { parseEnv } from "node:util";
import { createApi } from "../api/http.ts";
import { type Context, tokenOf } from "../context.ts";
import { CliError } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import { createNodeLines } from "./lines.ts";
import { accessIn, isLauncherOwned, nodeEnvironment, planNodes, withPeerKey, type PlannedNode, type PlanOptions } from "./plan.ts";
import { takenPorts } from "./ports.ts";
import { healthOf, waitForSampleValue, waitUntilReady, type ClusterHealth } from "./ready.ts";
import { summary, unreadyText } from "./summary.ts";
import { createSupervisor, type Supervisor } from "./supervisor.ts";

/** The promise of `npm start`: what it prints, it prints within this time after the build. */
const readyDeadlineMs = 30_000;
/** The sample values come with the leaders of the shards, within a second. */
const sampleDeadlineMs = 5_000;
/** npm passes Ctrl-C on although the terminal sent it to us as well; only a later one means "now". */
const secondSignalMs = 1_000;

export interface LaunchOptions extends PlanOptions {
  /** Show every line of the nodes. */
  readonly verbose: boolean;
}

/** Runs the cluster until a signal ends it. Resolves to the exit code. */
export async function runCluster(context: Context, output: Output, options: LaunchOptions): Promise<number> {
  const nodes = planNodes(options);
  await refuseTakenPorts(nodes);
  const dotenv = existsSync(".env") ? parseEnv(readFileSync(".env", "utf8")) : {};
  noteIgnored(output, context.env, Object.keys(dotenv));
  const access = await accessHere(context.env);
  const given = withPeerKey(context.env, access, () => randomBytes(32).toString("hex"));
  // Nodes that ask for no key are shown none.
  const token = access.asksCallers ? tokenOf(context.env) : undefined;

  const ended = new AbortController();
  let exitCode: number = exitCodes.ok;
  const verbose = options.verbose || /^(?:debug|trace)$/i.test(context.env["LOG_LEVEL"] ?? "");
  const lines = createNodeLines({ nodes, paint: output.paint, verbose });
  const progress = createProgress(context, output);
  const write = (text: string): void => progress.print(() => context.streams.stdout.write(`${text}\n`));
  const supervisor = createSupervisor(nodes, (node) => nodeEnvironment(node, nodes, given), {
    line: (node, text) => {
      const shown = lines.take(node, text);
      if (shown !== null) write(shown);
    },
    started: () => undefined,
    ended: (node, how, restartMs) => {
      for (const text of lines.lastOf(node)) write(text);
      progress.print(() => {
        const next =
          restartMs === null ? "It would end the same way again; stopping the cluster." : `Starting it again in ${restartMs} ms.`;
        output.say(`${node.id} ended ${how}. ${next}`);
      });
      if (restartMs !== null) return;
      exitCode = exitCodes.configuration;
      ended.abort();
    },
  });
  const api = createApi({ urls: nodes.map((node) => node.url), timeoutMs: 2_000, fetch: context.fetch, token: () => token });
  const stopListening = listenForSignals(output, supervisor, ended);
  try {
    output.say(`Starting ${nodes.length} nodes on ports ${nodes.map((node) => node.port).join(", ")}; data in ${options.dataDir}.`);
    supervisor.start();
    const begun = performance.now();
    const health = await waitUntilReady(api, nodes, readyDeadlineMs, ended.signal, progress.show);
    const [first] = nodes;
    // Without a key the question would be refused until the time is over.
    const mayAsk = !access.asksCallers || Boolean(token);
    if (health.ready && first !== undefined && mayAsk && hasSampleValues(context.env))
      await waitForSampleValue(api, first.url, sampleDeadlineMs, ended.signal);
    progress.clear();
    if (health.ready) lines.started();
    else if (!ended.signal.aborted) for (const node of nodes) for (const text of lines.held(node)) write(text);
    if (!ended.signal.aborted) announce(context, output, health, performance.now() - begun, options);
    await until(ended.signal);
    lines.stopping();
    await stopInOrder(output, supervisor, nodes, await leaderOf(api, nodes));
    return exitCode;
  } finally {
    stopListening();
    supervisor.kill();
  }
}

/** As the nodes read it: environment, .env, trivet.config.json. Faults are told by the nodes, which end with them. */
async function accessHere(env: NodeJS.ProcessEnv): Promise<ReturnType<typeof accessIn>> {
  const { reportConfig } = await import("@trivet/server");
  return accessIn(reportConfig({ env, ignoreInDotenv: isLauncherOwned }).rows);
}

const hasSampleValues = (env: NodeJS.ProcessEnv): boolean => !/^(?:0|false|no|off)$/i.test(env["SEED_DEMO_DATA"] ?? "");

async function refuseTakenPorts(nodes: readonly PlannedNode[]): Promise<void> {
  const taken = await takenPorts(nodes);
  if (taken.length === 0) return;
  throw new CliError({
    code: "port_in_use",
    exitCode: exitCodes.unavailable,
    what: `${taken.length === 1 ? "Port" : "Ports"} ${taken.map((node) => node.port).join(", ")} ${taken.length === 1 ? "is" : "are"} in use on 127.0.0.1.`,
    why: "Another program, or a cluster that already runs, listens there.",
    next: "npx trivet status (is it Trivet?), or npm start -- --port 8101",
  });
}

/** People copy a sample `.env` before the first start; it describes containers. Says what of it does not count here. */
function noteIgnored(output: Output, env: NodeJS.ProcessEnv, written: readonly string[]): void {
  const ignored = written.filter(isLauncherOwned);
  if (ignored.length > 0) output.say(`Not taken from .env, because this command decides it: ${ignored.join(", ")}.`);
  const others = ["TLS_MODE", "CERT_FILE", "CERT_PATH", "AUDIT_LOG"].filter((name) => env[name]);
  if (others.length > 0)
    output.say(
      `Not taken: ${others.join(", ")}. This cluster is on 127.0.0.1, speaks plain HTTP and keeps no audit log; a node that does: npm run node.`,
    );
  if (env["PORT"]) output.say(`PORT=${env["PORT"]} is for one node; for a cluster use: npm start -- --port ${env["PORT"]}`);
}

function announce(context: Context, output: Output, health: ClusterHealth, elapsedMs: number, options: PlanOptions): void {
  const where = relative(process.cwd(), resolve(options.dataDir)) || ".";
  const dataDir = where.startsWith("..") ? options.dataDir : `${where}/`;
  const logDir = `${context.env["LOG_DIR"] ?? "logs"}/`;
  if (health.ready) context.streams.stdout.write(summary(health, elapsedMs, { dataDir, logDir }, output.paint));
  else output.say(unreadyText(health));
}

async function leaderOf(api: ReturnType<typeof createApi>, nodes: readonly PlannedNode[]): Promise<string | null> {
  return (await healthOf(api, nodes)).leader;
}

// Followers first, the leader last: nobody has to elect, and calls under way find a quorum for as long as there can be one.
async function stopInOrder(output: Output, supervisor: Supervisor, nodes: readonly PlannedNode[], leader: string | null): Promise<void> {
  const order = nodes.toSorted((a, b) => Number(a.id === leader) - Number(b.id === leader));
  for (const node of order) {
    const running = supervisor.pid(node) !== null;
    await supervisor.stop(node);
    if (running) output.say(`${node.id} stopped.`);
  }
}

function listenForSignals(output: Output, supervisor: Supervisor, ended: AbortController): () => void {
  let first: number | null = null;
  const handler = (signal: NodeJS.Signals): void => {
    if (first === null) {
      first = performance.now();
      output.say(`\n${signal}: draining and stopping the nodes (again: at once).`);
      ended.abort();
    } else if (performance.now() - first > secondSignalMs) {
      supervisor.kill();
    }
  };
  const signals: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}

function until(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((done) => signal.addEventListener("abort", () => done(), { once: true }));
}

interface Progress {
  show(this: void, health: ClusterHealth, elapsedMs: number): void;
  clear(this: void): void;
  /** Prints other lines without leaving the progress line among them. */
  print(this: void, write: () => void): void;
}

/** One line that rewrites itself on a terminal; elsewhere one line per change. */
function createProgress(context: Context, output: Output): Progress {
  const live = context.streams.stderr.isTTY === true && context.env["TERM"] !== "dumb";
  let line = "";
  const erase = (): void => void (live && line !== "" && context.streams.stderr.write("\r\u001b[2K"));
  return {
    show: (health, elapsedMs) => {
      const states = health.nodes.map(
        ({ node, healthy, leader }) => `${node.id} ${healthy ? "ready" : leader === null ? "starting" : "joining"}`,
      );
      const text = `${states.join(", ")}${health.leader === null ? "; waiting for a leader" : ""}`;
      if (live) {
        erase();
        line = `${text} (${(elapsedMs / 1_000).toFixed(1)} s)`;
        context.streams.stderr.write(line);
      } else if (text !== line) {
        line = text;
        output.say(text);
      }
    },
    clear: () => {
      erase();
      line = "";
    },
    print: (write) => {
      erase();
      write();
      if (live && line !== "") context.streams.stderr.write(line);
    },
  };
}
