import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Answer, serve, type Server } from "./harness.ts";
import { startQueueNode } from "./queue-node.ts";

let host: NodeHost;
let server: Server;
beforeAll(async () => {
  host = await startQueueNode();
  server = await serve(host.api, { queues: host.queues });
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
const post = (path: string, body: unknown): Promise<Answer> => server.call("POST", path, body);

type Consume = (queue: string, waitMs: number) => Promise<Answer>;
/** Every way to consume that can wait, with its answer when nothing came, and where its message stands. */
const ways: [string, Consume, object, object][] = [
  [
    "/v1",
    (queue, wait) => post(`/v1/queues/${queue}/consume`, { wait_ms: wait }),
    { status: 200, json: { messages: [] } },
    { messages: [{ body: 7 }] },
  ],
  [
    "S0",
    (queue, wait) => server.call("GET", `/queue/${queue}?timeout=${wait / 1000}`),
    { status: 404, text: /Queue is empty/ },
    { message: 7 },
  ],
  [
    "S4",
    (queue, wait) => post("/queue/consume", { topic: queue, timeout: wait / 1000 }),
    { status: 200, json: { message: null } },
    { message: 7 },
  ],
  [
    "S2",
    (queue, wait) => post("/queue/consume", { queue_name: queue, block_ms: wait }),
    { status: 404, json: { code: "queue_unknown" } },
    { messages: [{ message: 7 }] },
  ],
];

describe.each(ways)("a consume of a queue that is not there (%s)", (way, consume, nothing, something) => {
  test("waits for it, and gets what comes to it", async () => {
    const queue = `late-${way.replaceAll("/", "")}`;
    let answered = false;
    const waiting = consume(queue, 20_000).finally(() => (answered = true));
    // Two linearizable reads after it: it has looked for the queue by then.
    for (let looks = 0; looks < 2; looks++) expect((await server.call("GET", `/v1/queues/${queue}`)).status).toBe(404);
    expect(answered).toBe(false);
    expect((await post(`/v1/queues/${queue}/messages`, { body: 7 })).status).toBe(201);
    expect(await waiting).toMatchObject({ status: 200, json: something });
  });

  test("waits as long as it was told to, so that a poller does not spin", async () => {
    const begun = performance.now();
    const answer = await consume("never", 400);
    expect(performance.now() - begun).toBeGreaterThan(390);
    const { text, ...rest } = nothing as { readonly text?: RegExp };
    expect(answer).toMatchObject(rest);
    if (text !== undefined) expect(answer.text).toMatch(text);
    expect(await consume("never", 0)).toMatchObject(rest);
  });
});
