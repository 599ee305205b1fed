import type { AliasLoopOptions, AliasLoopResult } from "../driver/alias-loop.ts";
import type { BacklogDrainOptions, BacklogDrainResult, BacklogFillOptions, BacklogFillResult } from "../driver/backlog.ts";
import type { OpenOptions, OperationsResult } from "../driver/operations.ts";
import type { QueueShape } from "../driver/queue-client.ts";
import type { RoundTripOptions, RoundTripResult } from "../driver/round-trips.ts";
import type { Failover, SteadyOptions, SteadyResult } from "../driver/steady-stream.ts";

/** Calls of a client process that drives a queue. */
export interface QueueCalls {
  readonly queueOpen: { readonly options: { readonly queue: string; readonly shape: QueueShape }; readonly result: null };
  readonly produceClosed: {
    readonly options: { readonly queue: string; readonly callers: number; readonly durationMs: number };
    readonly result: OperationsResult;
  };
  readonly produceOpen: { readonly options: OpenOptions & { readonly queue: string }; readonly result: OperationsResult };
  readonly roundTrips: { readonly options: RoundTripOptions; readonly result: RoundTripResult };
  readonly backlogFill: { readonly options: BacklogFillOptions; readonly result: BacklogFillResult };
  readonly backlogDrain: { readonly options: BacklogDrainOptions; readonly result: BacklogDrainResult };
  /** How many messages the fill or the drain that is under way has behind it. */
  readonly backlogDone: { readonly options: null; readonly result: number };
  readonly steadyStart: { readonly options: SteadyOptions; readonly result: null };
  readonly steadyHold: { readonly options: { readonly timeoutMs: number }; readonly result: null };
  readonly steadyAfterKill: { readonly options: { readonly killedAtMs: number; readonly timeoutMs: number }; readonly result: Failover };
  readonly steadyStop: { readonly options: null; readonly result: SteadyResult };
  readonly aliasLoop: { readonly options: AliasLoopOptions; readonly result: AliasLoopResult };
}
