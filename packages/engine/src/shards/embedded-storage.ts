import { type GroupId, groupId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { decodeShardAnswer, featureLevels } from "@trivet/wire";
import { decodeBase64, encodeBase64 } from "../base/base64.ts";
import { pastDeadline } from "../calls/submission-outcomes.ts";
import type { Submission, SubmitOptions, Unavailable } from "../node/node-api.ts";
import type { QueueStorage, StorageCommand, StorageOutcome, StorageQuery, StorageReply } from "../ports/queue-storage.ts";
import type { ShardHosts } from "./shard-hosts.ts";
import { readReplica } from "./shard-reads.ts";
import { shardOf } from "./shard-routing.ts";
import type { ShardOutcome } from "./shard-submissions.ts";

type Place = Parameters<QueueStorage["submit"]>[0];

/** Messages in the shards: Raft groups 1…S of this cluster, from any node. */
export class EmbeddedStorage implements QueueStorage {
  readonly backend = "embedded";
  private readonly hosts: () => ShardHosts | null;
  private readonly later: (run: () => void) => void;
  private readonly listeners = new Set<Parameters<QueueStorage["watchReady"]>[0]>();

  /** `hosts` null = the node is not a member yet. */
  constructor(hosts: () => ShardHosts | null, later: (run: () => void) => void) {
    this.hosts = hosts;
    this.later = later;
  }

  submit(place: Place, command: StorageCommand, options: SubmitOptions, done: (outcome: StorageOutcome) => void): Submission {
    const hosts = this.hosts();
    const entry = hosts?.entry(shardOf(place.queue, place.partition, hosts.count)) ?? null;
    if (entry === null) {
      this.later(() => done(notYet));
      return { requestId: "", abandon: () => undefined };
    }
    return entry.submissions.submit(this.asKnown(command), options, (outcome) => done(decoded(outcome)));
  }

  /** While a member may not know what was begun, all that a lost consumer holds counts as failed, as it did before. */
  private asKnown(command: StorageCommand): StorageCommand {
    if (command.type !== "consumer-gone" || command.begun === null || mutant("shard-begun-below-level")) return command;
    return this.hosts()?.host.features.admits(featureLevels.begun) === true ? command : { ...command, begun: null };
  }

  query(query: StorageQuery, timeoutMs: number, done: (reply: StorageReply) => void): void {
    const hosts = this.hosts();
    if (hosts === null) {
      this.later(() => done(notYet));
      return;
    }
    const group = shardOf(query.queue, query.partition, hosts.count);
    if (hosts.replica(group) !== null) {
      queryHere(hosts, group, query, timeoutMs, (reply) => done(reply ?? notLed));
      return;
    }
    const leader = hosts.entry(group)?.leader() ?? null;
    if (leader === null) {
      this.later(() => done(notLed));
      return;
    }
    hosts.host.calls.call(leader, "shard-query", { group, query, timeoutMs }, (answer) => done(replyFromJson(answer) ?? notLed), timeoutMs);
  }

  /** The shards' leaders bring definitions to their groups; here nothing has to be remembered. */
  configure(): void {}

  watchReady(listener: Parameters<QueueStorage["watchReady"]>[0]): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Out of the shards' apply. */
  ready(queue: number, partition: number, group: string): void {
    for (const listener of this.listeners) listener(queue, partition, group);
  }
}

/** On a node with a replica: a round to the leader, then from the state here (rule L4). Null = no leader confirmed in time. */
export function queryHere(
  hosts: ShardHosts,
  group: GroupId,
  query: StorageQuery,
  timeoutMs: number,
  done: (reply: StorageReply | null) => void,
): void {
  readReplica(hosts, group, { type: "query", group, query }, timeoutMs, (reply) => {
    if (reply?.type !== "queried") return done(null);
    const answer = reply.reply;
    const leader = hosts.replica(group)?.group.leader() ?? "";
    return done(answer.type === "stats" ? { ...answer, stats: { ...answer.stats, leader } } : answer);
  });
}

/** A node without a replica asks (peer call `shard-query`). */
export function onShardQuery(hosts: ShardHosts, body: unknown, answer: (reply: unknown) => void): void {
  const { group, query, timeoutMs } = body as { readonly group: number; readonly query: StorageQuery; readonly timeoutMs: number };
  queryHere(hosts, groupId(group), query, timeoutMs, (reply) => answer(reply === null ? null : replyToJson(reply)));
}

function replyToJson(reply: StorageReply): unknown {
  if (reply.type !== "browsed") return reply;
  return { ...reply, messages: reply.messages.map((message) => ({ ...message, body: encodeBase64(message.body) })) };
}

function replyFromJson(json: unknown): StorageReply | null {
  if (json === null || typeof json !== "object") return null;
  const reply = json as StorageReply;
  if (reply.type !== "browsed") return reply;
  return {
    ...reply,
    messages: reply.messages.map((message) => ({ ...message, body: decodeBase64(message.body as unknown as string) ?? new Uint8Array(0) })),
  };
}

const notYet: Unavailable = {
  type: "unavailable",
  code: "no_leader",
  retryAfterMs: 200,
  detail: "this node is not a member of a cluster yet",
};
const notLed: Unavailable = {
  type: "unavailable",
  code: "no_leader",
  retryAfterMs: 200,
  detail: "no leader of the shard was reached in time",
};

function decoded(outcome: ShardOutcome): StorageOutcome {
  if (outcome.type !== "answered") return outcome;
  const result = decodeShardAnswer(outcome.bytes);
  if (result.type === "refused" && result.reason === "past-deadline") return pastDeadline;
  return { type: "answered", result, requestId: outcome.requestId, durability: "quorum" };
}
