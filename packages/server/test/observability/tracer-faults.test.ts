import { connect } from "@trivet/client";
import { expect, test } from "vitest";
import { take } from "../../../client/test/take.ts";
import { EngineSpans } from "../../src/observability/engine-spans.ts";
import { Tracing } from "../../src/observability/tracing.ts";
import { serve } from "../http/harness.ts";
import { startQueueNode } from "../http/queue-node.ts";
import { failSpans, type Fault } from "./spans.ts";

test.each<Fault>(["startSpan", "spanContext", "isRecording", "addEvent", "setAttributes", "end"])(
  "a tracer that fails at %s costs its spans: what comes is applied once and answered, and the node goes on",
  async (fault) => {
    const spans = failSpans(fault);
    const told: unknown[] = [];
    const tracing = new Tracing("node1", "0.1.0", (error) => void told.push(error));
    // A node that ends itself throws here.
    const host = await startQueueNode(undefined, {}, { spans: new EngineSpans(tracing), bound: (run) => tracing.bound(run) });
    const server = await serve(host.api, { tracing, queues: host.queues, cache: host.cache, programs: host.caching.programs });
    const trivet = await connect(`http://127.0.0.1:${await server.http.listen()}`, { routing: "any", tracing: false });
    try {
      const queue = trivet.queue<number>("orders");
      for (const body of [1, 2, 3]) await queue.produce(body);
      const messages = await take(queue.consume({ group: "g" }), 3);
      expect(messages.map(({ body }) => body).toSorted((a, b) => a - b)).toEqual([1, 2, 3]);
      await Promise.all(messages.map((message) => message.ack()));
      await trivet.cache<number>("default").set("a", 1);
      await trivet.locks.with("a", {}, () => undefined);
      expect((await server.call("GET", "/v1/locks/a")).status).toBe(200);
      expect((await server.call("POST", "/v1/queues/orders/messages", { body: "4" })).status).toBeLessThan(300);
      expect(host.phase).toBe("running");
      expect(told[0]).toEqual(new Error(`the tracer fails: ${fault}`));
    } finally {
      await trivet.close();
      await server.http.close(0);
      await new Promise<void>((resolve) => host.api.stop(resolve));
      spans.remove();
    }
  },
);
