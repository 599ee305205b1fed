import { mutant } from "#mutation";
import { assertNever } from "../kernel/assert.ts";
import type { Awaiting, DirectoryEntry, HomeEffect, HomeState, Session, Wait } from "./home-state.ts";
import type { HolderId, LineName, Scope, Withdrawal } from "./messages.ts";

/** Takes something from a holder. What is returned is what a write waits for (rule M3). */
export function withdraw(home: HomeState, session: Session, scope: Scope, effects: HomeEffect[]): Wait {
  const sequence = ++session.sequence;
  send(home, session, { type: "inv", sequence, scope }, effects);
  return { incarnation: session.incarnation, sequence, until: session.leaseEnd };
}

export function withdrawLine(home: HomeState, session: Session, entry: DirectoryEntry, effects: HomeEffect[]): void {
  const wait = withdraw(home, session, { type: "line", line: entry.line }, effects);
  if (mutant("coherence-write-before-acknowledgements")) return;
  entry.waits.set(session.holder, wait);
  awaits(session, wait, { type: "line", line: entry.line });
}

/** Whoever waits is found by the number that is acknowledged, however many wait. */
export function awaits(session: Session, { sequence }: Wait, awaiting: Awaiting): void {
  session.waitedFor.set(sequence, awaiting);
}

/** E and M end when somebody else reads. No right hangs on them, so nobody waits for it; it is sequenced as what does. */
export function downgrade(home: HomeState, session: Session, line: LineName, effects: HomeEffect[]): void {
  send(home, session, { type: "share", sequence: ++session.sequence, line }, effects);
}

function send(home: HomeState, session: Session, withdrawal: Withdrawal, effects: HomeEffect[]): void {
  session.unacked.set(withdrawal.sequence, withdrawal);
  resend(home, session, withdrawal, effects);
}

/** What a holder has not processed is sent again when it asks for more time; not each time, if it asks more often than holders do. */
export function resendUnacked(home: HomeState, session: Session, now: number, effects: HomeEffect[]): void {
  if (now - session.resentAt < home.timing.renewEveryMs / 2) return;
  session.resentAt = now;
  for (const withdrawal of session.unacked.values()) resend(home, session, withdrawal, effects);
}

function resend(home: HomeState, { holder, incarnation }: Session, withdrawal: Withdrawal, effects: HomeEffect[]): void {
  effects.push({ type: "send", to: holder, message: { term: home.term, incarnation, ...withdrawal } });
}

/** Everything up to `sequence` is processed. One of a former life, or of an earlier withdrawal, settles nothing of the present. */
export function acknowledged(home: HomeState, holder: HolderId, incarnation: number, sequence: number): void {
  const session = home.sessions.get(holder);
  if (session === undefined) return;
  if (session.incarnation !== incarnation && !mutant("coherence-former-life-acknowledges")) return;
  if (mutant("coherence-late-acknowledgement-counts")) waitsEnd(home, session);
  const upTo = Math.min(sequence, session.sequence);
  while (session.acked < upTo) {
    const settled = ++session.acked;
    session.unacked.delete(settled);
    settle(home, session, settled);
  }
}

/** Nothing of this session can be read any more. */
export function waitsEnd(home: HomeState, session: Session): void {
  for (const sequence of session.waitedFor.keys()) settle(home, session, sequence);
}

function settle(home: HomeState, session: Session, sequence: number): void {
  const awaiting = session.waitedFor.get(sequence);
  if (awaiting === undefined) return;
  session.waitedFor.delete(sequence);
  const waits = waitsOf(home, awaiting);
  if (waits === undefined || waitFor(waits, session, sequence) === undefined) return;
  waits.delete(session.holder);
  if (awaiting.type === "line" && waits.size === 0) home.touched.add(awaiting.line);
}

function waitsOf(home: HomeState, awaiting: Awaiting): Map<HolderId, Wait> | undefined {
  switch (awaiting.type) {
    case "line":
      return home.entries.get(awaiting.line)?.waits;
    case "scope":
      return home.scopes.get(awaiting.namespace)?.[0]?.waits;
    case "closing":
      return home.closingWaits;
    default:
      return assertNever(awaiting);
  }
}

/** The one for this withdrawal of this life; where there is another by now, it is not settled with this. */
function waitFor(waits: ReadonlyMap<HolderId, Wait>, { holder, incarnation }: Session, sequence: number): Wait | undefined {
  const wait = waits.get(holder);
  return wait?.incarnation === incarnation && wait.sequence === sequence ? wait : undefined;
}

/**
 * Rule M3: the lease as it was when the withdrawal was sent is over. What it was prolonged by since counts only for who has processed that;
 * but a holder that somebody had to wait for gets no more time (rule M6).
 */
export function stopWaiting(home: HomeState, now: number): void {
  for (const session of home.sessions.values()) {
    for (const [sequence, awaiting] of session.waitedFor) {
      const waits = waitsOf(home, awaiting);
      const wait = waits && waitFor(waits, session, sequence);
      if (wait !== undefined && wait.until > now && !mutant("coherence-silent-holder-not-waited-for")) continue;
      settle(home, session, sequence);
      if (wait !== undefined) session.suspect = true;
    }
  }
}
