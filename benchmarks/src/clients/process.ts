import { cacheCalls } from "./cache-calls.ts";
import { connectClient } from "./connect.ts";
import { connectQueue } from "./connect-queue.ts";
import { lockCalls } from "./lock-calls.ts";
import type { ClientReply, ClientRequest, ClientTarget, Service } from "./protocol.ts";
import { queueCalls } from "./queue-calls.ts";

/** The client process: one connection to one subject, driven by the parent over IPC. Never more than one subject per process, so that
 * no subject runs on code the compiler has shaped for another. */

function send(reply: ClientReply): void {
  process.send?.(reply);
}

async function handlersOf(service: Service, target: ClientTarget): Promise<object> {
  switch (service) {
    case "locks":
      return lockCalls(await connectClient(target));
    case "queues":
      return queueCalls(await connectQueue(target), target);
    case "cache":
      return cacheCalls(target);
  }
}

async function main(): Promise<void> {
  const target = JSON.parse(process.argv[2] ?? "null") as ClientTarget;
  const service = process.argv[3] as Service;
  const handlers = await handlersOf(service, target);
  const byName = new Map(Object.entries(handlers) as [string, (options: unknown) => Promise<unknown>][]);
  process.on("message", (request: ClientRequest) => {
    const handler = byName.get(request.call) ?? (() => Promise.reject(new Error(`a client of ${service} knows no call ${request.call}`)));
    handler(request.options).then(
      (result) => {
        send({ id: request.id, type: "answer", result });
      },
      (error: unknown) => {
        send({ id: request.id, type: "failure", message: error instanceof Error ? error.message : String(error) });
      },
    );
  });
  send({ id: 0, type: "answer", result: null });
}

process.on("disconnect", () => {
  process.exit(0);
});
main().catch((error: unknown) => {
  send({ id: 0, type: "failure", message: error instanceof Error ? error.message : String(error) });
  process.exit(1);
});
