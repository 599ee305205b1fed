import { CallerLanes, CodecError, formatRequestId, type ShardCommand, decodeShardAnswer } from "@trivet/wire";
import type { CommandStream, ShardAnswer } from "../command-stream.ts";
import { OutcomeUnknownError, TrivetError, UnavailableError } from "../errors.ts";
import type { NearHolder } from "./near-holder.ts";

/** Commands of cached values, each in a frame of its own: they go to the homes of their lines, not to the log (rule M3), and are executed once (rule X1). */
export class NearWrites {
  private readonly stream: CommandStream;
  private readonly newCaller: () => string;
  private readonly lanes = new Map<number, CallerLanes<object>>();

  constructor(stream: CommandStream, newCaller: () => string) {
    this.stream = stream;
    this.newCaller = newCaller;
  }

  /** Rejects with TrivetError. */
  write(group: number, holder: NearHolder, line: string, command: ShardCommand, keep: boolean, deadline: number): Promise<ShardAnswer> {
    let lanes = this.lanes.get(group);
    if (lanes === undefined) {
      this.lanes.set(group, (lanes = new CallerLanes<object>({ newCaller: this.newCaller, exactDeadlines: true })));
    }
    return new Promise((resolve, reject) => {
      const notAfter = Math.max(0, Math.floor(deadline + this.stream.groupOffset));
      const sequence = submit(lanes, command, notAfter);
      if (sequence === 0) throw new UnavailableError("overloaded", "Too many commands are open on this connection");
      const { caller } = lanes;
      let frame = new Uint8Array(0);
      // At once: a frame of several commands could not go through the homes of several lines.
      lanes.collect(({ bytes }) => {
        frame = bytes as Uint8Array<ArrayBuffer>;
      });
      holder.write(line, frame, keep, deadline, (outcome) => {
        if (outcome === null) {
          lanes.giveUp(caller, sequence);
          reject(new OutcomeUnknownError(formatRequestId({ group, caller, sequence, notAfter }), notAfter));
        } else {
          lanes.answer(caller, sequence);
          resolve(decodeShardAnswer(outcome.answer));
        }
      });
    });
  }
}

function submit(lanes: CallerLanes<object>, command: ShardCommand, notAfter: number): number {
  try {
    return lanes.submit(command, notAfter, Number.POSITIVE_INFINITY, {});
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    throw new TrivetError("bad_request", error.message, { cause: error });
  }
}
