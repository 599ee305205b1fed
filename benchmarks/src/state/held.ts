import { SystemState, type ApplySink } from "@trivet/core";
import type { Command } from "@trivet/wire";
import { heldName } from "../driver/fill.ts";

/** Nobody waits for answers here. */
const sink: ApplySink = { answer: () => {}, changed: () => {} };
const principal = "bench";
const ttlMs = 3_600_000;

export function apply(state: SystemState, command: Command): ReturnType<SystemState["applyCommand"]> {
  return state.applyCommand(command, "", 0, sink);
}

export function openSession(state: SystemState, lockDelayMs: number): number {
  const opened = apply(state, { type: "open-session", ttlMs, lockDelayMs, principal, label: "" });
  if (typeof opened === "number" || opened.type !== "session-opened") throw new Error(`no session: ${JSON.stringify(opened)}`);
  return opened.session;
}

/** One lock of `session` (0 = with a lease of its own). */
export function acquire(state: SystemState, session: number, name: string, waitMs = 0): void {
  const actor = { session, principal, owner: "default" };
  const keys = [{ name, mode: "exclusive", of: 0 }] as const;
  const result = apply(state, {
    type: "acquire",
    actor,
    keys,
    waitMs,
    ttlMs: session === 0 ? ttlMs : 0,
    reentrant: false,
    anonymous: false,
  });
  if (typeof result !== "number" && result.type !== "granted") throw new Error(`${name}: ${JSON.stringify(result)}`);
}

/** `sessions` sessions with `each` locks, or all of them leases without a session. */
export function heldState(sessions: number, each: number, leases = false): SystemState {
  const state = new SystemState({ locksPerPrincipal: Number.MAX_SAFE_INTEGER });
  for (let place = 0; place < sessions; place++) {
    const session = leases ? 0 : openSession(state, 0);
    for (let lock = 0; lock < each; lock++) acquire(state, session, heldName("held", place, lock));
  }
  return state;
}
