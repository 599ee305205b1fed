import { answersMatch } from "../clients/answers.ts";
import type { LockHistory, LockOperation } from "../clients/lock-history.ts";
import type { LockRead, ReadHistory } from "../clients/read-history.ts";
import { checkExactlyOnce, type Effect, type RequestFate } from "../checkers/exactly-once.ts";
import { checkFencing, type FencedGrant } from "../checkers/fencing.ts";
import { checkFifo } from "../checkers/fifo.ts";
import type { Violation } from "../checkers/history.ts";
import { checkPerKey } from "../checkers/linearizability.ts";
import { lockModel } from "../checkers/models/lock.ts";
import { checkMutualExclusion, type HoldInterval } from "../checkers/mutual-exclusion.ts";
import { type GoldenLog, type LoggedAnswer, requestKey } from "../watch/golden-log.ts";
import { LockChronicle } from "./lock-chronicle.ts";
import { lockOperations } from "./lock-operations.ts";

/** What nodes put into the log on their own behalf (ending waits whose clients went away, giving back, barriers), and what the queues need. */
const housekeeping: ReadonlySet<string> = new Set(["cancel", "release-set", "nothing", "define-queue", "delete-queue", "define-namespace"]);

/** Judges a finished run: what clients saw and believed, against the committed log and against the promises. */
export class LockJudge {
  private readonly golden: GoldenLog;
  private readonly history: LockHistory;
  private readonly reads: ReadHistory;
  private readonly semaphores: ReadonlyMap<string, number>;
  private chronicle: LockChronicle;

  constructor(golden: GoldenLog, history: LockHistory, reads: ReadHistory) {
    this.golden = golden;
    this.history = history;
    this.reads = reads;
    this.chronicle = new LockChronicle(golden);
    const sizes = new Map<string, number>();
    for (const { command } of history.operations) {
      if (command.type === "acquire") for (const key of command.keys) if (key.of > 0) sizes.set(key.name, key.of);
    }
    this.semaphores = sizes;
  }

  /** The first promise that was broken. Cheap and plain checks first: their messages say most. */
  check(): Violation | null {
    return (
      this.checkAnswers() ??
      this.checkRealTime() ??
      this.checkOnce() ??
      this.checkFences() ??
      this.checkLogExclusion() ??
      checkFifo(this.queued()) ??
      this.checkLeases() ??
      this.checkBelief() ??
      this.checkReads() ??
      checkPerKey(
        () => lockModel(),
        lockOperations(this.golden, this.history, this.chronicle),
        (input) => input.name,
      )
    );
  }

  /** Every answer a client saw is the answer of the log; what it was refused did not happen. */
  private checkAnswers(): Violation | null {
    for (const operation of this.history.operations) {
      const logged = this.logged(operation);
      if (operation.result !== null && !this.forgotten(operation) && !this.cancelledAhead(operation, logged)) {
        if (logged === null) {
          return {
            invariant: "durability",
            detail: `${operation.id} was answered ${operation.result.type}, but the log has no answer to it`,
          };
        }
        const unlike =
          operation.result.type === "refused" ? logged.result.type !== "refused" : !answersMatch(logged.result, operation.result);
        if (unlike) {
          return {
            invariant: "answer-stable",
            detail: `${operation.id} was answered ${JSON.stringify(operation.result)}, the log says ${JSON.stringify(logged.result)}`,
          };
        }
      }
      if (operation.refused && logged !== null && logged.result.type !== "refused") {
        return {
          invariant: "refused-has-no-effect",
          detail: `${operation.id} was told that nothing happened; the log says ${JSON.stringify(logged.result)}`,
        };
      }
    }
    return null;
  }

  /** An answer's place in the log lies between the call and the answer: the log order is a linearization (witness check). */
  private checkRealTime(): Violation | null {
    for (const operation of this.history.operations) {
      const logged = this.logged(operation);
      if (logged === null || logged.result.type === "refused") continue;
      if (logged.at < operation.call) {
        return {
          invariant: "witness-real-time",
          detail: `${operation.id} was asked at ${operation.call}, but took effect at ${logged.at}`,
        };
      }
      // Cancelled before it came, it is answered by the cancel: its own copies may be committed later, or never.
      const answeredAt = Math.min(logged.at, this.cancelledAt(operation) ?? Infinity);
      if (operation.ret !== null && operation.ret < answeredAt) {
        return {
          invariant: "witness-real-time",
          detail: `${operation.id} was answered at ${operation.ret}, before it was committed at ${answeredAt}`,
        };
      }
    }
    return null;
  }

  private checkOnce(): Violation | null {
    const effects: Effect[] = [];
    for (const hold of this.chronicle.holds) {
      const request = this.chronicle.requestOf.get(hold.fence) ?? `nobody (fence ${hold.fence})`;
      effects.push({ request, effect: `grant ${hold.name}`, at: hold.order });
    }
    const fates: RequestFate[] = [];
    const sent = new Set<string>();
    for (const operation of this.history.operations) {
      if (operation.caller === null) continue;
      const request = requestKey(operation.caller, operation.sequence);
      sent.add(request);
      fates.push({
        request,
        fate: operation.refused ? "refused" : operation.result === null ? "unknown" : "applied",
        promised: promises(operation),
      });
    }
    for (const [request, { command }] of this.golden.commands) {
      if (sent.has(request)) continue;
      if (command !== null && !housekeeping.has(command.type)) {
        return { invariant: "no-phantom", detail: `the log has a ${command.type} of ${request}, which no client sent` };
      }
    }
    return checkExactlyOnce(effects, fates);
  }

  private checkFences(): Violation | null {
    const grants: FencedGrant[] = [];
    for (const { command, result, call, ret } of this.history.operations) {
      if (result?.type !== "granted" || ret === null) continue;
      if (command.type === "acquire" && result.depth === 1) {
        grants.push({ name: command.keys[0]?.name ?? "", fence: result.fence, call, ret });
        for (const more of result.more) grants.push({ name: more.name, fence: more.fence, call, ret });
      } else if (command.type === "upgrade") grants.push({ name: command.name, fence: result.fence, call, ret });
    }
    return checkFencing(grants);
  }

  /** In the log itself, by positions. */
  private checkLogExclusion(): Violation | null {
    const intervals: HoldInterval[] = [];
    for (const hold of this.chronicle.holds) {
      for (const { mode, from, to } of hold.modes) {
        intervals.push({
          name: hold.name,
          owner: `${hold.owner}@${hold.session}`,
          mode,
          of: this.semaphores.get(hold.name) ?? 0,
          fence: hold.fence,
          from,
          until: to === Number.POSITIVE_INFINITY ? null : to,
        });
      }
    }
    return checkMutualExclusion(intervals);
  }

  private queued(): Parameters<typeof checkFifo>[0] {
    return this.chronicle.waits.map((wait) => ({
      name: wait.name,
      id: `${wait.owner}@${wait.session}`,
      mode: wait.mode,
      upgrade: wait.upgrade,
      enqueuedAt: wait.order,
      grantedAt: wait.grantedOrder,
      endedAt: wait.endOrder,
    }));
  }

  /** Rule L1: nothing expires while its holder, by its own clock and acknowledged keepalives, may still rely on it. */
  private checkLeases(): Violation | null {
    for (const belief of this.history.holds) {
      const logged = this.chronicle.byFence.get(belief.fence);
      if (logged?.endAt === undefined || logged.endAt === null) continue;
      if (logged.cause !== "expired" && logged.cause !== "session-lost") continue;
      const { endAt } = logged;
      const relied = belief.believed.find(({ from, until }) => from < endAt && Math.min(until, belief.endedAt ?? until) > endAt);
      if (relied !== undefined) {
        return {
          invariant: "lease-kept",
          detail: `${belief.name} fence ${belief.fence} of ${belief.owner} was ended (${logged.cause}) at ${endAt}; its holder could rely on it until ${Math.min(relied.until, belief.endedAt ?? relied.until)}`,
        };
      }
    }
    return null;
  }

  /** No two clients rely on locks that exclude each other, as long as clocks keep within ρ: an operator's force release excepted. */
  private checkBelief(): Violation | null {
    const intervals: HoldInterval[] = [];
    for (const belief of this.history.holds) {
      const logged = this.chronicle.byFence.get(belief.fence);
      const forcedAt = logged?.cause === "forced" ? (logged.endAt ?? Infinity) : Infinity;
      for (const { from, until } of belief.believed) {
        intervals.push({ ...belief, from, until: Math.min(until, belief.endedAt ?? until, forcedAt) });
      }
    }
    const found = checkMutualExclusion(intervals);
    return found === null ? null : { invariant: `believed-${found.invariant}`, detail: found.detail };
  }

  /** Linearizable reads show everything that was answered before they began, and nothing that was released before. */
  private checkReads(): Violation | null {
    const grants = this.history.operations.filter(({ result, ret }) => result?.type === "granted" && ret !== null);
    for (const read of this.reads.reads) {
      const missed = grants.find(
        ({ result, ret }) => result?.type === "granted" && ret !== null && ret < read.call && result.fence > read.lastFence,
      );
      if (missed !== undefined) {
        return {
          invariant: "linearizable-read",
          detail: `a read at ${read.node} asked at ${read.call} shows last fence ${read.lastFence}; ${missed.id} had been answered at ${missed.ret}`,
        };
      }
      const wrong = this.wrongHolders(read);
      if (wrong !== null) return { invariant: "linearizable-read", detail: wrong };
    }
    return null;
  }

  private wrongHolders(read: LockRead): string | null {
    for (const hold of this.chronicle.holds) {
      if (hold.name !== read.name) continue;
      const shown = read.fences.includes(hold.fence);
      // Only what was over, or had begun, for sure: between the two instants either is right.
      if (shown && hold.endAt !== null && hold.endAt < read.call && this.answeredBefore(hold.endAt, read.call)) {
        return `a read of ${read.name} at ${read.node} asked at ${read.call} shows fence ${hold.fence}, which ended at ${hold.endAt}`;
      }
      if (!shown && this.grantSeenBefore(hold.fence, read.call) && (hold.endAt === null || hold.endAt > read.ret)) {
        return `a read of ${read.name} at ${read.node} asked at ${read.call} lacks fence ${hold.fence}, granted at ${hold.grantedAt}`;
      }
    }
    return null;
  }

  /** Was any answer seen before `time` that reflects the log at or after `at`? Then a later read must reflect it too. */
  private answeredBefore(at: number, time: number): boolean {
    return this.history.operations.some(
      (operation) => operation.ret !== null && operation.ret < time && (this.logged(operation)?.at ?? -1) >= at,
    );
  }

  private grantSeenBefore(fence: number, time: number): boolean {
    const request = this.chronicle.requestOf.get(fence);
    return this.history.operations.some(
      (operation) =>
        operation.caller !== null &&
        operation.ret !== null &&
        operation.ret < time &&
        operation.result?.type === "granted" &&
        requestKey(operation.caller, operation.sequence) === request,
    );
  }

  /** Its cancel was executed first; the request itself may never have come, or too late. */
  private cancelledAhead(operation: LockOperation, logged: LoggedAnswer | null): boolean {
    return (logged === null || logged.result.type === "refused") && this.cancelledAt(operation) !== null;
  }

  private cancelledAt({ caller, sequence, result }: LockOperation): number | null {
    if (caller === null || result?.type !== "cancelled") return null;
    return this.golden.cancelledAhead.get(requestKey(caller, sequence)) ?? null;
  }

  /** Refused long after the fact, when group time had leapt: the client knows nothing. */
  private forgotten({ caller, sequence, result }: LockOperation): boolean {
    return result?.type === "refused" && caller !== null && this.golden.forgotten.has(requestKey(caller, sequence));
  }

  private logged(operation: LockOperation): LoggedAnswer | null {
    if (operation.caller === null) return null;
    return this.golden.answers.get(requestKey(operation.caller, operation.sequence)) ?? null;
  }
}

function promises({ command, result }: LockOperation): readonly string[] {
  if (result?.type !== "granted") return [];
  if (command.type === "upgrade") return [`grant ${command.name}`];
  if (command.type !== "acquire" || result.depth !== 1) return [];
  return [...new Set([command.keys[0]?.name ?? "", ...result.more.map((more) => more.name)])].map((name) => `grant ${name}`);
}
