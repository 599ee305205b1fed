import { httpLimits, type lockRoutes } from "@trivet/contract";
import type { LogIndex, SystemEvent } from "@trivet/core";
import type { ServerResponse } from "node:http";
import { failure, taken } from "./answer.ts";
import { isFailure, read, type Some } from "./calls.ts";
import type { HttpContext } from "./context.ts";
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

/** One server-sent-events connection: bounded, with a heartbeat, ended with a reason when the reader is too slow. */
class EventStream {
  readonly #response: ServerResponse;
  readonly #cleanups: (() => void)[] = [];
  #open = true;

  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>) {
    this.#response = response;
    response.writeHead(200, { ...headers, "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });
    // Nothing else may write headers after this; proxies see them at once.
    response.flushHeaders();
    const heartbeat = setInterval(() => this.#write(": heartbeat\n\n"), httpLimits.watchHeartbeatMs);
    this.onEnd(() => clearInterval(heartbeat));
    response.once("close", () => this.#finish());
    response.on("error", () => this.#finish());
  }

  onEnd(cleanup: () => void): void {
    if (this.#open) this.#cleanups.push(cleanup);
    else cleanup();
  }

  send(event: string, id: string, data: unknown): void {
    this.#write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  end(reason: string): void {
    if (!this.#open) return;
    this.#response.end(`event: closed\ndata: ${JSON.stringify({ reason })}\n\n`);
    this.#finish();
  }

  #write(text: string): void {
    if (!this.#open) return;
    if (this.#response.writableLength > httpLimits.maxBufferedBytes) {
      this.end("the reader is too slow");
      // The reason stands behind what the reader has not taken; it does not get more time than that.
      this.#response.destroy();
      return;
    }
    this.#response.write(text);
  }

  #finish(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
  }
}

/** Open watches of one app. */
export class WatchCount {
  open = 0;
}

export function watchHandlers(count: WatchCount): Some<Extract<keyof typeof lockRoutes, "watchLock">> {
  return {
    watchLock: async ({ params, reply }, context: HttpContext) => {
      if (count.open >= httpLimits.maxWatchers) {
        return failure("too_many_requests", {
          values: { reason: `This node serves at most ${httpLimits.maxWatchers} watches.` },
          retryAfterMs: 5_000,
        });
      }
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
      reply.hijack();
      count.open++;
      const stream = new EventStream(reply.raw, { "x-request-id": reply.request.id });
      stream.onEnd(stop);
      stream.onEnd(() => count.open--);
      stream.onEnd(context.onClose(() => stream.end("the node is stopping")));
      stream.send("state", decimal(state.at), state.lock);
      const forward = (event: SystemEvent, index: LogIndex): void => stream.send(event.type, decimal(index), eventJson(event));
      for (const { event, index } of early) if (index > state.at) forward(event, index);
      listener = forward;
      return taken;
    },
  };
}
