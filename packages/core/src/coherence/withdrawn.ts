import { mutant } from "#mutation";
import type { HolderEffect, HolderState, Line } from "./holder-state.ts";
import { forgetIdle } from "./holder-state.ts";
import { newIncarnation, release } from "./lease.ts";
import { nextLineState } from "./line-table.ts";
import { type HomeMessage, type LineName, namespaceOf, type Scope } from "./messages.ts";
import type { Moment } from "./timing.ts";

/** Rule M2: withdrawals are processed in their order; one that is missing ends this life. */
export function withdrawn(
  holder: HolderState,
  message: Extract<HomeMessage, { readonly type: "inv" | "share" }>,
  now: Moment,
  effects: HolderEffect[],
): void {
  const { sequence } = message;
  if (sequence > holder.processed) {
    if (sequence > holder.processed + 1 && !mutant("coherence-gap-unnoticed")) return newIncarnation(holder, now, effects);
    holder.processed = sequence;
    if (message.type === "share") share(holder, message.line, sequence);
    else for (const line of linesIn(holder, message.scope)) invalidate(holder, line, sequence, effects);
  }
  const { incarnation, processed, term } = holder;
  effects.push({ type: "send", message: { type: "inv-ack", term, incarnation, sequence: processed } });
  release(holder, now, effects);
}

function share(holder: HolderState, name: LineName, sequence: number): void {
  const line = holder.lines.get(name);
  if (line === undefined) return;
  line.state = nextLineState(line.state, "share");
  line.shared = sequence;
}

function invalidate(holder: HolderState, line: Line, sequence: number, effects: HolderEffect[]): void {
  if (line.copy?.timed === true) return;
  line.state = nextLineState(line.state, "inv");
  line.invalidated = sequence;
  if (line.copy !== null) {
    line.copy = null;
    effects.push({ type: "dropped", line: line.name });
  }
  forgetIdle(holder, line);
}

function linesIn(holder: HolderState, scope: Scope): readonly Line[] {
  if (scope.type === "line") {
    const line = holder.lines.get(scope.line);
    return line === undefined ? [] : [line];
  }
  const lines = [...holder.lines.values()];
  if (scope.type === "everything") return lines;
  const { namespace, tag } = scope;
  // What is on its way may carry the tag.
  const isMeant = ({ copy, writes }: Line): boolean => {
    if (tag === null || copy === null || copy.record.tags.includes(tag)) return true;
    return writes.size > 0 && !mutant("coherence-tag-spares-a-write");
  };
  return lines.filter((line) => namespaceOf(line.name) === namespace && isMeant(line));
}
