import type { ClientTarget } from "../clients/protocol.ts";
import type { RunningSubject, Subject } from "./subject.ts";

function inProcess(kind: "lru-cache" | "cacheable"): RunningSubject {
  const target: ClientTarget = { kind, urls: [] };
  return {
    nodes: [],
    leadership: () => Promise.resolve(null),
    healthy: () => Promise.resolve(),
    participants: () => Promise.resolve([]),
    fsyncs: () => Promise.resolve(null),
    target: () => Promise.resolve(target),
    queueLeader: () => Promise.resolve(null),
    stop: () => Promise.resolve(),
  };
}

function memoryCache(name: "lru-cache" | "cacheable", wire: string): Subject {
  return {
    name,
    services: ["cache"],
    queues: null,
    cache: { copies: true, shared: false },
    durability: "none: the memory of one process",
    transport: "memory",
    wire,
    failsOver: false,
    keepsLocks: false,
    collectable: false,
    http: false,
    start: () => Promise.resolve(inProcess(name)),
  };
}

/** What a program without other processes uses. */
export const lruCache: Subject = memoryCache("lru-cache", "no wire: synchronous calls in the process");
export const cacheable: Subject = memoryCache("cacheable", "no wire: its memory level in the process, without a second level");
