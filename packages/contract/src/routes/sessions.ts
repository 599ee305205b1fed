import { Type } from "typebox";
import { Limit } from "../schemas/common.ts";
import * as s from "../schemas/sessions.ts";
import { commandErrors, readErrors, route } from "./definition.ts";

const SessionParams = Type.Object({ session_id: Type.String({ pattern: "^[1-9][0-9]{0,15}$" }) });

export const sessionRoutes = {
  openSession: route({
    method: "POST",
    path: "/v1/sessions",
    tag: "sessions",
    summary: "Open a session that owns locks",
    description: "Count the time to live from the moment a keepalive is sent, not from its answer.",
    body: s.OpenSessionBody,
    bodyOptional: true,
    responses: { 201: s.SessionOpened },
    errors: commandErrors,
    fields: [{ from: "ttl", to: "ttl_ms", unit: "seconds" }],
    idempotent: true,
  }),
  keepSession: route({
    method: "PUT",
    path: "/v1/sessions/:session_id/keepalive",
    tag: "sessions",
    summary: "Extend a session by its time to live",
    description:
      "Answered after a quorum confirmed the leader in a round begun after the call arrived (rule L1); never written to the log.",
    params: SessionParams,
    responses: { 200: s.SessionAlive },
    errors: ["session_not_found", ...readErrors],
  }),
  getSession: route({
    method: "GET",
    path: "/v1/sessions/:session_id",
    tag: "sessions",
    summary: "One session",
    params: SessionParams,
    responses: { 200: s.SessionState },
    errors: ["session_not_found", ...readErrors],
  }),
  listSessions: route({
    method: "GET",
    path: "/v1/sessions",
    tag: "sessions",
    summary: "All sessions",
    administers: "recorded",
    query: Type.Object(
      { cursor: Type.Optional(Type.String({ pattern: "^(0|[1-9][0-9]{0,15})$" })), limit: Type.Optional(Limit) },
      { additionalProperties: false },
    ),
    responses: { 200: s.SessionList },
    errors: readErrors,
  }),
  closeSession: route({
    method: "DELETE",
    path: "/v1/sessions/:session_id",
    tag: "sessions",
    summary: "Close a session and release its locks",
    params: SessionParams,
    responses: { 200: s.SessionClosed },
    errors: ["session_not_found", ...commandErrors],
    idempotent: true,
  }),
} as const;

export const requestRoutes = {
  getRequest: route({
    method: "GET",
    path: "/v1/requests/:request_id",
    tag: "requests",
    summary: "Outcome of an earlier call",
    description:
      "`pending` until the deadline of the call, then the result or `not_executed`, later 410 (rule X3). Of locks, sessions and definitions, and of queue commands in the shards; " +
      "of a Redis that keeps the messages only those with an Idempotency-Key, and never `not_executed`. A consume tells which messages it handed out.",
    params: Type.Object({ request_id: Type.String({ minLength: 1, maxLength: 512 }) }),
    responses: { 200: s.RequestOutcome },
    errors: ["request_not_found", "request_expired", ...readErrors],
  }),
} as const;
