import type { ClosedLoopOptions, ClosedLoopResult } from "../driver/closed-loop.ts";
import type { HandOffOptions, HandOffResult } from "../driver/hand-off.ts";
import type { OpenLoopOptions, OpenLoopResult } from "../driver/open-loop.ts";
import type { FillOptions, FillResult } from "../driver/fill.ts";
import type { CacheCalls } from "./cache-protocol.ts";
import type { QueueCalls } from "./queue-protocol.ts";

/** What a subject is measured as, and a client process drives. */
export type Service = "locks" | "queues" | "cache";

/** How the client process reaches its subject. `urls`: all nodes, the one to use first in front. */
export interface ClientTarget {
  readonly kind:
    | "floor"
    | "trivet"
    | "trivet-http"
    | "etcd"
    | "redis"
    | "bullmq"
    | "nats"
    | "rabbitmq"
    | "lru-cache"
    | "cacheable"
    | "node-redis";
  readonly urls: readonly string[];
  /** With these addresses, whoever leads. */
  readonly stay?: boolean;
}

/** First grant of an acquire that was sent after the parent asked for it. */
export interface ProbeResult {
  /** CLOCK_MONOTONIC in milliseconds: the same clock in every process of the machine. */
  readonly granted_at_ms: number;
  readonly attempts: number;
}

/** Pairs in the background while leaders die. */
export interface BackgroundOptions {
  readonly callers: number;
  readonly prefix: string;
}

/** Calls of a client process that drives a lock service. */
export interface LockCalls {
  readonly prepare: { readonly options: { readonly callers: number }; readonly result: null };
  readonly closed: { readonly options: ClosedLoopOptions; readonly result: ClosedLoopResult };
  readonly open: { readonly options: OpenLoopOptions; readonly result: OpenLoopResult };
  readonly handOff: { readonly options: HandOffOptions; readonly result: HandOffResult };
  readonly background: { readonly options: BackgroundOptions; readonly result: null };
  readonly endBackground: { readonly options: null; readonly result: { readonly pairs: number; readonly errors: number } };
  readonly probe: { readonly options: { readonly caller: number; readonly timeoutMs: number }; readonly result: ProbeResult };
  readonly fill: { readonly options: FillOptions; readonly result: FillResult };
  readonly isFree: { readonly options: { readonly name: string }; readonly result: boolean };
}

/** What the parent may ask of a client process, and what each call answers. */
export interface ClientCalls extends LockCalls, QueueCalls, CacheCalls {}

export type ClientCall = keyof ClientCalls;

/** The client's side of some of the calls. */
export type Handlers<Calls extends keyof ClientCalls> = {
  readonly [C in Calls]: (options: ClientCalls[C]["options"]) => Promise<ClientCalls[C]["result"]>;
};

export interface ClientRequest {
  readonly id: number;
  readonly call: ClientCall;
  readonly options: unknown;
}

export type ClientReply =
  | { readonly id: number; readonly type: "answer"; readonly result: unknown }
  | { readonly id: number; readonly type: "failure"; readonly message: string };
