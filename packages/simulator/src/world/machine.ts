import { Prng } from "@trivet/core";
import { type ClockView, type IoError, MemoryApplyWorker, MemoryPacking, MemoryRandom } from "@trivet/engine";

import { SimCrypto } from "./crypto.ts";
import { SimDisk } from "./disk.ts";
import { NodeClock } from "./node-clock.ts";
import type { Program, ProgramSettings, StartProgram } from "./program.ts";
import { SimTelemetry } from "./telemetry.ts";
import type { World } from "./world.ts";

/** A program while it runs. */
export interface Running {
  readonly program: Program;
  readonly process: ClockView;
}

/** One machine: a disk that stays, a clock of its own, and a program that comes and goes. */
export class Machine {
  readonly name: string;
  readonly disk: SimDisk;
  running: Running | null = null;
  /** Without power: answers nothing. */
  dark = false;
  /** Not a member, its disk is empty: may join. */
  spare: boolean;
  /** Programs started so far. */
  incarnation = 0;
  private readonly world: World;
  private readonly prng: Prng;
  private readonly rate: number;
  private wallOffsetMs: number;
  private readonly start_: StartProgram;
  private settings: ProgramSettings;

  constructor(world: World, name: string, seed: number, spare: boolean, settings: ProgramSettings, start: StartProgram) {
    this.world = world;
    this.name = name;
    this.prng = new Prng(seed);
    this.spare = spare;
    this.settings = settings;
    this.start_ = start;
    // Node clocks and client clocks together stay within ρ of each other.
    this.rate = 1 + (this.prng.next() - 0.5) * 0.008;
    this.wallOffsetMs = this.prng.between(-400, 400);
    const storesPrng = settings.shards === 0 ? null : new Prng(Math.imul(seed, 31) + 7);
    this.disk = new SimDisk(world.clock, name, this.prng.fork(), world.totals, storesPrng);
  }

  get alive(): boolean {
    return this.running !== null;
  }

  /** What the program says it is doing, for reports. */
  phase(): string {
    const status = this.running?.program.api.status();
    return status === undefined ? "down" : `${status.phase}: ${status.phaseDetail}`;
  }

  start(): void {
    if (this.running !== null) return;
    const { world } = this;
    this.incarnation += 1;
    this.dark = false;
    if (this.incarnation > 1) world.totals.add("restarts");
    world.event(this.name, "start", () => `incarnation ${this.incarnation}`);
    const skew = { rate: this.rate, offsetMs: this.prng.below(1_000_000), wallOffsetMs: this.wallOffsetMs };
    const process = new NodeClock(world.clock, skew, () => world.watcher.entered(this));
    const { stores } = this.disk;
    if (world.options.asInProduction) world.totals.add("workers as in production");
    const ports = {
      files: this.disk.mount(process),
      clock: process,
      packing: new MemoryPacking(),
      random: new MemoryRandom(this.prng.nextUint32()),
      transport: world.network.transport(this.name, process),
      crypto: new SimCrypto(),
      telemetry: new SimTelemetry(world, this.name),
      cacheOrigins: { redis: world.outside.port(process) },
      ...(stores === null
        ? {}
        : {
            applyWorker: new MemoryApplyWorker(process, stores.mount(process), {
              latencyMs: () => stores.workerLatency(),
              bufferedBytes: stores.bufferedBytes(this.settings.tuning.bufferedBytes),
              checked: !world.options.asInProduction,
            }),
          }),
    };
    const program = this.start_(ports, this.settings, {
      ended: (error) => this.stoppedItself(process, error),
      broken: (error) => world.crashed(this.name, error),
      sent: (message, group) => world.watcher.sent(message, group),
    });
    this.running = { process, program };
  }

  /** Kill -9: what was written stays in the page cache, connections are reset. Power loss: neither. */
  kill(powerLoss: boolean): void {
    const { running, world } = this;
    if (running === null) return;
    this.running = null;
    running.process.kill();
    this.dark = powerLoss;
    world.totals.add("crashes");
    world.event(this.name, powerLoss ? "power-loss" : "kill", () => "");
    world.network.processEnded(this.name, running.process, powerLoss);
    this.disk.unmount(powerLoss);
    world.watcher.restarted(this.name);
  }

  pause(): void {
    if (this.running === null) return;
    this.world.totals.add("pauses");
    this.world.event(this.name, "pause", () => "");
    this.running.process.pause();
  }

  resume(): void {
    if (this.running === null) return;
    this.world.event(this.name, "resume", () => "");
    this.running.process.resume();
  }

  /** An empty disk. With `join`, the next program asks those members to take it in; without, it starts as it was first started. */
  wipe(join: readonly string[]): void {
    this.disk.wipe();
    this.world.watcher.replaced(this.name);
    if (join.length > 0) this.settings = { ...this.settings, join };
    this.world.event(this.name, "wipe", () => join.join());
  }

  /** Its next program says that it knows features up to this level (decision 0022). */
  knows(featureLevel: number): void {
    this.settings = { ...this.settings, featureLevel };
  }

  jumpWallClock(ms: number): void {
    this.wallOffsetMs += ms;
    this.running?.process.jumpWallClock(ms);
  }

  private stoppedItself(process: ClockView, error: IoError | null): void {
    const { running, world } = this;
    if (running?.process !== process) return;
    world.totals.add(error === null ? "stops" : "fatal storage errors");
    world.event(this.name, "stopped", () => error?.message ?? "by itself");
    this.running = null;
    // It is in the middle of its last turn; its callbacks end with it.
    process.kill();
    world.network.processEnded(this.name, process, false);
    this.disk.unmount(false);
    world.watcher.restarted(this.name);
  }
}
