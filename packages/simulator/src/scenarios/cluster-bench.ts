import type { NodeApi, Outcome } from "@trivet/engine";
import type { Command, Result } from "@trivet/wire";

import { defaultOptions, type RunOptions } from "../options.ts";
import type { Machine } from "../world/machine.ts";
import { startNode, type Tuning } from "../world/program.ts";
import { Trace } from "../world/trace.ts";
import { World } from "../world/world.ts";
import { expect, Found } from "./scenario.ts";

const calm: Partial<Tuning> = {
  heartbeatMs: 50,
  electionMinMs: 300,
  electionMaxMs: 600,
  diskStallMs: 5_000,
  snapshotEveryEntries: 100_000,
  snapshotEveryBytes: 100_000_000,
  macKey: false,
};

/** Real nodes in a world without faults of its own: scripts do one thing at a time and look. */
export class ClusterBench {
  readonly world: World;

  constructor(
    nodes: number,
    tuning: Partial<Tuning> = {},
    seed: number = 1,
    shards: number = 0,
    prepare: (machine: Machine) => void = () => undefined,
    overrides: Partial<RunOptions> = {},
  ) {
    const calmOptions = { spares: 0, clients: 0, deadNodesMoveMs: 0, snapshotAtRestBytes: 0, asInProduction: false, plan: [] };
    const options = { ...defaultOptions(seed), nodes, shards, ...calmOptions, ...overrides };
    this.world = new World(options, new Trace(0, null), startNode, { ...calm, ...tuning });
    for (const machine of this.world.machines) {
      prepare(machine);
      if (!machine.spare) machine.start();
    }
    this.until(() => this.leader() !== null, 5_000, "a leader is elected");
  }

  get machines(): readonly Machine[] {
    return this.world.machines;
  }

  leader(): Machine | null {
    return this.machines.find((machine) => machine.running?.program.group()?.raft.role === "leader") ?? null;
  }

  theLeader(): Machine {
    const leader = this.leader();
    if (leader === null) throw new Found("liveness", "there is no leader");
    return leader;
  }

  followers(): readonly Machine[] {
    const leader = this.theLeader();
    return this.machines.filter((machine) => machine !== leader);
  }

  /** Lets `ms` pass; whatever the world's invariants find ends the script. */
  run(ms: number): void {
    this.world.runUntil(this.world.clock.now() + ms);
    this.check();
  }

  until(condition: () => boolean, limitMs: number, what: string): void {
    this.world.runUntil(this.world.clock.now() + limitMs, condition);
    this.check();
    expect(condition(), "liveness", () => `not within ${limitMs} ms: ${what}`);
  }

  /** Runs code of the script in the node, as its callers do; waits its turn while the node is paused. */
  on(machine: Machine, call: (api: NodeApi) => void): void {
    const { running } = machine;
    if (running === null) throw new Found("liveness", `${machine.name} does not run`);
    running.process.guard(() => call(running.program.api))();
  }

  /** Submits and waits for the answer. */
  submit(machine: Machine, command: Command): Result {
    let outcome: Outcome | null = null;
    this.on(machine, (api) =>
      api.submit(command, { timeoutMs: 5_000 }, (given) => {
        outcome = given;
      }),
    );
    this.until(() => outcome !== null, 6_000, `an answer to ${command.type}`);
    const given = outcome as Outcome | null;
    if (given?.type !== "answered") throw new Found("liveness", `${command.type}: ${JSON.stringify(given)}`);
    return given.result;
  }

  openSession(ttlMs: number): number {
    const result = this.submit(this.theLeader(), { type: "open-session", ttlMs, lockDelayMs: 0, principal: "p", label: "" });
    if (result.type !== "session-opened") throw new Found("session", JSON.stringify(result));
    return result.session;
  }

  /** Asks `machine` to keep the session alive; the returned object says what became of it. */
  keepAlive(machine: Machine, session: number, timeoutMs: number): { answer: "alive" | "lost" | "unavailable" | null } {
    const asked: { answer: "alive" | "lost" | "unavailable" | null } = { answer: null };
    this.on(machine, (api) =>
      api.keepAlive([session], timeoutMs, (outcome) => {
        asked.answer = outcome.type !== "alive" ? "unavailable" : outcome.sessions.includes(session) ? "alive" : "lost";
      }),
    );
    return asked;
  }

  sessionLives(machine: Machine, session: number): boolean {
    return machine.running?.program.group()?.machine.session(session) !== null;
  }

  cut(a: Machine, b: Machine, cut: boolean): void {
    const { edges } = this.world.network;
    edges.of(a.name, b.name).cuts += cut ? 1 : -1;
    edges.of(b.name, a.name).cuts += cut ? 1 : -1;
    if (!cut) this.world.network.released();
  }

  private check(): void {
    const { violation } = this.world;
    if (violation !== null) throw new Found(violation.invariant, violation.detail);
  }
}
