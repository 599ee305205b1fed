import { httpLimits, type ErrorCode, type RouteId } from "@trivet/contract";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { ServerResponse } from "node:http";
import { failure, type Failure } from "./answer.ts";
import type { HttpContext } from "./context.ts";

/** One server-sent-events connection: bounded, with a heartbeat, ended with a reason when the reader is too slow. */
export class EventStream {
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

  end(reason: string, code?: ErrorCode): void {
    if (!this.#open) return;
    this.#response.end(`event: closed\ndata: ${JSON.stringify({ reason, ...(code === undefined ? {} : { code }) })}\n\n`);
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

/** Refused where this node serves as many as it may. */
export function tooManyWatches(count: WatchCount): Failure | null {
  if (count.open < httpLimits.maxWatchers) return null;
  return failure("too_many_requests", {
    values: { reason: `This node serves at most ${httpLimits.maxWatchers} watches.` },
    retryAfterMs: 5_000,
  });
}

/** Takes the connection over for events. `stop` is called when it is over, however that comes. */
export function openEvents(reply: FastifyReply, context: HttpContext, count: WatchCount, stop: () => void): EventStream {
  reply.hijack();
  count.open++;
  const stream = new EventStream(reply.raw, { "x-request-id": reply.request.id });
  stream.onEnd(stop);
  stream.onEnd(() => count.open--);
  stream.onEnd(context.onClose(() => stream.end("the node is stopping")));
  endWithRights(stream, reply.request, context);
  return stream;
}

/** A watch goes on for hours, and the rights of its caller may not: it is judged again as the call was, by its names. */
function endWithRights(stream: EventStream, request: FastifyRequest, { access }: HttpContext): void {
  const { identity } = request;
  const { operation } = request.routeOptions.config as { readonly operation?: RouteId };
  if (access === null || identity === null || operation === undefined) return;
  const { params, query, body } = request;
  stream.onEnd(
    access.whileAllowed(
      identity,
      () => access.whyNot(identity, operation, { params, query, body }),
      (code, why) => stream.end(why, code),
    ),
  );
}
