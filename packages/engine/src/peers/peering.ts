import { groupId, type NodeId, nodeId } from "@trivet/core";
import { checkFrame, CodecError } from "@trivet/wire";
import { claimMethod, onClaim } from "../cache/claiming.ts";
import { askHomeMethod, onAskHome } from "../cache/home-calls.ts";
import type { Link } from "../ports/transport.ts";
import { onShardQuery } from "../shards/embedded-storage.ts";
import type { ShardWait } from "../shards/placement-waits.ts";
import type { ShardHas } from "../shards/shard-placement.ts";
import { onShardRequest } from "../shards/shard-requests.ts";
import type { Preparation } from "../members/bootstrap.ts";
import { maxQueuedProposalBytes } from "../base/limits.ts";
import { isReplaced, judgeLink } from "./link-policy.ts";
import type { JoinRequest, MemberRequest } from "../members/member-requests.ts";
import type { NodeHost } from "../node/node-host.ts";
import { PeerCalls } from "./peer-calls.ts";
import { type ForwardRefusal, type PeerHello, type PeerMessage, peerProtocol, type PeerRefusal } from "./peer-frames.ts";
import { PeerHub, type PeerHubOwner } from "./peer-hub.ts";
import { FailureDetector } from "./failure-detector.ts";
import { hasRoomFor } from "../calls/refusals.ts";
import { RemovalWatch } from "../members/removal.ts";
import type { StateAudit } from "../state-audit/state-audit.ts";
import { field } from "../state-audit/state-audit-fetch.ts";
import { systemGroup } from "../groups/system-machine.ts";
import { readsTracesMethod, TracedPeers } from "./traced-peers.ts";

const upkeepMs = 500;

/** What other nodes say to this one, and whom it keeps dialling. */
export class Peering implements PeerHubOwner {
  readonly hub: PeerHub;
  readonly calls: PeerCalls;
  readonly detector: FailureDetector;
  readonly removal: RemovalWatch;
  private readonly tracedPeers: TracedPeers;
  private lastUpkeep = Number.NEGATIVE_INFINITY;
  /** Dialled because a member had, or said, that address. */
  private readonly followed = new Set<string>();
  /** Processes that have said that they stop, by their nodes. */
  private readonly leaving = new Map<NodeId, string>();
  private readonly host: NodeHost;
  private readonly incarnation: string;

  constructor(host: NodeHost) {
    this.host = host;
    this.incarnation = host.ports.random.hex(8);
    this.hub = new PeerHub(host.ports, this, host.config.macKeys);
    this.calls = new PeerCalls(
      this.hub,
      host.ports.clock,
      (from, method, body, answer) => this.onCall(from, method, body, answer),
      () => host.markDirty(),
    );
    const { clock, telemetry } = host.ports;
    const prober = {
      probe: (peer: NodeId, timeoutMs: number) => this.calls.call(peer, "probe", null, () => undefined, timeoutMs),
      get isStopped() {
        return host.isStopped;
      },
    };
    this.detector = new FailureDetector(this.hub, clock, telemetry, prober, host.config.failureDetector);
    this.removal = new RemovalWatch(host);
    this.tracedPeers = new TracedPeers(host);
  }

  hello(): PeerHello {
    const { host } = this;
    return {
      protocol: peerProtocol,
      cluster: host.identity?.cluster ?? "",
      preparing: host.bootstrap?.preparing ?? "",
      node: host.config.node,
      storage: host.storage,
      url: host.config.url,
      roles: host.config.roles,
      shards: host.identity?.shards ?? host.config.shards,
      nonce: host.ports.random.hex(16),
      incarnation: this.incarnation,
      applied: host.system?.appliedIndex ?? 0,
      mac: host.config.macKeys.length > 0,
      level: host.features.own,
    };
  }

  judge(hello: PeerHello, link: Link): PeerRefusal | null {
    const { config, storage, identity } = this.host;
    const linked = this.hub.helloOf(nodeId(hello.node));
    const linkedStorage = linked !== null && linked.cluster !== "" && linked.cluster === identity?.cluster ? linked.storage : null;
    const facts = {
      config,
      storage,
      identity,
      registeredStorage: this.registeredStorage(hello.node),
      applied: this.host.system?.appliedIndex ?? 0,
      linkedStorage,
    };
    const refusal = judgeLink(facts, hello, link) ?? this.host.features.judge(hello);
    if (refusal?.code === "node") this.host.ports.telemetry.log("error", "peer.same-id", refusal.detail);
    return refusal;
  }

  private registeredStorage(node: string): string | null {
    // Asked for every message of a heartbeat: the list of them all, in order, is not made for it.
    const registry = this.host.machine?.registry.nodes;
    if (registry !== undefined && registry.size > 0) return registry.get(node)?.storage ?? null;
    return this.host.identity?.founders.find((founder) => founder.node === node)?.storage ?? null;
  }

  refused(address: string, refusal: PeerRefusal, believed: boolean): void {
    if (refusal.code === "self" && believed) {
      this.hub.dropTarget(address);
      this.host.bootstrap?.poke();
      return;
    }
    if (refusal.code === "storage" && believed) this.removal.removed(refusal.detail);
    if (refusal.code === "level" && believed) this.host.features.turnedAway(refusal.detail);
    this.host.ports.telemetry.log("error", "peer.refused", `${address}: ${refusal.detail}`, { address, code: refusal.code });
  }

  turnedAway(remote: string, refusal: PeerRefusal): void {
    const text = `a peer that came from ${remote} was turned away: ${refusal.detail}`;
    this.host.ports.telemetry.log("warn", "peer.turned-away", text, { address: remote, code: refusal.code });
  }

  peerUp(peer: NodeId, hello: PeerHello): void {
    const { host } = this;
    host.bootstrap?.poke();
    if (host.system?.leader() === peer) host.outbox.resend(true);
    host.shards?.linkLost(peer);
    host.shards?.peerUp();
    if (hello.cluster !== "") this.follow(hello.url);
    host.markDirty();
  }

  linkLost(peer: NodeId): void {
    if (this.host.system?.leader() === peer) this.host.outbox.resend(true);
    this.host.shards?.linkLost(peer);
    this.host.markDirty();
  }

  peerDown(peer: NodeId, reason: string): void {
    const { host } = this;
    // A follower that stands for election because of it counts from now, not from its last beat: else those draws that are shorter than that would all be over at once.
    if (!host.isStopped) host.ticks.catchUp();
    this.calls.peerDown(peer);
    host.ports.telemetry.log(host.identity === null ? "debug" : "info", "peer.lost", `lost ${peer}: ${reason}`, { peer, reason });
    host.system?.raft.step({ type: "peer-down", peer });
    host.shards?.peerDown(peer);
    host.bootstrap?.poke();
    host.markDirty();
  }

  groupTime(): number {
    return this.host.system?.isLeader === true ? this.host.groupTime.now() : 0;
  }

  traced(to: NodeId, message: PeerMessage): PeerMessage {
    return this.host.traces.isOn ? this.tracedPeers.under(to, message) : message;
  }

  batch(from: NodeId, hello: PeerHello, groupTime: number, messages: readonly PeerMessage[]): void {
    const { host } = this;
    if (host.isStopped) return;
    try {
      host.ticks.catchUp();
      if (groupTime > 0) host.groupTime.heard(groupTime);
      for (const message of messages) this.onMessage(from, hello, message);
    } catch (error) {
      // What a peer sends may be wrong; only our own state may be broken beyond use.
      if (error instanceof CodecError || error instanceof SyntaxError) this.hub.dropPeer(from, `malformed message: ${error.message}`);
      else host.fatal(error);
    }
  }

  private onMessage(from: NodeId, hello: PeerHello, message: PeerMessage): void {
    const { host } = this;
    switch (message.type) {
      case "raft":
        if (!this.isMemberLink(hello)) break;
        if (message.group === systemGroup) host.system?.receive(message.message);
        else host.shards?.receive(message.group, message.message);
        break;
      case "forward":
      case "forward-answer":
        if (message.group === systemGroup) this.onForward(from, message.frame);
        else host.shards?.forwarded(from, message.group, message.frame, message.type === "forward-answer");
        break;
      case "forward-refused": {
        const { caller, code, firstSequence, group, retryAfterMs } = message;
        if (group === systemGroup) host.outbox.refused(caller, firstSequence, code, retryAfterMs);
        else host.shards?.refused(group, caller, firstSequence, code, retryAfterMs);
        break;
      }
      case "shard-answers":
        host.shards?.answered(message.group, message.answers);
        break;
      case "leads":
        host.shards?.leads(from, message.groups);
        break;
      case "ready":
        host.queuing.embedded.ready(message.hint.queue, message.hint.partition, message.hint.group);
        break;
      case "to-home":
        if (this.isMemberLink(hello)) host.caching.toHome(from, hello.storage, message.group, message.message);
        break;
      case "to-holder":
        if (this.isMemberLink(hello)) host.caching.toHolder(from, message.group, message.message);
        break;
      case "program-to-home":
        if (this.isMemberLink(hello)) host.caching.programToHome(message.program, from, message.group, message.message);
        break;
      case "to-program":
        if (this.isMemberLink(hello)) host.caching.programs.deliver(message.program, message.group, message.message);
        break;
      case "traced":
        host.traces.spans.within(message.trace, () => this.onMessage(from, hello, message.message));
        break;
      case "call":
        this.calls.onCall(from, message.id, message.method, message.json);
        break;
      case "answer":
        this.calls.onAnswer(from, message.id, message.json);
        break;
    }
  }

  /**
   * A node with an empty disk under a known id has a link to ask to join, and a replaced disk may still have one from before: Raft messages
   * of either mean nothing (rule G5).
   */
  private isMemberLink(hello: PeerHello): boolean {
    if (hello.cluster !== this.host.identity?.cluster) return false;
    return !isReplaced(this.registeredStorage(hello.node), this.host.system?.appliedIndex ?? 0, hello);
  }

  /** Called every few ticks. */
  tick(now: number): void {
    this.removal.tick(now);
    if (now - this.lastUpkeep < upkeepMs) return;
    this.lastUpkeep = now;
    this.tracedPeers.ask(now);
    this.dialRegistered();
    this.dropReplaced();
  }

  /** Closes links of disks that were replaced. */
  private dropReplaced(): void {
    for (const node of this.hub.connected()) {
      const hello = this.hub.helloOf(node);
      if (hello !== null && hello.cluster !== "" && hello.cluster === this.host.identity?.cluster && !this.isMemberLink(hello)) {
        this.hub.dropPeer(node, `${node} has been given another disk`);
      }
    }
  }

  private onForward(from: NodeId, frame: Uint8Array): void {
    const header = checkFrame(frame);
    const { system } = this.host;
    const refuse = (code: ForwardRefusal): void => {
      const { caller, firstSequence } = header;
      this.hub.send(from, { type: "forward-refused", group: systemGroup, caller, firstSequence, code, retryAfterMs: 50 }, true);
      this.host.markDirty();
    };
    if (system === null || !system.isLeader) refuse("not_leader");
    else if (!this.host.features.admits(header.level)) refuse(this.host.features.cluster === null ? "not_leader" : "feature_level");
    else if (system.raft.canPropose() === "uncommitted-bytes" || system.queuedBytes > maxQueuedProposalBytes) refuse("overloaded");
    else if (!hasRoomFor(this.host.disk, () => header.isAnchors)) refuse("storage");
    else if (!system.enqueue(frame)) refuse("not_leader");
  }

  /** A call that this node would otherwise send to itself. */
  localCall(method: string, body: unknown, answer: (reply: unknown) => void): void {
    this.onCall(nodeId(this.host.config.node), method, body, answer);
    this.host.markDirty();
  }

  /** Alive, and not about to stop: a group may be led there. */
  mayLead(peer: NodeId): boolean {
    return this.detector.isAlive(peer) && this.leaving.get(peer) !== this.hub.helloOf(peer)?.incarnation;
  }

  private onCall(from: NodeId, method: string, body: unknown, answer: (reply: unknown) => void): void {
    const { host } = this;
    switch (method) {
      case "prepare-founding":
        if (host.bootstrap === null)
          answer({ ok: false, reason: `${host.config.node} already belongs to cluster ${host.identity?.cluster ?? "?"}` });
        else host.bootstrap.onPrepare(body as Preparation, answer);
        break;
      case "commit-founding":
        answer({ ok: host.bootstrap?.onCommit(body as Preparation) ?? host.identity?.cluster === (body as Preparation).cluster });
        break;
      case "join":
        this.onJoin(body as JoinRequest, answer);
        break;
      case "probe":
      case readsTracesMethod:
        answer(true);
        break;
      case "leaving":
        this.leaving.set(from, this.hub.helloOf(from)?.incarnation ?? "");
        answer(true);
        break;
      case "is-member":
        this.removal.onAsked(body, answer);
        break;
      case "shard-query":
        if (host.shards === null) answer(null);
        else onShardQuery(host.shards, body, answer);
        break;
      case "shard-request":
        if (host.shards === null) answer(null);
        else onShardRequest(host.shards, body, answer);
        break;
      case askHomeMethod:
        onAskHome(host, body, answer);
        break;
      case claimMethod:
        onClaim(host, body, answer);
        break;
      case "shard-has":
        if (host.shards === null) answer(null);
        else host.shards.placement.hasMember(body as ShardHas, answer);
        break;
      case "shard-waits":
        host.shards?.placement.waits.heard(from, body as readonly ShardWait[]);
        answer(true);
        break;
      case "change-members":
        this.onChangeMembers(body as { readonly request: MemberRequest; readonly timeoutMs: number }, answer);
        break;
      default:
        if (host.cache.reports.onCall(method, body, answer)) break;
        if (this.auditOf(body)?.onCall(method, body, answer) !== true) host.queries.onCall(method, body, answer);
    }
  }

  /** Whose state a question of rule W7 is about. */
  private auditOf(body: unknown): StateAudit | null {
    const group = field(body, "group");
    const { shards, system } = this.host;
    const asked = typeof group === "number" && group !== systemGroup ? shards?.replica(groupId(group))?.group : system;
    return asked?.audit ?? null;
  }

  private onJoin(request: JoinRequest, answer: (reply: unknown) => void): void {
    const { host } = this;
    const leader = host.system?.leader() ?? null;
    if (host.members === null) answer({ ok: false, reason: `${host.config.node} is not a member yet` });
    else if (host.system?.isLeader === true) answer(host.members.join(request));
    else if (leader === null) answer({ ok: false, reason: "the cluster has no leader now" });
    else this.calls.call(leader, "join", request, answer);
  }

  private onChangeMembers(body: { readonly request: MemberRequest; readonly timeoutMs: number }, answer: (reply: unknown) => void): void {
    const { members, system } = this.host;
    if (members === null || system?.isLeader !== true) answer(null);
    else members.changeMembers(body.request, body.timeoutMs, answer);
  }

  dialListed(): void {
    const { config } = this.host;
    this.detector.start();
    for (const address of [...config.peers, ...config.join]) if (address !== config.url) this.hub.addTarget(address);
  }

  /** Members by the log; before it is known, the founders. */
  dialRegistered(): void {
    const { host } = this;
    const known = host.machine?.nodes() ?? [];
    for (const node of known.length > 0 ? known : (host.identity?.founders ?? [])) {
      if (node.node !== host.config.node && node.url !== "" && !this.hub.isUp(nodeId(node.node))) this.follow(node.url);
    }
    if (known.some(({ node }) => node === host.config.node)) this.dropDoors(known.map(({ url }) => url));
  }

  private follow(address: string): void {
    this.followed.add(address);
    this.hub.addTarget(address);
  }

  /** The addresses to join by have served, and members may have moved: those that no member has need not be dialled for ever. */
  private dropDoors(members: readonly string[]): void {
    const { join, peers } = this.host.config;
    for (const address of new Set([...join, ...this.followed]))
      if (!members.includes(address) && !peers.includes(address) && this.hub.dropUnlinked(address)) this.followed.delete(address);
  }
}
