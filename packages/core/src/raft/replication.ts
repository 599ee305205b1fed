import { invariant } from "../kernel/assert.ts";
import { logIndex } from "../kernel/brand.ts";
import { matchWithinLog } from "../invariants/raft.ts";
import { mutant } from "#mutation";
import { commitByQuorum } from "./commit.ts";
import type { Progress } from "./progress.ts";
import { confirmRounds } from "./read-index.ts";
import { resumeReplication } from "./snapshot-send.ts";
import type { Leadership, RaftState } from "./state.ts";
import { continueTransfer } from "./transfer.ts";
import type { AppendReply, HeartbeatReply } from "./types.ts";

/** An answer to an append, at the leader. */
export function onAppendReply(s: RaftState, leadership: Leadership, message: AppendReply): void {
  const progress = leadership.peers.get(message.from);
  if (progress === undefined) return;
  heard(s, progress, message.recovering);
  progress.awaiting = message.awaiting;
  if (message.rejected) onRejected(s, progress, message);
  else onAccepted(s, leadership, progress, message);
}

export function onHeartbeatReply(s: RaftState, leadership: Leadership, message: HeartbeatReply): void {
  const progress = leadership.peers.get(message.from);
  if (progress === undefined) return;
  heard(s, progress, message.recovering);
  resumeIfStuck(s, progress);
  if (message.recovering || message.round <= progress.ackedRound) return;
  progress.ackedRound = message.round;
  confirmRounds(s, leadership);
}

function heard(s: RaftState, progress: Progress, recovering: boolean): void {
  progress.contactAt = s.now;
  progress.recovering = recovering;
  progress.newcomer &&= recovering;
}

function onAccepted(s: RaftState, leadership: Leadership, progress: Progress, message: AppendReply): void {
  const { index } = message;
  invariant(matchWithinLog(index, s.log.lastIndex), "raft-match-within-log", () => `${message.from}: ${index} of ${s.log.lastIndex}`);
  const advanced = index > progress.match;
  // Replies may be reordered: what was acknowledged stays acknowledged (mutant 14).
  if (advanced || mutant("raft-14-match-regresses")) progress.match = index;
  if (progress.next <= progress.match) progress.next = logIndex(progress.match + 1);
  if (progress.state === "replicate") progress.inflight.freeTo(index);
  else if (progress.state === "probe" ? advanced || index === progress.match : progress.match + 1 >= s.log.firstIndex) {
    // Also out of `snapshot`: entries got there some other way (an earlier leader, an earlier snapshot), and ours connect to them.
    resumeReplication(s, progress);
  }
  s.out.stirred = true;
  if (!advanced && !mutant("raft-14-match-regresses")) return;
  commitByQuorum(s, leadership);
  // The commit may have ended this leadership.
  if (s.leadership === leadership) continueTransfer(s, leadership);
}

/** The logs do not meet at that index: go back, by whole terms (§5.3). Nothing is learned about what *is* there (mutant 13). */
function onRejected(s: RaftState, progress: Progress, message: AppendReply): void {
  if (mutant("raft-13-rejection-advances-match")) progress.match = logIndex(Math.max(progress.match, message.hintIndex));
  if (message.recovering && message.hintIndex < progress.match) {
    // It lost what it had acknowledged (W6): forget it, or every rejection below the old match would look stale.
    progress.match = logIndex(0);
    progress.becomeProbe();
  } else if (progress.state === "replicate") {
    if (message.index <= progress.match) return;
    progress.becomeProbe();
    s.out.stirred = true;
    return;
  } else if (progress.state !== "probe" || progress.next - 1 !== message.index) {
    // Answers an older probe.
    return;
  }
  const hint = message.hintTerm > 0 ? s.log.lastAtOrBelowTerm(message.hintIndex, message.hintTerm) : message.hintIndex;
  const next = logIndex(Math.max(Math.min(message.index, hint + 1), progress.match + 1));
  // No step back is possible: the peer contradicts what it acknowledged. Asking at once again would spin; the next heartbeat asks.
  progress.probing = next === progress.next || mutant("raft-38-probe-stalls");
  progress.next = next;
  progress.askPosition = true;
  s.out.stirred = true;
}

/**
 * A heartbeat got through, so a lost append or acknowledgement is worth asking for again: a probe that was not answered, or a window
 * in which nothing moved since the heartbeat left.
 */
function resumeIfStuck(s: RaftState, progress: Progress): void {
  const moved = progress.match > progress.matchAtHeartbeat;
  if (progress.state === "snapshot" || mutant("raft-38-probe-stalls")) return;
  // A recovering peer may have lost what it acknowledged, at every restart anew: keep asking.
  const complete = progress.match >= s.log.lastIndex && !progress.recovering;
  if (progress.state === "replicate" && (moved || complete)) return;
  progress.probing = false;
  progress.askPosition = true;
  s.out.stirred = true;
}
