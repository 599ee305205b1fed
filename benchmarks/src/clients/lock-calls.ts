import { Background } from "../driver/background.ts";
import { closedLoop } from "../driver/closed-loop.ts";
import { fill } from "../driver/fill.ts";
import { handOff } from "../driver/hand-off.ts";
import type { LockClient } from "../driver/lock-client.ts";
import { openLoop } from "../driver/open-loop.ts";
import { probe } from "../driver/probe.ts";
import type { Handlers, LockCalls } from "./protocol.ts";

/** The client's side of the calls about locks. */
export function lockCalls(client: LockClient): Handlers<keyof LockCalls> {
  let background: Background | null = null;
  return {
    prepare: async ({ callers }) => {
      await client.prepare(callers);
      return null;
    },
    closed: (options) => closedLoop(client, options),
    open: (options) => openLoop(client, options),
    handOff: (options) => handOff(client, options),
    background: ({ callers, prefix }) => {
      background = new Background(client, prefix);
      background.start(callers);
      return Promise.resolve(null);
    },
    endBackground: () => background?.stop() ?? Promise.resolve({ pairs: 0, errors: 0 }),
    probe: (options) => probe(client, options),
    fill: (options) => fill(client, options),
    isFree: ({ name }) => client.holders?.isFree(name) ?? Promise.reject(new Error("this subject keeps no locks")),
  };
}
