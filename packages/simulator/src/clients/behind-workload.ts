import type { Violation } from "../checkers/history.ts";
import { checkPerKey } from "../checkers/linearizability.ts";
import { outsideValueModel } from "../checkers/models/outside-value.ts";
import type { World } from "../world/world.ts";
import { BehindClient, behindKeys, behindNamespace, type BehindOperation, observed, readBehind } from "./behind-client.ts";
import { hasFilledValues } from "./filled-values.ts";
import { VirtualClient } from "./virtual-client.ts";
import type { Workload } from "./workload.ts";

const defineEveryMs = 1_000;
const compareEveryMs = 400;

/**
 * Clients of a namespace that is written behind to an outside store with faults of its own: judged key by key as one register each, whatever is stored here,
 * waits, or is there alone; and once all is healed, the outside store has what the last read says.
 */
export class BehindWorkload implements Workload {
  readonly name = "behind";
  private readonly operations: BehindOperation[] = [];
  private readonly world: World;
  private readonly clients: VirtualClient[] = [];
  private readonly flows: BehindClient[] = [];
  private readonly owner: VirtualClient;
  private asking = true;
  private isDefined = false;
  /** After the heal: keys of which the outside store has what was read. */
  private readonly agreed = new Set<string>();

  constructor(world: World) {
    this.world = world;
    this.owner = this.client("behind-owner", 0);
  }

  start(): void {
    this.define();
  }

  /** Through any node, again until it is there. */
  private define(): void {
    const { owner, world } = this;
    if (this.isDefined || !this.asking) return;
    const machine = owner.prng.pick(world.machines.filter(({ spare }) => !spare));
    const settings = {
      origin: "redis",
      write: "behind",
      negativeTtlMs: 200,
      maxBehind: owner.prng.pick([0, 2]),
      revalidateMs: owner.prng.pick([0, 400]),
      ...(hasFilledValues(world) ? { compressOver: 1 } : {}),
    } as const;
    owner.callProgram(
      machine,
      ({ cache }) =>
        cache.defineNamespace(behindNamespace, settings, "ensure", { timeoutMs: 2_000 }, (outcome) =>
          owner.arrive(machine, () => {
            if (outcome.type === "defined") this.begin();
          }),
        ),
      () => {},
    );
    owner.after(defineEveryMs, () => this.define());
  }

  private begin(): void {
    if (this.isDefined) return;
    this.isDefined = true;
    const { behindClients, operationsPerClient } = this.world.options;
    for (let i = 0; i < behindClients; i += 1) {
      const client = this.client(`b${i + 1}`, i + 1);
      this.clients.push(client);
      this.world.clients.push(client.name);
      this.flows.push(new BehindClient(client, this.operations, operationsPerClient * 2, () => this.asking));
    }
  }

  wind(): void {
    this.asking = false;
    this.world.outside.isHealed = true;
    this.compare();
  }

  /** Nobody writes any more: what is read is what the outside store must come to. */
  private compare(): void {
    const { owner, world } = this;
    if (this.isDefined && this.flows.every((flow, at) => flow.settled || this.clients[at]?.alive === false)) {
      const machines = world.machines.filter(({ running }) => running?.program.group() != null);
      for (const key of behindKeys) {
        const machine = machines.length === 0 || this.agreed.has(key) ? undefined : owner.prng.pick(machines);
        if (machine === undefined) continue;
        readBehind(owner, machine, key, (value) => {
          if (value !== undefined && world.outside.value(key) === value) this.agreed.add(key);
        });
      }
    }
    owner.after(compareEveryMs, () => this.compare());
  }

  issued(): number {
    return this.operations.length;
  }

  answered(): number {
    return this.operations.filter(({ ret }) => ret !== null).length;
  }

  settled(): boolean {
    return !this.isDefined || this.agreed.size === behindKeys.length;
  }

  open(): readonly string[] {
    const lagging = behindKeys.filter((key) => !this.agreed.has(key));
    return this.isDefined ? lagging.map((key) => `the outside store is behind with ${key}`) : [];
  }

  stall(client: number, durationMs: number): void {
    const chosen = this.clients[client % Math.max(1, this.clients.length)];
    if (chosen === undefined) return;
    chosen.process.pause();
    this.world.clock.schedule(durationMs, () => chosen.process.resume());
  }

  kill(client: number): void {
    const alive = this.clients.filter((candidate) => candidate.alive);
    const chosen = alive[client % Math.max(1, alive.length)];
    if (chosen === undefined || alive.length * 2 <= this.clients.length) return;
    chosen.process.kill();
  }

  check(): Violation | null {
    const { totals } = this.world;
    totals.add("operations behind", this.issued());
    totals.add("operations behind answered", this.answered());
    const found = checkPerKey(outsideValueModel, observed(this.operations), ({ key }) => key);
    return found === null ? null : { ...found, invariant: `behind-${found.invariant}` };
  }

  private client(name: string, number: number): VirtualClient {
    return new VirtualClient(this.world, name, Math.imul(this.world.options.seed, 8_191) + 5_000 + number);
  }
}
