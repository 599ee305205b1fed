import { once } from "node:events";
import { siblingModule } from "../modules.ts";
import type { ProcessKeeper } from "../processes.ts";
import { within } from "../waiting.ts";
import type { LinkReady, LinkTask } from "./process.ts";

const answerMs = 15_000;

/** The parent's side of the process that stands for the network. */
export interface Link {
  readonly echoPort: number;
  /** As `urls`, by way of the relay. */
  readonly urls: readonly string[];
  cut(): Promise<void>;
  stop(): Promise<void>;
}

export async function startLink(keeper: ProcessKeeper, urls: readonly string[], logPath: string): Promise<Link> {
  const task: LinkTask = { relayTo: urls.map((url) => Number(new URL(url).port)) };
  const started = keeper.fork(siblingModule(import.meta.url, "./process"), [JSON.stringify(task)], { name: "link", logPath });
  const message = async (what: string): Promise<unknown> =>
    ((await within(what, answerMs, once(started.child, "message"))) as unknown[])[0];
  const { echoPort, relayPorts } = (await message("the link is up")) as LinkReady;
  return {
    echoPort,
    urls: urls.map((url, index) => {
      const by = new URL(url);
      by.port = String(relayPorts[index]);
      return by.href.replace(/\/$/, "");
    }),
    cut: async () => {
      const done = message("the link is cut");
      started.child.send("cut");
      await done;
    },
    stop: () => keeper.stop(started),
  };
}
