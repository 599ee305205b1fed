import type { Entry } from "@trivet/core";
import { CodecError, type Command, EntryPayloadCursor, FrameCursor } from "@trivet/wire";
import type { LogLine } from "../node/node-api.ts";

/** Entries for people: one line per command, one for an entry that carries none. */
export function logLines(entries: readonly Entry[]): readonly LogLine[] {
  const lines: LogLine[] = [];
  for (const entry of entries) {
    if (entry.kind !== "command") lines.push({ index: entry.index, term: entry.term, type: entry.kind, command: null });
    else
      for (const command of commandsOf(entry.payload))
        lines.push({ index: entry.index, term: entry.term, type: command?.type ?? "malformed", command });
  }
  return lines;
}

function commandsOf(payload: Uint8Array): readonly (Command | null)[] {
  const commands: (Command | null)[] = [];
  const entry = new EntryPayloadCursor();
  const frame = new FrameCursor();
  try {
    entry.open(payload);
    while (entry.next()) {
      frame.open(payload, entry.frameStart, entry.frameEnd);
      while (frame.next()) commands.push(decoded(frame));
    }
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    commands.push(null);
  }
  return commands;
}

function decoded(frame: FrameCursor): Command | null {
  try {
    return frame.decode();
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    return null;
  }
}
