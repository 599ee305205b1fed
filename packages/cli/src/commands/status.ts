import { exitCodes } from "@trivet/contract";
import type { Command } from "commander";
import { setTimeout as pause } from "node:timers/promises";
import type { MemberAnswer, RaftStatusAnswer } from "../api/answers.ts";
import { noAnswer, type Api } from "../api/http.ts";
import { toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { table, type Output } from "../output/output.ts";

const refreshMs = 1_000;

/** One line of `trivet status`: a member, and what it says about itself. */
export interface NodeRow {
  readonly node: string;
  readonly address: string;
  readonly role: string;
  readonly term: number | null;
  readonly leader: string | null;
  readonly commit_index: string | null;
  readonly applied_index: string | null;
  /** Entries the node's commit index is behind the leader's; null = not known. */
  readonly trails_leader_by: number | null;
  readonly problem: string | null;
}

export interface ClusterStatus {
  readonly leader: string | null;
  readonly term: number;
  readonly healthy: boolean;
  /** So many more voters may fail before there is no majority. */
  readonly may_fail: number;
  readonly verdict: string;
  readonly nodes: readonly NodeRow[];
}

export function registerStatus(program: Command, context: Context): void {
  program
    .command("status")
    .description("every node with its role, term and how far it is behind the leader")
    .option("-w, --watch", "show it again every second until Ctrl-C")
    .addHelpText("after", "\nExit code 0 when the cluster has a leader, 69 when it has none or no node answers.")
    .action(async (options: { watch?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      if (options.watch) return watch(context, output, api);
      const status = await clusterStatus(api);
      print(output, status);
      if (status.leader === null) throw noLeader(status);
    });
}

async function watch(context: Context, output: Output, api: Api): Promise<void> {
  let shown = "";
  while (!context.signal.aborted) {
    let text: string;
    try {
      const status = await clusterStatus(api);
      if (output.json) print(output, status);
      text = statusText(output, status);
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      if (output.json) output.fail(error);
      text = `${error.message}\n${error.why}\n`;
    }
    if (!output.json && (output.interactive || text !== shown)) {
      // Clear and redraw for a person; a pipe gets a new block only when something changed.
      context.streams.stdout.write(output.interactive ? `\u001b[H\u001b[2J${text}\n(every second; Ctrl-C ends)\n` : `${text}\n`);
      shown = text;
    }
    await pause(refreshMs, undefined, { signal: context.signal }).catch(() => undefined);
  }
}

/** Asks every member for its own view; members come from the first node that answers. */
export async function clusterStatus(api: Api): Promise<ClusterStatus> {
  const silent: string[] = [];
  for (const url of api.urls) {
    const answer = await api.ask(url, "/v1/raft/status");
    if ("problem" in answer || answer.status !== 200) {
      silent.push(`${url}: ${"problem" in answer ? answer.problem : `answered ${answer.status}`}`);
      continue;
    }
    return collect(api, url, answer.body as RaftStatusAnswer);
  }
  throw noAnswer(silent);
}

async function collect(api: Api, url: string, first: RaftStatusAnswer): Promise<ClusterStatus> {
  const views = await Promise.all(
    first.members.map(async (member): Promise<{ member: MemberAnswer; address: string; view: RaftStatusAnswer | string }> => {
      if (member.self) return { member, address: member.url ?? url, view: first };
      const address = member.url ?? first.peers.find((peer) => peer.node === member.node)?.address ?? "";
      if (!address) return { member, address, view: "its address is not known" };
      const answer = await api.ask(address, "/v1/raft/status");
      if ("problem" in answer) return { member, address, view: answer.problem };
      return { member, address, view: answer.status === 200 ? (answer.body as RaftStatusAnswer) : `answered ${answer.status}` };
    }),
  );
  const leaderView = views.map(({ view }) => view).find((view) => typeof view !== "string" && view.role === "leader");
  const leader = typeof leaderView === "object" ? leaderView.node_id : null;
  const nodes = views.map(({ member, address, view }) => row(member, address, view, typeof leaderView === "object" ? leaderView : null));
  const silentCount = nodes.filter((node) => node.problem !== null).length;
  const term = Math.max(first.term, ...nodes.map((node) => node.term ?? 0));
  const healthy = leader !== null && silentCount === 0;
  const voters = nodes.filter((_node, index) => first.members[index]?.kind === "voter");
  const mayFail = Math.max(0, voters.filter((node) => node.problem === null).length - (Math.floor(voters.length / 2) + 1));
  return { leader, term, healthy, may_fail: mayFail, verdict: verdictOf(leader, term, nodes.length, silentCount, mayFail), nodes };
}

function row(member: MemberAnswer, address: string, view: RaftStatusAnswer | string, leader: RaftStatusAnswer | null): NodeRow {
  if (typeof view === "string") {
    const unknown = { term: null, leader: null, commit_index: null, applied_index: null, trails_leader_by: null };
    return { node: member.node, address, role: member.kind === "learner" ? "learner" : "silent", ...unknown, problem: view };
  }
  return {
    node: member.node,
    address,
    role: view.role,
    term: view.term,
    leader: view.leader,
    commit_index: view.commit_index,
    applied_index: view.applied_index,
    trails_leader_by: leader === null ? null : Math.max(0, Number(BigInt(leader.commit_index) - BigInt(view.commit_index))),
    problem: view.phase === "running" ? null : `${view.phase}: ${view.phase_detail}`,
  };
}

function verdictOf(leader: string | null, term: number, nodes: number, silent: number, mayFail: number): string {
  if (leader === null) return `No leader: ${nodes - silent} of ${nodes} nodes answer; locks cannot be granted until a majority elects one.`;
  if (silent > 0) return `Working with ${nodes - silent} of ${nodes} nodes; leader ${leader} in term ${term}; ${mayFail} more may fail.`;
  return `Healthy: ${nodes} ${nodes === 1 ? "node" : "nodes"}, leader ${leader} in term ${term}; ${mayFail} may fail.`;
}

function print(output: Output, status: ClusterStatus): void {
  output.result("status", { ...status }, () => statusText(output, status));
}

function statusText(output: Output, status: ClusterStatus): string {
  const { paint } = output;
  const rows = status.nodes.map((node) => [
    node.node,
    node.address,
    paintRole(output, node.role),
    String(node.term ?? ""),
    node.leader ?? "",
    node.commit_index === null ? "" : `${node.commit_index}/${node.applied_index}`,
    node.trails_leader_by === null ? "" : `${node.trails_leader_by} entries`,
    node.problem ?? "",
  ]);
  const head = ["NODE", "ADDRESS", "ROLE", "TERM", "LEADER", "COMMIT/APPLIED", "TRAILS LEADER BY", "PROBLEM"];
  const verdict = status.healthy ? paint.green(status.verdict) : paint.yellow(status.verdict);
  return `${verdict}\n\n${table(head, rows, paint)}\n`;
}

function paintRole(output: Output, role: string): string {
  if (role === "leader") return output.paint.green("leader");
  return role === "silent" ? output.paint.red(role) : role;
}

function noLeader(status: ClusterStatus): CliError {
  return new CliError({
    code: "no_leader",
    exitCode: exitCodes.unavailable,
    what: "The cluster has no leader.",
    why: status.nodes
      .filter((node) => node.problem !== null)
      .map((node) => `${node.node} ${node.address}: ${node.problem}`)
      .join("\n"),
    next: "start the silent nodes, or wait for the election: trivet status --watch",
  });
}
