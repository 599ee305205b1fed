import { parentPort, workerData } from "node:worker_threads";
import { ShardWorker, type WorkerReply } from "@trivet/engine";
import type { ThreadReply, ThreadRequest } from "./apply-worker.ts";
import { LmdbStores } from "./lmdb-stores.ts";
import { packed } from "./packed.ts";

// The apply worker's thread: takes requests one by one, as they come; see ThreadApplyWorker.
const port = parentPort;
if (port === null) throw new Error("the apply worker is a thread of a node, not a program");
const { directory } = workerData as { readonly directory: string };
const worker = new ShardWorker(new LmdbStores(directory));

function answer(id: number, reply: WorkerReply): void {
  const { message, transfer } = handOver(id, reply);
  port?.postMessage(message, transfer);
}

function handOver(id: number, reply: WorkerReply): { readonly message: ThreadReply; readonly transfer: ArrayBuffer[] } {
  if (reply.type !== "applied" || reply.answers.length === 0) return { message: { id, reply }, transfer: [] };
  const { parts, buffer } = packed(reply.answers.map(({ bytes }) => bytes));
  const answers = reply.answers.map((one, at) => ({ ...one, bytes: parts[at] as Uint8Array }));
  return { message: { id, reply: { ...reply, answers } }, transfer: [buffer] };
}

port.on("message", ({ id, request }: ThreadRequest) => {
  if (request === null) worker.stop(() => port.close());
  else worker.handle(request, (reply) => answer(id, reply));
});
