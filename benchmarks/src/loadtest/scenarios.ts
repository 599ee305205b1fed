import type { User } from "./user.ts";

/** What a user of a scenario does again and again; the same five as in load_test_scenarios.py, with the same weights and pauses. */
export interface Scenario {
  /** How many of ten or so users it gets when all scenarios run. */
  readonly weight: number;
  /** Seconds between two tasks. */
  readonly pause: readonly [least: number, most: number];
  readonly tasks: readonly (readonly [weight: number, task: (user: User) => Promise<void>])[];
}

export const scenarioNames = ["General", "LockStress", "CacheCoherence", "QueueThroughput", "ThreeNodes"] as const;
export type ScenarioName = (typeof scenarioNames)[number];

const names = 20;
const busyNames = 5;

export const scenarios: Readonly<Record<ScenarioName, Scenario>> = {
  /** A bit of everything, as an application would ask. */
  General: {
    weight: 5,
    pause: [0.1, 0.5],
    tasks: [
      [4, (user) => user.lock(names)],
      [2, (user) => user.produce("load-general")],
      [2, (user) => user.consume("load-general")],
      [2, (user) => user.look()],
      [2, (user) => user.read(100)],
      [1, (user) => user.write(100)],
    ],
  },
  /** Few names, many users: most of them find a lock held. */
  LockStress: {
    weight: 2,
    pause: [0.01, 0.1],
    tasks: [
      [3, (user) => user.lock(busyNames)],
      [1, (user) => user.lock(busyNames, "shared")],
    ],
  },
  /** Readers and writers of the same few keys, through all nodes. */
  CacheCoherence: {
    weight: 2,
    pause: [0.05, 0.2],
    tasks: [
      [4, (user) => user.read(10)],
      [1, (user) => user.write(10)],
    ],
  },
  /** Producers and consumers of one queue, without pauses. */
  QueueThroughput: {
    weight: 2,
    pause: [0, 0],
    tasks: [
      [1, (user) => user.produce("load-throughput")],
      [1, (user) => user.consume("load-throughput")],
    ],
  },
  /** Acquired through one node, released through another: nobody has to find the leader. */
  ThreeNodes: {
    weight: 1,
    pause: [0.05, 0.2],
    tasks: [[1, (user) => user.lock(names, "exclusive", true)]],
  },
};

/** The scenario of each of `count` users: in turn, in proportion to the weights. */
export function spread(chosen: readonly ScenarioName[], count: number): readonly ScenarioName[] {
  const among = chosen.length === 0 ? scenarioNames : chosen;
  const given = new Map<ScenarioName, number>(among.map((name) => [name, 0]));
  return Array.from({ length: count }, () => {
    // Whoever is furthest behind its share is next, so that any number of users is spread as the weights say.
    const next = among.reduce((best, name) => (share(name, given) < share(best, given) ? name : best));
    given.set(next, (given.get(next) ?? 0) + 1);
    return next;
  });
}

function share(name: ScenarioName, given: ReadonlyMap<ScenarioName, number>): number {
  return ((given.get(name) ?? 0) + 1) / scenarios[name].weight;
}

export function pick<T>(weighted: readonly (readonly [weight: number, value: T])[], random: () => number): T {
  let left = random() * weighted.reduce((sum, [weight]) => sum + weight, 0);
  for (const [weight, value] of weighted) {
    left -= weight;
    if (left < 0) return value;
  }
  const last = weighted.at(-1);
  if (last === undefined) throw new Error("nothing to pick from");
  return last[1];
}
