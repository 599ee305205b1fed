import { mutant } from "#mutation";
import { assertNever } from "../kernel/assert.ts";
import type { HomeEffect, HomeEvent, HomeState } from "./home-state.ts";
import { granted, leaseAsked, leaves, lapse, registrationApplied } from "./home-leases.ts";
import { advance, applied, fetchAsked, confirmedValue, evicted, valueRead, writeAsked } from "./home-lines.ts";
import { barrierApplied, barrierWhenClosed, close, deposed, elected, flushed, opensIfFlushed, resume } from "./home-phase.ts";
import { advanceScopes, scopeApplied, scopeAsked } from "./home-scopes.ts";
import { acknowledged, stopWaiting } from "./home-withdrawals.ts";
import type { HolderId, HolderMessage } from "./messages.ts";

/** One step of a shard's home. Changes `home`; what is to be done outside is returned, in order. */
export function stepHome(home: HomeState, event: HomeEvent): readonly HomeEffect[] {
  const effects: HomeEffect[] = [];
  if (event.type === "elected") elected(home, event, effects);
  else if (home.phase !== "idle") stepLeading(home, event, effects);
  progress(home, effects);
  return effects;
}

/** Whatever can go on after this event goes on now. */
function progress(home: HomeState, effects: HomeEffect[]): void {
  do {
    advanceScopes(home, effects);
    for (const line of home.touched) {
      home.touched.delete(line);
      advance(home, line, effects);
    }
  } while (home.touched.size > 0);
  // Lines that came to rest may have made way for an invalidation of their namespace.
  advanceScopes(home, effects);
  barrierWhenClosed(home, effects);
}

function stepLeading(home: HomeState, event: Exclude<HomeEvent, { readonly type: "elected" }>, effects: HomeEffect[]): void {
  switch (event.type) {
    case "deposed":
      return deposed(home, effects);
    case "message":
      return receive(home, event.from, event.message, event.now, effects);
    case "write":
      return writeAsked(home, event.line, { type: "local", id: event.id }, event.command);
    case "expire":
      return writeAsked(home, event.line, { type: "home" }, event.command);
    case "invalidate":
      return scopeAsked(home, event);
    case "value":
      return valueRead(home, event, effects);
    case "confirmed-value":
      return confirmedValue(home, event.read, event.record, effects);
    case "confirmed":
      return granted(home, event.round, event.now, effects);
    case "applied":
      return appliedHere(home, event, effects);
    case "close":
      return close(home, effects);
    case "resume":
      return resume(home, effects);
    case "tick":
      stopWaiting(home, event.now);
      lapse(home, event.now, effects);
      return opensIfFlushed(home, event.now, effects);
    default:
      assertNever(event);
  }
}

function receive(home: HomeState, from: HolderId, message: HolderMessage, now: number, effects: HomeEffect[]): void {
  if (message.term !== home.term && !mutant("coherence-former-term-heard")) {
    // The sender takes somebody else for the home, or this node for what it was.
    const { incarnation } = message;
    if (message.term < home.term) effects.push({ type: "send", to: from, message: { type: "flush", term: home.term, incarnation } });
    return;
  }
  // Who speaks of this term has dropped what it had of any other (rule M4).
  flushed(home, from, now, effects);
  switch (message.type) {
    case "renew":
      return leaseAsked(home, from, message, now, effects);
    case "fetch":
      return fetchAsked(home, from, message, now, effects);
    case "read":
      return fetchAsked(home, from, { ...message, type: "fetch", confirmed: true }, now, effects);
    case "write": {
      const { command, incarnation, keep, line, txn } = message;
      return writeAsked(home, line, { type: "holder", holder: from, incarnation, txn, keep }, command);
    }
    case "inv-ack":
      return acknowledged(home, from, message.incarnation, message.sequence);
    case "evict":
      return evicted(home, from, message);
    case "flush-ack":
      return;
    case "leave":
      return leaves(home, from, message.incarnation, now);
    default:
      assertNever(message);
  }
}

function appliedHere(home: HomeState, event: Extract<HomeEvent, { readonly type: "applied" }>, effects: HomeEffect[]): void {
  const proposal = home.proposals.get(event.proposal);
  // Proposed in another term: nobody waits for it here.
  if (proposal === undefined) return;
  home.proposals.delete(event.proposal);
  switch (proposal.type) {
    case "line":
      return applied(home, proposal.line, event, effects);
    case "scope":
      return scopeApplied(home, proposal.namespace, event.outcome, effects);
    case "register":
    case "forget":
      return registrationApplied(home, proposal, event.now, effects);
    case "barrier":
    case "resume":
      return barrierApplied(home, proposal.type, effects);
    default:
      assertNever(proposal);
  }
}
