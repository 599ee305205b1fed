import type { Entry, SystemState } from "@trivet/core";
import { CodecError, EntryPayloadCursor, FrameCursor, levelOfCommand, newestLevel } from "@trivet/wire";
import { version } from "../version.ts";
import { RestoreRefused } from "./restore-refused.ts";

/** The state may hold what this version does not understand (docs/decisions/0022-feature-levels.md). */
export function checkLevel({ features }: SystemState, what: string): void {
  const { told } = features;
  if (told !== null && told > newestLevel)
    throw tooNew(`${what} is at feature level ${told}, and this version (${version}) knows ${newestLevel}.`);
}

/**
 * A log may be ahead of what group 0's copy tells of levels. A command of a later version would be answered here as no command at all: what it did would be
 * missing.
 */
export function checkCommands(entries: readonly Entry[], what: string): void {
  for (const { index, kind, payload } of entries) {
    const strange = kind === "command" ? strangeIn(payload) : null;
    if (strange !== null) throw tooNew(`${what} holds ${strange} at index ${index}, which this version (${version}) does not know.`);
  }
}

function tooNew(what: string): RestoreRefused {
  return new RestoreRefused(what, "use the version that the former nodes ran, or a newer one");
}

const entry = new EntryPayloadCursor();
const frame = new FrameCursor();

/** Nodes check what they put into a log, so whatever has no known form is of another version. */
function strangeIn(payload: Uint8Array): string | null {
  try {
    entry.open(payload);
    while (entry.next()) {
      frame.open(payload, entry.frameStart, entry.frameEnd);
      while (frame.next()) {
        const number = frame.command.u8();
        if (levelOfCommand(number) > newestLevel) return `command ${number}`;
      }
    }
    return null;
  } catch (error) {
    if (error instanceof CodecError) return `an entry of another form (${error.message})`;
    throw error;
  }
}
