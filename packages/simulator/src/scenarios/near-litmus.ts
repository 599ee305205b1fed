import { decodeShardAnswer, encodeSingleCommandFrame, encodeUtf8 } from "@trivet/wire";

import { corr, coww, type Forbids, inversion, iriw, mp, sb, type Seen, type TimedRead } from "../checkers/litmus.ts";
import { NearProgram } from "../clients/near-program.ts";
import { VirtualClient } from "../clients/virtual-client.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { expect, Found, type Scenario, scenario } from "./scenario.ts";

/**
 * The litmus tests of memory models, played by programs with copies of their own, each through another node. Every value written is the number of its
 * round: what is smaller is old. Now and then messages take long on one way, and what goes another way overtakes them; programs change their nodes.
 */
type Step = { readonly put: Key } | { readonly get: Key };
type Key = (typeof keys)[number];
const keys = ["x", "y1"] as const;
const [x, y] = keys;
const rounds = 120;
const callMs = 5_000;

class Litmus {
  readonly bench: ClusterBench;
  readonly programs: readonly NearProgram[];
  round = 0;
  /** Told of every read. */
  watch: ((key: Key, by: number, began: number, value: number) => void) | null = null;
  private readonly clients: readonly VirtualClient[];
  private writes = 0;

  constructor(seed: number) {
    this.bench = new ClusterBench(3, {}, seed, 2);
    const { world } = this.bench;
    this.clients = Array.from({ length: 4 }, (_, number) => new VirtualClient(world, `p${number + 1}`, seed * 100 + number));
    this.programs = this.clients.map((client, number) => {
      const program = new NearProgram(client);
      program.reconnect(this.bench.machines[number % 3]);
      return program;
    });
    this.bench.until(
      () => this.programs.every((program) => keys.every((key) => program.place(key) !== null)),
      20_000,
      "all know the namespace",
    );
    this.finish(this.programs.map(() => keys.map((key) => ({ get: key }))));
  }

  /** One more round: all flows at once, each from a moment of its own, over copies of before. */
  play(flows: readonly (readonly Step[])[]): readonly Seen[] {
    const { prng } = this.bench.world;
    this.round += 1;
    for (const [number, program] of this.programs.entries()) {
      if (prng.chance(0.05)) program.reconnect();
      // Most begin with copies; else nothing could be stale.
      if (prng.chance(0.8)) this.finish(this.programs.map((_, other) => (other === number ? keys.map((key) => ({ get: key })) : [])));
    }
    const slow = prng.chance(0.5) ? this.slowDown() : null;
    const seen = this.finish(flows);
    slow?.();
    return seen;
  }

  /** One way between a program and its node, or between nodes, takes long. */
  private slowDown(): () => void {
    const { machines, world } = this.bench;
    const { edges } = world.network;
    const names = [...machines.map(({ name }) => name), ...this.clients.map(({ name }) => name)];
    const edge = edges.of(world.prng.pick(names), world.prng.pick(machines).name);
    const other = edges.of(world.prng.pick(machines).name, world.prng.pick(names));
    for (const slowed of [edge, other]) slowed.baseMs = 10 + world.prng.below(30);
    return () => {
      for (const slowed of [edge, other]) slowed.baseMs = 0.2;
    };
  }

  private finish(flows: readonly (readonly Step[])[]): readonly Seen[] {
    let open = flows.length;
    const seen = flows.map((): number[] => []);
    for (const [number, steps] of flows.entries()) {
      const client = this.clients[number];
      client?.after(client.prng.next() * 3, () => this.step(number, steps, 0, seen[number] ?? [], () => open--));
    }
    this.bench.until(() => open === 0, 30_000, "the round is over");
    return seen;
  }

  private step(number: number, steps: readonly Step[], at: number, seen: number[], done: () => void): void {
    const [client, program] = [this.clients[number], this.programs[number]];
    const step = steps[at];
    if (step === undefined || client === undefined || program === undefined) return done();
    const next = (): void => void client.after(client.prng.next(), () => this.step(number, steps, at + 1, seen, done));
    const place = program.place("get" in step ? step.get : step.put);
    if (place === null) throw new Found("liveness", "a program has forgotten the namespace");
    const deadline = client.process.now() + callMs;
    if ("get" in step) {
      const began = this.bench.world.clock.now();
      const saw = (value: Uint8Array | null): void => {
        const round = numberIn(value);
        seen.push(round);
        this.watch?.(step.get, number, began, round);
        next();
      };
      const copy = program.peek(step.get);
      if (copy !== null) return saw(copy.value);
      return place.holder.read(place.line, place.mode, deadline, (answer) => {
        if (answer === null) throw new Found("liveness", `${client.name} reads ${step.get} in vain`);
        saw(answer.record.value);
      });
    }
    const { holder, keeps, line, namespace, version } = place;
    const put = {
      type: "cache-put",
      namespace,
      version,
      key: step.put,
      value: encodeUtf8(String(this.round)),
      tags: [],
      ttlMs: 0,
      ifFence: null,
    } as const;
    const caller = `${client.name}.${++this.writes}`;
    const notAfter = Math.floor(this.bench.world.wallNow()) + callMs;
    const frame = encodeSingleCommandFrame(caller, "", notAfter, { ...put, condition: { type: "always" }, token: null });
    return holder.write(line, frame, keeps, deadline, (outcome) => {
      const answer = outcome === null ? null : decodeShardAnswer(outcome.answer);
      // The shard has not heard of the namespace yet.
      if (answer?.type === "no-namespace") return void client.after(20, () => this.step(number, steps, at, seen, done));
      if (answer?.type !== "cache-written") throw new Found("liveness", `${client.name} writes ${step.put} in vain`);
      return next();
    });
  }
}

function numberIn(value: Uint8Array | null): number {
  return value === null ? 0 : Number(String.fromCharCode(...value));
}

function litmus(name: string, seed: number, flows: readonly (readonly Step[])[], isForbidden: Forbids): Scenario {
  const invariant = `litmus-${name}`;
  return scenario(`near-${name}`, () => {
    const played = new Litmus(seed);
    for (let left = rounds; left > 0; left--) {
      const seen = played.play(flows);
      const problem = isForbidden(seen, played.round);
      expect(problem === null, invariant, () => `round ${played.round}: ${problem ?? ""} (${JSON.stringify(seen)})`);
    }
  });
}

const thrice = (key: Key): readonly Step[] => [{ get: key }, { get: key }, { get: key }, { get: key }];

export const nearCoRR: Scenario = litmus("corr", 1, [[{ put: x }], thrice(x), thrice(x), thrice(x)], corr);

export const nearCoWW: Scenario = litmus(
  "coww",
  3,
  [
    [{ put: x }, { get: x }],
    [{ put: x }, { get: x }],
    [{ get: x }, { put: x }, { get: x }],
  ],
  coww,
);

const secondThenFirst = [{ get: y }, { get: x }, { get: y }, { get: x }] as const;
export const nearMP: Scenario = litmus("mp", 3, [[{ put: x }, { put: y }], ...Array.from({ length: 3 }, () => secondThenFirst)], mp);

export const nearSB: Scenario = litmus(
  "sb",
  1,
  [
    [{ put: x }, { get: y }],
    [{ put: y }, { get: x }],
  ],
  sb,
);

export const nearIRIW: Scenario = litmus("iriw", 5, [[{ put: x }], [{ put: y }], [{ get: x }, { get: y }], [{ get: y }, { get: x }]], iriw);

export const nearInversion: Scenario = scenario("near-inversion", () => {
  const played = new Litmus(6);
  const flows: readonly (readonly Step[])[] = [[{ put: x }], thrice(x), thrice(x), thrice(x)];
  const { clock } = played.bench.world;
  for (let left = rounds; left > 0; left--) {
    const reads: TimedRead[] = [];
    played.watch = (key, by, began, value) => {
      if (key === x) reads.push({ began, ended: clock.now(), value, by });
    };
    played.play(flows);
    played.watch = null;
    const problem = inversion(reads);
    expect(problem === null, "litmus-inversion", () => problem ?? "");
  }
});
