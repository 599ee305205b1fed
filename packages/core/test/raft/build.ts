import {
  encodeMembershipPayload,
  logIndex,
  nodeId,
  term,
  type Entry,
  type Membership,
  type NodeId,
  type RaftMessage,
  type SnapshotMeta,
} from "@trivet/core";
import { payloadOf, type Cluster } from "./cluster.ts";

/** A log as in the paper's figures: the terms of its entries, from index 1 on. */
export function logOf(...terms: readonly number[]): Entry[] {
  return terms.map((t, i) => ({ index: logIndex(i + 1), term: term(t), kind: "command", payload: payloadOf(`${t}.${i + 1}`) }));
}

export function entry(index: number, inTerm: number, value = `${inTerm}.${index}`): Entry {
  return { index: logIndex(index), term: term(inTerm), kind: "command", payload: payloadOf(value) };
}

export function configEntry(index: number, inTerm: number, membership: Membership): Entry {
  return { index: logIndex(index), term: term(inTerm), kind: "config", payload: encodeMembershipPayload(membership) };
}

const ids = (text: string): NodeId[] => text.split("").map(nodeId);

export function membershipOf(voters: string, outgoing = "", learners = "", autoLeave = false): Membership {
  return { voters: ids(voters), outgoing: ids(outgoing), learners: ids(learners), learnersNext: [], autoLeave };
}

/** A snapshot of a group of a, b and c, taken in term 1. */
export function metaOf(id: string, index: number, bytes: number): SnapshotMeta {
  return { id, index: logIndex(index), term: term(1), membership: membershipOf("abc"), membershipIndex: logIndex(0), bytes };
}

export function hardState(
  inTerm: number,
  vote: string | null = null,
): { readonly term: ReturnType<typeof term>; readonly vote: NodeId | null } {
  return { term: term(inTerm), vote: vote === null ? null : nodeId(vote) };
}

/** A message without the branding. */
export function message<T extends RaftMessage["type"]>(
  type: T,
  from: string,
  to: string,
  inTerm: number,
  fields: Omit<Extract<RaftMessage, { type: T }>, "type" | "from" | "to" | "term">,
): RaftMessage {
  // The compiler cannot see that the fields of a variant and its tag make that variant.
  return { type, from: nodeId(from), to: nodeId(to), term: term(inTerm), ...fields } as unknown as RaftMessage;
}

export function append(
  from: string,
  to: string,
  inTerm: number,
  prev: readonly [number, number],
  entries: Entry[],
  commit = 0,
): RaftMessage {
  return message("append", from, to, inTerm, { prevIndex: logIndex(prev[0]), prevTerm: term(prev[1]), entries, commit: logIndex(commit) });
}

export function accepted(from: string, to: string, inTerm: number, index: number): RaftMessage {
  const nothing = { hintIndex: logIndex(0), hintTerm: term(0), recovering: false, awaiting: true };
  return message("append-reply", from, to, inTerm, { rejected: false, index: logIndex(index), ...nothing });
}

export function voteRequest(
  from: string,
  to: string,
  inTerm: number,
  last: readonly [number, number],
  pre = false,
  transfer = false,
): RaftMessage {
  return message("vote", from, to, inTerm, { pre, transfer, lastIndex: logIndex(last[0]), lastTerm: term(last[1]) });
}

export function vote(from: string, to: string, inTerm: number, granted = true, pre = false): RaftMessage {
  return message("vote-reply", from, to, inTerm, { pre, granted });
}

/** Messages of one type on their way, optionally from or to a node. */
export function under<T extends RaftMessage["type"]>(
  c: Cluster,
  type: T,
  where: { readonly from?: string; readonly to?: string } = {},
): Extract<RaftMessage, { type: T }>[] {
  return c.network.filter(
    (m): m is Extract<RaftMessage, { type: T }> =>
      m.type === type && (where.from === undefined || m.from === where.from) && (where.to === undefined || m.to === where.to),
  );
}

/** `leader` elected by PreVote and vote, everything settled. */
export function elect(c: Cluster, leader: string): void {
  c.campaign(leader);
  c.settle();
  if (c.group(leader).role !== "leader") throw new Error(`${leader} was not elected`);
}
