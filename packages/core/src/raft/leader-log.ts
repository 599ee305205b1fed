import { logIndex } from "../kernel/brand.ts";
import type { LogIndex } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import { encodeMembershipPayload } from "./codec.ts";
import { membersOf } from "./membership.ts";
import { Progress } from "./progress.ts";
import type { Leadership, RaftState } from "./state.ts";
import type { EntryKind, Membership } from "./types.ts";

/** Appends one entry of this term to the leader's own log (§5.3). Sending and writing it is left to `takeEffects`. */
export function appendAsLeader(s: RaftState, leadership: Leadership, kind: EntryKind, payload: Uint8Array): LogIndex {
  const index = logIndex(s.log.lastIndex + 1);
  s.log.append({ index, term: s.term, kind, payload });
  leadership.uncommittedBytes += payload.length;
  s.out.stirred = true;
  return index;
}

export function appendMembership(s: RaftState, leadership: Leadership, membership: Membership): void {
  const index = appendAsLeader(s, leadership, "config", encodeMembershipPayload(membership));
  // Waiting for the commit instead lets two changes overlap without a common majority (mutant 21).
  if (!mutant("raft-21-config-active-at-commit")) activateMembership(s, index, membership);
}

/** The newest configuration in the log is the one in force, committed or not (thesis §4.1). */
export function activateMembership(s: RaftState, index: LogIndex, membership: Membership): void {
  s.history.append(index, membership);
  s.out.notices.push({ type: "membership", membership, index, committed: false });
  if (s.leadership !== null) followMembership(s, s.leadership);
}

/** Starts to replicate to new members and stops with removed ones. What is known of the others is kept. */
export function followMembership(s: RaftState, leadership: Leadership): void {
  const members = membersOf(s.membership);
  for (const peer of leadership.peers.keys()) if (!members.includes(peer)) leadership.peers.delete(peer);
  for (const peer of members) {
    if (peer === s.self || leadership.peers.has(peer)) continue;
    // Optimistic: a member that lacks entries rejects the first append and says where its log ends.
    leadership.peers.set(peer, new Progress(peer, s.log.lastIndex, s.now, s.config));
  }
}
