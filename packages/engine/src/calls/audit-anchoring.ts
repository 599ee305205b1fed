import { mutant } from "@trivet/core/mutation";
import { type AuditMark, featureLevels, type Result } from "@trivet/wire";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { anchorEveryMs, anchorRetryMs, anchorRounds, keptSentAnchors } from "../base/limits.ts";
import type { NodeApi, Outcome, Unavailable } from "../node/node-api.ts";

/** Whether a record that was anchored is in the log. */
export type AnchorInLog =
  | { readonly type: "there" }
  /** Proven: what the log has there is something else, or it ends before. */
  | { readonly type: "differs"; readonly why: string }
  /** The files that would tell cannot be read now, or are not there. */
  | { readonly type: "unreadable"; readonly why: string };

/** The audit log whose head is anchored. */
export interface AnchoredLog {
  /** Drawn when the log was begun. */
  readonly chain: string;
  /** The last record that is on disk; null = none is yet. */
  headOnDisk(): AuditMark | null;
  /** Asks whether the log holds this record; may take long, and does not hold the turns up. */
  find(mark: AuditMark, done: (found: AnchorInLog) => void): void;
}

/** Why the log cannot be anchored, for what helps. */
export type AnchorObstacle = "no-majority" | "busy" | "full-disk" | "no-member" | "unreadable-log" | "same-log" | "starting" | "stopping";

/** What became of a wish to have everything anchored that is on disk. */
export type Anchored =
  | { readonly type: "anchored" }
  /** Not every member of the cluster knows what an anchor is (decision 0022). */
  | { readonly type: "below-level" }
  | { readonly type: "unavailable"; readonly obstacle: AnchorObstacle; readonly detail: string; readonly retryAfterMs: number }
  /** The log is not what was anchored: it was cut off or written anew. Stays so. */
  | { readonly type: "mismatch"; readonly detail: string };

interface Waiting {
  readonly seq: number;
  readonly done: (anchored: Anchored) => void;
  readonly giveUp: Timer;
}
type Api = Pick<NodeApi, "status" | "submit">;

const anchored: Anchored = { type: "anchored" };

/**
 * Puts the head of this node's audit log into group 0's state (docs/decisions/0036-audit-anchors.md): at once where somebody waits for it, else at most once a second, and only
 * when it moved. One command is under way at a time; what comes meanwhile shares the next. Each names the anchor it follows, which was found in the log.
 */
export class AuditAnchoring {
  private readonly api: Api;
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly node: string;
  private readonly log: AnchoredLog;
  private readonly timeoutMs: number;
  /** The chain's anchor, as far as is known here. */
  private last: AuditMark | null = null;
  /** Heads that may have become anchors: their answers did not come. */
  private sent: AuditMark[] = [];
  private waiting: Waiting[] = [];
  /** Somebody has given up waiting for what is under way. */
  private wasAwaited = false;
  private underWay = false;
  /** Refusals in a row that brought no new anchor. */
  private rounds = 0;
  private timer: Timer | null = null;
  private mismatch: Extract<Anchored, { type: "mismatch" }> | null = null;
  private stopped = false;
  private reachedAt: number | null = null;
  /** Times in a row that it could not be anchored. */
  private failures = 0;
  /** Said once, and again when it is over. */
  private isTold = false;

  constructor(
    node: string,
    ports: { readonly api: Api; readonly clock: Clock; readonly telemetry: Telemetry },
    log: AnchoredLog,
    timeoutMs: number,
  ) {
    this.node = node;
    this.api = ports.api;
    this.clock = ports.clock;
    this.telemetry = ports.telemetry;
    this.log = log;
    this.timeoutMs = timeoutMs;
  }

  /** Records that are on disk and not known to be anchored. */
  get behind(): number {
    return Math.max(0, (this.log.headOnDisk()?.seq ?? 0) - (this.last?.seq ?? 0));
  }

  /** Since an anchor was put or found in the cluster; null = none was by this process. */
  get ageMs(): number | null {
    return this.reachedAt === null ? null : this.clock.now() - this.reachedAt;
  }

  /** Null = the log is what was anchored, as far as is known. */
  get problem(): string | null {
    return this.mismatch?.detail ?? null;
  }

  /** `done` once everything that is on disk now is anchored and committed, or why not: within the timeout, whatever is under way already. */
  anchor(done: (anchored: Anchored) => void): void {
    const head = this.log.headOnDisk();
    const ended = this.stopped ? stopping : this.mismatch;
    const isThere = head !== null && this.last !== null && this.last.seq >= head.seq;
    if (ended !== null || isThere || head === null) {
      const outcome = ended ?? (head === null ? nothingWritten : anchored);
      this.clock.defer(() => done(outcome));
      return;
    }
    const giveUp = this.clock.schedule(this.timeoutMs, () => {
      this.wasAwaited = true;
      this.settleThose((one) => one.giveUp === giveUp, unheard);
    });
    this.waiting.push({ seq: head.seq, done, giveUp });
    this.begin();
  }

  /** Another record is on disk, for which nobody waits. */
  moved(): void {
    this.later(anchorEveryMs);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
    this.settle(Number.POSITIVE_INFINITY, stopping);
  }

  private later(ms: number): void {
    if (this.stopped || this.mismatch !== null) return;
    this.timer ??= this.clock.schedule(ms, () => {
      this.timer = null;
      this.begin();
    });
  }

  private begin(): void {
    const head = this.log.headOnDisk();
    if (this.stopped || this.underWay || this.mismatch !== null || head === null || this.behind === 0) return;
    this.underWay = true;
    this.sent = [...this.sent, head].slice(-keptSentAnchors);
    const { last: before, node } = this;
    const { chain } = this.log;
    this.api.submit({ type: "anchor-audit", node, chain, head, before }, { timeoutMs: this.timeoutMs }, (outcome) => {
      this.underWay = false;
      if (!this.stopped) this.heard(head, outcome);
    });
    if (mutant("host-anchor-told-unheard")) this.settle(head.seq, anchored);
  }

  private heard(head: AuditMark, outcome: Outcome): void {
    switch (outcome.type) {
      case "answered":
        return this.answered(head, outcome.result);
      case "unavailable":
        return this.failed(head, this.isBelow(outcome) ? { type: "below-level" } : whyNot(outcome));
      case "unknown":
        if (mutant("host-anchor-unknown-counts")) return this.reached(head);
        // It may be there, or come yet: the next one, which names another anchor before it, is refused then and told of it.
        return this.failed(head, unheard);
    }
  }

  /**
   * Around a raise some know of it already and some do not. Administration goes on without anchors only where this node knows itself that the cluster is below
   * their level, and not because another one does not know better yet.
   */
  private isBelow({ code }: Unavailable): boolean {
    if (code !== "feature_level") return false;
    const { cluster } = this.api.status().features;
    return (cluster !== null && cluster < featureLevels.anchors) || mutant("host-anchor-level-of-others");
  }

  private answered(head: AuditMark, result: Result): void {
    if (result.type === "done") return this.reached(head);
    if (result.type === "anchor-refused") return this.refused(head, result.last);
    return this.failed(
      head,
      result.type === "not-found"
        ? unavailable("no-member", `${this.node} is no member of the cluster, or is just becoming one`)
        : unavailable("busy", `the cluster took no anchor (${result.type})`),
    );
  }

  /** The chain has another anchor than was thought here: that of an answer that was not heard, of the program before this one, or of another log. */
  private refused(head: AuditMark, found: AuditMark | null): void {
    this.rounds += 1;
    if (this.rounds > anchorRounds) return this.failed(head, unsteady);
    if (found === null || this.sent.some((mark) => mark.seq === found.seq && mark.mac === found.mac) || mutant("host-anchor-any-adopted"))
      return this.found(found);
    const end = this.log.headOnDisk()?.seq ?? 0;
    if (found.seq > end) {
      return this.differs(`it ends at record ${end}, and the cluster has an anchor of its record ${found.seq}: the end is missing`);
    }
    this.underWay = true;
    this.log.find(found, (inLog) => {
      this.underWay = false;
      if (!this.stopped) this.looked(head, found, inLog);
    });
  }

  private looked(head: AuditMark, mark: AuditMark, inLog: AnchorInLog): void {
    switch (inLog.type) {
      case "there":
        return this.found(mark);
      case "differs":
        return this.differs(`it is not what record ${mark.seq} was anchored as: ${inLog.why}`);
      case "unreadable":
        // No proof of anything: it is asked again, and goes on as soon as the file is there.
        if (mutant("host-anchor-unread-differs")) return this.differs(inLog.why);
        return this.failed(
          head,
          unavailable("unreadable-log", `whether the log has record ${mark.seq}, which was anchored, cannot be told: ${inLog.why}`),
        );
    }
  }

  private found(mark: AuditMark | null): void {
    if (mark !== null) return this.reached(mark);
    this.last = null;
    this.begin();
  }

  private reached(mark: AuditMark): void {
    // An earlier one than before is what a cluster knows that was restored: the log has gone on since.
    if (this.last === null || mark.seq > this.last.seq) this.rounds = 0;
    this.timer?.cancel();
    this.timer = null;
    this.last = mark;
    this.reachedAt = this.clock.now();
    if (this.isTold) this.telemetry.log("info", "audit.anchored", "the audit log is anchored in the cluster again", { seq: mark.seq });
    this.isTold = false;
    this.failures = 0;
    this.wasAwaited = false;
    this.settle(mark.seq, anchored);
    this.goOn(anchorEveryMs);
  }

  private failed(head: AuditMark, why: Anchored): void {
    this.rounds = 0;
    if (why.type === "unavailable") {
      this.telemetry.count("audit_anchor_failures_total", 1, { reason: "unavailable" });
      this.failures += 1;
      // A node that starts has no leader at first, and an election takes a moment: nobody needs to hear of that.
      if (!this.isTold && (this.waiting.length > 0 || this.wasAwaited || this.failures > 1)) {
        const text = `the audit log is not anchored in the cluster: ${why.detail}; until it is nothing is changed by administration at this node`;
        this.telemetry.log("warn", "audit.unanchored", text, { seq: head.seq });
        this.isTold = true;
      }
    }
    this.wasAwaited = false;
    this.settle(head.seq, why);
    this.goOn(anchorRetryMs);
  }

  private differs(detail: string): void {
    this.mismatch = { type: "mismatch", detail };
    this.telemetry.count("audit_anchor_failures_total", 1, { reason: "mismatch" });
    this.telemetry.log(
      "error",
      "audit.mismatch",
      `AUDIT_LOG: ${detail}; nothing is administered at this node until the log and what was put aside of it are moved away and the node is started again`,
    );
    this.settle(Number.POSITIVE_INFINITY, this.mismatch);
  }

  /** Who waits for a later record has a command of his own; what nobody waits for has time. */
  private goOn(afterMs: number): void {
    if (this.waiting.length > 0) this.begin();
    else if (this.behind > 0) this.later(afterMs);
  }

  private settle(seq: number, outcome: Anchored): void {
    this.settleThose((one) => one.seq <= seq, outcome);
  }

  private settleThose(isOver: (one: Waiting) => boolean, outcome: Anchored): void {
    const over = this.waiting.filter(isOver);
    this.waiting = this.waiting.filter((one) => !isOver(one));
    for (const { done, giveUp } of over) {
      giveUp.cancel();
      done(outcome);
    }
  }
}

function obstacleOf(code: Unavailable["code"]): AnchorObstacle {
  switch (code) {
    case "overloaded":
    case "feature_level":
      return "busy";
    case "storage":
      return "full-disk";
    case "stopping":
      return "stopping";
    case "removed":
      return "no-member";
    default:
      return "no-majority";
  }
}

const unavailable = (obstacle: AnchorObstacle, detail: string, retryAfterMs = 1_000): Anchored => ({
  type: "unavailable",
  obstacle,
  detail,
  retryAfterMs,
});
const whyNot = ({ code, detail, retryAfterMs }: Unavailable): Anchored => unavailable(obstacleOf(code), detail, retryAfterMs);
const stopping = unavailable("stopping", "the node is stopping");
const nothingWritten = unavailable("starting", "nothing is written in the audit log yet");
const unsteady = unavailable("same-log", "another program anchors the same audit log");
const unheard = unavailable("no-majority", "the cluster did not answer in time; whether it took the anchor is not known");
