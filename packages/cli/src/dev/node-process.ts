import { exitCodes } from "@trivet/contract";
import { CliError } from "../output/errors.ts";
import { createOutput } from "../output/output.ts";
import { isLauncherOwned } from "./plan.ts";
import { endOnFaults, startConfiguredNode } from "./run-node.ts";

/**
 * The process of one node under `trivet dev`.
 *
 * It is in the launcher's process group, so a Ctrl-C in the terminal reaches it too; it does not act on that, because the launcher stops
 * the nodes one after the other, by a message. When the channel closes, the launcher is gone: then it stops by itself. SIGTERM to this process
 * alone is somebody who means this node; it stops gracefully, and the launcher starts it again.
 */
const ignored = (): void => undefined;
process.on("SIGINT", ignored);
process.on("SIGHUP", ignored);
// With the launcher gone nobody reads this output; that must not keep the node from closing its files.
process.stdout.on("error", ignored);
process.stderr.on("error", ignored);

const stopRequested = new Promise<void>((resolve) => {
  process.on("message", (message) => {
    if (typeof message === "object" && message !== null && "type" in message && message.type === "stop") resolve();
  });
  process.once("disconnect", resolve);
  process.once("SIGTERM", () => resolve());
});

endOnFaults();
try {
  const node = await startConfiguredNode({ argv: [], env: process.env, ignoreInDotenv: isLauncherOwned });
  await stopRequested;
  await node.stop();
  process.exit(exitCodes.ok);
} catch (error) {
  if (!(error instanceof CliError)) throw error;
  createOutput({ json: false, streams: process, env: process.env }).fail(error);
  process.exit(error.exitCode);
}
