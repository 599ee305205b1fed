import { mutant } from "#mutation";
import type { HomeEffect, HomeState, LeaseRequest, Proposal, Session } from "./home-state.ts";
import { sharerGone } from "./home-lines.ts";
import { mayGrant } from "./home-phase.ts";
import { acknowledged, resendUnacked, waitsEnd } from "./home-withdrawals.ts";
import type { HolderId, HolderMessage, RefusalOfLease } from "./messages.ts";
import { grantedMs } from "./timing.ts";

type Renew = Extract<HolderMessage, { readonly type: "renew" }>;

/** A holder asks for a lease or its prolongation. Answered at once only with a refusal. */
export function leaseAsked(home: HomeState, holder: HolderId, message: Renew, now: number, effects: HomeEffect[]): void {
  const { incarnation, processed, request } = message;
  const refuse = (reason: RefusalOfLease, retryMs: number): void => {
    const answer = { type: "refused", term: home.term, incarnation, request, reason, retryMs } as const;
    effects.push({ type: "send", to: holder, message: answer });
  };
  let session = home.sessions.get(holder);
  // Of a former life.
  if (session !== undefined && incarnation < session.incarnation) return;
  if (session !== undefined && incarnation > session.incarnation) {
    // The holder itself says that everything of its former life is I.
    if (session.suspect) bar(home, holder, now);
    if (!mutant("coherence-new-life-waited-for")) endSession(home, session, now);
    session = home.sessions.get(holder);
  }
  if (session !== undefined) {
    acknowledged(home, holder, incarnation, processed);
    if (session.suspect && !mutant("coherence-suspect-prolonged")) return refuse("lapsed", 0);
    resendUnacked(home, session, now, effects);
  }
  if (!mayGrant(home)) return refuse("closing", home.timing.leaseMs);
  if (session === undefined) {
    const barredMs = (home.bars.get(holder)?.until ?? now) - now;
    if (barredMs > 0 && !mutant("coherence-lapsed-holder-not-barred")) return refuse("barred", barredMs);
    const known = home.registered.get(holder);
    if (known?.leaving === true && !mutant("coherence-leaver-leased")) return refuse("full", home.timing.leaseMs);
    const isOver = known !== undefined && (incarnation < known.incarnation || (incarnation === known.incarnation && known.ended));
    // It counts from where this home would not: it has heard of a session that is no more.
    if ((isOver || processed > 0) && !mutant("coherence-ended-session-reopened")) return refuse("lapsed", 0);
    if (home.sessions.size >= home.limits.sessions) return refuse("full", home.timing.barMs);
  }
  const lease = { holder, incarnation, request };
  if (home.registered.get(holder)?.incarnation === incarnation || mutant("coherence-lease-before-registration"))
    confirm(home, lease, now, effects);
  else register(home, lease, effects);
}

/** Rule M1: a later home knows whom to ask. */
function register(home: HomeState, lease: LeaseRequest, effects: HomeEffect[]): void {
  const { holder, incarnation } = lease;
  const open = home.proposals.get(home.registering.get(holder) ?? 0);
  if (open?.type === "register" && open.requests[0]?.incarnation === incarnation) {
    open.requests.push(lease);
    if (open.requests.length > home.limits.openRenewals) open.requests.shift();
    return;
  }
  const proposal = home.nextNumber++;
  home.registering.set(holder, proposal);
  home.proposals.set(proposal, { type: "register", requests: [lease] });
  effects.push({ type: "propose", proposal, what: { type: "register-holder", holder, incarnation } });
}

export function registrationApplied(
  home: HomeState,
  proposal: Extract<Proposal, { readonly type: "register" | "forget" }>,
  now: number,
  effects: HomeEffect[],
): void {
  if (proposal.type === "forget") {
    home.registered.delete(proposal.holder);
    return;
  }
  const [first] = proposal.requests;
  if (first === undefined) return;
  if (!home.proposals.has(home.registering.get(first.holder) ?? 0)) home.registering.delete(first.holder);
  const known = home.registered.get(first.holder);
  if (known !== undefined && known.incarnation > first.incarnation) return;
  if (known?.incarnation !== first.incarnation) {
    home.registered.set(first.holder, { incarnation: first.incarnation, ended: false, idleSince: now, leaving: false });
  }
  for (const lease of proposal.requests) confirm(home, lease, now, effects);
}

/** Rule L1: a node that was deposed without knowing it must not give anybody more time. */
function confirm(home: HomeState, lease: LeaseRequest, now: number, effects: HomeEffect[]): void {
  const round = home.nextNumber++;
  home.rounds.set(round, lease);
  if (mutant("coherence-lease-without-round")) granted(home, round, now, effects);
  else effects.push({ type: "confirm", round });
}

export function granted(home: HomeState, round: number, now: number, effects: HomeEffect[]): void {
  const lease = home.rounds.get(round);
  if (lease === undefined) return;
  home.rounds.delete(round);
  const { holder, incarnation, request } = lease;
  if (!mayGrant(home)) return;
  const known = home.registered.get(holder);
  let session = home.sessions.get(holder);
  if (session === undefined) {
    if (known === undefined ? !mutant("coherence-lease-before-registration") : known.incarnation !== incarnation) return;
    if (known?.leaving === true && !mutant("coherence-leaver-leased")) return;
    if (known?.ended === true && !mutant("coherence-ended-session-reopened")) return;
    session = {
      holder,
      incarnation,
      leaseEnd: 0,
      sequence: 0,
      acked: 0,
      unacked: new Map(),
      resentAt: Number.NEGATIVE_INFINITY,
      suspect: false,
      lines: new Set(),
      waitedFor: new Map(),
    };
    home.sessions.set(holder, session);
  }
  if (session.incarnation !== incarnation) return;
  if (session.suspect && !mutant("coherence-suspect-prolonged")) return;
  session.leaseEnd = Math.max(session.leaseEnd, now + grantedMs(home.timing));
  const { sequence } = session;
  effects.push({ type: "send", to: holder, message: { type: "renewed", term: home.term, incarnation, request, sequence } });
}

/** An orderly end. */
export function leaves(home: HomeState, holder: HolderId, incarnation: number, now: number): void {
  const session = home.sessions.get(holder);
  if (session?.incarnation === incarnation) endSession(home, session, now);
}

/** Only when the holder cannot have a live lease of this incarnation. */
function endSession(home: HomeState, session: Session, now: number): void {
  const { holder, incarnation } = session;
  home.sessions.delete(holder);
  const known = home.registered.get(holder);
  if (known?.incarnation === incarnation) {
    known.ended = true;
    known.idleSince = now;
  }
  waitsEnd(home, session);
  for (const line of session.lines) sharerGone(home, line, holder);
}

/** Leases that are over, bars that are, and holders that have not been heard of for long. */
export function lapse(home: HomeState, now: number, effects: HomeEffect[]): void {
  for (const session of home.sessions.values()) {
    if (session.leaseEnd > now) continue;
    // Rule M6, for those that made somebody wait: who had nothing to give up has harmed nobody.
    if (session.suspect || session.unacked.size > 0) bar(home, session.holder, now);
    endSession(home, session, now);
  }
  for (const [holder, { lastsMs, until }] of home.bars) if (now >= until + lastsMs) home.bars.delete(holder);
  for (const [holder, known] of home.registered) {
    if (home.sessions.has(holder) || known.leaving || now - known.idleSince < home.timing.forgetAfterMs) continue;
    // In `recovering` it may still have a lease of a former home.
    if (home.phase !== "open") continue;
    known.leaving = true;
    const proposal = home.nextNumber++;
    home.proposals.set(proposal, { type: "forget", holder });
    effects.push({ type: "propose", proposal, what: { type: "forget-holder", holder, incarnation: known.incarnation } });
  }
}

function bar(home: HomeState, holder: HolderId, now: number): void {
  const { barMs, longestBarMs } = home.timing;
  const former = home.bars.get(holder);
  const lastsMs = former === undefined || mutant("coherence-bar-not-doubled") ? barMs : Math.min(2 * former.lastsMs, longestBarMs);
  home.bars.set(holder, { until: now + lastsMs, lastsMs });
}
