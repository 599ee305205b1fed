import type { Command } from "commander";
import { toolsOf, type Context } from "../context.ts";

export function registerLeader(program: Command, context: Context): void {
  program
    .command("leader")
    .description("the leader of the cluster")
    .command("transfer")
    .option("--to <node>", "the next leader; without it, the voter that is best caught up")
    .description("hand leadership over without an election gap, for example before maintenance")
    .action(async (options: { to?: string }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const answer = (await api.call("POST", "/v1/raft/transfer-leader", options.to ? { to: options.to } : {})) as { leader: string };
      output.result("leader", { leader: answer.leader }, () => `${answer.leader} is the leader.`);
    });
}
