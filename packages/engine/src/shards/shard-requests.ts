import { groupId, type RememberedAnswer } from "@trivet/core";
import type { RequestKey } from "@trivet/wire";
import { requestAnswersKeptMs, requestRetryMs, requestTimeoutMs } from "../base/limits.ts";
import type { RequestOutcome } from "../node/node-api.ts";
import type { ShardHosts } from "./shard-hosts.ts";
import { readReplica } from "./shard-reads.ts";

/** What the leader of a shard says of a request (peer call `shard-request`); null = it does not lead, or not in time. */
type Said =
  | { readonly type: "shard-answered"; readonly answer: RememberedAnswer }
  | { readonly type: "pending" | "not-executed" | "gone" }
  | null;

/** Rule X3 for a request of a shard: its leader is asked, one hop away at most, until somebody leads or the time is up. */
export function askShardRequest(hosts: ShardHosts, key: RequestKey, done: (outcome: RequestOutcome) => void): void {
  const { host } = hosts;
  const { clock } = host.ports;
  const deadline = clock.now() + requestTimeoutMs;
  const told = (said: Said): void => {
    if (said !== null) return done(said);
    if (clock.now() + requestRetryMs < deadline && !host.isStopped) return void clock.schedule(requestRetryMs, attempt);
    const detail = `no leader of shard ${key.group} was reached in time`;
    return done({ type: "unavailable", code: "no_leader", retryAfterMs: 200, detail });
  };
  const attempt = (): void => {
    const leader = hosts.entry(groupId(key.group))?.leader() ?? null;
    const left = Math.max(1, deadline - clock.now());
    if (leader === null) told(null);
    else if (leader === host.config.node) answerHere(hosts, key, left, told);
    else host.calls.call(leader, "shard-request", { key, timeoutMs: left }, (said) => told(said as Said), left);
  };
  clock.defer(attempt);
}

export function onShardRequest(hosts: ShardHosts, body: unknown, answer: (said: unknown) => void): void {
  const { key, timeoutMs } = body as { readonly key: RequestKey; readonly timeoutMs: number };
  answerHere(hosts, key, timeoutMs, answer);
}

function answerHere(hosts: ShardHosts, key: RequestKey, timeoutMs: number, done: (said: Said) => void): void {
  const { host } = hosts;
  const { clock } = host.ports;
  const group = groupId(key.group);
  const deadline = clock.now() + timeoutMs;
  const { caller, notAfter, sequence } = key;
  const look = (): void => {
    const replica = hosts.replica(group);
    if (replica === null || !replica.group.isLeader) return done(null);
    return readReplica(hosts, group, { type: "lookup", group, caller, sequence }, Math.max(1, deadline - clock.now()), (reply) => {
      if (reply?.type !== "looked-up") return done(null);
      const { found, groupTime } = reply;
      // The shard had not heard of the queue or namespace: it did nothing, and never will under this name.
      const isUnconfigured = found !== "unknown" && (found.type === "not-configured" || found.type === "no-namespace");
      if (found !== "unknown") return done(isUnconfigured ? { type: "not-executed" } : { type: "shard-answered", answer: found });
      const now = host.groupTime.now();
      if (now > notAfter + requestAnswersKeptMs) return done({ type: "gone" });
      if (groupTime > notAfter) return done({ type: "not-executed" });
      if (now <= notAfter || clock.now() + requestRetryMs >= deadline) return done({ type: "pending" });
      // Past not-after by the clock, but no entry has said so yet: one that does makes the answer final.
      replica.group.enqueueTime();
      return void clock.schedule(requestRetryMs, look);
    });
  };
  look();
}
