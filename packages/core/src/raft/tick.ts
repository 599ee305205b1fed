import { mutant } from "#mutation";
import { onElectionTimeout } from "./election.ts";
import { votersOf } from "./membership.ts";
import { jointValue } from "./quorum.ts";
import { beginRound, expireForwardedReads, restartRounds } from "./read-index.ts";
import { finishRecovery } from "./recovery.ts";
import { becomeFollower, resetElectionTimer } from "./role.ts";
import { retrySnapshots } from "./snapshot-send.ts";
import type { Leadership, RaftState } from "./state.ts";
import { expireTransfer, tellSuccessor } from "./transfer.ts";

/** Time passes. Does nothing, and allocates nothing, while nothing is due. */
export function onTick(s: RaftState, now: number): void {
  if (now <= s.now) return;
  const paused = now - s.now > s.config.electionMinMs;
  s.now = now;
  if (s.transfer !== null) expireTransfer(s);
  if (s.leadership !== null) leaderTick(s, s.leadership, paused);
  else followerTick(s, paused);
}

/**
 * Until then a tick does nothing, if nothing else happens here before it: a host may leave it out. What it may not leave out for longer than an
 * election timeout is to tell the time at all, or that looks like a pause.
 */
export function nextTickAt(s: RaftState): number {
  const at = s.leadership === null ? followerTickAt(s) : leaderTickAt(s, s.leadership);
  return s.transfer === null ? at : Math.min(at, s.transfer.deadline);
}

function leaderTickAt(s: RaftState, leadership: Leadership): number {
  let at = leadership.nextHeartbeatAt;
  const { oldestPendingAt } = s.cursors;
  if (oldestPendingAt !== null) at = Math.min(at, oldestPendingAt + s.config.diskStallMs);
  for (const { sentCommit, state, transfer } of leadership.peers.values()) {
    if (state === "replicate" && sentCommit < s.commit && !mutant("raft-next-tick-without-news")) return s.now;
    if (transfer !== null && !transfer.reading) at = Math.min(at, transfer.sentAt + s.config.electionMaxMs);
  }
  return at;
}

function followerTickAt(s: RaftState): number {
  if (s.recovery !== null) return s.now;
  return Math.min(s.electionDeadline, s.readsForwarded[0]?.deadline ?? Infinity);
}

function leaderTick(s: RaftState, leadership: Leadership, paused: boolean): void {
  if (paused) {
    // Rule L2. The silence of the others may be our own: give their messages, which wait in the sockets, time to be read.
    leadership.quorumGraceUntil = s.now + s.config.electionMinMs;
    restartRounds(s, leadership);
  }
  if (s.diskStalled && votersOf(s.membership).length > 1) {
    // Heartbeats would keep a leader in office that can no longer commit (hashicorp/raft#503).
    tellSuccessor(s, leadership);
    becomeFollower(s, s.term, null, "its disk stalls");
    return;
  }
  if (s.now >= leadership.nextHeartbeatAt) {
    if (quorumLost(s, leadership)) {
      becomeFollower(s, s.term, null, "no contact with a quorum");
      return;
    }
    beginRound(s, leadership);
  }
  for (const progress of leadership.peers.values()) {
    if (progress.state !== "replicate" || progress.sentCommit >= s.commit) continue;
    leadership.newsDue = true;
    s.out.stirred = true;
  }
  retrySnapshots(s, leadership);
}

function followerTick(s: RaftState, paused: boolean): void {
  // Time in which this process did not run is not the leader's silence.
  if (paused && s.role === "follower" && s.now >= s.electionDeadline) resetElectionTimer(s);
  if (s.readsForwarded.length > 0) expireForwardedReads(s);
  if (s.recovery !== null) finishRecovery(s);
  if (s.now >= s.electionDeadline) onElectionTimeout(s, "election timeout");
}

/** CheckQuorum (thesis §6.2): a leader that no quorum hears must not keep its clients waiting, nor its followers loyal (mutant 40). */
function quorumLost(s: RaftState, leadership: Leadership): boolean {
  if (s.now < leadership.quorumGraceUntil || mutant("raft-40-no-check-quorum")) return false;
  return s.now - quorumContact(s, leadership) > s.config.electionMaxMs;
}

/** The latest time at which a quorum had been heard from. */
export function quorumContact(s: RaftState, leadership: Leadership): number {
  return jointValue(s.membership, (id) => {
    if (id === s.self) return s.now;
    const progress = leadership.peers.get(id);
    return progress === undefined || progress.recovering ? -Infinity : progress.contactAt;
  });
}
