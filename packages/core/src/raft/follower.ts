import { invariant } from "../kernel/assert.ts";
import { logIndex, term } from "../kernel/brand.ts";
import type { LogIndex, NodeId } from "../kernel/brand.ts";
import { committedKept } from "../invariants/raft.ts";
import { mutant } from "#mutation";
import { decodeMembershipPayload } from "./codec.ts";
import { learnCommit } from "./commit.ts";
import { activateMembership } from "./leader-log.ts";
import { isRecovering } from "./recovery.ts";
import type { RaftState } from "./state.ts";
import type { AppendReply, AppendRequest, Entry, Heartbeat } from "./types.ts";

/** AppendEntries, receiver implementation (Figure 2). The sender is known to lead the current term. */
export function onAppend(s: RaftState, message: AppendRequest): void {
  // While a snapshot takes the log's place, entries must not (mutant 32). The leader asks again.
  if (s.installing !== null && !mutant("raft-32-apply-races-install")) return;
  const { prevIndex, prevTerm, entries } = message;
  // Everything committed matches already, whatever is compacted away (mutants 28 and 29).
  if (prevIndex < s.commit && !mutant("raft-28-zero-matches-after-compaction") && !mutant("raft-29-missing-term-is-zero")) {
    learnCommit(s, message.commit);
    accept(s, message.from, s.commit);
    return;
  }
  if (!s.log.matches(prevIndex, prevTerm)) {
    reject(s, message);
    return;
  }
  appendMissing(s, prevIndex, entries);
  // Not our last index: what lies beyond this message was not compared (mutant 12).
  const last = mutant("raft-12-ack-own-last-index") ? s.log.lastIndex : logIndex(prevIndex + entries.length);
  if (last > s.verified) s.verified = last;
  learnCommit(s, message.commit);
  accept(s, message.from, last);
}

/** Also carries the commit index, which a round of 0 is sent for alone. */
export function onHeartbeat(s: RaftState, message: Heartbeat): void {
  // After a restart nothing would verify the log again until the next entry comes, and the commit index would be stuck for as long. What
  // was acknowledged is durable, unless this node lost it.
  if (s.recovery === null && s.installing === null && !mutant("raft-restart-forgets-verified")) {
    const acknowledged = logIndex(Math.min(message.match, s.log.lastIndex));
    if (acknowledged > s.verified) s.verified = acknowledged;
  }
  learnCommit(s, message.commit);
  if (message.round === 0) return;
  const { from, round } = message;
  s.out.now.push({ type: "heartbeat-reply", from: s.self, to: from, term: s.term, round, recovering: isRecovering(s) });
}

/** Answers a leader of an earlier term, so that it learns of the new one and steps down. */
export function tellStaleLeader(s: RaftState, to: NodeId): void {
  s.out.now.push({ type: "append-reply", ...rejection(s, to, logIndex(0)) });
}

/** Only an entry that conflicts is a reason to cut: a delayed message may end before ours does (mutant 11). */
function appendMissing(s: RaftState, prevIndex: LogIndex, entries: readonly Entry[]): void {
  if (mutant("raft-11-truncate-unconditionally") && s.log.lastIndex > prevIndex) truncate(s, logIndex(prevIndex + 1));
  for (const entry of entries) {
    if (entry.index <= s.log.lastIndex) {
      if (s.log.matches(entry.index, entry.term)) continue;
      truncate(s, entry.index);
    }
    s.log.append(entry);
    s.out.stirred = true;
    if (entry.kind === "config" && !mutant("raft-21-config-active-at-commit")) {
      activateMembership(s, entry.index, decodeMembershipPayload(entry.payload));
    }
  }
}

function truncate(s: RaftState, from: LogIndex): void {
  invariant(committedKept(from, s.commit), "raft-committed-truncated", () => `${from} with commit ${s.commit}`);
  invariant(from > s.verified, "raft-verified-truncated", () => `${from} of ${s.verified} verified`);
  s.log.truncateFrom(from);
  if (from <= s.cursors.submitted && (s.out.truncateFrom === 0 || from < s.out.truncateFrom)) s.out.truncateFrom = from;
  s.cursors.truncated(from);
  s.out.notices.push({ type: "truncated", from });
  // The configuration before it is in force again (mutant 22).
  if (!mutant("raft-22-truncation-keeps-config") && s.history.truncatedFrom(from)) {
    s.out.notices.push({
      type: "membership",
      membership: s.membership,
      index: s.membershipIndex,
      committed: s.membershipIndex <= s.commit,
    });
  }
}

function accept(s: RaftState, to: NodeId, index: LogIndex): void {
  const reply: AppendReply = {
    type: "append-reply",
    from: s.self,
    to,
    term: s.term,
    rejected: false,
    index,
    hintIndex: logIndex(0),
    hintTerm: term(0),
    recovering: isRecovering(s),
    awaiting: s.awaiting,
  };
  // Says "durable", so it waits for the disk (mutant 8).
  if (mutant("raft-08-append-acked-before-fsync")) s.out.now.push(reply);
  else s.out.durable.push(reply);
}

function reject(s: RaftState, message: AppendRequest): void {
  const end = logIndex(Math.min(message.prevIndex, s.log.lastIndex));
  const hintIndex = s.log.lastAtOrBelowTerm(end, message.prevTerm);
  const hintTerm = s.log.termAt(hintIndex) ?? term(0);
  s.out.now.push({ type: "append-reply", ...rejection(s, message.from, message.prevIndex), hintIndex, hintTerm });
}

function rejection(s: RaftState, to: NodeId, index: LogIndex): Omit<AppendReply, "type"> {
  const recovering = isRecovering(s);
  return {
    from: s.self,
    to,
    term: s.term,
    rejected: true,
    index,
    hintIndex: logIndex(0),
    hintTerm: term(0),
    recovering,
    awaiting: s.awaiting,
  };
}
