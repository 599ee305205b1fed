import { type GroupId, type NodeId, term } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { featureLevels, resultNumbers, shardResultNumbers, withoutOrder } from "@trivet/wire";
import { FrameOutbox } from "../calls/frame-outbox.ts";
import type { CallerRoute, Unavailable } from "../node/node-api.ts";
import type { ShardGroup } from "./shard-group.ts";
import type { ShardHosts } from "./shard-hosts.ts";
import { ShardSubmissions } from "./shard-submissions.ts";
import type { WorkerAnswer } from "./worker-protocol.ts";

/**
 * This node's way into one shard, whether or not it has a replica of it: which callers wait here, what they asked, and who leads. Answers come
 * out of this node's own apply, or are sent by the leader to a node that has none.
 */
export class ShardEntry {
  readonly id: GroupId;
  readonly outbox: FrameOutbox<Uint8Array>;
  readonly submissions: ShardSubmissions;
  private readonly hosts: ShardHosts;
  /** Told to apply with the next entries. */
  private readonly began = new Set<string>();
  private readonly ended = new Set<string>();
  private readonly waiting = new Set<string>();
  /** Who said last that it leads; of use where this node has no replica. */
  private hint: { readonly node: NodeId; readonly term: number } | null = null;
  /** A link to it broke: what it told meanwhile, that something is ready above all, may not have come. */
  private mayHaveMissed = false;

  constructor(id: GroupId, hosts: ShardHosts) {
    this.id = id;
    this.hosts = hosts;
    const { host } = hosts;
    this.outbox = new FrameOutbox<Uint8Array>(
      {
        now: () => host.ports.clock.now(),
        groupTime: () => host.groupTime.now(),
        leader: () => this.leader(),
        term: () => this.replica?.group.term() ?? this.hint?.term ?? term(0),
        dispatch: (leader, frame) => this.dispatch(leader, frame),
        // Only apply's worker knows. Sending once more is harmless: the dedupe table answers.
        lookup: () => "unknown",
        isRefusal: (bytes) => bytes[0] === resultNumbers.refused || isUnconfigured(bytes),
        isPassing: isUnconfigured,
        levelRefusal: (level) => host.features.refusal(level),
        failed: (reason) => host.ports.telemetry.count("trivet_raft_proposals_failed_total", 1, { reason }),
      },
      host.config.noLeaderWaitMs,
    );
    this.submissions = new ShardSubmissions(id, {
      now: () => host.ports.clock.now(),
      groupTime: () => host.groupTime.now(),
      newCaller: () => host.ports.random.hex(16),
      setRoute: (caller, route) => this.setRoute(caller, route),
      endRoute: (caller, route) => this.endRoute(caller, route),
      submitFrame: (frame) => this.submitFrame(frame),
      withdraw: (caller, sequence) => this.outbox.withdraw(caller, sequence),
      hasCopies: (caller, sequence) => this.outbox.hasCopies(caller, sequence),
      traces: host.traces,
      later: (run) => host.ports.clock.defer(run),
      markDirty: () => host.markDirty(),
    });
  }

  private get replica(): ShardGroup | null {
    return this.hosts.replica(this.id);
  }

  leader(): NodeId | null {
    const { replica } = this;
    return replica === null ? (this.hint?.node ?? null) : replica.group.leader();
  }

  /** Of who `leader` says. */
  leaderTerm(): number {
    return this.replica?.group.term() ?? this.hint?.term ?? 0;
  }

  /** As the others say, where they know of a later term than this node's replica. */
  leaderElsewhere(): NodeId | null {
    const own = this.replica?.group;
    return this.hint !== null && (own === undefined || this.hint.term >= own.term()) ? this.hint.node : (own?.leader() ?? null);
  }

  setRoute(caller: string, route: CallerRoute<Uint8Array>): void {
    this.outbox.setRoute(caller, route);
    this.waiting.add(caller);
    this.ended.delete(caller);
    this.began.add(caller);
  }

  endRoute(caller: string, route: CallerRoute<Uint8Array>): void {
    if (!this.outbox.endRoute(caller, route)) return;
    this.waiting.delete(caller);
    this.began.delete(caller);
    // Without a replica nobody was told of the caller, and nobody asks who is gone.
    if (this.replica !== null) this.ended.add(caller);
  }

  waitsFor(caller: string): boolean {
    return this.waiting.has(caller);
  }

  /** Since the last call; all of them after `forgetTold`. */
  takeRoutes(): { readonly routed: readonly string[]; readonly unrouted: readonly string[] } {
    const told = { routed: [...this.began], unrouted: [...this.ended] };
    this.began.clear();
    this.ended.clear();
    return told;
  }

  /** A worker, or a store, that knows of no callers. */
  forgetTold(): void {
    for (const caller of this.waiting) this.began.add(caller);
  }

  submitFrame(frame: Uint8Array): Unavailable | null {
    const { features, traces } = this.hosts.host;
    const refused = this.hosts.host.refusesWork(this.replica?.group.isLeader === true);
    // While somebody in the cluster knows of no order (decision 0022) it is what it was before: what clients can do alone.
    const knowsOrder = features.admits(featureLevels.ordered) || mutant("host-order-not-asked");
    const given = knowsOrder ? frame : withoutOrder(frame);
    if (traces.isOn) {
      traces.pass(frame, given);
      traces.note(given);
    }
    return refused ?? this.outbox.submit(given);
  }

  /** Answers that another node's apply gave for callers of this one. */
  answered(answers: readonly WorkerAnswer[]): void {
    for (const { caller, sequence, bytes, fingerprint, notAfter } of answers) {
      this.outbox.answer(caller, sequence, bytes, fingerprint, notAfter);
    }
    this.outbox.flush();
  }

  /** Somebody says that it leads this shard. */
  hinted(node: NodeId, at: number): void {
    if (this.hint !== null && at < this.hint.term) return;
    const isNews = this.hint?.node !== node || this.hint.term !== at;
    this.hint = { node, term: at };
    if (!isNews && !this.mayHaveMissed) return;
    this.mayHaveMissed = false;
    this.leaderChanged();
    // A node with a replica hears it from Raft; here it is the only news of a leader there is (decision 0008 §4).
    if (this.replica === null) this.hosts.readyAll();
    this.hosts.host.markDirty();
  }

  /** The node that led is gone; it may lead again, and says so. */
  lost(node: NodeId): void {
    if (this.hint?.node !== node) return;
    this.mayHaveMissed = true;
    this.outbox.resend(true);
  }

  leaderChanged(): void {
    this.outbox.resend(false);
  }

  private dispatch(leader: NodeId, frame: Uint8Array): boolean {
    const { host } = this.hosts;
    const { replica } = this;
    if (leader === host.config.node) return replica?.group.enqueue(frame) === true;
    host.markDirty();
    return host.hub.send(leader, { type: replica === null ? "forward-answer" : "forward", group: this.id, frame }, false);
  }
}

/** A shard that does not know the queue or namespace yet keeps no answer: another copy, under the same key, may still be executed. */
function isUnconfigured([first]: Uint8Array): boolean {
  return first === shardResultNumbers["not-configured"] || first === shardResultNumbers["no-namespace"];
}
