import { isReadable } from "../../../src/coherence/line-table.ts";
import { readableCopy } from "../../../src/coherence/reading.ts";
import { describeWorld } from "./describe.ts";
import { line, nameOf, World } from "./world.ts";

/** What may happen in a world, and how often. What is left out never happens. */
export interface Budget {
  readonly reads?: number;
  /** Reads that a quorum confirms. */
  readonly strict?: number;
  /** Of a program that keeps no copies: the world's last holder, which asks the first. */
  readonly uncopied?: number;
  readonly writes?: number;
  /** Writes that apply refuses, as a compare-and-set that fails. */
  readonly refusals?: number;
  readonly deletes?: number;
  readonly clears?: number;
  readonly evictions?: number;
  /** Callers that wait no longer. */
  readonly abandons?: number;
  /** How often a message overtakes one that was sent before it on the same way; left out = always possible. */
  readonly overtakings?: number;
  readonly drops?: number;
  readonly duplicates?: number;
  /** Steps of time. Whether and when anybody looks at a clock is left open. */
  readonly ticks?: number;
  /** How often a holder looks at its clock by itself; anything that happens to it makes it look, too. */
  readonly looks?: number;
  readonly holderCrashes?: number;
  /** Elections with the former home still running, and with it lost. */
  readonly depositions?: number;
  readonly homeCrashes?: number;
  /** The same node leads again. */
  readonly reelections?: number;
  readonly closings?: number;
  /** Faults of whatever kind: messages lost, repeated or overtaken, copies given up, holders and homes that crash, elections. */
  readonly faults?: number;
}
type Kind = keyof Required<Budget>;
const faultKinds: ReadonlySet<Kind> = new Set([
  "overtakings",
  "drops",
  "duplicates",
  "evictions",
  "holderCrashes",
  "homeCrashes",
  "depositions",
  "reelections",
]);

export interface Explored {
  readonly states: number;
  readonly transitions: number;
  readonly drained: number;
  readonly deepest: number;
}

interface Node {
  readonly world: World;
  readonly left: Readonly<Record<string, number>>;
  readonly id: number;
}

export interface Options {
  readonly most: number;
  /** From every so many states the rest of the way is gone without further faults: everything must be answered. 0 = never. */
  readonly drainEvery: number;
}

/** Visits every state that `start` can reach within the budget, breadth first; throws with the way to the first that breaks a rule. */
export function explore(start: World, budget: Budget, options: Options): Explored {
  const ways: { readonly parent: number; readonly action: string }[] = [{ parent: -1, action: "start" }];
  const seen = new Set<string>();
  let frontier: Node[] = [{ world: start, left: { ...budget }, id: 0 }];
  let [transitions, drained, deepest] = [0, 0, 0];
  const fail = (error: unknown, id: number, action: string): never => {
    const way = [action];
    for (let at = id; at > 0; at = (ways[at] as { parent: number }).parent) way.unshift((ways[at] as { action: string }).action);
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n  after ${way.join("\n        ")}`, { cause: error });
  };
  seen.add(hash(keyOf(start, { ...budget })));
  while (frontier.length > 0) {
    const next: Node[] = [];
    for (const node of frontier) {
      for (const { act, kind, name } of actionsOf(node.world, node.left)) {
        transitions++;
        const world = node.world.copy();
        try {
          act(world);
          check(world);
        } catch (error) {
          fail(error, node.id, name);
        }
        const left = kind === null ? node.left : { ...node.left, [kind]: (node.left[kind] ?? 0) - 1 };
        const key = hash(keyOf(world, left));
        if (seen.has(key)) continue;
        seen.add(key);
        if (seen.size > options.most) throw new Error(`more than ${options.most} states`);
        const id = ways.push({ parent: node.id, action: name }) - 1;
        if (options.drainEvery > 0 && id % options.drainEvery === 0) {
          drained++;
          try {
            drain(world.copy());
          } catch (error) {
            fail(error, id, "everything is delivered");
          }
        }
        next.push({ world, left, id });
      }
    }
    if (next.length > 0) deepest++;
    frontier = next;
  }
  return { states: seen.size, transitions, drained, deepest };
}

function keyOf(world: World, left: Readonly<Record<string, number>>): string {
  return `${describeWorld(world, left["overtakings"] !== undefined)}${JSON.stringify(left)}`;
}

/** Sixty-four bits of it: what two different states could share by chance is not worth the memory. */
function hash(text: string): string {
  let [a, b] = [0x9e3779b9, 0x85ebca6b];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b + code, 0x5bd1e995) ^ (b >>> 15);
  }
  return String.fromCharCode(a >>> 16, a & 0xffff, b >>> 16, b & 0xffff);
}

interface Action {
  readonly name: string;
  readonly kind: Kind | null;
  readonly act: (world: World) => void;
}

function actionsOf(world: World, left: Readonly<Record<string, number>>): Action[] {
  const actions: Action[] = [];
  const has = (kind: Kind): boolean => (left[kind] ?? 0) > 0;
  const may = (kind: Kind): boolean => has(kind) || (faultKinds.has(kind) && has("faults"));
  const add = (name: string, kind: Kind | null, act: (changed: World) => void): number =>
    actions.push({ name, kind: kind === null || has(kind) ? kind : "faults", act });
  const met = new Set<string>();
  const ways = new Set<string>();
  for (const [at, letter] of world.letters.entries()) {
    const way = `${letter.toHome} ${letter.holder} ${letter.term}`;
    const overtakes = left["overtakings"] !== undefined && ways.has(way);
    ways.add(way);
    if (overtakes && !may("overtakings")) continue;
    const kind = overtakes ? "overtakings" : null;
    const name = `${letter.toHome ? `${nameOf(letter.holder)}→home` : `home→${nameOf(letter.holder)}`} ${JSON.stringify(letter.message)}`;
    if (met.has(name)) continue;
    met.add(name);
    add(name, kind, (changed) => changed.deliver(at));
    // A copy of it comes when it likes.
    if (may("duplicates")) add(`again ${name}`, "duplicates", (changed) => changed.deliver(at, true));
    if (may("drops") && !overtakes)
      add(`lost ${name}`, "drops", (changed) => void (changed.letters = changed.letters.filter((_, place) => place !== at)));
  }
  const firsts = new Set<string>();
  for (const [at, errand] of world.errands.entries()) {
    // A log is applied in its order.
    const isNext = errand.type !== "propose" || (errand.home === world.leader && !firsts.has("propose"));
    if (errand.type === "propose") firsts.add("propose");
    if (isNext) add(`home ${errand.home} ${errand.type} ${errand.what?.type ?? ""}`, null, (changed) => changed.run(at));
  }
  const isAlive = world.homes[world.leader]?.alive === true;
  if (may("uncopied")) add("the program reads", "uncopied", (changed) => void changed.readUncopied());
  for (let index = 0; index < world.holders.length; index++) {
    const name = nameOf(index);
    if (may("reads")) add(`${name} reads`, "reads", (changed) => void changed.read(index));
    if (may("strict")) add(`${name} reads strictly`, "strict", (changed) => void changed.read(index, { type: "strict" }));
    if (may("writes")) add(`${name} writes`, "writes", (changed) => void changed.write(index));
    if (may("refusals")) add(`${name} writes in vain`, "refusals", (changed) => void changed.write(index, "refused"));
    if (may("deletes")) add(`${name} deletes`, "deletes", (changed) => void changed.write(index, "delete"));
    if (may("holderCrashes")) add(`${name} crashes`, "holderCrashes", (changed) => changed.crashHolder(index));
    if (may("abandons")) {
      for (const waiter of waitingAt(world, index)) {
        add(`${name} gives ${waiter} up`, "abandons", (changed) => changed.abandon(index, waiter));
      }
    }
    const state = world.holders[index]?.lines.get(line)?.state;
    if (may("evictions") && state !== undefined && isReadable(state)) add(`${name} evicts`, "evictions", (changed) => changed.evict(index));
    if (may("looks")) {
      add(`${name} looks at the clock`, "looks", (changed) => changed.holder(index, { type: "tick", now: changed.moment }));
    }
  }
  if (isAlive && may("clears")) add("the namespace is cleared", "clears", (changed) => void changed.clear());
  if (isAlive && may("closings"))
    add("hand-over", "closings", (changed) => changed.home(changed.leader, { type: "close", now: changed.now }));
  if (left["ticks"] !== undefined) {
    for (const [place, home] of world.homes.entries()) {
      if (home.alive) add(`home ${place} looks at the clock`, null, (changed) => changed.home(place, { type: "tick", now: changed.now }));
    }
  }
  if (may("ticks")) add("time", "ticks", (changed) => changed.pass());
  if (may("homeCrashes") && isAlive) add("the home crashes", "homeCrashes", (changed) => changed.crashHome(changed.leader));
  const proposed = world.errands.filter(({ home, type }) => type === "propose" && home === world.leader).length;
  for (let surviving = 0; surviving <= proposed; surviving++) {
    const other = world.leader === 0 ? 1 : 0;
    if (!isAlive) add(`home ${other} is elected, ${surviving} survive`, null, (changed) => changed.elect(other, surviving));
    if (isAlive && may("depositions")) {
      add(`home ${other} is elected beside, ${surviving} survive`, "depositions", (changed) => changed.elect(other, surviving));
    }
    if (isAlive && may("reelections")) {
      add(`home ${world.leader} is elected again, ${surviving} survive`, "reelections", (changed) =>
        changed.elect(changed.leader, surviving),
      );
    }
  }
  return actions;
}

function waitingAt(world: World, index: number): readonly number[] {
  const known = world.holders[index]?.lines.get(line);
  if (known === undefined) return [];
  const { after, fetch, strict, writes } = known;
  const writers = [...writes.values()].flatMap(({ isAbandoned, waiter }) => (isAbandoned ? [] : [waiter]));
  return [...(fetch?.first ?? []), ...(fetch?.joined ?? []), ...after, ...strict, ...writers];
}

/** What must hold at every moment (reference §6). */
export function check(world: World): void {
  const { steady, wall } = world.moment;
  const { counter } = world.committed;
  const home = world.homes[world.leader];
  let readable = 0;
  let alone: string | null = null;
  let shareSent = false;
  for (const [index, holder] of world.holders.entries()) {
    const known = holder.lines.get(line);
    const copy = known === undefined ? undefined : readableCopy(holder, known, steady, wall);
    if (known === undefined || copy === undefined) continue;
    readable++;
    const name = nameOf(index);
    // Data-value: whoever can read reads what was written last.
    if (copy.record.asOf !== counter) throw new Error(`${name} can read change ${copy.record.asOf}, the last is ${counter}`);
    const session = home?.state.sessions.get(name);
    if (known.state !== "S") {
      if (alone !== null) throw new Error(`${alone} and ${name} both think to be the only one`);
      alone = name;
      shareSent = [...(session?.unacked.values() ?? [])].some(({ type }) => type === "share");
    }
    covered(world, index);
  }
  // Single writer: who has it as E or M is alone, or is being told that it is not.
  if (alone !== null && readable > 1 && !shareSent && home?.state.term === world.holders["abcdefgh".indexOf(alone)]?.term) {
    throw new Error(`${alone} thinks to be the only one, and ${readable} can read`);
  }
}

/** The directory knows of every copy that can be read, or waits for whoever has one of a former home. */
function covered(world: World, index: number): void {
  const holder = world.holders[index];
  const home = world.homes[world.leader];
  if (holder === undefined || home?.alive !== true) return;
  const name = nameOf(index);
  const { state } = home;
  if (holder.term < state.term) {
    if (state.phase === "recovering" && state.unflushed.has(name)) return;
    throw new Error(`${name} can read a copy of term ${holder.term}, and nobody waits for it`);
  }
  const session = state.sessions.get(name);
  if (session?.incarnation !== holder.incarnation) throw new Error(`${name} can read, and has no session`);
  const entry = state.entries.get(line);
  const isWithdrawn = [...session.unacked.values()].some(({ type }) => type === "inv");
  if (entry?.sharers.has(name) !== true && !isWithdrawn) throw new Error(`${name} can read, and the directory does not know it`);
}

/** Without further faults everything that is waited for is answered: what is sent arrives, leases end, and somebody leads. */
export function drain(world: World): void {
  for (let round = 0; round < 40; round++) {
    if (world.homes[world.leader]?.alive !== true) world.elect(world.leader === 0 ? 1 : 0, 0);
    for (let step = 0; world.letters.length + world.errands.length > 0; step++) {
      if (step > 2000) throw new Error("messages without end");
      const at = world.errands.findIndex((errand) => errand.type !== "propose" || errand.home === world.leader);
      if (at >= 0) world.run(at);
      else if (world.letters.length > 0) world.deliver(0);
      else break;
      check(world);
    }
    if (world.reads.size === 0 && world.writes.size === 0) return;
    world.pass();
    for (let index = 0; index < world.holders.length; index++) {
      world.holder(index, { type: "home", term: world.term, now: world.moment });
      world.holder(index, { type: "tick", now: world.moment });
    }
    for (const [place, home] of world.homes.entries()) if (home.alive) world.home(place, { type: "tick", now: world.now });
    check(world);
  }
  throw new Error(`never answered: reads ${[...world.reads.keys()].join()}, writes ${[...world.writes].join()}`);
}

/** A home and its holders, each with a lease; those of `copies` with a copy, the rest without. */
export function warm(holders: number, copies: readonly number[], limits: Parameters<typeof World.with>[1] = {}): World {
  const world = cold(holders, limits);
  for (let index = 0; index < holders; index++) world.read(index);
  quiet(world);
  for (let index = 0; index < holders; index++) if (world.holders[index]?.lines.has(line) === true) world.evict(index);
  quiet(world);
  for (const index of copies) {
    world.read(index);
    quiet(world);
  }
  return world;
}

/** A home and holders that know it and nothing else. */
export function cold(holders: number, limits: Parameters<typeof World.with>[1] = {}): World {
  const world = World.with(holders, limits);
  world.elect(0, 0);
  for (let index = 0; index < holders; index++) world.holder(index, { type: "home", term: 1, now: world.moment });
  quiet(world);
  return world;
}

/** Delivers whatever is on its way, without time passing. */
export function quiet(world: World): void {
  for (let step = 0; step < 1000; step++) {
    const at = world.errands.findIndex((errand) => errand.type !== "propose" || errand.home === world.leader);
    if (at >= 0) world.run(at);
    else if (world.letters.length > 0) world.deliver(0);
    else return;
  }
  throw new Error("messages without end");
}
