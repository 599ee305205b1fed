import { invariant } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { type Command, CommandFrameBuilder, encodeSingleCommandFrame, formatRequestId, type Result } from "@trivet/wire";
import type { CallerRoute, Outcome, Submission, SubmitOptions, Unavailable } from "../node/node-api.ts";
import { mayBeWaiting, nothingHappened, notAfterOf, outcomeOf, type SubmissionsOwner } from "./submission-outcomes.ts";

/** One client that waits for the outcome of its call. */
interface Waiting {
  readonly deadline: number;
  readonly requestId: string;
  readonly done: (outcome: Outcome) => void;
  /** The client went away. */
  abandoned: boolean;
}

interface Keyed {
  readonly caller: string;
  readonly route: CallerRoute;
  readonly fingerprint: string;
  readonly command: Command;
  waiting: Waiting[];
  /** The cancel of a wait that nobody here waits for is under way until then; 0 = none. */
  cancelUntil: number;
  /** No cancel before: an earlier one was refused. */
  cancelAgainAt: number;
}

/** Of the caller that an idempotency key is: its call, and the cancel of it. */
const callSequence = 1;
const cancelSequence = 2;
const cancelTimeoutMs = 10_000;

/**
 * Calls with an idempotency key (rule X2): the caller is derived from the key, so copies of one call may come to several nodes and to this
 * one again and again, and all get the one answer that the log keeps for the key. Each is ended here by exactly one outcome.
 *
 * A wait is cancelled when the last of its clients here is gone or out of time (rule K4). The cancel goes by the key's own caller and
 * fingerprint: another request under the same key is not its to end. What decided the race is kept under the key like any answer: a retry is
 * told `cancelled`, or the grant that was first. Such a grant is never given back from here, as another copy's client may have been told of it;
 * if nobody has, its lease ends it.
 */
export class KeyedSubmissions {
  private readonly owner: SubmissionsOwner;
  private readonly keyed = new Map<string, Keyed>();

  constructor(owner: SubmissionsOwner) {
    this.owner = owner;
  }

  get size(): number {
    return this.keyed.size;
  }

  submit(
    command: Command,
    options: SubmitOptions,
    idempotency: NonNullable<SubmitOptions["idempotency"]>,
    done: (outcome: Outcome) => void,
  ): Submission {
    const { key: caller, fingerprint } = idempotency;
    const notAfter = notAfterOf(this.owner.groupTime(), options);
    const requestId = formatRequestId({ group: 0, caller, sequence: callSequence, notAfter });
    const keyed = this.keyed.get(caller) ?? this.open(caller, fingerprint, command);
    if (keyed.fingerprint !== fingerprint) {
      this.owner.later(() => done({ type: "answered", result: { type: "refused", reason: "other-body" }, requestId }));
      return { requestId, abandon: () => undefined };
    }
    const waiting: Waiting = { deadline: this.owner.now() + options.timeoutMs, requestId, done, abandoned: false };
    keyed.waiting.push(waiting);
    const refused = this.owner.submitFrame(encodeSingleCommandFrame(caller, fingerprint, notAfter, command));
    if (refused !== null) {
      this.owner.later(() =>
        this.end(
          keyed,
          (one) => one === waiting,
          () => refused,
        ),
      );
    }
    this.owner.markDirty();
    return { requestId, abandon: () => this.abandon(keyed, waiting) };
  }

  tick(now: number): void {
    for (const keyed of this.keyed.values()) {
      if (keyed.cancelUntil <= now) keyed.cancelUntil = 0;
      this.endDue(keyed, now);
      this.cancelIfDeserted(keyed, now);
      this.forgetIfOver(keyed);
    }
  }

  private endDue(keyed: Keyed, now: number): void {
    if (keyed.waiting.every(({ deadline }) => deadline > now)) return;
    const withdrawn = this.isDeserted(keyed, now) && this.owner.withdraw(keyed.caller, callSequence);
    // Before they are told: afterwards nobody is left whose wait it is.
    if (!withdrawn) this.cancelIfDeserted(keyed, now);
    this.end(
      keyed,
      ({ deadline, abandoned }) => deadline <= now || (withdrawn && abandoned),
      ({ requestId }) => (withdrawn ? nothingHappened : { type: "unknown", requestId }),
    );
  }

  private open(caller: string, fingerprint: string, command: Command): Keyed {
    const keyed: Keyed = {
      caller,
      route: {
        answer: (sequence, result) => this.answered(keyed, sequence, result),
        flush: () => undefined,
        refused: (first, _count, reason) => this.refused(keyed, first, reason),
      },
      fingerprint,
      command,
      waiting: [],
      cancelUntil: 0,
      cancelAgainAt: 0,
    };
    this.keyed.set(caller, keyed);
    this.owner.setRoute(caller, keyed.route);
    return keyed;
  }

  private answered(keyed: Keyed, sequence: number, result: Result): void {
    if (sequence === cancelSequence) {
      keyed.cancelUntil = 0;
      // The answer of the call was told with it, or comes without it.
      keyed.cancelAgainAt = Number.POSITIVE_INFINITY;
      this.forgetIfOver(keyed);
      return;
    }
    this.end(
      keyed,
      () => true,
      ({ requestId }) => outcomeOf(result, requestId),
    );
  }

  private refused(keyed: Keyed, first: number, reason: Unavailable): void {
    if (first === cancelSequence) {
      keyed.cancelUntil = 0;
      keyed.cancelAgainAt = this.owner.now() + reason.retryAfterMs;
      this.forgetIfOver(keyed);
      return;
    }
    // An earlier copy may be in a log; then only its answer, or the deadline, ends the calls.
    if (this.owner.hasCopies(keyed.caller, callSequence)) return;
    this.end(
      keyed,
      () => true,
      () => reason,
    );
  }

  private end(keyed: Keyed, ends: (one: Waiting) => boolean, outcome: (one: Waiting) => Outcome): void {
    const ending = keyed.waiting.filter(ends);
    keyed.waiting = keyed.waiting.filter((one) => !ending.includes(one));
    this.forgetIfOver(keyed);
    for (const one of ending) one.done(outcome(one));
  }

  private forgetIfOver(keyed: Keyed): void {
    if (keyed.waiting.length > 0 || keyed.cancelUntil > 0 || this.keyed.get(keyed.caller) !== keyed) return;
    this.keyed.delete(keyed.caller);
    this.owner.endRoute(keyed.caller, keyed.route);
  }

  private abandon(keyed: Keyed, waiting: Waiting): void {
    if (waiting.abandoned || !keyed.waiting.includes(waiting)) return;
    waiting.abandoned = true;
    this.cancelIfDeserted(keyed, this.owner.now());
  }

  /** No client of this node waits any more. */
  private isDeserted(keyed: Keyed, now: number): boolean {
    return keyed.waiting.every(({ abandoned, deadline }) => abandoned || deadline <= now);
  }

  /** Rule K4: the disconnect of a waiting client, or the end of its patience, is a logged cancel. */
  private cancelIfDeserted(keyed: Keyed, now: number): void {
    const { command, caller, fingerprint } = keyed;
    if (keyed.waiting.length === 0 || keyed.cancelUntil > 0 || keyed.cancelAgainAt > now) return;
    if (!mayBeWaiting(command) || !this.isDeserted(keyed, now) || mutant("host-keyed-wait-kept")) return;
    invariant(command.type === "acquire" || command.type === "upgrade", "cancel-wait", command.type);
    const name = command.type === "acquire" ? (command.keys[0]?.name ?? "") : command.name;
    const frame = new CommandFrameBuilder();
    frame.begin(caller, fingerprint, notAfterOf(this.owner.groupTime(), { timeoutMs: cancelTimeoutMs }), 0, cancelSequence);
    frame.add({ type: "cancel", actor: command.actor, name, caller, sequence: callSequence });
    const refused = this.owner.submitFrame(frame.finish());
    if (refused === null) keyed.cancelUntil = now + cancelTimeoutMs;
    else keyed.cancelAgainAt = now + refused.retryAfterMs;
    this.owner.markDirty();
  }
}
