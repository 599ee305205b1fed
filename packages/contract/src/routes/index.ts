import { s0Routes, s4Routes } from "./aliases.ts";
import { cacheAliasRoutes } from "./cache-aliases.ts";
import { cacheRoutes } from "./cache.ts";
import {
  auditRoutes,
  backupRoutes,
  clusterRoutes,
  documentRoutes,
  healthRoutes,
  metricsRoutes,
  raftRoutes,
  streamRoutes,
} from "./cluster.ts";
import { commonErrors, type RouteDefinition } from "./definition.ts";
import { lockRoutes } from "./locks.ts";
import { queueAliasRoutes } from "./queue-aliases.ts";
import { placementRoutes, queueRoutes } from "./queues.ts";
import { requestRoutes, sessionRoutes } from "./sessions.ts";
import type { ErrorCode } from "../errors.ts";

export * from "./definition.ts";
export {
  auditRoutes,
  backupRoutes,
  cacheAliasRoutes,
  cacheRoutes,
  clusterRoutes,
  documentRoutes,
  healthRoutes,
  lockRoutes,
  metricsRoutes,
  placementRoutes,
  queueAliasRoutes,
  queueRoutes,
  raftRoutes,
  requestRoutes,
  s0Routes,
  s4Routes,
  sessionRoutes,
  streamRoutes,
};

/** Every path of the API by operation id. */
export const routes = {
  ...lockRoutes,
  ...sessionRoutes,
  ...queueRoutes,
  ...placementRoutes,
  ...cacheRoutes,
  ...requestRoutes,
  ...raftRoutes,
  ...clusterRoutes,
  ...backupRoutes,
  ...auditRoutes,
  ...healthRoutes,
  ...metricsRoutes,
  ...documentRoutes,
  ...streamRoutes,
  ...s0Routes,
  ...s4Routes,
  ...queueAliasRoutes,
  ...cacheAliasRoutes,
} as const;
export type RouteId = keyof typeof routes;
export const routeIds = Object.keys(routes) as RouteId[];

export function routeOf(id: RouteId): RouteDefinition {
  return routes[id];
}

/** The service a path belongs to; null = every node has it. */
export function serviceOf(definition: RouteDefinition): "lock" | "queue" | "cache" | null {
  const path = definition.alias?.of ?? definition.path;
  if (/^\/v1\/cache(?:-[a-z]+)?(?:\/|$)/.test(path)) return "cache";
  if (/^\/v1\/(?:queues|fences\/raise)(?:\/|$)/.test(path)) return "queue";
  return /^\/v1\/(?:locks|lock-sets|lock-graph|fences)(?:\/|$)/.test(path) ? "lock" : null;
}

/** Every error a path may answer, in the order of the catalogue's statuses. */
export function errorsOf(definition: RouteDefinition): readonly ErrorCode[] {
  const always: ErrorCode[] = [...commonErrors];
  // Passed on to a node that runs the service, where one is known (T-14).
  if (serviceOf(definition) !== null) {
    always.push("role_not_enabled", "role_unreachable");
    if (definition.method !== "GET" || definition.takes === true) always.push("commit_timeout");
  }
  // The body is read, and its size looked at, whether a path wants one or not.
  if (definition.method !== "GET") always.push("payload_too_large");
  if (definition.path.includes("/:")) always.push("uri_too_long");
  if (definition.administers !== undefined) always.push("storage_unavailable");
  if (definition.administers === "anchored") always.push("audit_unanchored", "audit_mismatch");
  return [...new Set([...definition.errors, ...always])];
}
