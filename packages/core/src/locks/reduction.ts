import type { LockMode } from "@trivet/wire";
import { Lock } from "./lock.ts";
import type { Ticket, Wait } from "./wait.ts";
import { type PathStep, type SearchOutcome, verdict } from "./verdict.ts";
import { type GraphEdge, type SearchBudget, edgesOfOwner, edgesOfWait, nodeOfOwner, ownerNode } from "./wait-graph.ts";

/** A lock as the reduction plays with it: only what waiting owners hold, and who is in line. */
interface PlayLock {
  /** Counts only; the real lock stays as it is. */
  readonly counts: Lock;
  readonly line: Ticket[];
  head: number;
}

interface PlayOwner {
  waiting: number;
  readonly holds: { readonly lock: PlayLock; mode: LockMode }[];
}

/** A round of "everybody who can go on does, and lets go in the end" over the part of the table that one owner depends on. */
interface Play {
  readonly locks: Map<Lock, PlayLock>;
  /** By the owner's oldest wait. */
  readonly owners: Map<Wait, PlayOwner>;
  readonly granted: Set<Wait>;
  readonly waits: ReadonlySet<Wait>;
  readonly work: PlayLock[];
}

/**
 * Rule K3's reduction, exact with semaphores: owners that wait for nothing release, those in line are granted in order, those whose
 * waits are all granted release too, and so on. Who remains can never go on. Holds of owners that nobody here waits for, and
 * lock delays, count as released: they will be. The youngest of the waits that remain is the victim.
 */
export function reduce(node: Wait, budget: SearchBudget): SearchOutcome {
  const waits = reachable(node, budget);
  if (budget.left < 0) return { type: "bound" };
  const play = setUp(waits, budget);
  if (budget.left < 0) return { type: "bound" };
  run(play);
  if (play.owners.get(node)?.waiting === 0) return { type: "none" };
  let victim: Wait | null = null;
  for (const wait of waits) if (!play.granted.has(wait) && (victim === null || wait.id > victim.id)) victim = wait;
  return victim === null ? { type: "none" } : verdict(cycleThrough(victim, play));
}

/** Every wait that the owner of `node` depends on, itself included. */
function reachable(node: Wait, budget: SearchBudget): Set<Wait> {
  const waits = new Set<Wait>();
  const owners = new Set<Wait>([node]);
  for (const owner of owners) {
    for (const own of edgesOfOwner(owner, budget)) visit(own.target, waits, owners, budget);
    if (budget.left < 0) break;
  }
  return waits;
}

function visit(first: Wait, waits: Set<Wait>, owners: Set<Wait>, budget: SearchBudget): void {
  const pending = [first];
  for (let wait = pending.pop(); wait !== undefined && budget.left >= 0; wait = pending.pop()) {
    if (waits.has(wait)) continue;
    waits.add(wait);
    for (const edge of edgesOfWait(wait, budget)) {
      if (edge.asOwner) owners.add(edge.target);
      else pending.push(edge.target);
    }
  }
}

function setUp(waits: ReadonlySet<Wait>, budget: SearchBudget): Play {
  const play: Play = { locks: new Map(), owners: new Map(), granted: new Set(), waits, work: [] };
  for (const wait of waits) {
    const node = nodeOfOwner(wait);
    const owner = play.owners.get(node) ?? { waiting: 0, holds: [] };
    owner.waiting++;
    play.owners.set(node, owner);
  }
  // An owner that is only seen as somebody ahead in line goes on only when its other waits are over, which nobody here depends on:
  // it is in `owners` for what it waits for here.
  for (const wait of waits) for (const ticket of wait.tickets) playLock(play, ticket.lock, budget);
  return play;
}

function playLock(play: Play, lock: Lock, budget: SearchBudget): PlayLock {
  const known = play.locks.get(lock);
  if (known !== undefined) return known;
  const counts = new Lock(lock.name, lock.hash);
  counts.of = lock.of;
  const made: PlayLock = { counts, line: [], head: 0 };
  play.locks.set(lock, made);
  play.work.push(made);
  for (let hold = lock.firstHold; hold !== null; hold = hold.nextOfLock) {
    budget.left--;
    const node = ownerNode(hold);
    const owner = node === null ? undefined : play.owners.get(node);
    if (owner === undefined) continue;
    counts.count(hold.mode, 1);
    owner.holds.push({ lock: made, mode: hold.mode });
  }
  for (let ticket = lock.firstTicket; ticket !== null; ticket = ticket.next) {
    budget.left--;
    if (play.waits.has(ticket.wait)) made.line.push(ticket);
  }
  return made;
}

function run(play: Play): void {
  for (let lock = play.work.pop(); lock !== undefined; lock = play.work.pop()) {
    for (let ticket = lock.line[lock.head]; ticket !== undefined; ticket = lock.line[lock.head]) {
      if (!play.granted.has(ticket.wait)) {
        if (!ticket.wait.tickets.every((each) => isReady(play, each))) break;
        grant(play, ticket.wait);
      }
      lock.head++;
    }
  }
}

function isReady(play: Play, ticket: Ticket): boolean {
  if (ticket.coveredBy !== null) return true;
  const lock = play.locks.get(ticket.lock);
  if (lock === undefined) return false;
  const { counts, line } = lock;
  while (lock.head < line.length && play.granted.has((line[lock.head] as Ticket).wait)) lock.head++;
  if (line[lock.head] !== ticket) return false;
  const { upgrade } = ticket.wait;
  if (upgrade === null) return counts.admits(ticket.mode);
  counts.count(upgrade.mode, -1);
  const admitted = counts.admits(ticket.mode);
  counts.count(upgrade.mode, 1);
  return admitted;
}

function grant(play: Play, wait: Wait): void {
  play.granted.add(wait);
  const owner = play.owners.get(nodeOfOwner(wait)) as PlayOwner;
  for (const ticket of wait.tickets) {
    const lock = play.locks.get(ticket.lock) as PlayLock;
    play.work.push(lock);
    if (ticket.coveredBy !== null) continue;
    const old = wait.upgrade === null ? undefined : owner.holds.find((hold) => hold.lock === lock && hold.mode === wait.upgrade?.mode);
    if (old === undefined) owner.holds.push({ lock, mode: ticket.mode });
    else {
      lock.counts.count(old.mode, -1);
      old.mode = ticket.mode;
    }
    lock.counts.count(ticket.mode, 1);
  }
  owner.waiting--;
  if (owner.waiting > 0) return;
  for (const hold of owner.holds) {
    hold.lock.counts.count(hold.mode, -1);
    play.work.push(hold.lock);
  }
  owner.holds.length = 0;
}

/** The shortest way among those who remain from `victim` back to its owner, breadth first. */
function cycleThrough(victim: Wait, play: Play): PathStep[] {
  interface Reached {
    readonly wait: Wait;
    readonly before: Reached | null;
    readonly by: GraphEdge | null;
  }
  const target = nodeOfOwner(victim);
  const unbounded: SearchBudget = { left: Number.MAX_SAFE_INTEGER };
  const seen = new Set<Wait>([victim]);
  const queue: Reached[] = [{ wait: victim, before: null, by: null }];
  for (const reached of queue) {
    for (const edge of edgesOfWait(reached.wait, unbounded)) {
      const waits = edge.asOwner ? edgesOfOwner(edge.target, unbounded).map((own) => own.target) : [edge.target];
      const closes = edge.asOwner ? edge.target === target : edge.target === victim;
      if (closes) return pathTo(reached, edge);
      for (const wait of waits) {
        if (seen.has(wait) || play.granted.has(wait) || !play.waits.has(wait)) continue;
        seen.add(wait);
        queue.push({ wait, before: reached, by: edge });
      }
    }
  }
  const only = edgesOfWait(victim, unbounded)[0];
  return only === undefined ? [] : [{ wait: victim, edge: only }];

  function pathTo(last: Reached, closing: GraphEdge): PathStep[] {
    const path: PathStep[] = [];
    let edge = closing;
    for (let step: Reached | null = last; step !== null; step = step.before) {
      path.unshift({ wait: step.wait, edge });
      if (step.by !== null) edge = step.by;
    }
    return path;
  }
}
