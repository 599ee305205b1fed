import { Prng } from "@trivet/core";
import { MemoryClock } from "@trivet/engine";

import type { Violation } from "../checkers/history.ts";
import type { RunOptions } from "../options.ts";
import { ClusterWatcher, type ShardWatcher } from "../watch/cluster-watcher.ts";
import { Machine } from "./machine.ts";
import { SimNetwork } from "./network.ts";
import { OutsideStore } from "./outside-store.ts";
import { nameOf, type StartProgram, type Tuning } from "./program.ts";
import { Totals } from "./totals.ts";
import type { Trace } from "./trace.ts";

/** Where virtual time zero lies on the wall clock. Any date does, as long as it never changes. */
const epochMs = 1_767_225_600_000;
const startMs = 1_000;

/** Everything there is: virtual time, the network, machines, and what was seen of them. A seed decides all of it. */
export class World {
  readonly options: RunOptions;
  readonly clock: MemoryClock = new MemoryClock(startMs, epochMs + startMs);
  readonly prng: Prng;
  readonly totals: Totals = new Totals();
  readonly trace: Trace;
  readonly network: SimNetwork;
  /** Where values of a namespace with an origin come from and go to. */
  readonly outside: OutsideStore;
  readonly machines: readonly Machine[];
  readonly watcher: ClusterWatcher;
  readonly tuning: Tuning;
  /** Names of client machines, for faults that cut them off too. */
  readonly clients: string[] = [];
  /** Machines whose state a script has changed behind the log's back. */
  readonly corrupted: Set<string> = new Set();
  /** Machines whose disk has lost or changed something. */
  readonly damaged: Set<string> = new Set();
  violation: Violation | null = null;
  steps = 0;

  constructor(options: RunOptions, trace: Trace, start: StartProgram, tuning: Partial<Tuning> = {}) {
    this.options = options;
    this.trace = trace;
    this.prng = new Prng(options.seed);
    this.tuning = { ...pickTuning(this.prng.fork()), ...tuning };
    this.network = new SimNetwork(this.clock, this.prng.fork(), this.totals);
    this.outside = new OutsideStore(this, options.seed);
    this.watcher = new ClusterWatcher(this);
    const names = Array.from({ length: options.nodes + options.spares }, (_, i) => `n${i + 1}`);
    const founders = names.slice(0, options.nodes);
    this.machines = names.map((name, i) => {
      const spare = i >= options.nodes;
      const settings = {
        node: name,
        peers: spare ? [] : founders,
        join: spare ? founders : [],
        shards: options.shards,
        deadNodesMoveMs: options.deadNodesMoveMs,
        snapshotAtRestBytes: options.snapshotAtRestBytes,
        tuning: this.tuning,
      };
      return new Machine(this, name, this.prng.nextUint32(), spare, settings, start);
    });
  }

  wallNow(): number {
    return this.clock.wallNow();
  }

  /** Runs until `time`, or until something is found wrong. */
  runUntil(time: number, done: () => boolean = () => false): void {
    for (let next = this.clock.nextAt(); next !== null && next <= time; next = this.clock.nextAt()) {
      if (this.violation !== null || done()) return;
      this.steps += 1;
      try {
        this.clock.step();
        this.watcher.step();
      } catch (error) {
        this.crashed(this.watcher.lastTouched, error);
      }
    }
    if (this.violation === null) this.clock.runUntil(time);
  }

  fail(invariant: string, detail: string): void {
    this.violation ??= { invariant, detail: `${detail} (at ${this.clock.now().toFixed(3)} ms, step ${this.steps})` };
  }

  /** Code under test threw: a broken invariant keeps its name. */
  crashed(where: string, error: unknown): void {
    this.fail(nameOf(error), `${where}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }

  event(subject: string, what: string, detail: () => string): void {
    this.trace.event(this.clock.now(), subject, what, detail);
  }

  /** A line for people only. */
  note(subject: string, text: () => string): void {
    this.trace.note(this.clock.now(), subject, text);
  }

  /** Groups 1…S, each with what is to be known of it. */
  get shards(): readonly ShardWatcher[] {
    return this.watcher.shards;
  }

  answered(id: string, type: string): void {
    this.event(id, "answered", () => type);
    this.trace.text(type);
  }
}

/** Small limits and fast or slow timers, so that everything turns over in a minute. */
function pickTuning(prng: Prng): Tuning {
  const heartbeatMs = prng.pick([50, 100, 150]);
  const electionMinMs = heartbeatMs * prng.between(4, 8);
  return {
    heartbeatMs,
    electionMinMs,
    electionMaxMs: electionMinMs * 2,
    diskStallMs: prng.pick([400, 1_000, 1_500]),
    snapshotEveryEntries: prng.pick([10, 30, 100, 1_000]),
    snapshotEveryBytes: prng.pick([2_000, 20_000, 1_000_000]),
    retainBytes: prng.pick([0, 500, 10_000]),
    walSegmentBytes: prng.pick([4_096, 16_384, 262_144]),
    bufferedBytes: [0, 1_000, 20_000, 2_000_000],
    macKey: prng.chance(0.3),
  };
}
