import type { GroupId } from "@trivet/core";
import { groupId } from "@trivet/core";
import type { NodeHost } from "../node/node-host.ts";
import type { Timer } from "../ports/clock.ts";
import type { LoadClaim } from "./cache-api.ts";
import type { CacheCalls, Call, Done, Place } from "./cache-calls.ts";
import { notLed } from "./cache-writes.ts";
import { askAgainMs, claimPatienceMs, claimRenewMs, retryMs } from "./limits.ts";
import type { ClaimQuestion, ClaimReply } from "./load-claims.ts";

export const claimMethod = "cache-claim";

/** Claims of programs that are connected to this node, at the homes of their keys. */
export class Claiming {
  private readonly calls: CacheCalls;
  private lastClaim = 0;

  constructor(calls: CacheCalls) {
    this.calls = calls;
  }

  /** Fails where no home can be asked: then whoever asked loads for itself, and nothing is worse than without claims. */
  claim({ group, key, namespace }: Place, call: Call, done: Done<LoadClaim>): void {
    const { config, ports } = this.calls.host;
    this.lastClaim += 1;
    const claimant = `${config.node} ${this.lastClaim}`;
    const question = { namespace: namespace.namespace, key, claimant };
    let until = call.deadline;
    const told = (reply: ClaimReply | null): void => {
      const now = ports.clock.now();
      if (reply === "over") return done({ type: "load-over" });
      if (reply === "yours") return done({ type: "load-yours", release: this.keep(group, question) });
      if (now + retryMs >= until) return done(notLed);
      // A new leader is found in a moment; a node of before claims says null to each question.
      until = reply === null ? Math.min(until, now + claimPatienceMs) : call.deadline;
      return reply === null ? void ports.clock.schedule(retryMs, () => this.ask(group, question, told)) : this.ask(group, question, told);
    };
    this.ask(group, question, told);
  }

  private ask(group: GroupId, question: ClaimQuestion, told: (reply: ClaimReply | null) => void): void {
    const { host } = this.calls;
    const leader = host.shards?.entry(group)?.leader() ?? null;
    if (leader === null) return this.calls.later(() => told(null));
    if (leader === host.config.node) return answerClaim(host, group, question, told);
    return host.calls.call(leader, claimMethod, { group, question }, (reply) => told(claimReplyOf(reply)), askAgainMs);
  }

  /** Until whoever has it says that its loader has ended. */
  private keep(group: GroupId, question: ClaimQuestion): () => void {
    const { clock } = this.calls.host.ports;
    let isOver = false;
    let timer: Timer;
    const renew = (): void => {
      this.ask(group, question, (reply) => {
        // Null: it may be heard next time, if there is one before it lapses.
        if (!isOver && (reply === "yours" || reply === null)) timer = clock.schedule(claimRenewMs, renew);
      });
    };
    timer = clock.schedule(claimRenewMs, renew);
    return () => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      // What is lost is over when it lapses.
      this.ask(group, { ...question, isEnd: true }, () => {});
    };
  }
}

/** Null = none: it was not heard, or by a node that knows no claims. */
function claimReplyOf(reply: unknown): ClaimReply | null {
  return reply === "yours" || reply === "over" || reply === "held" ? reply : null;
}

export function onClaim(host: NodeHost, body: unknown, answer: (reply: unknown) => void): void {
  const { group, question } = body as { readonly group: number; readonly question: ClaimQuestion };
  answerClaim(host, groupId(group), question, answer);
}

function answerClaim(host: NodeHost, group: GroupId, question: ClaimQuestion, done: (reply: ClaimReply | null) => void): void {
  const home = host.shards?.replica(group)?.home;
  home?.wake();
  if (home?.isHome !== true) return host.ports.clock.defer(() => done(null));
  return host.cache.claims.ask(question, done);
}
