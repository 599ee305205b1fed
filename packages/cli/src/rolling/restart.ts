import { exitCodes } from "@trivet/contract";
import { setTimeout as pause } from "node:timers/promises";
import type { MemberAnswer } from "../api/answers.ts";
import type { Api } from "../api/http.ts";
import { CliError, usageError } from "../output/errors.ts";
import { type AddressOf, type Sight, Wholeness } from "./wholeness.ts";

/** Between two looks at the cluster. */
const lookEveryMs = 250;

export interface RollingRestart {
  readonly api: Api;
  readonly addressOf: AddressOf;
  /** Only these; empty = all members. */
  readonly only: readonly string[];
  /** How long the cluster may take to be whole again after each node. */
  readonly waitMs: number;
  /** Stops and starts the node. Gives the exit code of what was run, or why it could not be run. */
  readonly restart: (member: MemberAnswer) => Promise<number | string>;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Restarts the members one after the other, the leader of group 0 last, so that it is handed over once. Before each one the cluster is whole: then a
 * majority of every group is left while it is away. Whatever is not as it should be ends it; nothing is stopped on top of a fault.
 */
export async function restartAll(task: RollingRestart): Promise<readonly string[]> {
  const done: string[] = [];
  let sight = await untilWhole(task, new Wholeness(task.api, task.addressOf), "Nothing was restarted", done);
  if (sight.tooFew !== null) throw wouldStandStill(sight.tooFew);
  const unknown = task.only.find((name) => !sight.members.some(({ node }) => node === name));
  if (unknown !== undefined) throw usageError(`${unknown} is not a member of this cluster.`, "trivet member list");
  const open = new Set(task.only.length > 0 ? task.only : sight.members.map(({ node }) => node));
  while (open.size > 0) {
    const next = nextOf(sight, open);
    if (next === undefined) throw usageError(`${[...open].join(", ")} left the cluster meanwhile.`, "trivet member list");
    open.delete(next.node);
    const before = await startedAt(task, next);
    task.say(`${next.node}: restarting…`);
    const outcome = await task.restart(next);
    if (outcome !== 0) throw commandFailed(next.node, outcome, done, open);
    await untilStartedAgain(task, next, before, done, open);
    sight = await untilWhole(task, new Wholeness(task.api, task.addressOf), `${next.node} was restarted, and`, [...done, next.node]);
    done.push(next.node);
    task.say(`${next.node}: back, caught up in all groups; leaders are where they belong.`);
  }
  return done;
}

/** By name, the leader last: each one more that were stopped as leader would be one hand-over more. */
function nextOf(sight: Sight, open: ReadonlySet<string>): MemberAnswer | undefined {
  const left = sight.members.filter(({ node }) => open.has(node)).sort((a, b) => (a.node < b.node ? -1 : 1));
  return left.find(({ node }) => node !== sight.leader) ?? left[0];
}

async function untilWhole(task: RollingRestart, wholeness: Wholeness, prefix: string, done: readonly string[]): Promise<Sight> {
  const begun = performance.now();
  for (;;) {
    const sight = await wholeness.look();
    if (sight.problems.length === 0) return sight;
    if (performance.now() - begun > task.waitMs) {
      throw stopped(`${prefix}: the cluster is not whole after ${seconds(task.waitMs)}.`, sight.problems.join("\n"), done);
    }
    await rest(task, done);
  }
}

async function startedAt({ api, addressOf }: RollingRestart, member: MemberAnswer): Promise<string | null> {
  const address = addressOf(member);
  const answer = address === null ? { problem: "no address" } : await api.ask(address, "/v1/health/live");
  if ("problem" in answer || answer.status !== 200) return null;
  return (answer.body as { readonly started_at?: string }).started_at ?? null;
}

/** A command that restarts something else, or nothing, must not pass for a restart. */
async function untilStartedAgain(
  task: RollingRestart,
  member: MemberAnswer,
  before: string | null,
  done: readonly string[],
  open: ReadonlySet<string>,
): Promise<void> {
  const begun = performance.now();
  for (;;) {
    const now = await startedAt(task, member);
    if (now !== null && now !== before) return;
    if (performance.now() - begun > task.waitMs) {
      const why =
        now === null ? "It does not answer." : `It is the process that began at ${now}, as before: the command did not restart it.`;
      const rest = open.size === 0 ? "" : ` ${[...open].join(", ")} was not touched.`;
      throw stopped(`${member.node} did not come back within ${seconds(task.waitMs)}; the restart ends here.`, why + rest, done);
    }
    await rest(task, done);
  }
}

async function rest({ signal }: RollingRestart, done: readonly string[]): Promise<void> {
  await pause(lookEveryMs, undefined, { signal }).catch(() => undefined);
  if (signal.aborted) throw stopped("Interrupted.", "Nothing more is restarted.", done);
}

function stopped(what: string, why: string, done: readonly string[]): CliError {
  const so = done.length === 0 ? "" : `\nRestarted so far: ${done.join(", ")}.`;
  return new CliError({
    code: "not_whole",
    exitCode: exitCodes.unavailable,
    what,
    why: why + so,
    next: "look at the node's log and trivet status; when the cluster is whole, go on with --only NODE,NODE",
    details: { restarted: done },
  });
}

function commandFailed(node: string, outcome: number | string, done: readonly string[], open: ReadonlySet<string>): CliError {
  const how = typeof outcome === "number" ? `ended with code ${outcome}` : `did not run: ${outcome}`;
  const untouched = open.size === 0 ? "" : ` ${[...open].join(", ")} was not touched.`;
  return stopped(`The command that restarts ${node} ${how}; the restart ends here.`, `What it printed stands above.${untouched}`, done);
}

function wouldStandStill(why: string): CliError {
  return new CliError({
    code: "no_margin",
    exitCode: exitCodes.unavailable,
    what: "This cluster cannot restart a node without standing still; nothing was restarted.",
    why: `${why}.`,
    next: "add a node first (trivet member add), or stop and start the nodes by hand at a quiet hour",
  });
}

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;
