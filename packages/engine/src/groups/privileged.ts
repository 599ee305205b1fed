import { type Command, CommandFrameBuilder, type ShardCommand } from "@trivet/wire";
import type { GroupHost } from "./group-host.ts";

/** Commands that are a leader's to say: no caller, no dedupe, no answer. False = it cannot put them into its log now. */
export function enqueuePrivileged(group: GroupHost, commands: readonly (Command | ShardCommand)[]): boolean {
  if (commands.length === 0) return false;
  const builder = new CommandFrameBuilder();
  builder.begin("", "", 0, 0, 1);
  for (const command of commands) builder.add(command);
  return group.enqueue(builder.finish());
}
