import { parentPort, workerData } from "node:worker_threads";
import { ShardWorker, type WorkerReply } from "@trivet/engine";
import type { ThreadReply, ThreadRequest } from "./apply-worker.ts";
import { LmdbStores } from "./lmdb-stores.ts";
import { packed } from "./packed.ts";

// The apply worker's thread: carries out the requests of a turn one by one, and answers them together; see ThreadApplyWorker.
const port = parentPort;
if (port === null) throw new Error("the apply worker is a thread of a node, not a program");
const { directory } = workerData as { readonly directory: string };
const worker = new ShardWorker(new LmdbStores(directory));

/** Answers to the turn that is carried out now; null = each goes by itself. */
let turn: { readonly replies: ThreadReply[]; readonly transfers: ArrayBuffer[] } | null = null;

function answer(id: number, reply: WorkerReply): void {
  const { message, transfer } = handOver(id, reply);
  if (turn === null) {
    port?.postMessage([message], transfer);
    return;
  }
  turn.replies.push(message);
  turn.transfers.push(...transfer);
}

function handOver(id: number, reply: WorkerReply): { readonly message: ThreadReply; readonly transfer: ArrayBuffer[] } {
  if (reply.type !== "applied" || reply.answers.length === 0) return { message: { id, reply }, transfer: [] };
  const { parts, buffer } = packed(reply.answers.map(({ bytes }) => bytes));
  const answers = reply.answers.map((one, at) => ({ ...one, bytes: parts[at] as Uint8Array }));
  return { message: { id, reply: { ...reply, answers } }, transfer: [buffer] };
}

port.on("message", (requests: readonly ThreadRequest[]) => {
  turn = { replies: [], transfers: [] };
  for (const { id, request } of requests) if (request !== null) worker.handle(request, (reply) => answer(id, reply));
  const { replies, transfers } = turn;
  turn = null;
  if (replies.length > 0) port.postMessage(replies, transfers);
  // Nothing comes after it.
  if (requests.at(-1)?.request === null) worker.stop(() => port.close());
});
