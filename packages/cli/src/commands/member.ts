import { type Command, InvalidArgumentError } from "commander";
import { setTimeout as pause } from "node:timers/promises";
import type { MembersAnswer } from "../api/answers.ts";
import type { Api } from "../api/http.ts";
import { confirm, toolsOf, type Context } from "../context.ts";
import { CliError, usageError } from "../output/errors.ts";
import { table, type Output } from "../output/output.ts";
import { replaceBy } from "./member-replace.ts";
import { registerMemberRestart } from "./member-restart.ts";

/** A new member is answered for once it has caught up: the server gives that a minute. */
const changeSeconds = 65;

export function registerMember(program: Command, context: Context): void {
  const member = program.command("member").description("the members of the cluster");

  member
    .command("list")
    .description("members, who leads, who is connected")
    .action(async (_options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      print(output, await members(api));
    });

  member
    .command("add")
    .argument("<node>", "id of the new node (its NODE_ID)")
    .argument("<url>", "where the other nodes reach it, for example http://10.0.0.4:8001")
    .option("--learner", "keep it without a vote")
    .description("let a node in: it catches up as a learner, then votes")
    .action(async (node: string, url: string, options: { learner?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command, changeSeconds);
      output.say(options.learner ? `Adding ${node} as a learner…` : `Adding ${node}; it gets its vote once it has caught up…`);
      await api.call("POST", "/v1/raft/members", { node, url, voter: !options.learner });
      print(output, await members(api));
    });

  member
    .command("promote")
    .argument("<node>", "id of a learner")
    .description("give a learner its vote")
    .action(async (node: string, _options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command, changeSeconds);
      const known = (await members(api)).members.find((candidate) => candidate.node === node);
      if (!known?.url) throw usageError(`${node} is not a member with a known address.`, "trivet member list");
      await api.call("POST", "/v1/raft/members", { node, url: known.url, voter: true });
      print(output, await members(api));
    });

  registerMemberRestart(member, context);

  member
    .command("replace")
    .argument("<node>", "id of a node whose disk was lost, or that is to go")
    .argument("[new]", "id of the node that takes its place; without it the same node comes back with an empty disk")
    .option("--yes", "do not ask")
    .option("--force", "without NEW: also when the node is up with its disk: that disk and its vote are put out at once")
    .option("--address <url>", "with NEW: where it is reached, unless it was started with --join")
    .option("--within <minutes>", "with NEW: how long it may take to catch up", minutes, 30)
    .description(
      "with NEW: it catches up as a learner, votes, takes over the shards, and then the old node is removed. Without: let a node with an empty " +
        "disk back in: its old disk is given up, it catches up as a learner, then votes",
    )
    .action(async (node: string, next: string | undefined, options: ReplaceOptions, command: Command) => {
      const { output, api } = toolsOf(context, command, changeSeconds);
      if (next !== undefined) {
        const { address, force, within, yes } = options;
        if (force === true) throw usageError("--force is for a node that comes back itself.", `trivet member replace ${node} ${next}`);
        const lasting = `${next} takes the place of ${node}, for good: the data directory of ${node} cannot come back under this id.`;
        await confirm(context, lasting, node, yes);
        print(output, await replaceBy(api, output, { old: node, next, url: address, limitMs: within * 60_000 }, context.signal));
        return;
      }
      const force = options.force === true;
      // Asked for the text only; whether the disk is up is decided by the leader.
      const known = options.yes || !context.prompt ? undefined : (await members(api)).members.find((candidate) => candidate.node === node);
      await confirm(context, replaceWarning(node, known?.connected === true, force), node, options.yes);
      print(output, await replace(context, output, api, node, force));
    });

  member
    .command("remove")
    .argument("<node>", "id of the node to remove")
    .option("--yes", "do not ask")
    .description("take a node out of the cluster; refused when the rest would have no quorum")
    .action(async (node: string, options: { yes?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command, changeSeconds);
      await confirm(
        context,
        `Removing ${node} from the cluster is lasting; its data directory cannot come back under this id.`,
        node,
        options.yes,
      );
      await api.call("DELETE", `/v1/raft/members/${encodeURIComponent(node)}`);
      print(output, await members(api));
    });
}

interface ReplaceOptions {
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly address?: string;
  readonly within: number;
}

function minutes(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 10_000)) throw new InvalidArgumentError("It must be a number of minutes, above 0.");
  return value;
}

/** How long `replace` watches the node come back; it goes on by itself afterwards. */
const replaceWatchMs = 30_000;
const askEveryMs = 250;

function replaceWarning(node: string, alive: boolean, force: boolean): string {
  const lost = `What only the old disk of ${node} held is given up; the other nodes' copies remain.`;
  if (!alive) return lost;
  if (!force) return `${node} is alive: it is connected now. With its old disk this is refused. ${lost}`;
  return `${node} is alive: it is connected now. It loses its vote at once, and until it is back with an empty DATA_DIR one node less may fail. ${lost}`;
}

/**
 * A node with an empty disk under a known id keeps asking to be let in, and is refused: it may have forgotten a vote (rule G5). Giving the
 * old disk up, in the log, is what lets it in, as a learner that gets its vote once it has caught up. A disk that is up is not given up;
 * `force` removes its membership, whatever it does.
 */
async function replace(context: Context, output: Output, api: Api, node: string, force: boolean): Promise<MembersAnswer> {
  const path = `/v1/raft/members/${encodeURIComponent(node)}`;
  if (force) await api.call("DELETE", path);
  else await giveUp(api, path, node);
  output.say(`The old disk of ${node} is ${force ? "out" : "given up"}. Waiting for ${node} to come back with its new one…`);
  const begun = performance.now();
  // A node that is asked before it has applied the approval still shows the old voter.
  let leaving = false;
  for (;;) {
    const answer = await members(api);
    const found = answer.members.find((candidate) => candidate.node === node);
    leaving ||= found?.kind !== "voter" || found.replaceable;
    if (leaving && found?.kind === "voter" && !found.replaceable) return answer;
    if (performance.now() - begun > replaceWatchMs || context.signal.aborted) {
      output.say(
        found && found.kind !== "voter"
          ? `${node} is back as a ${found.kind} and is catching up.`
          : `${node} is not back yet; it joins by itself once it is started with an empty DATA_DIR.`,
      );
      return answer;
    }
    await pause(askEveryMs, undefined, { signal: context.signal }).catch(() => undefined);
  }
}

async function giveUp(api: Api, path: string, node: string): Promise<void> {
  try {
    await api.call("POST", `${path}/replace`);
  } catch (error) {
    if (!(error instanceof CliError) || error.code !== "membership_refused" || !error.why.includes(" is up with its disk ")) throw error;
    throw new CliError({
      code: error.code,
      exitCode: error.exitCode,
      what: `${node} was not replaced.`,
      why: error.why.replace(/: stop it first\.?$/, "."),
      next: `nothing, when its data is whole; else stop ${node} and repeat the command (--force puts it out although it is up)`,
      details: error.details,
      cause: error,
    });
  }
}

async function members(api: Api): Promise<MembersAnswer> {
  return (await api.call("GET", "/v1/raft/members")) as MembersAnswer;
}

function print(output: Output, answer: MembersAnswer): void {
  output.result("members", { ...answer }, () => {
    const rows = answer.members.map((member) => [
      member.node,
      member.url ?? "",
      member.kind,
      member.leader ? "leader" : "",
      member.connected === null ? "" : member.connected ? "yes" : "no",
      member.roles ?? "",
    ]);
    return table(["NODE", "ADDRESS", "KIND", "LEADER", "CONNECTED", "ROLES"], rows, output.paint);
  });
}
