import { assertNever, invariant } from "../kernel/assert.ts";
import { logIndex } from "../kernel/brand.ts";
import type { LogIndex, NodeId } from "../kernel/brand.ts";
import { oneLeaderPerTerm } from "../invariants/raft.ts";
import { mutant } from "#mutation";
import { commitByQuorum, learnCommit } from "./commit.ts";
import { onCompare, onCompareReply } from "./compare.ts";
import { onElectionTimeout, onOwnVoteDurable, onTimeoutNow, onVoteReply, onVoteRequest } from "./election.ts";
import { onAppend, onHeartbeat, tellStaleLeader } from "./follower.ts";
import { appendAsLeader } from "./leader-log.ts";
import { askRead, onReadReply, onReadRequest } from "./read-index.ts";
import { proposeChange } from "./reconfigure.ts";
import { continueRecovery, finishRecovery, onRecoveryReply } from "./recovery.ts";
import { onAppendReply, onHeartbeatReply } from "./replication.ts";
import { becomeFollower, resetElectionTimer } from "./role.ts";
import { onChunkRead, onSnapshotReply } from "./snapshot-send.ts";
import { onChunkWritten, onInstalled, onSnapshotChunk } from "./snapshot-receive.ts";
import type { RaftState } from "./state.ts";
import { onTick } from "./tick.ts";
import { beginTransfer, tellSuccessor } from "./transfer.ts";
import type { RaftEvent, RaftMessage, SnapshotMeta } from "./types.ts";

/** One event in; what it asks of the host collects in `s.out`. */
export function step(s: RaftState, event: RaftEvent): void {
  switch (event.type) {
    case "tick":
      return onTick(s, event.now);
    case "message":
      return onMessage(s, event.message);
    case "propose":
      return propose(s, event.payloads);
    case "read":
      return askRead(s, event.context);
    case "durable":
      return onDurable(s, event.write);
    case "applied":
      invariant(event.index <= s.commit, "raft-applied-within-commit", () => `${event.index} > ${s.commit}`);
      if (event.index > s.applied) s.applied = event.index;
      return;
    case "change-membership":
      return proposeChange(s, event.change, event.expectedIndex);
    case "transfer":
      return beginTransfer(s, event.to);
    case "campaign":
      if (s.role !== "leader") onElectionTimeout(s, "asked to campaign");
      return;
    case "await-commit":
      s.awaiting = event.awaiting;
      return;
    case "may-lead":
      return onMayLead(s, event.allowed);
    case "peer-down":
      return onPeerDown(s, event.peer);
    case "snapshot-taken":
      return onSnapshotTaken(s, event.meta, event.keepFrom);
    case "chunk-read":
      return onChunkRead(s, event);
    case "chunk-written":
      return onChunkWritten(s, event);
    case "installed":
      return onInstalled(s, event.meta);
    default:
      assertNever(event);
  }
}

/** Rules for all servers (Figure 2): a higher term is adopted, an older one is not listened to. */
function onMessage(s: RaftState, message: RaftMessage): void {
  if (message.from === s.self || message.to !== s.self) return;
  if (message.type === "vote") return onVoteRequest(s, message);
  if (message.type === "compare") return onCompare(s, message);
  if (message.type === "compare-reply") return onCompareReply(s, message);
  const preGranted = message.type === "vote-reply" && message.pre && message.granted;
  if (message.term > s.term && !preGranted) {
    const leader = fromLeader(message) ? message.from : null;
    becomeFollower(s, message.term, leader, leader === null ? `${message.from} is in a later term` : `${leader} leads`);
  } else if (message.term < s.term) {
    if (message.type === "timeout-now" && mutant("raft-27-late-timeout-now")) onTimeoutNow(s, message);
    if (fromLeader(message)) tellStaleLeader(s, message.from);
    return;
  }
  if (fromLeader(message)) hearLeader(s, message.from);
  dispatch(s, message);
}

function dispatch(s: RaftState, message: Exclude<RaftMessage, { readonly type: "vote" | "compare" | "compare-reply" }>): void {
  const { leadership } = s;
  switch (message.type) {
    case "vote-reply":
      return onVoteReply(s, message);
    case "append":
      return onAppend(s, message);
    case "append-reply":
      if (leadership !== null) onAppendReply(s, leadership, message);
      return;
    case "heartbeat":
      return onHeartbeat(s, message);
    case "heartbeat-reply":
      if (leadership !== null) onHeartbeatReply(s, leadership, message);
      return;
    case "read":
      return onReadRequest(s, message);
    case "read-reply":
      if (message.recovering) return onRecoveryReply(s, message);
      if (!message.refused && s.leadership === null) learnCommit(s, message.index);
      return onReadReply(s, message);
    case "snapshot":
      return onSnapshotChunk(s, message);
    case "snapshot-reply":
      if (leadership !== null) onSnapshotReply(s, leadership, message);
      return;
    case "timeout-now":
      return onTimeoutNow(s, message);
    default:
      assertNever(message);
  }
}

function fromLeader(message: RaftMessage): boolean {
  return message.type === "append" || message.type === "heartbeat" || message.type === "snapshot";
}

/** A message only the leader of this term sends. */
function hearLeader(s: RaftState, from: NodeId): void {
  invariant(s.role !== "leader", "raft-one-leader-per-term", () => `${from} and ${s.self} in ${s.term}`);
  invariant(oneLeaderPerTerm(s.leader, from), "raft-one-leader-per-term", () => `${from} and ${s.leader} in ${s.term}`);
  becomeFollower(s, s.term, from, `${from} leads`);
  resetElectionTimer(s);
  if (s.recovery !== null) continueRecovery(s);
}

/** One entry per payload. The host has asked `canPropose`; what a node that may not take proposals is given is dropped. */
function propose(s: RaftState, payloads: readonly Uint8Array[]): void {
  const { leadership } = s;
  if (leadership === null || s.transfer !== null) return;
  for (const payload of payloads) appendAsLeader(s, leadership, "command", payload);
}

function onDurable(s: RaftState, write: number): void {
  if (!s.cursors.durable(write)) return;
  onOwnVoteDurable(s);
  if (s.leadership !== null) commitByQuorum(s, s.leadership);
  if (s.recovery !== null) finishRecovery(s);
}

function onMayLead(s: RaftState, allowed: boolean): void {
  s.mayLead = allowed;
  if (allowed || s.leadership === null) return;
  tellSuccessor(s, s.leadership);
  becomeFollower(s, s.term, null, "its state is in doubt");
}

/** A connection closed (rule G6): what was on its way is lost. */
function onPeerDown(s: RaftState, peer: NodeId): void {
  const progress = s.leadership?.peers.get(peer);
  if (progress?.state === "replicate") {
    progress.becomeProbe();
    s.out.stirred = true;
  }
  if (s.role !== "follower" || s.leader !== peer) return;
  // Most likely the leader's process died. Ask for votes soon, but not everybody at the same moment.
  s.leaderContactAt = -Infinity;
  s.electionDeadline = Math.min(s.electionDeadline, s.now + s.prng.below(Math.max(1, s.config.electionMinMs >> 1)));
}

function onSnapshotTaken(s: RaftState, meta: SnapshotMeta, keepFrom: LogIndex): void {
  invariant(meta.index <= s.applied, "raft-snapshot-of-applied", () => `${meta.index} > ${s.applied}`);
  invariant(keepFrom <= meta.index + 1, "raft-snapshot-covers-dropped", () => `${keepFrom} after ${meta.index}`);
  const last = s.log.firstIndex - 1;
  if (keepFrom - 1 <= last) return;
  s.log.compactTo(logIndex(keepFrom - 1));
  // The last entry dropped is still a place at which a floor or a snapshot may be cut (mutant 23).
  s.history.compactedTo(logIndex(s.log.firstIndex - 1));
}
