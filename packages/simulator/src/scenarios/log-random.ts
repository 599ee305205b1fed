import { Prng } from "@trivet/core";
import {
  type ClockView,
  type FileFault,
  type IoError,
  MemoryClock,
  MemoryFiles,
  NullTelemetry,
  openWal,
  type WalApi,
  type WalOpened,
} from "@trivet/engine";

import { SimCrypto } from "../world/crypto.ts";
import { adopt, advance, invent, type LogModel, type LogOperation, sameHardState, sameLog } from "./log-model.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

const rounds = 400;
const livesPerRound = 6;

/**
 * One log through many lives: random writes, truncations, floors and installs; ended by power loss in the middle, kill, failed syncs;
 * some disks rot meanwhile. After each start the log is one that the model passed through, with everything in it that was
 * reported durable, or it says that it may not vote.
 */
export const logRandom: Scenario = scenario("log-random", () => {
  for (let seed = 1; seed <= rounds; seed += 1) new LogLife(seed).play();
});

class LogLife {
  private readonly prng: Prng;
  private readonly clock = new MemoryClock();
  private readonly files: MemoryFiles;
  private readonly rots: boolean;
  /** Zeros ahead of the log, none among them: both ways of making a file longer. */
  private readonly roomBytes: number;
  private readonly seed: number;
  private life: ClockView = this.clock.view();
  /** `states[m]` = the model after m operations of this life's history. */
  private states: LogModel[] = [new Map()];
  private durable = 0;
  private failing = false;
  private fatal: IoError | null = null;
  /** The life before ended by a failed sync. */
  private failed = false;
  private serial = 0;
  private started = false;

  constructor(seed: number) {
    this.seed = seed;
    this.prng = new Prng(seed);
    this.rots = seed % 3 === 0;
    this.roomBytes = [0, 200, 1_000][seed % 4] ?? 0;
    // On some disks what is written without a sync takes its time, too.
    const writeMs = seed % 5 === 0 ? 1.5 : 0;
    this.files = new MemoryFiles(this.life, {
      latencyMs: ({ type }) =>
        type === "write" ? writeMs : type === "write-durable" || type === "sync" || type === "sync-directory" ? 1 : 0,
      fault: ({ type }) => this.fault(type),
    });
  }

  play(): void {
    for (let life = 0; life < livesPerRound; life += 1) {
      const opened = this.open();
      this.compare(opened);
      this.work(opened.wal);
      this.end();
    }
  }

  private open(): WalOpened {
    let opened: WalOpened | null = null;
    let failure: IoError | null = null;
    this.failed = this.fatal !== null;
    this.fatal = null;
    const ports = { files: this.files, clock: this.life, crypto: new SimCrypto(), telemetry: new NullTelemetry() };
    openWal(
      ports,
      { directory: "wal", segmentBytes: 1_500, roomBytes: this.roomBytes, mustExist: this.started },
      (error) => {
        this.fatal = error;
      },
      (error, value) => {
        failure = error;
        opened = value;
      },
    );
    this.clock.runUntilIdle(() => opened !== null || failure !== null);
    expect(opened !== null, "log-opens", () => `seed ${this.seed}: ${String(failure)}`);
    this.started = true;
    return opened;
  }

  /** What was found is what some moment between the last durable one and the end had; less only with the vote given up. */
  private compare({ groups, findings, wal, mayVote: mayVoteElse }: WalOpened): void {
    const { states } = this;
    const where = (): string =>
      `seed ${this.seed}: ${states.length - 1} operations, ${this.durable} of them durable, findings ${JSON.stringify(findings)}`;
    // Whoever stopped with everything on disk finds nothing to complain about.
    const quiet = this.durable === states.length - 1 && !this.rots && this.fatal === null && !this.failed;
    expect(!quiet || findings.length === 0, "log-clean-after-quiet", where);
    // A damaged log is kept up to the damage, but later terms and votes are salvaged; otherwise all is of one moment.
    const at = states.findLastIndex((state) => sameLog(groups, state) && (this.rots || sameHardState(groups, state)));
    const mayVote = groups.size === 0 ? mayVoteElse : [...groups.values()].every((group) => group.mayVote);
    expect(at >= 0 || this.rots, "log-is-one-that-was", where);
    expect(at >= this.durable || !mayVote, "log-durable", () => `${where()}, recovered up to ${at}`);
    expect(mayVote || this.rots || findings.some((finding) => finding.type === "torn-tail"), "log-votes-after-a-clean-end", where);
    const remembers = states
      .slice(
        Math.max(
          0,
          states.findIndex((state) => sameLog(groups, state)),
        ),
      )
      .some((state) => sameHardState(groups, state));
    expect(remembers || !mayVote, "log-hard-state", where);
    this.states = [adopt(groups)];
    this.durable = 0;
    if (!mayVote) {
      let trusted = false;
      wal.trust(null, () => {
        trusted = true;
      });
      this.clock.runUntilIdle(() => trusted);
    }
  }

  private work(wal: WalApi): void {
    const count = this.prng.chance(0.4) ? this.prng.between(1, 2) : this.prng.between(3, 30);
    for (let i = 0; i < count && this.fatal === null; i += 1) {
      this.serial += 1;
      const operation = invent(this.states.at(-1) as LogModel, this.prng, this.serial);
      this.states.push(advance(this.states.at(-1) as LogModel, operation));
      this.submit(wal, operation, this.states.length - 1);
      if (this.prng.chance(0.03)) this.failing = true;
      for (let steps = this.prng.below(14); steps > 0; steps -= 1) this.clock.step();
    }
    if (this.prng.chance(0.5)) this.clock.runUntilIdle();
  }

  private submit(wal: WalApi, operation: LogOperation, number: number): void {
    const { life } = this;
    const done = (): void => {
      if (life !== this.life) return;
      expect(this.fatal === null, "log-silent-after-failure", () => `seed ${this.seed}: durable after ${String(this.fatal)}`);
      this.durable = Math.max(this.durable, number);
    };
    if (operation.type === "write") wal.write(operation.write, done);
    else if (operation.type === "floor") wal.setFloor(operation.floor, done);
    else wal.installed(operation.floor, operation.keepSuffix, done);
  }

  private end(): void {
    this.life.kill();
    this.failing = false;
    this.life = this.clock.view();
    this.files.clock = this.life;
    if (this.prng.chance(0.7)) this.files.crash(this.prng.fork());
    else this.files.endProcess();
    if (!this.rots || !this.prng.chance(0.5)) return;
    const paths = this.files.paths();
    const path = this.prng.pick(paths);
    this.files.flipBit(path, this.prng.below(this.files.contents(path)?.length ?? 1), this.prng.below(8));
  }

  private fault(type: string): FileFault | null {
    if (!this.failing || (type !== "write-durable" && type !== "sync")) return null;
    this.failing = false;
    return { type: "error", code: "io" };
  }
}
