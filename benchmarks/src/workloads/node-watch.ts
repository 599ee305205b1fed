import { usageOf } from "../measure/proc.ts";
import type { RunningNode, RunningSubject, Vitals } from "../subjects/subject.ts";
import { Periodic } from "./periodic.ts";
import { VitalsTally, type Ordeal } from "./vitals-tally.ts";

const lookEveryMs = 500;
/** A page of metrics costs a node milliseconds; counters miss nothing between two looks, and the loop's delay is the longest since the last one. */
const askEveryMs = 2000;

/** What was seen of the nodes in one step. */
export interface Seen {
  /** RssAnon of the largest node, twice a second. */
  readonly memory: readonly number[];
  /** Nodes whose process ended: nobody had told it to. */
  readonly died: number;
  readonly ordeal: Ordeal;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}

/** Looks at the nodes while a long step goes on: what they weigh, whether they live, and what they say. */
export class NodeWatch {
  readonly #running: RunningSubject;
  readonly #memory: number[] = [];
  readonly #died = new Set<string>();
  readonly #tally = new VitalsTally();
  readonly #looks: readonly Periodic[];

  constructor(running: RunningSubject) {
    this.#running = running;
    this.#looks = [
      new Periodic(lookEveryMs, () => {
        this.#look();
      }),
      new Periodic(askEveryMs, () => this.#ask()),
    ];
  }

  /** The first look: all that comes after it counts. */
  async begin(): Promise<void> {
    this.#look();
    await this.#ask();
  }

  #look(): void {
    const { nodes } = this.#running;
    for (const { name, pid } of nodes) if (!isAlive(pid)) this.#died.add(name);
    const known = nodes.flatMap(({ pid }) => usageOf(pid).rss_anon_bytes ?? []);
    if (known.length > 0) this.#memory.push(Math.max(...known));
  }

  async #ask(): Promise<void> {
    const asked = this.#running.nodes.flatMap((node) => {
      const vitals = node.vitals?.();
      return vitals === undefined ? [] : [{ node, vitals }];
    });
    if (asked.length === 0) return;
    const answers = await Promise.allSettled(asked.map(({ vitals }) => vitals));
    const told = asked.map(({ node }, index): readonly [string, Vitals | null] => {
      const answer = answers[index];
      return [node.name, answer?.status === "fulfilled" ? answer.value : null];
    });
    this.#tally.look(new Map(told));
  }

  /** With a last look, so that what came at the very end counts. */
  async finish(): Promise<Seen> {
    await this.stop();
    this.#look();
    await this.#ask();
    return { memory: this.#memory, died: this.#died.size, ordeal: this.#tally.ordeal };
  }

  /** Looks no more; a timer left behind would keep a broken-off run alive for ever. */
  async stop(): Promise<void> {
    for (const look of this.#looks) await look.stop();
  }
}

/** The least that any node keeps on its disk for queues; null where no node says. */
export function leastStored(nodes: readonly RunningNode[]): number | null {
  const known = nodes.flatMap((node) => node.storedBytes?.() ?? []);
  return known.length === 0 ? null : Math.min(...known);
}
