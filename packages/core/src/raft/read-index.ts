import { invariant } from "../kernel/assert.ts";
import { logIndex } from "../kernel/brand.ts";
import type { LogIndex, NodeId } from "../kernel/brand.ts";
import { raftLimits } from "../kernel/limits.ts";
import { mutant } from "#mutation";
import { isVoter } from "./membership.ts";
import { jointValue } from "./quorum.ts";
import type { LeaderRead, Leadership, RaftState } from "./state.ts";
import type { ReadReply, ReadRequest } from "./types.ts";

// Linearizable reads without log entries (thesis §6.4): note the commit index, let a quorum confirm that we still lead by answering a
// heartbeat round that *began after* the request, answer. Requests that arrive together share a round.

/** A read asked by this node's own clients. */
export function askRead(s: RaftState, context: number): void {
  const { leadership } = s;
  if (leadership !== null) {
    addRead(s, leadership, { from: null, context, recovering: false, newcomer: false });
  } else if (s.leader === null || s.readsQueued.length + s.readsForwarded.length >= raftLimits.pendingReads) {
    s.out.refuseReads([context]);
  } else {
    s.readsQueued.push(context);
    s.out.stirred = true;
  }
}

/** A follower's read. Whoever does not lead says so, and the follower tells its client to ask again. */
export function onReadRequest(s: RaftState, message: ReadRequest): void {
  const { context, from, newcomer, recovering } = message;
  const read: LeaderRead = { from, context, recovering, newcomer };
  const progress = s.leadership?.peers.get(from);
  if (newcomer && progress !== undefined) progress.newcomer = true;
  if (s.leadership === null) refuse(s, [read]);
  else addRead(s, s.leadership, read);
}

export function onReadReply(s: RaftState, message: ReadReply): void {
  const at = s.readsForwarded.findIndex((sent) => sent.batch === message.context);
  const sent = s.readsForwarded[at];
  if (sent === undefined) return;
  s.readsForwarded.splice(at, 1);
  if (message.refused) s.out.refuseReads(sent.contexts);
  else for (const context of sent.contexts) s.out.reads.push({ context, index: message.index });
}

/** Called when effects are taken: everything that came in since the last time shares one message or one round. */
export function flushReads(s: RaftState): void {
  const { leadership, leader } = s;
  if (leadership !== null) {
    const waiting = leadership.readsWaiting.length > 0 && mayServe(s);
    if (waiting && leadership.readRounds.length < raftLimits.readRoundsInFlight) beginRound(s, leadership);
  } else if (s.readsQueued.length > 0 && leader !== null) {
    const batch = s.nextReadBatch++;
    s.readsForwarded.push({ batch, contexts: s.readsQueued, deadline: s.now + s.config.electionMinMs });
    s.readsQueued = [];
    s.out.now.push({ type: "read", from: s.self, to: leader, term: s.term, context: batch, recovering: false, newcomer: false });
  }
}

/** Begins a heartbeat round, for reads and renewals or because one is due. */
export function beginRound(s: RaftState, leadership: Leadership): void {
  const round = ++leadership.round;
  leadership.nextHeartbeatAt = nextBeat(s);
  leadership.roundStarts.push({ round, at: s.now });
  if (leadership.readsWaiting.length > 0 && mayServe(s)) {
    leadership.readRounds.push({ round, index: s.commit, reads: leadership.readsWaiting });
    leadership.readsWaiting = [];
  }
  for (const progress of leadership.peers.values()) {
    const { peer, match } = progress;
    s.out.now.push({ type: "heartbeat", from: s.self, to: peer, term: s.term, commit: s.commit, match, round });
    progress.sentCommit = s.commit;
    progress.matchAtHeartbeat = progress.match;
  }
  confirmRounds(s, leadership);
}

/**
 * When the next heartbeat is due: at most one interval from now, at a time that is the same for all groups this node leads, so that their
 * heartbeats share a turn, and with it a frame per peer.
 */
export function nextBeat({ now, config: { beatOffsetMs, heartbeatMs } }: RaftState): number {
  return (Math.floor((now + beatOffsetMs) / heartbeatMs) + 1) * heartbeatMs - beatOffsetMs;
}

/** After an acknowledged heartbeat: which rounds have a quorum behind them, and which reads that answers. */
export function confirmRounds(s: RaftState, leadership: Leadership): void {
  const acked = (id: NodeId): number => (id === s.self ? leadership.round : (leadership.peers.get(id)?.ackedRound ?? 0));
  const confirmed = Math.min(jointValue(s.membership, acked), leadership.round);
  if (confirmed <= leadership.confirmedRound) return;
  leadership.confirmedRound = confirmed;
  while ((leadership.roundStarts[0]?.round ?? Infinity) <= confirmed) {
    leadership.confirmedAt = leadership.roundStarts.shift()?.at ?? leadership.confirmedAt;
  }
  for (;;) {
    const first = leadership.readRounds[0];
    if (first === undefined || first.round > confirmed) break;
    leadership.readRounds.shift();
    for (const read of first.reads) answer(s, read, first.index);
  }
  // A free slot lets the reads that waited for one begin their round.
  if (leadership.readsWaiting.length > 0) s.out.stirred = true;
}

/**
 * This process did not run for a while (rule L2). Replies that wait in the sockets speak of the time before; everything still unanswered
 * needs a round that begins now.
 */
export function restartRounds(s: RaftState, leadership: Leadership): void {
  const next = leadership.round + 1;
  for (const pending of leadership.readRounds) pending.round = next;
  beginRound(s, leadership);
}

/** Leadership ended: nothing asked before may be answered on its strength. */
export function refuseLeaderReads(s: RaftState, leadership: Leadership): void {
  for (const pending of leadership.readRounds) refuse(s, pending.reads);
  refuse(s, leadership.readsWaiting);
  leadership.readRounds.length = 0;
  leadership.readsWaiting = [];
}

/** The leader asked is gone or silent. */
export function refuseForwardedReads(s: RaftState): void {
  s.out.refuseReads(s.readsQueued);
  s.readsQueued = [];
  for (const sent of s.readsForwarded) s.out.refuseReads(sent.contexts);
  s.readsForwarded.length = 0;
}

export function expireForwardedReads(s: RaftState): void {
  while ((s.readsForwarded[0]?.deadline ?? Infinity) <= s.now) s.out.refuseReads(s.readsForwarded.shift()?.contexts ?? []);
}

function addRead(s: RaftState, leadership: Leadership, read: LeaderRead): void {
  if (mutant("raft-26-leadership-checked-before-read") && leadership.confirmedRound > 0) {
    answer(s, read, s.commit);
    return;
  }
  if (leadership.readsWaiting.length >= raftLimits.pendingReads) {
    refuse(s, [read]);
    return;
  }
  leadership.readsWaiting.push(read);
  s.out.stirred = true;
}

/** Until an entry of its own term is committed, a leader's commit index may lag behind what others have acknowledged (mutant 25). */
function mayServe(s: RaftState): boolean {
  return s.ownTermCommitted || mutant("raft-25-read-before-own-term-commit");
}

function answer(s: RaftState, read: LeaderRead, index: LogIndex): void {
  invariant(index <= s.commit, "raft-read-index-committed", () => `${index} > ${s.commit}`);
  if (read.from === null) {
    s.out.reads.push({ context: read.context, index });
    return;
  }
  // Rule G5: the round began after it asked, so nothing it promised and forgot comes later than the configuration that leaves it out.
  if (read.newcomer && isVoter(s.membership, read.from) && !mutant("raft-g5-newcomer-counted")) {
    refuse(s, [read]);
    return;
  }
  const { recovering } = read;
  // The reply carries the commit index, so the follower learns it with the same message (step.ts).
  const told = recovering ? s.log.lastIndex : index;
  s.out.now.push({
    type: "read-reply",
    from: s.self,
    to: read.from,
    term: s.term,
    context: read.context,
    index: told,
    refused: false,
    recovering,
  });
}

function refuse(s: RaftState, reads: readonly LeaderRead[]): void {
  for (const { from, context, recovering } of reads) {
    if (from === null) s.out.refuseReads([context]);
    else {
      const reply = { from: s.self, to: from, term: s.term, context, index: logIndex(0), refused: true, recovering };
      s.out.now.push({ type: "read-reply", ...reply });
    }
  }
}
