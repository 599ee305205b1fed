import { type AuditAnchor, checkSystem, Prng } from "@trivet/core";
import { type Anchored, type AnchoredLog, type AnchorInLog, AuditAnchoring, NullTelemetry } from "@trivet/engine";
import type { AuditMark } from "@trivet/wire";

import type { Machine } from "../world/machine.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { expect, Found, type Scenario, scenario } from "./scenario.ts";

const rounds = 4;
const stepsPerRound = 60;

/**
 * Audit logs of three nodes under kills, power losses and cut links (decision 0036): what was told to be anchored is there for good, every anchor
 * is a record of the log as it was written, and an honest log is never taken for a forged one. In the end one of them is cut off and written on.
 */
export const auditAnchors: Scenario = scenario("audit-anchors", () => {
  for (let seed = 1; seed <= rounds; seed += 1) new Round(seed).play();
});

/** Its records are on disk when they are written; programs come and go. */
class Log implements AnchoredLog {
  readonly chain: string;
  records: string[] = [];

  constructor(chain: string) {
    this.chain = chain;
  }
  write(by: number): void {
    this.records.push(`${by}${(this.records.length + 1).toString(16)}`.padStart(64, "0"));
  }
  headOnDisk(): AuditMark | null {
    const mac = this.records.at(-1);
    return mac === undefined ? null : { seq: this.records.length, mac };
  }
  find({ seq, mac }: AuditMark, done: (found: AnchorInLog) => void): void {
    done(this.records[seq - 1] === mac ? { type: "there" } : { type: "differs", why: "it has another code" });
  }
}

/** One node's log, and the program that anchors it now. */
interface Audited {
  readonly machine: Machine;
  readonly log: Log;
  anchoring: AuditAnchoring | null;
  /** The highest record that was told to be anchored. */
  told: number;
}

class Round {
  private readonly prng: Prng;
  private readonly bench: ClusterBench;
  private readonly all: readonly Audited[];
  private readonly cuts: (readonly [Machine, Machine])[] = [];
  /** What was heard inside a node, where nothing may be thrown. */
  private found: Found | null = null;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    this.bench = new ClusterBench(3, {}, seed);
    this.all = this.bench.machines.map((machine) => ({ machine, log: new Log(`chain of ${machine.name}`), anchoring: null, told: 0 }));
    this.bench.until(() => this.bench.machines.every((machine) => levelOf(machine) !== null), 10_000, "the level");
    for (const audited of this.all) this.begin(audited);
  }

  play(): void {
    for (let i = 0; i < stepsPerRound; i += 1) {
      this.step();
      this.bench.run(this.prng.below(400));
      this.look();
    }
    this.heal();
    for (const audited of this.all) this.ask(audited);
    this.bench.until(() => this.all.every(({ log, told }) => told >= log.records.length), 30_000, "everything is anchored in the end");
    this.look();
    this.forge();
  }

  private step(): void {
    const { prng } = this;
    const audited = prng.pick(this.all);
    const { log, machine } = audited;
    const roll = prng.below(100);
    if (roll < 55) {
      for (let left = 1 + prng.below(3); left > 0; left -= 1) log.write(0);
      if (prng.chance(0.6)) this.ask(audited);
      else audited.anchoring?.moved();
    } else if (roll < 75) {
      if (machine.alive) {
        machine.kill(prng.chance(0.5));
        audited.anchoring = null;
      } else this.begin(audited);
    } else if (roll < 90 && this.cuts.length < 2) {
      const other = prng.pick(this.bench.machines.filter((one) => one !== machine));
      this.bench.cut(machine, other, true);
      this.cuts.push([machine, other]);
    } else this.mend();
  }

  /** The program of its node, and the anchoring in it, which knows nothing of the one before. */
  private begin(audited: Audited): void {
    const { machine } = audited;
    machine.start();
    const { running } = machine;
    if (running === null) throw new Found("liveness", `${machine.name} does not run`);
    const ports = { api: running.program.api, clock: running.process, telemetry: new NullTelemetry() };
    audited.anchoring = new AuditAnchoring(machine.name, ports, audited.log, 2_000);
  }

  private ask(audited: Audited): void {
    const { anchoring, log, machine } = audited;
    if (anchoring === null) return;
    const seq = log.records.length;
    this.bench.on(machine, () => anchoring.anchor((anchored) => this.heard(audited, seq, anchored)));
  }

  private heard(audited: Audited, seq: number, anchored: Anchored): void {
    if (anchored.type === "anchored") audited.told = Math.max(audited.told, seq);
    if (anchored.type === "mismatch") this.found ??= new Found("audit-honest", `${audited.machine.name}: ${anchored.detail}`);
  }

  private mend(): void {
    const cut = this.cuts.pop();
    if (cut !== undefined) this.bench.cut(...cut, false);
  }

  private heal(): void {
    while (this.cuts.length > 0) this.mend();
    for (const audited of this.all) if (!audited.machine.alive) this.begin(audited);
    this.bench.until(() => this.bench.leader() !== null, 10_000, "a leader");
    this.bench.until(
      () => this.bench.machines.every((machine) => machine.running?.program.api.status().phase === "running"),
      10_000,
      "all run",
    );
  }

  /** Who leads and has confirmed it knows of everything that was told. */
  private look(): void {
    if (this.found !== null) throw this.found;
    for (const { machine } of this.all) {
      const group = machine.running?.program.group() ?? null;
      if (group === null) continue;
      checkSystem(group.machine);
      for (const { log, machine: of } of this.all) for (const anchor of anchorsOf(machine, of.name)) isOf(log, anchor);
    }
    const leader = this.bench.leader();
    if (leader === null) return;
    // As it is now: what is told after the read is asked for need not be in it.
    const toldBefore = this.all.map(({ machine, told }) => ({ machine, told }));
    this.bench.on(leader, (api) =>
      api.read("linearizable", 1_000, (outcome) => {
        if (outcome.type !== "ready") return;
        for (const { machine, told } of toldBefore) {
          const last =
            outcome.state
              .auditedNodes()
              .find(({ node }) => node === machine.name)
              ?.chains.at(-1)
              ?.anchors.at(-1)?.seq ?? 0;
          if (last < told)
            this.found ??= new Found("audit-anchored-kept", `${machine.name} was told that ${told} is anchored, and it is ${last}`);
        }
      }),
    );
  }

  private forge(): void {
    const audited = this.prng.pick(this.all);
    const { log, machine } = audited;
    const kept = this.prng.below(log.records.length);
    const written = this.prng.below(2 * log.records.length);
    log.records = log.records.slice(0, kept);
    for (let left = Math.max(written, kept === 0 ? 1 : 0); left > 0; left -= 1) log.write(1);
    const before = JSON.stringify(anchorsOf(this.bench.theLeader(), machine.name));
    machine.kill(false);
    this.begin(audited);
    const heard: { anchored: Anchored | null } = { anchored: null };
    this.bench.until(() => machine.running?.program.api.status().phase === "running" && this.bench.leader() !== null, 10_000, "it runs");
    for (let tries = 0; tries < 5 && heard.anchored?.type !== "mismatch"; tries += 1) {
      heard.anchored = null;
      this.bench.on(machine, () => audited.anchoring?.anchor((anchored) => void (heard.anchored = anchored)));
      this.bench.until(() => heard.anchored !== null, 10_000, "what became of the forged log");
    }
    expect(
      heard.anchored?.type === "mismatch",
      "audit-forged",
      () => `a log of ${kept} and ${written} records: ${JSON.stringify(heard.anchored)}`,
    );
    expect(JSON.stringify(anchorsOf(this.bench.theLeader(), machine.name)) === before, "audit-forged", () => "its anchors moved");
  }
}

function isOf(log: Log, anchor: AuditAnchor): void {
  const { mac, seq } = anchor;
  expect(log.records[seq - 1] === mac, "audit-anchor-of-the-log", () => `${log.chain}: record ${seq} was anchored as ${mac}`);
}

function anchorsOf(machine: Machine, node: string): readonly AuditAnchor[] {
  const state = machine.running?.program.group()?.machine;
  return (
    state
      ?.auditedNodes()
      .find((one) => one.node === node)
      ?.chains.flatMap(({ anchors }) => anchors) ?? []
  );
}

function levelOf(machine: Machine): number | null {
  return machine.running?.program.group()?.machine.features.told ?? null;
}
