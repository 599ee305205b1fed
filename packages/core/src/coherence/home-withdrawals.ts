import { mutant } from "#mutation";
import type { DirectoryEntry, HomeEffect, HomeState, Session, Wait } from "./home-state.ts";
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
  session.waitedFor.add(entry.line);
}

/** E and M end when somebody else reads. No right hangs on them, so nobody waits for it; it is sequenced as what does. */
export function downgrade(home: HomeState, session: Session, line: LineName, effects: HomeEffect[]): void {
  send(home, session, { type: "share", sequence: ++session.sequence, line }, effects);
}

function send(home: HomeState, session: Session, withdrawal: Withdrawal, effects: HomeEffect[]): void {
  session.unacked.push(withdrawal);
  resend(home, session, withdrawal, effects);
}

/** What a holder has not processed is sent again whenever it asks for more time. */
export function resendUnacked(home: HomeState, session: Session, effects: HomeEffect[]): void {
  for (const withdrawal of session.unacked) resend(home, session, withdrawal, effects);
}

function resend(home: HomeState, { holder, incarnation }: Session, withdrawal: Withdrawal, effects: HomeEffect[]): void {
  effects.push({ type: "send", to: holder, message: { term: home.term, incarnation, ...withdrawal } });
}

/** Everything up to `sequence` is processed. One of a former life, or of an earlier withdrawal, settles nothing of the present. */
export function acknowledged(home: HomeState, holder: HolderId, incarnation: number, sequence: number): void {
  const session = home.sessions.get(holder);
  if (session === undefined) return;
  if (session.incarnation !== incarnation && !mutant("coherence-former-life-acknowledges")) return;
  if (sequence > session.acked) {
    session.acked = Math.min(sequence, session.sequence);
    session.unacked = session.unacked.filter((withdrawal) => withdrawal.sequence > session.acked);
  }
  stopWaitingFor(home, session, (wait) => wait.sequence <= session.acked || mutant("coherence-late-acknowledgement-counts"));
}

/** Nothing of this session can be read any more. */
export function waitsEnd(home: HomeState, session: Session): void {
  stopWaitingFor(home, session, () => true);
}

function stopWaitingFor(home: HomeState, session: Session, isOver: (wait: Wait) => boolean): boolean {
  const { holder } = session;
  let stopped = false;
  const look = (waits: Map<HolderId, Wait>): boolean => {
    const wait = waits.get(holder);
    if (wait?.incarnation !== session.incarnation || !isOver(wait)) return false;
    stopped = true;
    return waits.delete(holder);
  };
  for (const line of session.waitedFor) {
    const entry = home.entries.get(line);
    if (entry !== undefined && !look(entry.waits)) continue;
    session.waitedFor.delete(line);
    if (entry?.waits.size === 0) home.touched.add(line);
  }
  for (const { waits } of home.scopes) look(waits);
  look(home.closingWaits);
  return stopped;
}

/**
 * Rule M3: the lease as it was when the withdrawal was sent is over. What it was prolonged by since counts only for who has processed that;
 * but a holder that somebody had to wait for gets no more time (rule M6).
 */
export function stopWaiting(home: HomeState, now: number): void {
  for (const session of home.sessions.values()) {
    const isOver = ({ until }: Wait): boolean => until <= now || mutant("coherence-silent-holder-not-waited-for");
    if (stopWaitingFor(home, session, isOver)) session.suspect = true;
  }
}
