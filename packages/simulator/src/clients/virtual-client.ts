import { Prng } from "@trivet/core";
import type { ClockView, NodeApi, Timer } from "@trivet/engine";

import type { Machine } from "../world/machine.ts";
import type { Program } from "../world/program.ts";
import type { World } from "../world/world.ts";

/**
 * A client program on a machine of its own: its calls cross the network, can be lost in either direction, and it can stall or die.
 * Its clock runs at its own rate, within the error the protocol allows.
 */
export class VirtualClient {
  readonly name: string;
  readonly world: World;
  readonly prng: Prng;
  readonly process: ClockView;
  private readonly rate: number;
  private readonly lastArrival = new Map<string, number>();

  constructor(world: World, name: string, seed: number) {
    this.world = world;
    this.name = name;
    this.prng = new Prng(seed);
    this.rate = 1 + (this.prng.next() - 0.5) * 0.008;
    this.process = world.clock.view({ rate: this.rate });
  }

  get alive(): boolean {
    return this.process.alive;
  }

  /** The client's monotonic clock. */
  localNow(): number {
    return this.world.clock.now() * this.rate;
  }
  /** Virtual time at which the client's clock will show `local`. */
  virtualTime(local: number): number {
    return local / this.rate;
  }

  after(delayMs: number, run: () => void): Timer {
    return this.process.schedule(delayMs, run);
  }

  /** Runs `deliver` in the node's program, later, if the call gets there; `refused` when nobody listens. Order is kept per machine. */
  call(machine: Machine, deliver: (api: NodeApi) => void, refused: () => void): void {
    this.callProgram(machine, ({ api }) => deliver(api), refused);
  }

  /** The same for the whole program: programs that embed a node. */
  callProgram(machine: Machine, deliver: (program: Program) => void, refused: () => void): void {
    const { network, clock } = this.world;
    if (!network.edges.passes(this.name, machine.name)) return;
    clock.schedule(this.travelTime(this.name, machine.name), () => {
      const { running } = machine;
      if (running === null) {
        if (!machine.dark) this.arrive(machine, refused);
        return;
      }
      running.process.guard(() => deliver(running.program))();
    });
  }

  /** Runs `run` in the client when the answer gets there, if it does. */
  arrive(machine: Machine, run: () => void): void {
    const { network, clock } = this.world;
    if (!network.edges.passes(machine.name, this.name)) return;
    clock.schedule(this.travelTime(machine.name, this.name), this.process.guard(run));
  }

  private travelTime(from: string, to: string): number {
    const { network, clock } = this.world;
    const now = clock.now();
    const key = `${from}>${to}`;
    const earliest = (this.lastArrival.get(key) ?? 0) + 0.001;
    const at = Math.max(now + network.edges.delay(from, to, 128, this.prng), earliest);
    this.lastArrival.set(key, at);
    return at - now;
  }
}
