import type { cacheRoutes } from "@trivet/contract";
import { defaultNamespace, type CacheChange, type CacheFailure, type NamespaceView } from "@trivet/engine";
import { badField, taken } from "../answer.ts";
import { cacheFailure, cacheOf, question } from "./cache-calls.ts";
import { isFailure, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { openEvents, tooManyWatches, type EventStream, type WatchCount } from "../event-stream.ts";
import { decimal } from "../outcomes.ts";
import { buildProblem } from "../problems.ts";

function send(stream: EventStream, { namespace, key, tag, change, version, position }: CacheChange): void {
  stream.send(change, position, { namespace, key, tag, version: decimal(version) });
}

interface Named {
  readonly type: "namespace";
  readonly namespace: NamespaceView;
}

/** What the cache knows at once (a position that is too old) comes within this turn of the event loop. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export function cacheWatchHandlers(count: WatchCount): Some<Extract<keyof typeof cacheRoutes, "watchCache">> {
  return {
    watchCache: async ({ query, request, reply }, context: HttpContext) => {
      const tooMany = tooManyWatches(count);
      if (tooMany !== null) return tooMany;
      const { namespace = defaultNamespace, prefix = "" } = query;
      const known = await question<Named>(context, { namespace }, (cache, timeoutMs, done) => cache.namespace(namespace, timeoutMs, done));
      if (isFailure(known)) return known;
      const last = request.headers["last-event-id"];
      if (Array.isArray(last)) return badField("Last-Event-ID", "one header");
      const from = query.from ?? (last === undefined || last === "" ? null : last);
      const early: CacheChange[] = [];
      let changed = (change: CacheChange): void => void early.push(change);
      let ended: CacheFailure | null = null;
      let stream: EventStream | null = null;
      const close = (open: EventStream, why: CacheFailure): void => {
        const { code, detail } = buildProblem(cacheFailure(context, why, { namespace }), request.id, false).body;
        open.end(detail, code);
      };
      const stop = cacheOf(context).watch(
        { namespace, prefix, from },
        {
          changed: (change) => changed(change),
          ended: (why) => {
            ended = why;
            if (stream !== null) close(stream, why);
          },
        },
      );
      await nextTurn();
      // Still null to the compiler, which does not see the callback.
      const over = ended as CacheFailure | null;
      if (over !== null) return cacheFailure(context, over, { namespace });
      if (reply.raw.destroyed) {
        stop();
        return taken;
      }
      const open = openEvents(reply, context, count, stop);
      stream = open;
      changed = (change) => send(open, change);
      for (const change of early) changed(change);
      return taken;
    },
  };
}
