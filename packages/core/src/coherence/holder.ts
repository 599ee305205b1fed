import { mutant } from "#mutation";
import { assertNever } from "../kernel/assert.ts";
import { abandon, endFlight } from "./abandoned.ts";
import { filled, wrote } from "./fills.ts";
import type { HolderEffect, HolderEvent, HolderState } from "./holder-state.ts";
import { forgetIdle } from "./holder-state.ts";
import { ask, lapseIfOver, newIncarnation, refused, renewed, retry, takeTerm } from "./lease.ts";
import { nextLineState } from "./line-table.ts";
import { read, startWrite } from "./lines.ts";
import type { HomeMessage } from "./messages.ts";
import type { Moment } from "./timing.ts";
import { withdrawn } from "./withdrawn.ts";

/** One step of a holder. Changes `holder`; what is to be done outside is returned, in order. */
export function stepHolder(holder: HolderState, event: HolderEvent): readonly HolderEffect[] {
  const effects: HolderEffect[] = [];
  const { now } = event;
  // A process that was stalled finds out here, before anything else: what it holds may have been overwritten.
  lapseIfOver(holder, now, effects);
  switch (event.type) {
    case "read":
      if (holder.leasedAt === null && event.mode.type === "write-through") ask(holder, now, effects);
      read(holder, event.line, event.mode, [event.waiter], now, effects);
      break;
    case "write":
      startWrite(holder, event, effects);
      break;
    case "message":
      receive(holder, event.message, now, effects);
      break;
    case "home":
      if (event.term > holder.term) takeTerm(holder, event.term, now, effects);
      break;
    case "tick":
      retry(holder, now, effects);
      break;
    case "evict":
      evict(holder, event.line, effects);
      break;
    case "abandon":
      abandon(holder, event.line, event.waiter, effects);
      break;
    case "leave":
      leave(holder, now, effects);
      break;
    default:
      assertNever(event);
  }
  return effects;
}

function receive(holder: HolderState, message: HomeMessage, now: Moment, effects: HolderEffect[]): void {
  const { type } = message;
  if (message.term > holder.term) takeTerm(holder, message.term, now, effects);
  if (type === "flush") {
    if (message.term === holder.term) effects.push({ type: "send", message: { ...envelope(holder), type: "flush-ack" } });
    return;
  }
  if (type === "done") {
    // Said to the process that was here before: its transactions had the same numbers.
    if (message.incarnation < holder.born && !mutant("coherence-former-process-answered")) return;
    // What was decided is decided, whichever home tells it; only the copy that came along belongs to a session.
    return wrote(holder, message, isPresent(holder, message), now, effects);
  }
  if (!isPresent(holder, message)) return;
  switch (type) {
    case "renewed":
      return renewed(holder, message.request, message.sequence, now, effects);
    case "refused":
      return refused(holder, message, now, effects);
    case "data":
      return filled(holder, message, now, effects);
    case "inv":
    case "share":
      return withdrawn(holder, message, now, effects);
    default:
      assertNever(type);
  }
}

/** Is it of the present home, for the present life? */
function isPresent(holder: HolderState, message: HomeMessage): boolean {
  if (message.term !== holder.term && !mutant("coherence-former-home-believed")) return false;
  return message.incarnation === holder.incarnation || mutant("coherence-former-session-believed");
}

function evict(holder: HolderState, name: string, effects: HolderEffect[]): void {
  const line = holder.lines.get(name);
  // It went with a lapse that was noticed only now.
  if (line === undefined) return;
  const state = nextLineState(line.state, "evict");
  if (line.copy === null) return;
  const { fill, timed } = line.copy;
  line.state = state;
  line.copy = null;
  effects.push({ type: "dropped", line: name });
  if (!timed) effects.push({ type: "send", message: { ...envelope(holder), type: "evict", line: name, fill } });
  forgetIdle(holder, line);
}

function leave(holder: HolderState, now: Moment, effects: HolderEffect[]): void {
  if (holder.term > 0) effects.push({ type: "send", message: { ...envelope(holder), type: "leave" } });
  // Who asks on would be given a lease again, and be waited for: the host tells whoever waits here that no answer came.
  if (!mutant("coherence-leaver-asks-on")) for (const line of holder.lines.values()) endFlight(line);
  // Whatever is still on its way to this life must not make it a holder again.
  newIncarnation(holder, now, effects);
  // Nor may what it is still asked, or has to send again: it reads without copies until another home is there.
  if (!mutant("coherence-leaver-asks-on")) holder.askAgainAt = Number.POSITIVE_INFINITY;
}

function envelope(holder: HolderState): { readonly term: number; readonly incarnation: number } {
  return { term: holder.term, incarnation: holder.incarnation };
}
