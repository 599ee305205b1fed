import { type NodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { checkFrame, type FrameHeader } from "@trivet/wire";
import { lateAnswerMs, maxOutboxBytes } from "../base/limits.ts";
import type { CallerRoute, Unavailable } from "../node/node-api.ts";
import type { ForwardRefusal } from "../peers/peer-frames.ts";

/** One command frame this node answers for, kept until every command in it is answered: the unit of sending again (decision 0002). */
interface FrameRecord<R> {
  readonly route: RouteState<R>;
  readonly bytes: Uint8Array;
  readonly firstSequence: number;
  readonly count: number;
  readonly fingerprint: string;
  readonly notAfter: number;
  readonly arrivedAt: number;
  readonly answered: Uint8Array;
  remaining: number;
  /** Where it went last; null = still held here, never handed to a leader since the last change. */
  sentTo: NodeId | null;
  sentTerm: number;
  /** Copies handed to leaders that none of them refused: above 0 its fate may be unknown. */
  copies: number;
}

interface RouteState<R> {
  readonly caller: string;
  route: CallerRoute<R> | null;
  frames: FrameRecord<R>[];
  touched: boolean;
}

/** `R`: answers as the group's apply gives them. */
export interface FrameOutboxOwner<R> {
  now(): number;
  /** Estimate of group time, for dropping frames whose not-after has passed. */
  groupTime(): number;
  leader(): NodeId | null;
  term(): number;
  /** Hands a frame to the leader; false = it cannot be reached now. */
  dispatch(leader: NodeId, frame: Uint8Array): boolean;
  /** What the dedupe table says: `unknown` = this frame is not applied here. */
  lookup(caller: string, sequence: number): R | "pending" | "unknown";
  /** Does the answer refuse the frame that carried it, rather than the request? */
  isRefusal(result: R): boolean;
  /** Of a refusal: may the same frame be executed where it stands in the log a second time? */
  isPassing(result: R): boolean;
  /** Why a frame whose commands need this feature level may not go; null = it may. */
  levelRefusal(level: number): Unavailable | null;
  /** A frame was refused before it reached a log: counted. */
  failed(reason: Unavailable["code"]): void;
}

/**
 * The entry node's side of exactly-once (rules X1, X4): remembers whose answers are awaited here, sends unanswered frames to the leader,
 * and again, as the same bytes, when the leader changes. Answers come from this node's own apply.
 */
export class FrameOutbox<R> {
  private readonly owner: FrameOutboxOwner<R>;
  private readonly routes = new Map<string, RouteState<R>>();
  private readonly records = new Set<FrameRecord<R>>();
  private readonly touched: RouteState<R>[] = [];
  private bytes = 0;
  private lastRoute: RouteState<R> | null = null;
  private readonly noLeaderWaitMs: number;

  constructor(owner: FrameOutboxOwner<R>, noLeaderWaitMs: number) {
    this.owner = owner;
    this.noLeaderWaitMs = noLeaderWaitMs;
  }

  get openFrames(): number {
    return this.records.size;
  }

  get openCommands(): number {
    let open = 0;
    for (const { remaining } of this.records) open += remaining;
    return open;
  }

  setRoute(caller: string, route: CallerRoute<R>): void {
    const state = this.routes.get(caller);
    if (state === undefined) this.routes.set(caller, { caller, route, frames: [], touched: false });
    else state.route = route;
  }

  /** False when another route has replaced it. */
  endRoute(caller: string, route: CallerRoute<R>): boolean {
    const state = this.routes.get(caller);
    if (state === undefined || state.route !== route) return false;
    state.route = null;
    for (const record of state.frames) this.forget(record);
    state.frames = [];
    this.routes.delete(caller);
    if (this.lastRoute === state) this.lastRoute = null;
    return true;
  }

  /** Takes a frame of a routed caller. Throws CodecError when it is malformed; returns why it is refused, or null. */
  submit(frame: Uint8Array): Unavailable | null {
    const header = checkFrame(frame);
    const route = this.routes.get(header.caller);
    if (route === undefined)
      return { type: "unavailable", code: "overloaded", retryAfterMs: 0, detail: "no route for this caller on this node" };
    const tooNew = this.owner.levelRefusal(header.level);
    if (tooNew !== null) return tooNew;
    if (this.bytes + frame.length > maxOutboxBytes) {
      return { type: "unavailable", code: "overloaded", retryAfterMs: 100, detail: "too many unanswered commands on this node" };
    }
    // The same bytes again: the caller reconnected. Answers already given here are repeated by the dedupe table.
    const known = route.frames.find((record) => isCopy(record, header));
    if (known !== undefined) this.drop(known);
    const record: FrameRecord<R> = {
      route,
      bytes: frame,
      firstSequence: header.firstSequence,
      count: header.count,
      fingerprint: header.fingerprint,
      notAfter: header.notAfter,
      arrivedAt: this.owner.now(),
      answered: new Uint8Array(header.count),
      remaining: header.count,
      sentTo: null,
      sentTerm: 0,
      copies: known?.copies ?? 0,
    };
    this.bytes += frame.length;
    route.frames.push(record);
    this.records.add(record);
    this.dispatch(record);
    return null;
  }

  /**
   * An answer out of apply, of the request with this fingerprint. A refusal speaks only of the frame with this not-after (0 = a delayed
   * answer): another copy of the request may still be executed.
   */
  answer(caller: string, sequence: number, result: R, fingerprint: string, notAfter: number): void {
    let route = this.lastRoute;
    if (route === null || route.caller !== caller) {
      const found = this.routes.get(caller);
      if (found === undefined) return;
      route = found;
      this.lastRoute = found;
    }
    const { frames } = route;
    for (let index = frames.length - 1; index >= 0; index -= 1) {
      const record = frames[index];
      if (record === undefined) break;
      const offset = sequence - record.firstSequence;
      if (offset < 0 || offset >= record.count || record.answered[offset] === 1) continue;
      if (record.fingerprint !== fingerprint) continue;
      if (notAfter !== 0 && record.notAfter !== notAfter && this.owner.isRefusal(result)) continue;
      // Under a key it may be executed yet, with another copy: "nothing happened" would be a lie. That copy's answer, or the deadline, ends the wait.
      if (fingerprint !== "" && record.copies > 1 && this.owner.isPassing(result) && !mutant("host-passing-refusal-told")) {
        record.copies -= 1;
        continue;
      }
      record.answered[offset] = 1;
      record.remaining -= 1;
      if (record.remaining === 0) {
        frames.splice(index, 1);
        this.forget(record);
      }
      if (!route.touched) {
        route.touched = true;
        this.touched.push(route);
      }
      route.route?.answer(sequence, result);
    }
  }

  /** Ends a batch of answers: every route that got one sends what it has. */
  flush(): void {
    if (this.touched.length === 0) return;
    for (const route of this.touched) {
      route.touched = false;
      route.route?.flush();
    }
    this.touched.length = 0;
  }

  /** The leader changed, a link to it came up, or time passed: sends what is not known to be in the log. */
  resend(force: boolean): void {
    if (this.records.size === 0) return;
    const leader = this.owner.leader();
    if (leader === null) return;
    const term = this.owner.term();
    for (const record of this.records) {
      if (!force && record.sentTo === leader && record.sentTerm === term) continue;
      if (record.copies > 0 && this.isApplied(record)) continue;
      this.dispatch(record);
    }
  }

  /** The leader refused a frame before its log. */
  refused(caller: string, firstSequence: number, code: ForwardRefusal, retryAfterMs: number): void {
    const record = this.routes.get(caller)?.frames.find((frame) => frame.firstSequence === firstSequence && frame.copies > 0);
    if (record === undefined) return;
    record.copies -= 1;
    // While another copy may be in some leader's log, "refused" would be a lie: hold it and send again.
    if (code === "not_leader" || record.copies > 0 || this.isApplied(record)) {
      record.sentTo = null;
      return;
    }
    const detail = refusedBecause[code];
    this.refuse(record, { type: "unavailable", code, retryAfterMs, detail });
  }

  /** Takes back a frame that was never handed to a leader; false = it may be in some log. */
  withdraw(caller: string, sequence: number): boolean {
    const frames = this.routes.get(caller)?.frames.filter((frame) => frame.firstSequence === sequence) ?? [];
    if (frames.length === 0 || frames.some((record) => record.copies > 0)) return false;
    for (const record of frames) this.drop(record);
    return true;
  }

  /** Whether a copy of the frame that begins at `sequence` may be in some log. */
  hasCopies(caller: string, sequence: number): boolean {
    return this.routes.get(caller)?.frames.some((frame) => frame.firstSequence === sequence && frame.copies > 0) ?? false;
  }

  /** After a snapshot replaced the state: answers what the skipped entries decided. */
  answerFromState(): void {
    for (const record of this.records) {
      // What the table knows under an idempotency key may be of another request (rule X2): apply compares, when the frame comes again.
      if (record.fingerprint !== "" && !mutant("host-keyed-answered-from-state")) {
        record.sentTo = null;
        continue;
      }
      for (let offset = 0; offset < record.count; offset += 1) {
        if (record.answered[offset] === 1) continue;
        const found = this.owner.lookup(record.route.caller, record.firstSequence + offset);
        if (found === "pending" || found === "unknown") continue;
        this.answer(record.route.caller, record.firstSequence + offset, found, record.fingerprint, record.notAfter);
      }
    }
    this.flush();
  }

  tick(): void {
    if (this.records.size === 0) return;
    const now = this.owner.now();
    const groupTime = this.owner.groupTime();
    for (const record of this.records) {
      if (record.copies === 0 && now - record.arrivedAt > this.noLeaderWaitMs) {
        this.refuse(record, {
          type: "unavailable",
          code: "no_leader",
          retryAfterMs: 200,
          detail: `no leader was reached within ${this.noLeaderWaitMs} ms`,
        });
      } else if (isOver(record, groupTime, now) && !this.mayWait(record)) {
        // Past not-after apply refuses it: sending again is pointless. The caller's own deadline says `unknown`.
        this.drop(record);
      }
    }
    this.flush();
  }

  private dispatch(record: FrameRecord<R>): void {
    const leader = this.owner.leader();
    if (leader === null || !this.owner.dispatch(leader, record.bytes)) {
      record.sentTo = null;
      return;
    }
    record.sentTo = leader;
    record.sentTerm = this.owner.term();
    record.copies += 1;
  }

  /** A frame is applied as a whole, so one unanswered command tells for all. */
  private isApplied(record: FrameRecord<R>): boolean {
    const offset = record.answered.indexOf(0);
    if (offset < 0) return true;
    // What the table knows under an idempotency key may be of another request; sending once more is harmless.
    if (record.fingerprint !== "") return false;
    return this.owner.lookup(record.route.caller, record.firstSequence + offset) !== "unknown";
  }

  /** The table knows something of it: with an idempotency key maybe another request, for whose end this one then waits in vain until its deadline. */
  private mayWait(record: FrameRecord<R>): boolean {
    const offset = record.answered.indexOf(0);
    if (mutant("host-keyed-wait-past-not-after")) return this.isApplied(record);
    return offset >= 0 && this.owner.lookup(record.route.caller, record.firstSequence + offset) !== "unknown";
  }

  private refuse(record: FrameRecord<R>, reason: Unavailable): void {
    this.drop(record);
    this.owner.failed(reason.code);
    record.route.route?.refused(record.firstSequence, record.count, reason);
  }

  private drop(record: FrameRecord<R>): void {
    const index = record.route.frames.indexOf(record);
    if (index >= 0) record.route.frames.splice(index, 1);
    this.forget(record);
  }

  private forget(record: FrameRecord<R>): void {
    if (this.records.delete(record)) this.bytes -= record.bytes.length;
  }
}

const refusedBecause = {
  overloaded: "the leader has too much uncommitted work",
  storage: "the leader's disk is almost full",
  feature_level: "the cluster is not at the feature level that this needs yet",
} as const satisfies Record<Exclude<ForwardRefusal, "not_leader">, string>;

function isCopy(record: FrameRecord<unknown>, header: FrameHeader): boolean {
  const { firstSequence, count, notAfter, fingerprint } = record;
  return (
    firstSequence === header.firstSequence && count === header.count && notAfter === header.notAfter && fingerprint === header.fingerprint
  );
}

/** What came late is late at its first look: its refusal is what ends the wait of an ordered producer (rule X4), and takes a commit. */
function isOver({ arrivedAt, notAfter }: FrameRecord<unknown>, groupTime: number, now: number): boolean {
  return groupTime > notAfter + 1_000 && (now - arrivedAt > lateAnswerMs || mutant("host-late-frame-forgotten"));
}
