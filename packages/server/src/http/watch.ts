import type { lockRoutes } from "@trivet/contract";
import type { LogIndex, SystemEvent } from "@trivet/core";
import { taken } from "./answer.ts";
import { isFailure, read, type Some } from "./calls.ts";
import type { HttpContext } from "./context.ts";
import { openEvents, tooManyWatches, type WatchCount } from "./event-stream.ts";
import { decimal, sessionOf } from "./outcomes.ts";
import { lockJson } from "./views.ts";

function eventJson(event: SystemEvent): Readonly<Record<string, unknown>> {
  const { type: _type, ...fields } = event;
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) =>
      key === "session" ? ["session_id", sessionOf(Number(value))] : [key, key === "fence" ? decimal(Number(value)) : value],
    ),
  );
}

export function watchHandlers(count: WatchCount): Some<Extract<keyof typeof lockRoutes, "watchLock">> {
  return {
    watchLock: async ({ params, reply }, context: HttpContext) => {
      const tooMany = tooManyWatches(count);
      if (tooMany !== null) return tooMany;
      const { name } = params;
      // Events are collected before the state is read: nothing that happens between the two is missed.
      const early: { readonly event: SystemEvent; readonly index: LogIndex }[] = [];
      let listener = (event: SystemEvent, index: LogIndex): void => void early.push({ event, index });
      const stop = context.node.watch((event, index) => {
        if ("name" in event && event.name === name && event.type !== "queue-deleted") listener(event, index);
      });
      const state = await read(context, "linearizable", (view) => ({
        lock: lockJson(context, view.lock(name)),
        at: context.node.status().groups[0]?.appliedIndex ?? 0,
      }));
      if (isFailure(state)) {
        stop();
        return state;
      }
      if (reply.raw.destroyed) {
        stop();
        return taken;
      }
      const stream = openEvents(reply, context, count, stop);
      stream.send("state", decimal(state.at), state.lock);
      const forward = (event: SystemEvent, index: LogIndex): void => stream.send(event.type, decimal(index), eventJson(event));
      for (const { event, index } of early) if (index > state.at) forward(event, index);
      listener = forward;
      return taken;
    },
  };
}
