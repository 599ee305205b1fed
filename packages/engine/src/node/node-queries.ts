import { type LogIndex, logIndex, type NodeId, nodeId, type SystemEvent } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { type Command, parseRequestId } from "@trivet/wire";
import { openExport } from "../groups/group-export.ts";
import { logLines } from "../groups/log-lines.ts";
import type {
  CallerRoute,
  GroupExport,
  LogLine,
  NodeApi,
  NodeStatus,
  Outcome,
  RequestOutcome,
  Submission,
  SubmitOptions,
  Unavailable,
} from "./node-api.ts";
import type { Renewed } from "../groups/lease-host.ts";
import type { MemberAnswer } from "../members/member-requests.ts";
import type { ShardAccess } from "../shards/shard-access.ts";
import type { NodeHost } from "./node-host.ts";
import { nodeStatus } from "./status.ts";
import { Submissions } from "../calls/submissions.ts";
import { successors } from "../members/successors.ts";
import { askSystemRequest } from "../calls/system-requests.ts";

const retryMs = 20;

type AskedLease = Parameters<NodeApi["leasesLeft"]>[0][number];
type TransferAnswer = { readonly ok: true; readonly leader: string } | { readonly ok: false; readonly reason: string };

/** NodeApi over a NodeHost: everything a caller may ask of a node, whichever node of the cluster it is. */
export class NodeQueries implements NodeApi {
  private readonly host: NodeHost;
  private readonly submissions: Submissions;
  private transfers: { readonly to: NodeId; readonly deadline: number; readonly done: (answer: TransferAnswer) => void }[] = [];

  constructor(host: NodeHost) {
    this.host = host;
    this.submissions = new Submissions({
      now: () => host.ports.clock.now(),
      groupTime: () => host.groupTime.now(),
      newCaller: () => host.ports.random.hex(16),
      setRoute: (caller, route) => host.outbox.setRoute(caller, route),
      endRoute: (caller, route) => host.outbox.endRoute(caller, route),
      submitFrame: (frame) => this.take(frame),
      withdraw: (caller, sequence) => host.outbox.withdraw(caller, sequence),
      hasCopies: (caller, sequence) => host.outbox.hasCopies(caller, sequence),
      traces: host.traces,
      later: (run) => host.ports.clock.defer(run),
      markDirty: () => host.markDirty(),
    });
  }

  get shards(): ShardAccess {
    return this.host.queuing.access;
  }

  /** Before the groups do their work of the turn. */
  collect(): void {
    this.submissions.collect();
  }

  tick(now: number): void {
    this.submissions.tick(now);
    for (let index = this.transfers.length - 1; index >= 0; index -= 1) {
      const transfer = this.transfers[index];
      if (transfer === undefined || transfer.deadline > now) continue;
      this.transfers.splice(index, 1);
      transfer.done({ ok: false, reason: "the transfer did not finish in time" });
    }
  }

  get tickAt(): number {
    return this.submissions.open + this.transfers.length > 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  /** This node stops or has failed: every call under way gets its outcome. */
  end(): void {
    this.submissions.stop();
    for (const transfer of this.transfers.splice(0)) transfer.done({ ok: false, reason: `${this.host.config.node} is stopping` });
  }

  leaderChanged(): void {
    this.host.markDirty();
  }

  status(): NodeStatus {
    return nodeStatus(this.host);
  }

  groupTime(): number {
    return this.host.groupTime.now();
  }

  submit(command: Command, options: SubmitOptions, done: (outcome: Outcome) => void): Submission {
    if (this.host.phase === "stopping" || this.host.phase === "failed") {
      this.later(() => done(this.unavailable("stopping")));
      return { requestId: "", abandon: () => undefined };
    }
    return this.submissions.submit(command, options, done);
  }

  request(requestId: string, done: (outcome: RequestOutcome) => void): void {
    const key = parseRequestId(requestId);
    if (key === null) this.host.queuing.requestOutside(requestId, done);
    else if (key.group > 0) this.host.queuing.request(key, done);
    else askSystemRequest(this, this.host.groupTime, key, done);
  }

  route(caller: string, route: CallerRoute): void {
    this.host.outbox.setRoute(caller, route);
  }

  endRoute(caller: string, route: CallerRoute): void {
    this.host.outbox.endRoute(caller, route);
  }

  submitFrame(frame: Uint8Array): Unavailable | null {
    const refused = this.take(frame);
    this.host.markDirty();
    return refused;
  }

  private take(frame: Uint8Array): Unavailable | null {
    const refused = this.host.phase === "removed" ? this.unavailable(null) : this.host.submitFrame(frame);
    if (refused !== null) this.host.ports.telemetry.count("trivet_raft_proposals_failed_total", 1, { reason: refused.code });
    return refused;
  }

  read(
    consistency: "linearizable" | "stale",
    timeoutMs: number,
    done: (outcome: { readonly type: "ready"; readonly state: NonNullable<NodeHost["machine"]> } | Unavailable) => void,
  ): void {
    const finish = (ready: boolean): void => {
      const { machine, system } = this.host;
      // Old is what a stale read may be, not wrong (rule W7).
      if (ready && machine !== null && system?.stateDoubted !== true) done({ type: "ready", state: machine });
      else done(this.unavailable(null));
    };
    const { system } = this.host;
    if (consistency === "stale" || system === null || this.host.phase === "removed") {
      this.later(() => finish(consistency === "stale"));
      return;
    }
    system.reads.barrier(timeoutMs, finish);
    this.host.markDirty();
  }

  keepAlive(
    sessions: readonly number[],
    timeoutMs: number,
    done: (
      outcome: { readonly type: "alive"; readonly sessions: readonly number[]; readonly lost: readonly number[] } | Unavailable,
    ) => void,
  ): void {
    this.renewAnywhere("session", sessions, timeoutMs, (alive) => {
      if (alive === null) done(this.unavailable(null));
      else {
        const ids = new Set(alive.map((lease) => lease.id));
        done({ type: "alive", sessions: [...ids], lost: sessions.filter((session) => !ids.has(session)) });
      }
    });
  }

  renew(
    name: string,
    fence: number,
    timeoutMs: number,
    done: (outcome: { readonly type: "renewed"; readonly expiresInMs: number } | { readonly type: "lost" } | Unavailable) => void,
  ): void {
    // A fence is unique and the leader's timers know it; whose name it stands under was checked by the caller's own read, if it matters.
    this.renewAnywhere("grant", [fence], timeoutMs, (alive) => {
      if (alive === null) {
        done(this.unavailable(null));
        return;
      }
      const [lease] = alive;
      if (lease === undefined) done({ type: "lost" });
      else done({ type: "renewed", expiresInMs: lease.ms });
    });
  }

  /** Rule L1: only the leader extends time, after a quorum round begun later than the request. Asked again until the time is up. */
  private renewAnywhere(
    kind: "session" | "grant",
    ids: readonly number[],
    timeoutMs: number,
    done: (alive: readonly Renewed[] | null) => void,
  ): void {
    const { host } = this;
    const deadline = host.ports.clock.now() + timeoutMs;
    const attempt = (): void => {
      const left = deadline - host.ports.clock.now();
      const leader = host.system?.leader() ?? null;
      const again = (alive: readonly Renewed[] | null): void => {
        if (alive !== null) done(alive);
        else if (host.ports.clock.now() + retryMs >= deadline || host.isStopped) done(null);
        else host.ports.clock.schedule(retryMs, attempt);
      };
      if (left <= 0 || host.phase === "removed") done(null);
      else if (leader === null) again(null);
      else if (leader === host.config.node) {
        if (host.leases === null) again(null);
        else host.leases.renew(kind, ids, left, again);
        host.markDirty();
      } else {
        host.calls.call(
          leader,
          "renew",
          { kind, ids, timeoutMs: left },
          (answer) => again((answer as readonly Renewed[] | null) ?? null),
          Math.min(left, 1_000),
        );
      }
    };
    this.later(attempt);
  }

  leaseLeft(kind: "session" | "grant", id: number): number | null {
    return this.host.leases?.leftMs(kind, id) ?? null;
  }

  leasesLeft(leases: readonly AskedLease[], timeoutMs: number, done: (leftMs: readonly (number | null)[]) => void): void {
    const { host } = this;
    const leader = host.system?.leader() ?? null;
    if (leader === null || leader === host.config.node) {
      const left = leases.map(({ kind, id }) => this.leaseLeft(kind, id));
      this.later(() => done(left));
      return;
    }
    const answered = (answer: unknown): void => {
      const left = answer as readonly (number | null)[] | null;
      done(leases.map((_lease, index) => left?.[index] ?? null));
    };
    host.calls.call(leader, "leases-left", leases, answered, timeoutMs);
  }

  watch(listener: (event: SystemEvent, index: LogIndex) => void): () => void {
    return this.host.sink.watch(listener);
  }

  log(start: number, end: number): readonly LogLine[] {
    const { system } = this.host;
    if (system === null) return [];
    const last = system.raft.commitIndex;
    const from = Math.max(start < 0 ? last + 1 + start : start, system.raft.firstIndex, 1);
    const to = Math.min(end < 0 ? last + 1 + end : end, last);
    return to < from ? [] : logLines(system.raft.entries(logIndex(from), logIndex(to), 4 * 1024 * 1024));
  }

  changeMembers(change: Parameters<NodeApi["changeMembers"]>[0], timeoutMs: number, done: Parameters<NodeApi["changeMembers"]>[2]): void {
    const finish = (answer: MemberAnswer | null): void => {
      if (answer === null) done(this.unavailable(null));
      else if (answer.ok) done({ type: "changed", membership: answer.membership });
      else done({ type: "refused", reason: answer.reason });
    };
    this.askLeader("change-members", { request: change, timeoutMs }, timeoutMs, (answer) => finish(answer as MemberAnswer | null));
  }

  transferLeadership(to: string | null, timeoutMs: number, done: Parameters<NodeApi["transferLeadership"]>[2]): void {
    this.askLeader("transfer", { to, timeoutMs }, timeoutMs, (answer) => {
      const reply = answer as TransferAnswer | null;
      if (reply === null) done(this.unavailable(null));
      else if (reply.ok) done({ type: "transferred", leader: nodeId(reply.leader) });
      else done({ type: "refused", reason: reply.reason });
    });
  }

  snapshot(done: Parameters<NodeApi["snapshot"]>[0]): void {
    const { system } = this.host;
    if (system === null) this.later(() => done(this.unavailable(null)));
    else system.snapshots.request((index) => done({ type: "taken", index }));
  }

  stop(done: () => void): void {
    this.host.stop(done);
  }

  /** Calls from other nodes that are not about membership. */
  onCall(method: string, body: unknown, answer: (reply: unknown) => void): void {
    const { host } = this;
    if (method === "renew") {
      const { kind, ids, timeoutMs } = body as {
        readonly kind: "session" | "grant";
        readonly ids: readonly number[];
        readonly timeoutMs: number;
      };
      if (host.leases === null) answer(null);
      else host.leases.renew(kind, ids, timeoutMs, answer);
      host.markDirty();
    } else if (method === "leases-left") {
      // Not passed on: whoever asked goes by its own view of who leads, and two such views must not send a question in circles.
      answer((body as readonly AskedLease[]).map(({ kind, id }) => this.leaseLeft(kind, id)));
    } else if (method === "transfer") {
      const { to, timeoutMs } = body as { readonly to: string | null; readonly timeoutMs: number };
      this.transferHere(to, timeoutMs, answer);
    } else {
      answer(null);
    }
  }

  /** One hop to the leader, or straight here when this node leads; null = nobody took it in time. */
  private askLeader(method: "change-members" | "transfer", body: unknown, timeoutMs: number, done: (answer: unknown) => void): void {
    const { host } = this;
    const deadline = host.ports.clock.now() + Math.min(timeoutMs, host.config.noLeaderWaitMs);
    const attempt = (): void => {
      const leader = host.system?.leader() ?? null;
      if (leader === null) {
        if (host.ports.clock.now() >= deadline || host.isStopped) done(null);
        else host.ports.clock.schedule(retryMs, attempt);
      } else if (leader !== host.config.node) host.calls.call(leader, method, body, done, timeoutMs + 500);
      else host.peering.localCall(method, body, done);
    };
    this.later(attempt);
  }

  transferHere(to: string | null, timeoutMs: number, answer: (reply: TransferAnswer | null) => void): void {
    const { system } = this.host;
    if (system === null || !system.isLeader) {
      answer(null);
      return;
    }
    const target = to === null ? this.bestSuccessor() : nodeId(to);
    if (target === null) {
      answer({ ok: false, reason: "no other voter is reachable" });
      return;
    }
    if (target === this.host.config.node) {
      answer({ ok: true, leader: target });
      return;
    }
    if (!system.raft.membership.voters.includes(target)) {
      answer({ ok: false, reason: `${target} is not a voter` });
      return;
    }
    this.transfers.push({ to: target, deadline: this.host.ports.clock.now() + timeoutMs, done: answer });
    system.raft.step({ type: "transfer", to: target });
    // At once: how an earlier transfer ended must not be heard by one to the same node that is begun later in this turn.
    system.drain();
    this.host.markDirty();
  }

  exportGroup(group: number, timeoutMs: number, done: (opened: GroupExport | null) => void): void {
    openExport(this.host, group, timeoutMs, done);
  }

  /** One transfer at a time is under way: another target ends it, and its callers hear of that and not of the other's fate. */
  transferEnded(to: NodeId, succeeded: boolean): void {
    const ended = this.transfers.filter((transfer) => transfer.to === to || mutant("host-transfer-answers-all"));
    this.transfers = this.transfers.filter((transfer) => !ended.includes(transfer));
    for (const transfer of ended)
      transfer.done(succeeded ? { ok: true, leader: to } : { ok: false, reason: `${to} did not take over in time` });
  }

  private bestSuccessor(): NodeId | null {
    const { system } = this.host;
    return system === null ? null : (successors(this.host, system)[0]?.peer ?? null);
  }

  private unavailable(code: "stopping" | null): Unavailable {
    if (code === "stopping" || this.host.phase === "stopping") {
      return { type: "unavailable", code: "stopping", retryAfterMs: 100, detail: `${this.host.config.node} is stopping` };
    }
    if (this.host.phase === "removed") return { type: "unavailable", code: "removed", retryAfterMs: 1_000, detail: this.host.phaseDetail };
    const problem = this.host.system?.audit?.problem ?? null;
    if (problem !== null) return { type: "unavailable", code: "no_quorum", retryAfterMs: 1_000, detail: problem };
    const leader = this.host.system?.leader() ?? null;
    return leader === null
      ? { type: "unavailable", code: "no_leader", retryAfterMs: 200, detail: this.host.phaseDetail || "no leader is known to this node" }
      : { type: "unavailable", code: "no_quorum", retryAfterMs: 200, detail: `the leader ${leader} did not confirm in time` };
  }

  private later(run: () => void): void {
    this.host.ports.clock.defer(run);
  }
}
