import { mutant } from "@trivet/core/mutation";
import type { LineName } from "@trivet/wire";
import type { Clock, Timer } from "../ports/clock.ts";
import { claimMs, claimPollMs, claimWaiters, openClaims } from "./limits.ts";
import { lineOfKey } from "./lines.ts";

/** What a node asks a key's home before a program runs a loader of its own. */
export interface ClaimQuestion {
  readonly namespace: number;
  readonly key: string;
  /** One call of one node. Asked again it keeps what it has, or waits on. */
  readonly claimant: string;
  /** Its loader has ended, whatever came of it. */
  readonly isEnd?: boolean;
}
/** `over`: another's loader has ended, so read again. `held`: another's is at work still, so ask again. */
export type ClaimReply = "yours" | "over" | "held";

interface Waiting {
  readonly timer: Timer;
  readonly done: (reply: ClaimReply) => void;
}
interface Claim {
  readonly claimant: string;
  /** It is over when nobody has renewed it until then. */
  lapse: Timer;
  readonly waiting: Map<string, Waiting>;
}

/**
 * The home's part of loaders that programs run: one of them for each key, whatever the number of processes. Nothing of it is in the log: who has a claim may
 * lose it (a new home, a node that says nothing) and a second loader runs. What is stored is right all the same, by the loader's token (rule M8).
 */
export class LoadClaims {
  private readonly clock: Clock;
  private readonly claims = new Map<LineName, Claim>();
  private waiters = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** `done` may come at once. */
  ask({ claimant, isEnd = false, key, namespace }: ClaimQuestion, done: (reply: ClaimReply) => void): void {
    const line = lineOfKey(namespace, key);
    const claim = this.claims.get(line);
    if (isEnd) {
      const isIts = claim?.claimant === claimant || mutant("load-claim-ended-by-others");
      if (claim !== undefined && isIts) this.end(line, claim);
      return done("over");
    }
    if (claim === undefined) return this.grant(line, claimant, done);
    if (claim.claimant === claimant) {
      claim.lapse.cancel();
      claim.lapse = this.lapse(line);
      return done("yours");
    }
    if (mutant("load-claims-not-shared")) return done("yours");
    return this.wait(claim, claimant, done);
  }

  private grant(line: LineName, claimant: string, done: (reply: ClaimReply) => void): void {
    // Beyond the bound each loads for itself.
    if (this.claims.size < openClaims) this.claims.set(line, { claimant, lapse: this.lapse(line), waiting: new Map() });
    done("yours");
  }

  private wait({ waiting }: Claim, claimant: string, done: (reply: ClaimReply) => void): void {
    this.settle(waiting, claimant, "held");
    if (this.waiters >= claimWaiters) return done("yours");
    this.waiters += 1;
    const timer = this.clock.schedule(claimPollMs, () => this.settle(waiting, claimant, "held"));
    waiting.set(claimant, { timer, done });
    return undefined;
  }

  private settle(waiting: Claim["waiting"], claimant: string, reply: ClaimReply): void {
    const waiter = waiting.get(claimant);
    if (waiter === undefined) return;
    waiting.delete(claimant);
    this.waiters -= 1;
    waiter.timer.cancel();
    waiter.done(reply);
  }

  private lapse(line: LineName): Timer {
    return this.clock.schedule(claimMs, () => {
      const claim = this.claims.get(line);
      if (claim !== undefined && !mutant("load-claim-never-lapses")) this.end(line, claim);
    });
  }

  /** All who wait read again: the first that still finds nothing is the next to load. */
  private end(line: LineName, { lapse, waiting }: Claim): void {
    this.claims.delete(line);
    lapse.cancel();
    for (const claimant of waiting.keys()) this.settle(waiting, claimant, "over");
  }
}
