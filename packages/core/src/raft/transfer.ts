import type { NodeId } from "../kernel/brand.ts";
import type { Progress } from "./progress.ts";
import { isVoter } from "./membership.ts";
import type { Leadership, RaftState } from "./state.ts";

// Leadership transfer (thesis §3.10): stop accepting, let the target catch up, tell it to campaign without waiting. If nobody has taken
// over within an election timeout the leader accepts again. Nothing about reads changes: they need a confirmed round as always.

export function beginTransfer(s: RaftState, to: NodeId): void {
  const { leadership, transfer } = s;
  if (leadership !== null && transfer !== null && transfer.to === to) return;
  if (transfer !== null) endTransfer(s, false);
  const target = leadership?.peers.get(to);
  if (leadership === null || target === undefined || !isVoter(s.membership, to) || target.recovering) {
    s.out.notices.push({ type: "transfer-ended", to, succeeded: leadership !== null && to === s.self });
    return;
  }
  s.transfer = { to, term: s.term, deadline: s.now + s.config.electionMaxMs, told: false };
  continueTransfer(s, leadership);
}

/** Called whenever the target may have caught up. */
export function continueTransfer(s: RaftState, leadership: Leadership): void {
  const { transfer } = s;
  if (transfer === null || transfer.told) return;
  const target = leadership.peers.get(transfer.to);
  if (target === undefined) {
    endTransfer(s, false);
    return;
  }
  if (target.match !== s.log.lastIndex) return;
  transfer.told = true;
  tell(s, target);
}

export function expireTransfer(s: RaftState): void {
  if (s.transfer !== null && s.now >= s.transfer.deadline) endTransfer(s, false);
}

/** This leader has to go (removed, or its disk stalls): the voter that is furthest ahead should stand at once. */
export function tellSuccessor(s: RaftState, leadership: Leadership): void {
  let best: Progress | null = null;
  for (const progress of leadership.peers.values()) {
    if (progress.recovering || !s.membership.voters.includes(progress.peer)) continue;
    if (best === null || progress.match > best.match) best = progress;
  }
  if (best !== null) tell(s, best);
}

function tell(s: RaftState, target: Progress): void {
  s.out.now.push({ type: "timeout-now", from: s.self, to: target.peer, term: s.term });
}

function endTransfer(s: RaftState, succeeded: boolean): void {
  if (s.transfer !== null) s.out.notices.push({ type: "transfer-ended", to: s.transfer.to, succeeded });
  s.transfer = null;
}
