import { InvalidArgumentError, type Command } from "commander";
import { toolsOf, type Context } from "../context.ts";
import { runCluster } from "../dev/launcher.ts";

const mostNodes = 9;

export function registerDev(program: Command, context: Context): void {
  program
    .command("dev")
    .description("run a whole cluster on this machine until Ctrl-C")
    .option("-n, --nodes <n>", "how many nodes", inRange(1, mostNodes), 3)
    .option("-p, --port <port>", "port of the first node; the others follow", inRange(1, 65_535 - mostNodes), 8001)
    .option("-d, --data <dir>", "folder of the nodes' data, one folder each", "data")
    .option("-v, --verbose", "show every line of the nodes' logs", false)
    .addHelpText(
      "after",
      `
Settings other than ids, ports, peers and data directories are taken from the environment and from .env
(trivet config print lists them). A node that dies is started again. Ctrl-C drains and stops all; the data stays.`,
    )
    .action(async (options: { nodes: number; port: number; data: string; verbose: boolean }, command: Command) => {
      const { output } = toolsOf(context, command);
      process.exitCode = await runCluster(context, output, {
        nodes: options.nodes,
        firstPort: options.port,
        dataDir: options.data,
        verbose: options.verbose,
      });
    });
}

function inRange(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}
