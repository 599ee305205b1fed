import type { HolderState, Line } from "../../../src/coherence/holder-state.ts";
import type { DirectoryEntry, HomeState, ScopeOp, Wait } from "../../../src/coherence/home-state.ts";
import type { HolderMessage, HomeMessage } from "../../../src/coherence/messages.ts";
import { type World, nameOf } from "./world.ts";

/**
 * A state as text, equal for states that differ only in the names of holders, in numbers that count on, and in how long ago is long ago.
 */
export function describeWorld(world: World, ordered: boolean): string {
  const order = world.holders
    .map((_, index) => ({ index, text: ofHolder(world, index, ordered) }))
    .sort((x, y) => (x.text < y.text ? -1 : x.text > y.text ? 1 : 0));
  const rank = new Map(order.map(({ index }, at) => [nameOf(index), at]));
  const renamed = (name: string): number => rank.get(name) ?? -1;
  const homes = world.homes.map((home, place) => [
    home.alive,
    shared(world, home.state, renamed),
    home.store.version,
    home.store.counter,
    place === world.leader,
  ]);
  const errands = world.errands.map(({ home, number, type, what }) => {
    const state = world.homes[home]?.state;
    const said =
      what === null ? null : what.type === "write" ? [...what.command] : "holder" in what ? [what.type, renamed(what.holder)] : what.type;
    return [type, home, number - (state?.nextNumber ?? 0), said];
  });
  const { committed } = world;
  const log = [committed.version, committed.counter, [...committed.done].sort(byKey), committed.marker];
  return JSON.stringify([order.map(({ text }) => text), homes, errands, log, world.leader, world.term, world.told, world.nextWaiter]);
}

function ofHolder(world: World, index: number, ordered: boolean): string {
  const holder = world.holders[index] as HolderState;
  const { now } = world;
  const ago = (at: number, most: number): number => Math.max(at - now, -most);
  const own = [
    world.program === null ? 0 : index === world.program ? 2 : index === 0 ? 1 : 0,
    holder.term,
    holder.leasedAt === null ? null : ago(holder.leasedAt.steady, 2),
    holder.asked.map(({ request, sentAt }) => [request - holder.nextRequest, ago(sentAt.steady, 2)]),
    holder.held === null ? null : [ago(holder.held.sentAt.steady, 2), holder.held.sequence],
    holder.processed,
    Math.max(holder.askAgainAt - now, 0),
    ago(holder.lastAskedAt, 1),
    ago(holder.forgottenAt, 2),
    [...holder.lines.values()].map((line) => ofLine(world, holder, line, ago)),
  ];
  const name = nameOf(index);
  const atHomes = world.homes.map(({ state }) => atHome(world, state, name, holder));
  const letters = world.letters
    .filter((letter) => letter.holder === index)
    .map((letter) => `${letter.toHome} ${letter.term} ${said(letter.message, holder)}`);
  // Where order counts, it counts within a direction and a term.
  if (ordered) letters.sort((x, y) => (x.slice(0, 6) < y.slice(0, 6) ? -1 : x.slice(0, 6) > y.slice(0, 6) ? 1 : 0));
  else letters.sort();
  return JSON.stringify([own, atHomes, letters]);
}

function ofLine(world: World, holder: HolderState, line: Line, ago: (at: number, most: number) => number): unknown {
  const { after, copy, fetch, invalidated, shared, state, writes } = line;
  const waiter = (number: number): unknown => world.reads.get(number) ?? relayed(world, number);
  return [
    state,
    copy === null ? null : [copy.record.version, copy.record.asOf, copy.fill - holder.nextTxn],
    fetch === null
      ? null
      : [
          fetch.txn - holder.nextTxn,
          fetch.confirmed,
          ago(fetch.sentAt.steady, 1),
          fetch.first.map(waiter),
          fetch.joined.map(waiter),
          fetch.passOnly,
          fetch.mode.type === "uncopied",
        ],
    [...writes].map(([txn, write]) => [
      txn - holder.nextTxn,
      write.waiter,
      ago(write.sentAt.steady, 1),
      write.command[1],
      write.isAbandoned,
    ]),
    after.map(waiter),
    invalidated,
    shared,
    line.newest,
  ];
}

/** Of a program's read that its node gets an answer for. */
function relayed(world: World, waiter: number): unknown {
  const asked = world.relays.get(waiter);
  const program = world.holders[world.program ?? -1];
  return asked === undefined || program === undefined
    ? null
    : [asked.txn - program.nextTxn, asked.term, asked.incarnation - program.incarnation];
}

function scopesOf(home: HomeState): readonly ScopeOp[] {
  return [...home.scopes.values()].flat();
}

function atHome(world: World, home: HomeState, name: string, holder: HolderState): unknown {
  const left = (until: number): number => Math.max(until - world.now, 0);
  const ago = (at: number): number => Math.max(at - world.now, -1);
  const wait = (found: Wait | undefined): unknown => found && [found.incarnation - holder.incarnation, found.sequence, left(found.until)];
  const session = home.sessions.get(name);
  const known = home.registered.get(name);
  const bar = home.bars.get(name);
  const entry = [...home.entries.values()][0];
  return [
    session && [
      session.incarnation - holder.incarnation,
      left(session.leaseEnd),
      session.sequence,
      session.acked,
      [...session.unacked.values()],
      ago(session.resentAt),
      session.suspect,
      session.lines.size,
    ],
    known && [known.incarnation - holder.incarnation, known.ended, known.leaving],
    bar && [left(bar.until), left(bar.until + bar.lastsMs), bar.lastsMs],
    home.unflushed.has(name),
    entry && [fill(entry, name, holder), entry.owner === name, wait(entry.waits.get(name))],
    scopesOf(home).map(({ waits }) => wait(waits.get(name))),
    wait(home.closingWaits.get(name)),
  ];
}

function fill(entry: DirectoryEntry, name: string, holder: HolderState): number | null {
  const found = entry.sharers.get(name);
  return found === undefined ? null : found - holder.nextTxn;
}

/** What of a home is not one holder's. */
function shared(world: World, home: HomeState, renamed: (name: string) => number): unknown {
  const holderOf = (name: string): HolderState => world.holders["abcdefgh".indexOf(name)] as HolderState;
  const fetch = (op: { holder: string; incarnation: number; txn: number }): unknown => [
    renamed(op.holder),
    op.incarnation - holderOf(op.holder).incarnation,
    op.txn - holderOf(op.holder).nextTxn,
  ];
  return [
    home.phase,
    home.resuming,
    home.phase === "recovering" ? Math.max(home.flushUntil - world.now, 0) : 0,
    [...home.entries.values()].map(({ queue, reading, state, writing }) => [
      state,
      queue.map((op) =>
        op.type === "fetch" ? fetch(op) : [op.command?.[0], op.asker.type === "holder" ? fetch(op.asker) : op.asker.type],
      ),
      reading.map(fetch),
      writing && [writing.command?.[0], writing.asker.type === "holder" ? fetch(writing.asker) : writing.asker.type],
    ]),
    scopesOf(home).map(({ command, phase }) => [command[0], phase]),
    [...home.rounds].map(([number, lease]) => [number - home.nextNumber, renamed(lease.holder), lease.incarnation, lease.request]),
    [...home.confirmedReads].map(([number, read]) => [number - home.nextNumber, fetch(read.fetch)]),
    [...home.proposals].map(([number, proposal]) => [number - home.nextNumber, proposal.type]),
  ];
}

function said(message: HolderMessage | HomeMessage, holder: HolderState): string {
  const relative: Record<string, unknown> = { ...message, incarnation: message.incarnation - holder.incarnation };
  for (const field of ["txn", "fill"]) if (typeof relative[field] === "number") relative[field] -= holder.nextTxn as never;
  if (typeof relative["request"] === "number") relative["request"] -= holder.nextRequest as never;
  if ("command" in message) relative["command"] = [...message.command];
  if ("outcome" in message) relative["outcome"] = message.outcome.version;
  return JSON.stringify(relative);
}

function byKey(x: readonly [number, unknown], y: readonly [number, unknown]): number {
  return x[0] - y[0];
}
