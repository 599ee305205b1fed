import { loadScripts } from "./requests.ts";
import { ClusterLink } from "./cluster-link.ts";
import { redisLimits } from "./limits.ts";
import type { LinkWatcher, RedisLink } from "./link.ts";
import type { RedisOptions } from "./options.ts";
import { readyChannel } from "./partition-keys.ts";
import { type LinkTools, ServerLink } from "./server-link.ts";

type Surroundings = Omit<LinkTools, "watcher">;

/** For scripts, which each connection's server knows before it is asked for one. */
export function linkTo(options: RedisOptions, tools: Surroundings, watcher: LinkWatcher): RedisLink {
  const all = { ...tools, watcher };
  return options.mode === "cluster"
    ? new ClusterLink(options, all, (client) => loadScripts((args) => client.sendCommand(args)))
    : new ServerLink(options, all, (client) => loadScripts((args) => client.sendCommand(args)));
}

export interface WakeUpListener {
  /** -1 = whatever there is: every time the connection is made anew nobody knows what was missed. */
  readonly ready: (queue: number, partition: number, group: string) => void;
  /** The user may not listen; may be told again and again. */
  readonly forbidden: (text: string) => void;
}

/** A connection of its own that hears what the scripts publish. */
export function linkToWakeUps(options: RedisOptions, tools: Surroundings, listener: WakeUpListener): RedisLink {
  const channel = readyChannel(options.prefix);
  const late = `consumers hear of messages up to ${redisLimits.roundMs / 1_000} s late`;
  const mayNotListen = `This user of Redis may not listen to ${channel}: ${late}. Grant it +@pubsub &${options.prefix}:*`;
  const watcher: LinkWatcher = {
    up: () => tools.clock.defer(() => listener.ready(-1, -1, "")),
    down: (reason) => {
      if (reason.startsWith("NOPERM")) listener.forbidden(mayNotListen);
    },
  };
  // In a cluster what is published on one node is heard on all.
  const anyNode: RedisOptions = options.mode === "cluster" ? { ...options, mode: "standalone", database: 0 } : options;
  return new ServerLink(anyNode, { ...tools, watcher }, async (client) => {
    await client.subscribe(channel, (text) => {
      const match = /^(\d+)\|(\d+)\|(.*)$/su.exec(text);
      if (match !== null) listener.ready(Number(match[1]), Number(match[2]), match[3] ?? "");
    });
  });
}
