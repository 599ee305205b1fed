import { IoError } from "../ports/file.ts";
import type { WorkerReply } from "./worker-protocol.ts";

/** Why the worker could not do what was asked: a disk that fails stops the node as one of the log's would; the rest is a bug. */
export function storeProblem(what: string, reply: WorkerReply): Error {
  if (reply.type !== "failed") return new Error(`${what}: unexpected answer ${reply.type}`);
  const problem = new Error(`${what}: ${reply.detail}`);
  return reply.cause === "io" || reply.cause === "no-space"
    ? new IoError(reply.cause === "io" ? "io" : "no-space", "use", what, problem)
    : problem;
}
