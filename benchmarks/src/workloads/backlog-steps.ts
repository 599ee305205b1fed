import type { ClientProcess } from "../clients/client-process.ts";
import type { BacklogDrainResult, BacklogFillResult } from "../driver/backlog.ts";
import type { RunningSubject } from "../subjects/subject.ts";
import { monotonicMs } from "../waiting.ts";
import { NodeWatch, type Seen } from "./node-watch.ts";
import { Pace } from "./pace.ts";
import { Periodic } from "./periodic.ts";
import { slackMs } from "./workload.ts";

const group = "workers";
const shape = { groups: [group], keyed: false, onePartition: false };
const credit = 1024;
const silenceMs = 30_000;
const tellEveryMs = 20_000;
/** A call that was sent at the last moment, and a consumer that has to give back what it holds, take their time too. */
const endMs = 4 * slackMs;

/** A long step, and what was seen of the nodes meanwhile. */
export interface Step<T> {
  readonly result: T;
  readonly seen: Seen;
}

/** The steps of queue-backlog, each bounded in time, and told about while it goes on. */
export class BacklogSteps {
  readonly #running: RunningSubject;
  readonly #inFlight: number;
  readonly #say: (line: string) => void;

  constructor(running: RunningSubject, inFlight: number, say: (line: string) => void) {
    this.#running = running;
    this.#inFlight = inFlight;
    this.#say = say;
  }

  async open(client: ClientProcess, queue: string): Promise<void> {
    await client.call("queueOpen", { queue, shape }, slackMs * 2);
  }

  fill(client: ClientProcess, queue: string, messages: number, maxMs: number): Promise<BacklogFillResult> {
    const options = { queue, from: 0, messages, inFlight: this.#inFlight, maxMs, silenceMs };
    return client.call("backlogFill", options, maxMs + endMs);
  }

  /** All that a fill has left. */
  drain(client: ClientProcess, queue: string, { begun, unsure }: BacklogFillResult, maxMs: number): Promise<BacklogDrainResult> {
    const options = { queue, group, from: 0, messages: begun, unsure, credit, silenceMs, maxMs };
    return client.call("backlogDrain", options, maxMs + endMs);
  }

  /** Looks at the nodes during a step of so many messages, and tells how far it is: `what` is what has become of those that are done. */
  async watched<T>(client: ClientProcess, what: string, messages: number, step: () => Promise<T>): Promise<Step<T>> {
    const pace = new Pace(messages, monotonicMs());
    const watch = new NodeWatch(this.#running);
    const telling = new Periodic(tellEveryMs, () => this.#tell(client, what, pace));
    try {
      // Together: a first message that is waited for must not wait for a look.
      const [result] = await Promise.all([step(), watch.begin()]);
      return { result, seen: await watch.finish() };
    } finally {
      await telling.stop();
      await watch.stop();
    }
  }

  async #tell(client: ClientProcess, what: string, pace: Pace): Promise<void> {
    try {
      const done = await client.call("backlogDone", null, tellEveryMs);
      pace.saw(monotonicMs(), done);
      this.#say(pace.words(what));
    } catch (error) {
      this.#say(`how far it is is not known: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
