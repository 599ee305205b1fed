import type { TSchema } from "typebox";
import type { ErrorCode } from "../errors.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export const tags = [
  "locks",
  "sessions",
  "queues",
  "cache",
  "requests",
  "raft",
  "cluster",
  "health",
  "metrics",
  "stream",
  "documents",
  "S0 paths",
  "S2 paths",
  "S4 paths",
] as const;
export type Tag = (typeof tags)[number];

/** Where a field is looked for, and how its value becomes the canonical one (reference: field aliases). */
export interface FieldAlias {
  readonly from: string;
  readonly to: string;
  /** `seconds` = the accepted field is in seconds, the canonical one in milliseconds. */
  readonly unit?: "seconds";
}

/** One path of the API. The server registers exactly this table, the OpenAPI document is generated from it. */
export interface RouteDefinition {
  readonly method: Method;
  /** With `:name` parameters. */
  readonly path: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly description?: string;
  readonly params?: TSchema;
  readonly query?: TSchema;
  readonly body?: TSchema;
  /** A body may be left out. */
  readonly bodyOptional?: boolean;
  /** Bodies of the 2xx answers; other answers are problems. */
  readonly responses: Readonly<Record<number, TSchema>>;
  /** Content type of the 2xx answers when it is not JSON. */
  readonly contentType?: string;
  /** Errors of this path besides those every path has (`commonErrors`). */
  readonly errors: readonly ErrorCode[];
  /** Other spellings of fields in body and query. */
  readonly fields?: readonly FieldAlias[];
  /** Takes Idempotency-Key (rule X2). */
  readonly idempotent?: boolean;
  /** Same function under another path: which canonical path, and which source document names this one. */
  readonly alias?: { readonly of: string; readonly source: "S0" | "S2" | "S4" };
  /** Largest body, where it is less than that of other paths. */
  readonly maxBodyBytes?: number;
  /** A GET that takes something: no HEAD, and not for pages of other sites. */
  readonly takes?: boolean;
  /** Query parameters are ignored when unknown (health probes add their own). */
  readonly looseQuery?: boolean;
  /**
   * Needs the right to administer, and stands in the audit log before it is done: on the node's disk (`recorded`), or anchored in the Raft log as well
   * (`anchored`). The first are those that change nothing in the cluster and that people need where it has no quorum.
   */
  readonly administers?: "anchored" | "recorded";
}

/** Keeps the literal types of one definition while checking its shape. */
export const route = <const Definition extends RouteDefinition>(definition: Definition): Definition => definition;

/** Errors that every path may answer. */
export const commonErrors: readonly ErrorCode[] = [
  "bad_request",
  "unauthorized",
  "forbidden",
  "request_timeout",
  "headers_too_large",
  "too_many_requests",
  "internal",
];
/** Errors of every call that goes through the log. */
export const commandErrors = [
  "conflict",
  "payload_too_large",
  "idempotency_key_reused",
  "quota_exceeded",
  "no_leader",
  "no_quorum",
  "overloaded",
  "stopping",
  "node_removed",
  "not_executed",
  "commit_timeout",
  "storage_unavailable",
] as const satisfies readonly ErrorCode[];
/** Errors of a linearizable read. */
export const readErrors = [
  "no_leader",
  "no_quorum",
  "overloaded",
  "stopping",
  "node_removed",
  "feature_level",
] as const satisfies readonly ErrorCode[];

/** Other names of the fields of lock calls, as the source documents and their programs spell them. */
export const lockFieldAliases: readonly FieldAlias[] = [
  { from: "client_id", to: "owner" },
  { from: "client", to: "owner" },
  { from: "holder", to: "owner" },
  { from: "lock_type", to: "mode" },
  { from: "type", to: "mode" },
  { from: "timeout", to: "wait_ms", unit: "seconds" },
  { from: "ttl", to: "ttl_ms", unit: "seconds" },
  { from: "fencing_token", to: "fence" },
];
/** Other names of the content of a message. */
export const messageAliases: readonly FieldAlias[] = [
  { from: "message", to: "body" },
  { from: "data", to: "body" },
  { from: "payload", to: "body" },
];
export const queueNameAliases: readonly FieldAlias[] = [
  { from: "topic", to: "queue" },
  { from: "queue_name", to: "queue" },
];
export const groupAliases: readonly FieldAlias[] = [
  { from: "group_name", to: "group" },
  { from: "consumer_id", to: "consumer" },
];
/** Words that are paths of their own under `/queue/`: no queue of that name is reached there, only under /v1. */
export const reservedQueueWords = ["produce", "consume", "publish", "ack", "nack", "create-group"] as const;
/** Other names of a cached value. */
export const cacheValueAliases: readonly FieldAlias[] = [
  { from: "data", to: "value" },
  { from: "ttl", to: "ttl_ms", unit: "seconds" },
];
/** Words that are paths of their own under `/cache/`: no key of that name is reached there, only under /v1. */
export const reservedCacheWords = ["get", "put", "fetch", "state", "invalidate", "read", "write"] as const;
export const lockNameAliases: readonly FieldAlias[] = [
  { from: "resource", to: "name" },
  { from: "lock_name", to: "name" },
  { from: "lock_id", to: "name" },
];
