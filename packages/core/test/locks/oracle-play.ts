import type { LockMode } from "@trivet/wire";

export interface ModelHold {
  name: string;
  session: number;
  principal: string;
  owner: string;
  mode: LockMode;
  of: number;
  fence: number;
  depth: number;
  anonymous: boolean;
}
export interface ModelTicket {
  name: string;
  mode: LockMode;
  of: number;
  covered: number;
}
export interface ModelWait {
  order: number;
  request: number;
  session: number;
  principal: string;
  owner: string;
  anonymous: boolean;
  upgrade: number;
  tickets: ModelTicket[];
}
export interface ModelDelay {
  name: string;
  mode: LockMode;
  of: number;
}
export const together: Record<LockMode, readonly LockMode[]> = {
  shared: ["shared", "update"],
  update: ["shared"],
  exclusive: [],
  permit: ["permit"],
};
export const rank = { shared: 1, update: 2, exclusive: 3, permit: 0 };

/** Upgraders first, then in order of asking. */
export function lineOf(waits: readonly ModelWait[], name: string): ModelWait[] {
  const line = waits.filter((wait) => wait.tickets.some((ticket) => ticket.name === name));
  return line.sort((a, b) => Number(b.upgrade > 0) - Number(a.upgrade > 0) || a.order - b.order);
}

function keyOf(each: { session: number; principal: string; owner: string }): string {
  return `${each.session} ${each.principal} ${each.owner}`;
}

/** Who can never be granted: everybody else plays on to the end first. */
export function deadWaits(realHolds: readonly ModelHold[], realWaits: readonly ModelWait[]): ModelWait[] {
  let holds = realHolds.map((hold) => ({ ...hold }));
  const waits = realWaits.map((wait) => ({ ...wait, tickets: wait.tickets.map((ticket) => ({ ...ticket })) }));
  const sizes = new Map(realWaits.flatMap((wait) => wait.tickets).map((ticket) => [ticket.name, ticket.of]));
  let invented = -1;
  for (let moved = true; moved;) {
    moved = false;
    const stuck = new Set(waits.map(keyOf));
    const kept = holds.filter((hold) => stuck.has(keyOf(hold)));
    if (kept.length < holds.length) moved = true;
    holds = kept;
    for (const wait of waits.slice()) {
      const ready = wait.tickets.every(({ name, mode, covered }) => {
        if (covered > 0) return true;
        if (lineOf(waits, name)[0] !== wait) return false;
        const inUse = holds.filter((hold) => hold.name === name && (wait.upgrade === 0 || hold.fence !== wait.upgrade));
        return mode === "permit" ? inUse.length < must(sizes.get(name)) : inUse.every((hold) => together[hold.mode].includes(mode));
      });
      if (!ready) continue;
      moved = true;
      waits.splice(waits.indexOf(wait), 1);
      for (const ticket of wait.tickets) {
        const upgraded = holds.find((hold) => wait.upgrade > 0 && hold.fence === wait.upgrade);
        if (upgraded !== undefined) upgraded.mode = ticket.mode;
        else if (ticket.covered === 0) {
          const { session, principal, owner, anonymous } = wait;
          holds.push({ ...ticket, session, principal, owner, anonymous, fence: invented--, depth: 1 });
        }
      }
    }
  }
  return realWaits.filter((wait) => waits.some((each) => each.order === wait.order));
}

export function must<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error("the oracle lost something");
  return value;
}
