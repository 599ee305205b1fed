import { settingNames, settingOf } from "@trivet/contract";
import type { Command } from "commander";
import type { Context } from "../context.ts";
import { runNode } from "../dev/run-node.ts";

export function registerServe(program: Command, _context: Context): void {
  program
    .command("serve")
    .description("run one node until it is stopped; settings come from flags, environment and files")
    .argument("[flags...]", "see below")
    .allowUnknownOption()
    .allowExcessArguments()
    .usage("[--env-file FILE] [--node-type lock|queue|cache|all] [--join URL] [--SETTING VALUE …]")
    .addHelpText("after", flagsHelp)
    .action(async (flags: readonly string[]) => {
      await runNode({ argv: flags, env: process.env });
    });
}

/** Every setting as a flag, from the contract's table. */
function flagsHelp(): string {
  const lines = settingNames
    .filter((name) => settingOf(name).secret !== true && settingOf(name).use !== "none")
    .map((name) => {
      const flags = [name.toLowerCase().replaceAll("_", "-"), ...(settingOf(name).flags ?? [])].map((flag) => `--${flag}`).join(", ");
      return `  ${flags.padEnd(34)} ${settingOf(name).about}`;
    });
  return `
Settings, each also an environment variable (HTTP_PORT is --http-port). Precedence: flag, environment, --env-file,
.env, trivet.config.json, default. Secrets have no flag.

  --env-file FILE                    Read settings from FILE (several times: the last wins).
  --config FILE                      Instead of trivet.config.json.
${lines.join("\n")}
`;
}
