import { Prng } from "@trivet/core";

import { checkPerKey } from "../checkers/linearizability.ts";
import { cachedValueModel } from "../checkers/models/cached-value.ts";
import { CacheClient } from "../clients/cache-client.ts";
import { noteEnds } from "../clients/cache-ends.ts";
import { CacheHistory } from "../clients/cache-history.ts";
import { NearClient } from "../clients/near-client.ts";
import { VirtualClient } from "../clients/virtual-client.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

const worlds = 4;
const strikes = 30;
const operations = 400;
const afterMs = 6_000;

/**
 * Programs and callers of nodes at four keys of a small cluster that caches and does nothing else, under faults that follow each other closely: what a seed
 * of the simulator meets once an hour comes here by the second. Every key's history is judged as one register.
 */
class Storm {
  readonly bench: ClusterBench;
  readonly history: CacheHistory = new CacheHistory();
  private readonly prng: Prng;
  private readonly programs: VirtualClient[] = [];
  private readonly flows: { readonly client: VirtualClient; readonly flow: CacheClient | NearClient }[] = [];
  private asking = true;
  private names = 0;

  constructor(seed: number) {
    this.prng = new Prng(seed * 7_919);
    this.bench = new ClusterBench(3, {}, seed, 2);
    for (let number = 0; number < 4; number++) this.start();
    for (let number = 0; number < 2; number++) {
      const client = this.client(`c${number + 1}`);
      this.flows.push({ client, flow: new CacheClient(client, this.history, operations, number === 0, () => this.asking) });
    }
  }

  run(): void {
    this.bench.run(1_500);
    for (let left = strikes; left > 0; left--) {
      this.strike();
      this.bench.run(100 + this.prng.below(400));
    }
    this.bench.run(afterMs / 2);
    this.asking = false;
    const isSettled = (): boolean => this.flows.every(({ client, flow }) => flow.settled || !client.alive);
    this.bench.until(isSettled, afterMs, "nobody waits any more");
    noteEnds(this.bench.world, this.history);
    const found = checkPerKey(cachedValueModel, this.history.observed(), ({ key }) => key);
    expect(found === null, `cache-${found?.invariant ?? ""}`, () => found?.detail ?? "");
  }

  private start(): void {
    const client = this.client(`near${++this.names}`);
    this.programs.push(client);
    const flow = new NearClient(client, this.history, operations, this.names % 2 === 0, () => this.asking);
    this.flows.push({ client, flow });
  }

  private client(name: string): VirtualClient {
    return new VirtualClient(this.bench.world, name, this.prng.nextUint32());
  }

  private strike(): void {
    const { bench, prng } = this;
    const { clock, network } = bench.world;
    const machine = prng.pick(bench.machines);
    const program = prng.pick(this.programs);
    const ms = 100 + prng.below(1_400);
    const later = (run: () => void): unknown => clock.schedule(ms, run);
    switch (prng.below(7)) {
      // One way only: withdrawals, or what is said of them, do not arrive.
      case 0:
        return this.cut(machine.name, program.name, later);
      case 1:
        return this.cut(program.name, machine.name, later);
      case 2: {
        const edge = network.edges.of(...prng.pick([[machine.name, program.name] as const, [program.name, machine.name] as const]));
        edge.baseMs = 5 + prng.below(200);
        return void later(() => (edge.baseMs = 0.2));
      }
      case 3:
        program.process.pause();
        return void later(() => program.process.resume());
      case 4:
        machine.pause();
        return void later(() => machine.resume());
      case 5:
        program.process.kill();
        this.programs.splice(this.programs.indexOf(program), 1);
        return this.start();
      default:
        if (bench.machines.some(({ alive }) => !alive)) return undefined;
        machine.kill(false);
        return void later(() => machine.start());
    }
  }

  private cut(from: string, to: string, later: (run: () => void) => unknown): void {
    const edge = this.bench.world.network.edges.of(from, to);
    edge.cuts += 1;
    later(() => {
      edge.cuts -= 1;
      this.bench.world.network.released();
    });
  }
}

export const nearRandom: Scenario = scenario("near-random", () => {
  for (let seed = 1; seed <= worlds; seed++) new Storm(seed).run();
});
