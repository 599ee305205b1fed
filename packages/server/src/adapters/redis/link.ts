import type { Clock } from "@trivet/engine";
import {
  ClientClosedError,
  ClientOfflineError,
  DisconnectsClientError,
  ErrorReply,
  MaxCommandRedirectionsError,
  RootNodesUnavailableError,
} from "@redis/client";

export type RedisArguments = readonly (string | Buffer)[];

/** What commands of one connection go to; WAIT counts what that connection wrote. */
export interface Sender {
  /** Strings of the reply are buffers. */
  send(args: RedisArguments): Promise<unknown>;
}

/** The servers behind one or more connections. It reconnects by itself for as long as it is not closed. */
export interface RedisLink {
  /** `route`: a key of the partition, which decides the node of a cluster. */
  send(route: string, args: RedisArguments): Promise<unknown>;
  /** Everything sent through the result goes over one connection; the same result means the same connection. */
  pinned(route: string): Promise<Sender>;
  close(): Promise<void>;
}

/** Who is told when the servers are lost and found, each once. */
export interface LinkWatcher {
  up(): void;
  down(reason: string): void;
}

/** No connection: the command was not sent. */
export class LinkDown extends Error {
  readonly code = "redis_unavailable";
  constructor(reason: string) {
    super(reason);
    this.name = "LinkDown";
  }
}

/** An answer that did not come in time: whether the command was executed nobody knows. */
export class Silence extends Error {
  readonly code = "silence";
  constructor(reason: string) {
    super(reason);
    this.name = "Silence";
  }
}

/** What Redis says when it would not execute a command now, here or for this user: nothing happened, but it may later. */
const refusals = [
  "LOADING",
  "MASTERDOWN",
  "READONLY",
  "CLUSTERDOWN",
  "MOVED",
  "ASK",
  "TRYAGAIN",
  "OOM",
  "MISCONF",
  "NOREPLICAS",
  "BUSY",
  "NOAUTH",
  "WRONGPASS",
  "NOPERM",
  "NOSCRIPT",
] as const;

/** `refused` and `unsent`: nothing happened. `lost`: nobody knows. `broken`: a script of ours failed half-way, which is a bug. */
export function fateOf(error: unknown): "unsent" | "refused" | "lost" | "broken" {
  if (error instanceof LinkDown || error instanceof ClientOfflineError || error instanceof ClientClosedError) return "unsent";
  if (error instanceof RootNodesUnavailableError || isMoving(error)) return "refused";
  if (!(error instanceof ErrorReply)) return "lost";
  return refusals.some((word) => error.message.startsWith(word)) ? "refused" : "broken";
}

/** The server is not, or no longer, the one to write to: look for it again. */
export function isDemoted(error: unknown): boolean {
  return error instanceof ErrorReply && /^(READONLY|MASTERDOWN)/.test(error.message);
}

/** The user may not do this at all. */
export function isForbidden(error: unknown): boolean {
  return error instanceof ErrorReply && error.message.startsWith("NOPERM");
}

/** Another node of the cluster has the keys, or is about to. */
export function isMoved(error: unknown): boolean {
  return error instanceof ErrorReply && /^(MOVED|ASK) /.test(error.message);
}

/**
 * A slot is on its way: a partition that is half here and half there is executed nowhere, and a node without slots is not known to the client yet, or
 * no longer. Nothing happened.
 */
export function isMoving(error: unknown): boolean {
  if (error instanceof MaxCommandRedirectionsError || error instanceof ClientClosedError) return true;
  return error instanceof Error && /^(TRYAGAIN |Cannot find node )/.test(error.message);
}

/** The client let a node go that has no slot any more, with what was under way there: the rest of the cluster is as it was. */
export function isLetGo(error: unknown): boolean {
  return error instanceof DisconnectsClientError || error instanceof ClientClosedError;
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error.message === "" ? error.name : error.message;
}

/** A reply that people read. */
export function textOf(reply: unknown): string {
  return typeof reply === "string" ? reply : Buffer.isBuffer(reply) ? reply.toString("utf8") : JSON.stringify(reply);
}

/** The same, or a rejection when there is no answer in so long. */
export function within<T>(clock: Clock, ms: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.schedule(ms, () => reject(new Silence(`no answer in ${ms} ms`)));
    answer.then(resolve, reject).finally(() => timer.cancel());
  });
}
