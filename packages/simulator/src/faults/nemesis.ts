import type { NodeApi } from "@trivet/engine";

import type { Workload } from "../clients/workload.ts";
import type { Machine } from "../world/machine.ts";
import type { World } from "../world/world.ts";
import type { FaultAction, FaultKind, Target } from "./kinds.ts";
import { MemberChanges } from "./member-changes.ts";
import { strikeNetwork } from "./network-faults.ts";

/**
 * Both ways from now. Well below the ten minutes after which requests may be forgotten: group time follows a new leader's wall clock
 * (rule L3), so a greater jump would end that window early, and a late retry would rightly be a new request.
 */
const longestJumpMs = 60_000;

/** Carries out a plan of faults against a running world, and ends them all. */
export class Nemesis {
  readonly world: World;
  readonly workload: Workload;
  readonly members: MemberChanges;
  healed = false;
  private readonly restarts = new Map<Machine, number>();

  constructor(world: World, workload: Workload) {
    this.world = world;
    this.workload = workload;
    this.members = new MemberChanges(world, () => this.healed);
  }

  begin(plan: readonly FaultAction[]): void {
    const { clock } = this.world;
    for (const action of plan) clock.schedule(action.atMs, () => this.strike(action));
  }

  /** Every fault ends: links, disks and programs are as good as new; lost disks and removed members stay so. */
  heal(): void {
    this.healed = true;
    const { world } = this;
    world.event("nemesis", "heal", () => "");
    world.network.edges.heal();
    world.network.released();
    for (const machine of world.machines) {
      machine.disk.heal();
      machine.resume();
      if (!machine.alive && !machine.spare) machine.start();
    }
  }

  /** A machine that stopped by itself after the heal (a fatal error found late) is started again, as a supervisor would. */
  supervise(): void {
    for (const machine of this.world.machines) if (!machine.alive && !machine.spare) machine.start();
  }

  private strike(action: FaultAction): void {
    if (this.healed) return;
    const { world } = this;
    const machine = this.pick(action.target);
    world.totals.add(`fault: ${action.kind}`);
    world.event(machine.name, "fault", () => `${action.kind} for ${action.durationMs} ms`);
    if (strikeNetwork(this, action, machine)) return;
    this.strikeMachine(action, machine);
  }

  /** Runs `end` when the fault is over, unless everything was healed before. */
  later(delayMs: number, end: () => void): void {
    this.world.clock.schedule(delayMs, () => {
      if (!this.healed) end();
    });
  }

  private strikeMachine(action: FaultAction, machine: Machine): void {
    const strikes: Readonly<Partial<Record<FaultKind, () => void>>> = {
      kill: () => this.killInside(machine, false, action),
      "power-loss": () => this.killInside(machine, true, action),
      pause: () => this.pause(machine, action.durationMs),
      "restart-storm": () => this.storm(machine, action),
      wipe: () => this.wipe(machine, action),
      "disk-slow": () => this.slowDisk(machine, action),
      "disk-stall": () => this.stallDisk(machine, action),
      "disk-error": () => this.failDisk(machine, action.durationMs),
      "disk-full": () => this.fillDisk(machine, action),
      "bit-rot": () => this.rot(machine, action),
      "wall-clock-jump": () => machine.jumpWallClock(Math.round((action.strength - 0.5) * longestJumpMs)),
      "transfer-leadership": () => this.transfer(machine, action),
      "change-members": () => this.members.change(machine, action.strength),
      "take-snapshot": () => this.ask(machine, (api) => api.snapshot(() => undefined)),
      "client-stall": () => this.workload.stall(Math.floor(action.strength * 1_000), action.durationMs),
      "store-full": () => this.fillStores(machine, action.durationMs),
      drain: () => this.drain(machine, action.durationMs),
      "client-death": () => this.workload.kill(Math.floor(action.strength * 1_000)),
    };
    strikes[action.kind]?.();
  }

  private pick(target: Target): Machine {
    const { machines } = this.world;
    const members = machines.filter((machine) => !machine.spare);
    if (target === "leader") {
      const leader = members.find((machine) => machine.running?.program.group()?.raft.role === "leader");
      if (leader !== undefined) return leader;
    }
    return members[(target === "leader" ? 0 : target) % members.length] as Machine;
  }

  private kill(machine: Machine, powerLoss: boolean, downMs: number): void {
    if (!machine.alive) return;
    machine.kill(powerLoss);
    this.startLater(machine, downMs);
  }

  /** Most crashes strike in the middle of a disk operation, where they hurt; the rest whenever the plan says. */
  private killInside(machine: Machine, powerLoss: boolean, { strength, durationMs }: FaultAction): void {
    const { running } = machine;
    if (strength < 0.25) {
      this.kill(machine, powerLoss, durationMs);
      return;
    }
    machine.disk.arm(1 + Math.floor((strength - 0.25) * 12), () => {
      if (!this.healed && machine.running === running) this.kill(machine, powerLoss, durationMs);
    });
  }

  /** Several faults may want the machine back; the latest decides. */
  private startLater(machine: Machine, delayMs: number): void {
    const token = (this.restarts.get(machine) ?? 0) + 1;
    this.restarts.set(machine, token);
    this.later(delayMs, () => {
      if (this.restarts.get(machine) === token && !machine.spare) machine.start();
    });
  }

  private pause(machine: Machine, durationMs: number): void {
    const { running } = machine;
    machine.pause();
    this.later(durationMs, () => {
      if (machine.running === running) machine.resume();
    });
  }

  private storm(machine: Machine, action: FaultAction): void {
    const until = this.world.clock.now() + action.durationMs;
    const next = (): void => {
      if (machine.spare || this.world.clock.now() > until) return;
      if (machine.alive) machine.kill(action.strength < 0.5);
      else machine.start();
      this.later(50 + action.strength * 300, next);
    };
    next();
    this.startLater(machine, action.durationMs + 1_000);
  }

  private wipe(machine: Machine, action: FaultAction): void {
    if (!this.members.mayDamage(machine)) return;
    machine.kill(true);
    this.members.damaged(machine);
    this.world.totals.add("disks wiped");
    // Started again as it was first, or told whom to join: both must end as a learner with a new disk (rule G5).
    const others = this.world.machines.filter((other) => other !== machine && !other.spare).map((other) => other.name);
    machine.wipe(action.strength < 0.5 ? others : []);
    this.startLater(machine, action.durationMs);
  }

  private slowDisk(machine: Machine, action: FaultAction): void {
    machine.disk.slow(5 + action.strength * 300);
    this.later(action.durationMs, () => machine.disk.slow(1));
  }

  /** All of the disk, or only the log, or only the snapshots. */
  private stallDisk(machine: Machine, { durationMs, strength }: FaultAction): void {
    machine.disk.stall(this.world.clock.now() + durationMs, strength < 0.6 ? "" : strength < 0.8 ? "wal/" : "snapshots/");
  }

  private failDisk(machine: Machine, downMs: number): void {
    machine.disk.failSync();
    this.startLater(machine, downMs + 1_500);
  }

  private fillDisk(machine: Machine, action: FaultAction): void {
    machine.disk.fill(Math.floor(action.strength * 5_000));
    this.later(action.durationMs, () => {
      machine.disk.fill(null);
      this.startLater(machine, 200);
    });
  }

  private fillStores(machine: Machine, durationMs: number): void {
    machine.disk.fillStores(true);
    this.later(durationMs, () => {
      machine.disk.fillStores(false);
      // A state that is being fetched finds no space either, and ends its node.
      this.startLater(machine, 200);
    });
  }

  /** The damage shows at the next start, so there is one soon. */
  private rot(machine: Machine, action: FaultAction): void {
    if (!machine.alive || !this.members.mayDamage(machine)) return;
    machine.kill(action.strength < 0.3);
    const where = machine.disk.rot();
    if (where !== null) this.members.damaged(machine);
    this.world.event(machine.name, "bit-rot", () => where ?? "nothing to rot");
    this.startLater(machine, action.durationMs);
  }

  /** All shards leave the machine; later it may have some again. */
  private drain(machine: Machine, durationMs: number): void {
    const say = (draining: boolean): void => {
      const asked = this.world.machines.find((other) => other.alive && !other.spare);
      if (asked !== undefined)
        this.ask(asked, (api) =>
          api.changeMembers({ drain: { nodes: [machine.name], draining } }, 8_000, (outcome) => {
            if (outcome.type === "changed") this.world.totals.add(draining ? "machines drained" : "machines in use again");
          }),
        );
    };
    if (!this.members.mayDrain()) return;
    say(true);
    this.members.draining(true);
    this.later(Math.max(durationMs, 8_500), () => {
      this.members.draining(false);
      say(false);
    });
  }

  private transfer(machine: Machine, action: FaultAction): void {
    const members = this.world.machines.filter((other) => !other.spare);
    const to = action.strength < 0.3 ? null : (members[Math.floor(action.strength * 1_000) % members.length]?.name ?? null);
    this.ask(machine, (api) =>
      api.transferLeadership(to, 2_000, (outcome) => {
        if (outcome.type === "transferred") this.world.totals.add("leadership transfers");
      }),
    );
  }

  private ask(machine: Machine, call: (api: NodeApi) => void): void {
    const { running } = machine;
    if (running !== null) running.process.guard(() => call(running.program.api))();
  }
}
