import { mutant } from "#mutation";
import type { WaitEdge } from "../system/view.ts";
import { isBlockedByHold } from "./grant.ts";
import type { Hold } from "./hold.ts";
import type { LockState } from "./lock-state.ts";
import { compatible, covers } from "./modes.ts";
import type { Ticket, Wait } from "./wait.ts";

/**
 * The wait-for graph has two kinds of nodes. A *wait* is over when it is granted. An *owner* is over when all its waits are granted, for
 * only then it goes on and releases what it holds; an owner is represented by its oldest wait. Edges, all of them conditions (AND):
 *
 * - owner → each of its waits;
 * - wait → owner of each hold in its way (hard), and of each earlier waiter that will be in its way once granted (order);
 * - wait → the wait just ahead in each line (order): strict FIFO, even when the two could stand beside each other.
 */
export interface GraphEdge {
  readonly target: Wait;
  /** The target is the owner whose oldest wait this is. */
  readonly asOwner: boolean;
  /** Where the edge comes from; null = from an owner to its own wait. */
  readonly ticket: Ticket | null;
  readonly heldBy: string;
}

/** Work left for one search. Below zero the edges handed out may be incomplete. */
export interface SearchBudget {
  left: number;
}

/** Oldest wait of the owner of a hold: its node; null when the owner waits for nothing. */
export function ownerNode(hold: Hold): Wait | null {
  return hold.account.waitsByOwner?.get(hold.owner) ?? null;
}

export function nodeOfOwner(wait: Wait): Wait {
  return wait.account.waitsByOwner?.get(wait.owner) ?? wait;
}

export function isCounted(wait: Wait): boolean {
  return wait.tickets.some((ticket) => ticket.mode === "permit" && ticket.coveredBy === null);
}

export function edgesOfOwner(node: Wait, budget: SearchBudget): GraphEdge[] {
  const edges: GraphEdge[] = [];
  for (let wait: Wait | null = node; wait !== null && budget.left >= 0; wait = wait.nextOfOwner) {
    budget.left--;
    edges.push({ target: wait, asOwner: false, ticket: null, heldBy: "" });
  }
  return edges;
}

export function edgesOfWait(wait: Wait, budget: SearchBudget): GraphEdge[] {
  const edges: GraphEdge[] = [];
  for (const ticket of wait.tickets) {
    if (ticket.coveredBy !== null) continue;
    if (!addOrderEdges(ticket, edges, budget)) addHardEdges(ticket, edges, budget);
  }
  return edges;
}

/**
 * Looks at those ahead in line, nearest first. Stops at one that asks at least as much: whatever else is in the way of `ticket` is in
 * the way of that one too, so its own edges lead there (this keeps a long line linear). Returns whether it stopped so.
 */
function addOrderEdges(ticket: Ticket, edges: GraphEdge[], budget: SearchBudget): boolean {
  if (mutant("lock-deadlock-no-order-edges")) return false;
  let nearest = true;
  for (let ahead = ticket.previous; ahead !== null && budget.left >= 0; ahead = ahead.previous) {
    budget.left--;
    const heldBy = ahead.wait.owner;
    if (nearest) edges.push({ target: ahead.wait, asOwner: false, ticket, heldBy });
    if (ahead.mode === "permit" || !compatible(ahead.mode, ticket.mode)) {
      edges.push({ target: nodeOfOwner(ahead.wait), asOwner: true, ticket, heldBy });
    }
    nearest = false;
    if (ahead.coveredBy === null && covers(ahead.mode, ticket.mode)) return true;
  }
  return false;
}

function addHardEdges(ticket: Ticket, edges: GraphEdge[], budget: SearchBudget): void {
  for (let hold = ticket.lock.firstHold; hold !== null && budget.left >= 0; hold = hold.nextOfLock) {
    budget.left--;
    const target = ownerNode(hold);
    if (target === null || !isBlockedByHold(ticket, hold)) continue;
    edges.push({ target, asOwner: true, ticket, heldBy: hold.owner });
  }
}

/** The graph for people: every holder in somebody's way, and who stands just ahead in line. */
export function listWaitEdges(locks: LockState, limit: number): WaitEdge[] {
  const edges: WaitEdge[] = [];
  for (const wait of [...locks.waits.values()].sort((a, b) => a.id - b.id)) {
    for (const ticket of wait.tickets) {
      if (edges.length >= limit) return edges;
      listTicketEdges(ticket, edges, limit);
    }
  }
  return edges;
}

function listTicketEdges(ticket: Ticket, edges: WaitEdge[], limit: number): void {
  const { wait, lock, mode, coveredBy, previous } = ticket;
  if (coveredBy !== null) return;
  const { owner: waiter, since } = wait;
  for (let hold = lock.firstHold; hold !== null && edges.length < limit; hold = hold.nextOfLock) {
    if (isBlockedByHold(ticket, hold)) edges.push({ waiter, holder: hold.owner, name: lock.name, mode, kind: "hard", since });
  }
  if (previous === null || edges.length >= limit) return;
  edges.push({ waiter, holder: previous.wait.owner, name: lock.name, mode, kind: "order", since });
}
