import { InvalidArgumentError, type Command } from "commander";
import type { MemberAnswer } from "../api/answers.ts";
import { toolsOf, type Context } from "../context.ts";
import { usageError } from "../output/errors.ts";
import { restartAll } from "../rolling/restart.ts";
import type { AddressOf } from "../rolling/wholeness.ts";

interface RestartOptions {
  readonly only?: readonly string[];
  readonly at?: ReadonlyMap<string, string>;
  readonly wait: number;
}

export function registerMemberRestart(member: Command, context: Context): void {
  member
    .command("restart")
    .argument("<command...>", "what restarts one node, behind --; TRIVET_NODE and TRIVET_NODE_URL name the node")
    .option("--only <nodes>", "not all members, only these (with commas between)", namesOf)
    .option("--at <node=url,…>", "where this machine reaches members, when not at their own addresses", addressesOf)
    .option("--wait <seconds>", "how long the cluster may take to be whole again after each node", wholeSeconds, 120)
    .description("restart the members one after the other without losing availability")
    .addHelpText("after", help)
    .action(async (words: readonly string[], options: RestartOptions, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const { at = new Map<string, string>(), only = [], wait } = options;
      const addressOf: AddressOf = ({ node, url }) => at.get(node) ?? url;
      const restart = (one: MemberAnswer): Promise<number | string> =>
        context.run(words, { TRIVET_NODE: one.node, TRIVET_NODE_URL: addressOf(one) ?? "" });
      const restarted = await restartAll({
        api,
        addressOf,
        only,
        waitMs: wait * 1_000,
        restart,
        say: (text) => output.say(text),
        signal: context.signal,
      });
      output.result("restarted", { restarted }, () => `Restarted: ${restarted.join(", ")}. The cluster is whole.`);
    });
}

const help = `
Before each node every other one answers, each group has a leader, and each replica has what was committed; the leader of group 0 comes last.
Ends at once, and touches nothing more, when a node does not come back. scripts/rolling_restart.sh does it for env files and for Compose.

  trivet member restart -- sh -c 'ssh "$TRIVET_NODE" sudo systemctl restart trivet'`;

function namesOf(text: string): readonly string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

function addressesOf(text: string): ReadonlyMap<string, string> {
  const pairs = namesOf(text).map((pair): readonly [string, string] => {
    const [node = "", ...url] = pair.split("=");
    const address = url.join("=").replace(/\/+$/, "");
    if (node === "" || !/^https?:\/\//.test(address) || !URL.canParse(address))
      throw usageError(`--at ${pair} is not NODE=URL.`, "--at node1=http://127.0.0.1:8001,node2=http://127.0.0.1:8002");
    return [node, address];
  });
  return new Map(pairs);
}

function wholeSeconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3_600)) throw new InvalidArgumentError("It must be a number of seconds, above 0 and at most 3600.");
  return value;
}
