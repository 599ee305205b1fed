import type { Output } from "./output.ts";

/** How often people are told how far long work is. */
const everyMs = 1_000;

/** Progress of long work on stderr: at most a line a second, the first at once. */
export interface ProgressLine {
  tell(text: string): void;
  /** The last thing told, unless it was. */
  end(): void;
}

export function progressLine(output: Output, now: () => number = () => performance.now()): ProgressLine {
  let toldAt = Number.NEGATIVE_INFINITY;
  let waiting: string | null = null;
  const tell = (text: string): void => {
    waiting = null;
    toldAt = now();
    output.say(text);
  };
  return {
    tell: (text) => {
      if (now() - toldAt >= everyMs) tell(text);
      else waiting = text;
    },
    end: () => {
      if (waiting !== null) tell(waiting);
    },
  };
}
