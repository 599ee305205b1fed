import type { QueueSettings } from "@trivet/engine";
import type { Command, Result } from "@trivet/wire";

import type { VirtualClient } from "./virtual-client.ts";

const askAgainMs = 2_500;

/** Sends a command about a queue's definition to any node, again and again until it is answered as wanted: safe, as each may be repeated. */
export function tellGroup0<T>(
  client: VirtualClient,
  command: Command,
  wanted: (result: Result) => T | null,
  done: (found: T) => void,
): void {
  const machine = client.prng.pick(client.world.machines);
  let over = false;
  client.call(
    machine,
    (api) =>
      void api.submit(command, { timeoutMs: 2_000 }, (outcome) =>
        client.arrive(machine, () => {
          const found = over || outcome.type !== "answered" ? null : wanted(outcome.result);
          if (found === null) return;
          over = true;
          done(found);
        }),
      ),
    () => undefined,
  );
  client.after(askAgainMs, () => {
    if (!over) tellGroup0(client, command, wanted, done);
    over = true;
  });
}

/** Where a queue is, and which definition of it. */
export interface Defined {
  readonly queue: number;
  readonly version: number;
}

export function defineQueue(client: VirtualClient, name: string, settings: Partial<QueueSettings>, done: (at: Defined) => void): void {
  const command = { type: "define-queue", name, mode: "ensure", settings, principal: client.name } as const;
  tellGroup0(client, command, definedBy, done);
}

function definedBy(result: Result): Defined | null {
  return result.type === "queue-defined" ? { queue: result.queue, version: result.definition.version } : null;
}
