import type { Command, LaneFrame, Result } from "@trivet/wire";
import type { CallerRoute, Outcome, SubmitOptions, Unavailable } from "../node/node-api.ts";
import type { Traces } from "../base/traces.ts";

/** What calls that this node submits for its clients need of the node. */
export interface SubmissionsOwner<R = Result> {
  now(): number;
  groupTime(): number;
  newCaller(): string;
  setRoute(caller: string, route: CallerRoute<R>): void;
  endRoute(caller: string, route: CallerRoute<R>): void;
  submitFrame(frame: Uint8Array): Unavailable | null;
  /** Takes back the frame that begins at `sequence`; false = a copy of it may be in a log. */
  withdraw(caller: string, sequence: number): boolean;
  hasCopies(caller: string, sequence: number): boolean;
  readonly traces: Traces;
  /** Runs later in this turn: no outcome is told inside the call that asks for it. */
  later(run: () => void): void;
  markDirty(): void;
}

/** Calls that share a frame share its place in the log, and so the trace of the first of them that has one. */
export function noteFrame(traces: Traces, frame: LaneFrame | undefined): void {
  if (traces.isOn && frame !== undefined) traces.note(frame);
}

export const nothingHappened: Unavailable = {
  type: "unavailable",
  code: "no_leader",
  retryAfterMs: 200,
  detail: "no leader was reached in time; nothing happened",
};

/** What the log refused as "past-deadline", in the words of calls. */
export const pastDeadline: Unavailable = {
  type: "unavailable",
  code: "no_quorum",
  retryAfterMs: 200,
  detail: "the command reached the log after its deadline; nothing happened",
};

export function outcomeOf(result: Result, requestId: string): Outcome {
  if (result.type === "refused" && result.reason === "past-deadline") return pastDeadline;
  return { type: "answered", result, requestId };
}

export function mayBeWaiting(command: Command): boolean {
  return (command.type === "acquire" || command.type === "upgrade") && command.waitMs > 0;
}

/** Rounded up, so that the commands of a turn share a frame: a frame has one not-after, and so have the request ids of its commands. */
export function notAfterOf(groupTime: number, options: Pick<SubmitOptions, "timeoutMs">): number {
  return Math.ceil((groupTime + options.timeoutMs + 1_000) / 100) * 100;
}
