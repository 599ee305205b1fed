import { logIndex, nodeId, term, type NodeId, type RaftMessage } from "@trivet/core";
import { Cluster, payloadOf } from "../cluster.ts";
import { argumentsOf, type Directive } from "./data.ts";

/**
 * Replays etcd's interaction scripts: the same commands, at the same points of the pipeline. A message leaves a node only at its
 * `process-ready`, which also makes its writes durable; `deliver-msgs` hands over what has left.
 */
export class InteractionScript {
  readonly c: Cluster;
  /** Messages of the network that a `process-ready` has released. */
  private readonly released = new Set<RaftMessage>();
  private readonly voters: string[];
  private readonly startIndex: number;
  /** etcd without PreVote and stickiness: elections are forced, as by a transfer. */
  private readonly forced: boolean;
  private readonly clocks = new Map<NodeId, number>();

  constructor(first: Directive) {
    const { words, named } = argumentsOf(first.command);
    this.voters = named.get("voters") ?? [];
    this.startIndex = Number(named.get("index")?.[0] ?? 0);
    this.forced = !named.has("prevote") && !named.has("checkquorum");
    const inflight = named.get("inflight")?.[0];
    this.c = new Cluster({
      voters: [],
      config: {
        snapshotChunkBytes: 1 << 20,
        // etcd sends a message per proposal; so does this runner, taking effects after each.
        ...(inflight === undefined ? {} : { maxInflightMessages: Number(inflight) }),
      },
    });
    this.addNodes(Number(words[1]), this.voters, named.get("learners") ?? [], this.startIndex);
  }

  run(directive: Directive): void {
    const { words, named } = argumentsOf(directive.command);
    const [command, ...args] = words;
    const id = args[0] ?? "";
    switch (command) {
      case "log-level":
        return;
      case "add-nodes":
        return this.addNodes(Number(id), named.get("voters") ?? [], named.get("learners") ?? [], Number(named.get("index")?.[0] ?? 0));
      case "campaign":
        return this.campaign(id);
      case "propose":
        return this.c.propose(id, (args[1] ?? "").replaceAll('"', ""));
      case "propose-conf-change":
        return this.changeMembership(id, directive.input.join(" "));
      case "process-ready":
        for (const node of args) this.processReady(node);
        return;
      case "deliver-msgs":
        return this.deliver(args, named.get("drop") ?? [], named.get("type")?.[0]);
      case "stabilize":
        return this.stabilize(args);
      case "tick-heartbeat":
        return this.tick(id, 50, 50);
      case "tick-election":
        return this.tick(id, this.c.group(id).role === "leader" ? 350 : 300, 50);
      case "set-randomized-election-timeout":
        return;
      case "compact":
        return this.c.compact(id, this.c.node(id).appliedIndex - Number(args[1]));
      case "report-unreachable":
        return this.c.step(id, { type: "peer-down", peer: nodeId(args[1] ?? "") });
      case "transfer-leadership":
        return this.c.transfer(named.get("from")?.[0] ?? "", named.get("to")?.[0] ?? "");
      case "raft-state":
      case "raft-log":
      case "status":
        return;
      default:
        throw new Error(`${directive.file}:${directive.line}: no such command here: ${directive.command}`);
    }
  }

  settle(): void {
    this.stabilize([]);
  }

  // ── What the script shows, normalised ─────────────────────────────────────────────────────────────────────────────

  /** `term/index "data"`; entries without client data (no-ops, configurations) are told apart from the others only. */
  raftLog(id: string): string[] {
    const { group } = this.c.node(id);
    return group
      .entries(group.firstIndex, group.lastIndex, Infinity)
      .map((e) => `${e.term}/${e.index} ${e.kind === "command" ? new TextDecoder().decode(e.payload) : e.kind}`);
  }

  /** `peer: state match`; etcd's line of the leader itself is its durable index. */
  status(id: string): string[] {
    const { group } = this.c.node(id);
    const lines = group.progress().map((p) => `${p.peer}: ${p.state} ${p.match}`);
    return [...lines, `${id}: replicate ${group.durableIndex}`].sort();
  }

  raftState(): string[] {
    return [...this.c.nodes.values()].map(({ id, group }) => {
      const voter = group.membership.voters.includes(id) || group.membership.outgoing.includes(id);
      return `${id}: ${group.role} ${voter ? "voter" : "non-voter"} ${group.leader ?? "0"}`;
    });
  }

  // ── Commands ──────────────────────────────────────────────────────────────────────────────────────────────────────

  private addNodes(count: number, voters: readonly string[], learners: readonly string[], index: number): void {
    for (let i = 0; i < count; i++) {
      const id = String(this.c.nodes.size + 1);
      const membership = { voters: voters.map(nodeId), outgoing: [], learners: learners.map(nodeId), learnersNext: [], autoLeave: false };
      const data = payloadOf("[]");
      const meta = {
        id: `start-${index}`,
        index: logIndex(index),
        term: term(0),
        membership,
        membershipIndex: logIndex(0),
        bytes: data.length,
      };
      this.c.createFrom(id, {
        membership,
        membershipIndex: logIndex(index),
        ...(index > 0 ? { snapshot: { meta, data }, commit: meta.index } : {}),
      });
    }
  }

  private campaign(id: string): void {
    const { group } = this.c.node(id);
    if (!this.forced) return this.c.campaign(id);
    const from = [...this.c.nodes.keys()].find((other) => other !== id) ?? nodeId("nobody");
    this.c.step(id, { type: "message", message: { type: "timeout-now", from, to: nodeId(id), term: group.term } });
  }

  private changeMembership(id: string, operations: string): void {
    const named = (kind: string): string[] =>
      operations
        .split(/\s+/)
        .filter((operation) => operation.startsWith(kind))
        .map((operation) => operation.slice(1));
    // etcd takes a change before the leader's own-term entry is committed; Trivet does not (mutant 20), so let it be.
    for (let i = 0; i < 3 && !this.c.group(id).ownTermCommitted; i++) this.stabilize([id]);
    this.c.change(id, { addVoters: named("v"), addLearners: named("l"), remove: named("r") });
  }

  private processReady(id: string): boolean {
    const node = this.c.node(id);
    this.c.take(node);
    const writes = node.writes.length;
    const before = this.c.network.length;
    for (const message of this.c.network) if (message.from === id) this.released.add(message);
    const held = new Set(this.c.network);
    const durable = new Set(node.writes.flatMap((write) => write.messages));
    for (let i = 0; i < writes; i++) this.c.flushOne(node);
    // What these writes held back leaves now; what their completion caused waits for the next time.
    for (const message of this.c.network) if (!held.has(message) && durable.has(message)) this.released.add(message);
    return writes > 0 || this.c.network.length > before;
  }

  private deliver(to: readonly string[], drop: readonly string[], type?: string): void {
    const wanted = (message: RaftMessage): boolean =>
      this.released.has(message) && (type === undefined || (type === "MsgApp" && message.type === "append"));
    const due = this.c.network.filter((message) => wanted(message) && [...to, ...drop].includes(message.to));
    this.c.network = this.c.network.filter((message) => !due.includes(message));
    for (const message of due) {
      this.released.delete(message);
      if (!drop.includes(message.to)) this.c.deliver(message);
    }
  }

  private stabilize(ids: readonly string[]): void {
    const among = ids.length === 0 ? [...this.c.nodes.keys()] : ids;
    for (let round = 0; round < 1000; round++) {
      let busy = false;
      for (const id of among) {
        const node = this.c.node(id);
        const unreleased = this.c.network.some((message) => message.from === id && !this.released.has(message));
        if (node.group.hasEffects() || node.writes.length > 0 || unreleased) {
          busy = true;
          this.processReady(id);
        }
      }
      for (const id of among) {
        if (!this.c.network.some((message) => message.to === id && this.released.has(message))) continue;
        busy = true;
        this.deliver([id], []);
      }
      if (!busy) return;
    }
    throw new Error("does not stabilize");
  }

  /** Time passes for one node only. */
  private tick(id: string, ms: number, stepMs: number): void {
    const node = this.c.node(id);
    let at = this.clocks.get(node.id) ?? this.c.now;
    for (let passed = 0; passed < ms; passed += stepMs) {
      at += stepMs;
      node.group.step({ type: "tick", now: at });
      this.c.take(node);
    }
    this.clocks.set(node.id, at);
  }
}
