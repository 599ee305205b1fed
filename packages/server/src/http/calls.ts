import { createHash } from "node:crypto";
import { httpLimits, routeOf, type RouteId, type routes } from "@trivet/contract";
import type { SystemView } from "@trivet/core";
import type { Outcome, SubmitOptions, Unavailable } from "@trivet/engine";
import type { Command } from "@trivet/wire";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Static, TSchema } from "typebox";
import { badField, failure, type Answer, type Failure } from "./answer.ts";
import { anonymousPrincipal, type HttpContext } from "./context.ts";
import { onGone } from "./gone.ts";
import { leaderOf } from "./cluster/leader.ts";

type Definitions = typeof routes;
type Part<Definition, Name extends string> = Definition extends { readonly [Key in Name]: infer Schema }
  ? Schema extends TSchema
    ? Static<Schema>
    : undefined
  : undefined;
type Body<Definition> = Definition extends { readonly bodyOptional: true }
  ? Part<Definition, "body"> | undefined
  : Part<Definition, "body">;

/** One call, validated. */
export interface Call<Id extends RouteId> {
  readonly id: RouteId;
  readonly params: Part<Definitions[Id], "params">;
  readonly query: Part<Definitions[Id], "query">;
  readonly body: Body<Definitions[Id]>;
  readonly principal: string;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}
export type Handler<Id extends RouteId> = (call: Call<Id>, context: HttpContext) => Answer | Promise<Answer>;
export type Handlers = { readonly [Id in RouteId]: Handler<Id> };
/** The handlers of one resource. */
export type Some<Id extends RouteId> = { readonly [Key in Id]: Handler<Key> };

/** What every handler can be called with, whatever its route. */
export type AnyCall = Pick<Call<RouteId>, "id" | "principal" | "request" | "reply">;

/** 503 with what the caller can do: wait, or try another node (T-03). */
export function unavailable(context: HttpContext, reason: Unavailable): Failure {
  const code = reason.code === "storage" ? "storage_unavailable" : reason.code === "removed" ? "node_removed" : reason.code;
  const detail = reason.detail === "" ? {} : { detail: reason.detail };
  const withPeers = code === "no_leader" || code === "no_quorum" || code === "stopping" || code === "node_removed";
  const peers = withPeers ? context.node.status().peers.map((peer) => peer.address) : [];
  return failure(code, { ...detail, retryAfterMs: reason.retryAfterMs, ...(withPeers ? { members: { leader: null, peers } } : {}) });
}

/** Reads the state and shapes it at once: a view is valid only inside the callback. */
export function read<T>(context: HttpContext, consistency: "linearizable" | "stale", shape: (view: SystemView) => T): Promise<T | Failure> {
  return new Promise((resolve, reject) => {
    context.node.read(consistency, context.config.http.requestTimeoutMs, (outcome) => {
      try {
        resolve(outcome.type === "ready" ? shape(outcome.state) : unavailable(context, outcome));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Those who wait until locks can be listed wait for one that puts them in order: each by itself would take its step of every turn. */
const arranging = new WeakMap<HttpContext, Promise<SystemView | null>>();

async function arrange(context: HttpContext): Promise<SystemView | null> {
  for (;;) {
    const arranged = await read(context, "stale", (view) => ({ view, isReady: view.arrangeToList() }));
    if (isFailure(arranged)) return null;
    if (arranged.isReady) return arranged.view;
    await nextTurn();
  }
}

/**
 * To be waited for before a page of locks: right after a start looking at all of them would keep the loop, so they are put in order, in turns of it.
 * Answers whose locks these are, for comparison only; null = there is no state to read, which the read of the page tells.
 */
export function untilListable(context: HttpContext): Promise<SystemView | null> {
  const running = arranging.get(context);
  if (running !== undefined) return running;
  const begun = arrange(context).finally(() => arranging.delete(context));
  arranging.set(context, begun);
  return begun;
}

/**
 * A page of locks. The state that is read may be another than the one that was put in order, whose place it took meanwhile (rules W5, W7): then once more.
 * That names came to the same state meanwhile does not matter: under load there are always some.
 */
export async function readListing<T>(
  context: HttpContext,
  consistency: "linearizable" | "stale",
  shape: (view: SystemView) => T,
): Promise<T | Failure> {
  for (;;) {
    const arranged = await untilListable(context);
    const page = await read(context, consistency, (view) => (view === arranged || view.isListable() ? { shaped: shape(view) } : null));
    if (isFailure(page)) return page;
    if (page !== null) return page.shaped;
  }
}

export const isFailure = (value: unknown): value is Failure =>
  typeof value === "object" && value !== null && (value as { type?: unknown }).type === "failure" && "code" in value;

const hash = (...parts: readonly string[]): string => {
  const digest = createHash("sha256");
  // Length-prefixed: ("ab", "c") must not equal ("a", "bc").
  for (const part of parts) digest.update(`${Buffer.byteLength(part)}:`).update(part);
  return digest.digest("hex");
};

/** JSON with sorted keys, so that two spellings of one body have one fingerprint. `without`: a field of the whole that does not count. */
function canonical(value: unknown, without: string | null = null): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item)).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([key]) => key !== without);
    return `{${entries
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)
      .join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

const keyField = "request_id";
/** Not every body has fields: S0's is a message, in which `request_id` is the caller's own affair. */
function takesKey(id: RouteId): boolean {
  const schema: { readonly properties?: object } | undefined = routeOf(id).body;
  return schema?.properties !== undefined && keyField in schema.properties;
}

/** Rule X2: caller = principal + key + route; the fingerprint covers path, query and body. */
export function idempotency(call: AnyCall): SubmitOptions["idempotency"] | Failure {
  const header = call.request.headers["idempotency-key"];
  const own = takesKey(call.id);
  const inBody = own ? (call.request.body as { request_id?: unknown } | undefined)?.request_id : undefined;
  if (Array.isArray(header)) return badField("Idempotency-Key", "one header");
  if (header !== undefined && typeof inBody === "string" && header !== inBody)
    return badField("request_id", "the same value as the header Idempotency-Key");
  const key = header ?? (typeof inBody === "string" ? inBody : undefined);
  if (key === undefined) return undefined;
  if (key === "" || key.length > httpLimits.maxIdempotencyKeyLength)
    return badField("Idempotency-Key", `1 to ${httpLimits.maxIdempotencyKeyLength} characters`);
  const { params, query, body } = call.request;
  // 160 bits name the caller: it travels in every frame of the call and stands in the request id.
  return {
    key: hash(call.principal, call.id, key).slice(0, 40),
    fingerprint: hash(canonical(params), canonical(query), canonical(body, own ? keyField : null)),
  };
}

/** L-06: which node a call is passed to, with its id; at DEBUG, because on a follower it is every call. */
function tellForward(context: HttpContext, call: AnyCall): void {
  const { leader } = leaderOf(context);
  const from = context.config.nodeId;
  if (leader === null || leader === from) return;
  context.log.log("debug", "http.forwarded", `${call.id} is passed from ${from} to the leader ${leader}`, {
    from,
    to: leader,
    route: call.id,
    request_id: call.request.id,
  });
}

/** Sends a command through the log. The wait ends with the connection: a client that went away must not be granted anything (rule K4). */
export function submit(context: HttpContext, call: AnyCall, command: Command, waitMs = 0): Promise<Outcome | Failure> {
  const idempotent = idempotency(call);
  if (isFailure(idempotent)) return Promise.resolve(idempotent);
  const options: SubmitOptions = {
    timeoutMs: waitMs + context.config.http.requestTimeoutMs,
    ...(idempotent === undefined ? {} : { idempotency: idempotent }),
  };
  tellForward(context, call);
  return new Promise((resolve) => {
    let stopWatching: (() => void) | null = null;
    const submission = context.node.submit(command, options, (outcome) => {
      stopWatching?.();
      resolve(outcome);
    });
    stopWatching = onGone(call.request.raw.socket, () => submission.abandon());
  });
}

/** What an outcome is when it is not an answer of apply. */
export function notAnswered(context: HttpContext, outcome: Exclude<Outcome, { type: "answered" }>): Failure {
  if (outcome.type === "unavailable") return unavailable(context, outcome);
  return failure("commit_timeout", { values: { id: outcome.requestId }, members: { outcome: "unknown", request_id: outcome.requestId } });
}

export const principalOf = (request: FastifyRequest): string => request.identity?.principal ?? anonymousPrincipal;
