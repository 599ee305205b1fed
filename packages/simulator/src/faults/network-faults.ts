import { calm } from "../world/edges.ts";
import type { Machine } from "../world/machine.ts";
import type { FaultAction, FaultKind } from "./kinds.ts";
import type { Nemesis } from "./nemesis.ts";

type Edge = readonly [from: string, to: string];

/** Faults of the network. Returns false when the action is of another sort. */
export function strikeNetwork(nemesis: Nemesis, action: FaultAction, machine: Machine): boolean {
  const { world } = nemesis;
  const { edges } = world.network;
  const names = world.machines.map(({ name }) => name);
  const others = names.filter((name) => name !== machine.name);
  const during = (begin: () => void, end: () => void): void => {
    begin();
    nemesis.later(action.durationMs, () => {
      end();
      world.network.released();
    });
  };
  const cut = (list: readonly Edge[]): void => {
    world.totals.add("partitions");
    during(
      () => list.forEach(([from, to]) => (edges.of(from, to).cuts += 1)),
      () => list.forEach(([from, to]) => (edges.of(from, to).cuts -= 1)),
    );
  };
  const strikes: Readonly<Partial<Record<FaultKind, () => void>>> = {
    "partition-halves": () => cut(between(withClients(side(names, machine.name, action.strength), world.clients, action.strength))),
    "partition-bridge": () => cut(between(withClients(side(others, others[0] ?? "", action.strength), world.clients, action.strength))),
    "partition-ring": () => cut(notNeighbours(names)),
    "one-way": () => cut(others.map((other): Edge => (action.strength < 0.5 ? [machine.name, other] : [other, machine.name]))),
    "no-new-links": () => blockDials(nemesis, action, machine.name, others),
    flapping: () => flap(nemesis, action, machine.name, others),
    clog: () => {
      const other = others[Math.floor(action.strength * others.length)] ?? machine.name;
      const delayed = { baseMs: 200 + action.strength * 2_000 };
      during(
        () => Object.assign(edges.of(machine.name, other), delayed),
        () => Object.assign(edges.of(machine.name, other), { baseMs: calm.baseMs }),
      );
    },
    "slow-links": () =>
      during(
        () =>
          edges.setAll({
            baseMs: 5 + action.strength * 80,
            jitterMs: 5 + action.strength * 40,
            bytesPerMs: 5 + (1 - action.strength) * 200,
          }),
        () => edges.setAll({ baseMs: calm.baseMs, jitterMs: calm.jitterMs, bytesPerMs: calm.bytesPerMs }),
      ),
    "packet-loss": () =>
      during(
        () => edges.setAll({ loss: 0.01 + action.strength * 0.25 }),
        () => edges.setAll({ loss: 0 }),
      ),
    "link-reset": () => world.network.reset(machine.name, others[Math.floor(action.strength * others.length)] ?? machine.name),
    "broken-transport": () =>
      during(
        () => edges.setAll({ drop: action.strength * 0.05, duplicate: action.strength * 0.1, reorder: action.strength * 0.2 }),
        () => edges.setAll({ drop: 0, duplicate: 0, reorder: 0 }),
      ),
  };
  const strike = strikes[action.kind];
  strike?.();
  return strike !== undefined;
}

/** A part of the machines that holds `member`; its size and the rest of it come from `strength`. */
function side(names: readonly string[], member: string, strength: number): readonly [readonly string[], readonly string[]] {
  const size = 1 + Math.floor(strength * Math.floor(names.length / 2));
  const start = Math.max(0, names.indexOf(member));
  const inside = names.filter((_, i) => (i - start + names.length) % names.length < size);
  return [inside, names.filter((name) => !inside.includes(name))];
}

/** A third of the clients is cut off along with each side; the rest reaches everybody. */
function withClients(
  [inside, outside]: readonly [readonly string[], readonly string[]],
  clients: readonly string[],
  strength: number,
): readonly [readonly string[], readonly string[]] {
  const turn = Math.floor(strength * 97);
  const share = (part: number): readonly string[] => clients.filter((_, i) => (i + turn) % 3 === part);
  return [
    [...inside, ...share(0)],
    [...outside, ...share(1)],
  ];
}

function between([a, b]: readonly [readonly string[], readonly string[]]): readonly Edge[] {
  return a.flatMap((x) =>
    b.flatMap((y): Edge[] => [
      [x, y],
      [y, x],
    ]),
  );
}

/** Majorities ring: every machine sees only those next to it. With three or four, a chain. */
function notNeighbours(names: readonly string[]): readonly Edge[] {
  const closed = names.length >= 5;
  const cuts: Edge[] = [];
  for (const [i, from] of names.entries()) {
    for (const [j, to] of names.entries()) {
      const distance = closed ? Math.min(Math.abs(i - j), names.length - Math.abs(i - j)) : Math.abs(i - j);
      if (distance > 1) cuts.push([from, to]);
    }
  }
  return cuts;
}

/** Firewall that drops SYN only: what lives goes on, what breaks stays broken. */
function blockDials(nemesis: Nemesis, action: FaultAction, name: string, others: readonly string[]): void {
  const { network } = nemesis.world;
  const list = others.flatMap((other): Edge[] => [
    [name, other],
    [other, name],
  ]);
  for (const [from, to] of list) network.edges.of(from, to).dialBlocks += 1;
  const lost = others[Math.floor(action.strength * others.length)];
  if (lost !== undefined && action.strength < 0.7) network.reset(name, lost);
  nemesis.later(action.durationMs, () => {
    for (const [from, to] of list) network.edges.of(from, to).dialBlocks -= 1;
  });
}

/** Comes and goes several times a second. */
function flap(nemesis: Nemesis, action: FaultAction, name: string, others: readonly string[]): void {
  const { network, clock, totals } = nemesis.world;
  const until = clock.now() + action.durationMs;
  const list = others.flatMap((other): Edge[] => [
    [name, other],
    [other, name],
  ]);
  const period = 60 + action.strength * 400;
  let isCut = false;
  const turn = (): void => {
    if (!isCut && clock.now() > until) return;
    isCut = !isCut;
    if (isCut) totals.add("partitions");
    for (const [from, to] of list) network.edges.of(from, to).cuts += isCut ? 1 : -1;
    if (!isCut) network.released();
    nemesis.later(period, turn);
  };
  turn();
}
