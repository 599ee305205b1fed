import { type GroupId, type HolderState, type Moment, type NodeId, nodeId, type SystemState } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { HolderId, HolderMessage, HomeMessage } from "@trivet/wire";
import { CacheService } from "../cache/cache-service.ts";
import { Copies } from "../cache/copies.ts";
import { HolderHost } from "../cache/holder-host.ts";
import { holderId, nodeOfHolder, programHolder, programOfHolder } from "../cache/holder-ids.ts";
import { keyOfLine } from "../cache/lines.ts";
import { nextLife } from "../cache/lives.ts";
import { plainRecord } from "../cache/packed-values.ts";
import { ProgramReads } from "../cache/program-reads.ts";
import { Programs } from "../cache/programs.ts";
import { tellWithdrawal } from "../cache/told-withdrawals.ts";
import { Transitions } from "../cache/transitions.ts";
import { Watches } from "../cache/watches.ts";
import type { NodeApi } from "./node-api.ts";
import { maxValueBytesPerFrame } from "../base/limits.ts";
import type { NodeHost } from "./node-host.ts";
import type { PeerMessage } from "../peers/peer-frames.ts";

type Local =
  /** `program` null = of this node's own holder. */
  | { readonly to: "home"; readonly group: GroupId; readonly message: HolderMessage; readonly program: string | null }
  | { readonly to: "holder"; readonly group: GroupId; readonly message: HomeMessage };

/** What a node has to do with cached values: a holder for each shard, the way to the shards' homes, and the service that finds values by name. */
export class NodeCache {
  readonly copies: Copies;
  readonly transitions: Transitions = new Transitions();
  readonly watches: Watches;
  readonly programs: Programs;
  readonly programReads: ProgramReads;
  readonly service: CacheService;
  private readonly host: NodeHost;
  private readonly nameOf: (namespace: number) => string | null;
  private readonly holders = new Map<GroupId, HolderHost>();
  private readonly byState = new Map<HolderState, HolderHost>();
  /** Between a holder and a home of this same node: delivered within the turn, never inside a step. */
  private local: Local[] = [];
  /** Null = not known yet: nobody holds anything. Asked for when it is first needed. */
  private firstIncarnation: number | null = null;
  private isAsking = false;
  /** Of this turn, since the last frame that was sent for their sake. */
  private valueBytes = 0;

  constructor(host: NodeHost, api: NodeApi, state: () => SystemState | null) {
    this.host = host;
    this.nameOf = (namespace) => state()?.namespaceByNumber(namespace)?.name ?? null;
    this.copies = new Copies(host.config.cache, {
      settings: (namespace) => state()?.namespaceByNumber(namespace)?.settings ?? null,
      evict: (copy) => this.byState.get(copy.holder)?.evict(copy),
      seed: () => host.ports.random.nextUint32(),
    });
    this.watches = new Watches({
      clock: host.ports.clock,
      newName: () => host.ports.random.hex(4),
      shards: () => host.shards?.count ?? 0,
      isHere: (group) => (host.shards?.replica(group) ?? null) !== null,
      namespaceNumbered: this.nameOf,
      isUnheard: (namespace) => namespace > (state()?.lastNamespace() ?? 0),
    });
    this.programs = new Programs({
      self: nodeId(host.config.node),
      packing: host.ports.packing,
      shards: () => host.shards?.count ?? 0,
      namespace: (name) => state()?.namespace(name) ?? null,
      connected: () => host.hub.connected(),
      isUp: (node) => host.hub.isUp(node),
      toHome: (program, group, message) => this.sendToHome(group, message, program),
      read: (...asked) => this.programReads.answer(...asked),
      toNode: (node, program, group, message) => this.send(node, { type: "to-program", program, group, message }, sizeOf(message)),
    });
    this.programReads = new ProgramReads({
      copies: this.copies,
      now: () => this.now(),
      settings: (namespace) => state()?.namespaceByNumber(namespace)?.settings ?? null,
      holder: (group) => this.holder(group),
      tell: (program, group, message) => void this.programs.deliver(program, group, message),
    });
    this.service = new CacheService({ host, cache: this, api, state });
  }

  private begin(): void {
    if (this.isAsking) return;
    this.isAsking = true;
    nextLife(this.host.ports, (error, firstIncarnation) => {
      if (error !== null) return this.host.fatal(error);
      this.firstIncarnation = firstIncarnation;
      return this.host.markDirty();
    });
  }

  /** Null while this node is no member yet, or takes part in no shards; and at first, until it knows under which life it holds something. */
  holder(group: GroupId): HolderHost | null {
    const known = this.holders.get(group);
    if (known !== undefined) return known;
    const { firstIncarnation, host } = this;
    if (host.shards === null || host.isStopped) return null;
    if (firstIncarnation === null) {
      this.begin();
      return null;
    }
    const holder = new HolderHost(this.self, firstIncarnation, {
      group,
      traces: host.traces,
      copies: this.copies,
      transitions: this.transitions,
      now: () => this.now(),
      send: (message) => this.sendToHome(group, message),
    });
    this.holders.set(group, holder);
    this.byState.set(holder.state, holder);
    this.hearHome(group, holder);
    return holder;
  }

  private now(): Moment {
    const { clock } = this.host.ports;
    return { steady: clock.now(), wall: clock.wallNow() };
  }

  all(): Iterable<readonly [GroupId, HolderHost]> {
    return this.holders;
  }

  /** Is somebody who leads the shard within reach, as far as is known here? */
  isLed(group: GroupId): boolean {
    const leader = this.host.shards?.entry(group)?.leader() ?? null;
    return leader !== null && (leader === this.host.config.node || this.host.hub.isUp(leader));
  }

  get openWrites(): number {
    let open = 0;
    for (const holder of this.holders.values()) open += holder.openWrites;
    return open;
  }

  // ── Messages between holders and homes ──

  /** A holder is a node with its disk: who has the node's name but not its disk is another one, and holds copies of its own (rule G5). */
  private get self(): HolderId {
    return holderId(this.host.config.node, this.host.storage);
  }

  sendToHolder(group: GroupId, to: HolderId, message: HomeMessage): void {
    const program = programOfHolder(to);
    if (program !== null) this.programs.send(program, group, message);
    else if (to === this.self) this.local.push({ to: "holder", group, message });
    else this.send(nodeId(nodeOfHolder(to)), { type: "to-holder", group, message }, sizeOf(message));
    this.host.markDirty();
  }

  /** Values may be lost: who lacks one asks again. What is small takes things from holders, and always goes. */
  private send(to: NodeId, message: PeerMessage, bytes: number): void {
    const { hub } = this.host;
    if (bytes > 0 && hub.isCongested(to)) return;
    hub.send(to, message, false);
    this.valueBytes += bytes;
    if (this.valueBytes < maxValueBytesPerFrame) return;
    this.valueBytes = 0;
    hub.flush();
  }

  private sendToHome(group: GroupId, message: HolderMessage, program: string | null = null): void {
    const leader = this.host.shards?.entry(group)?.leader() ?? null;
    // Whoever leads next is told then; what is lost is sent again.
    if (leader === null) return;
    if (this.host.traces.isOn) this.host.traces.note(message);
    const bytes = message.type === "write" ? message.command.length : 0;
    if (leader === this.host.config.node) this.local.push({ to: "home", group, message, program });
    else if (program === null) this.send(leader, { type: "to-home", group, message }, bytes);
    else this.send(leader, { type: "program-to-home", program, group, message }, bytes);
    this.host.markDirty();
  }

  /** From the holder at a node with that disk. */
  toHome(node: string, storage: string, group: GroupId, message: HolderMessage): void {
    this.host.shards?.replica(group)?.home.receive(holderId(node, storage), message);
  }

  /** From a program, through that node. */
  programToHome(program: string, through: NodeId, group: GroupId, message: HolderMessage): void {
    this.programs.heard(program, through);
    this.host.shards?.replica(group)?.home.receive(programHolder(program), message);
  }

  toHolder(from: NodeId, group: GroupId, message: HomeMessage): void {
    this.handOver(from, group, owned(message));
  }

  private handOver(from: string, group: GroupId, message: HomeMessage): void {
    const holder = this.holder(group);
    const plain = holder === null ? null : this.unpacked(message, group);
    if (holder === null || plain === null) return;
    tellWithdrawal(this.host.ports.telemetry, holder.state, message, from, this.nameOf);
    holder.receive(plain);
  }

  /** Copies are kept as they are read: a hit unpacks nothing (decision 0024). Null = it cannot be unpacked, and is as good as lost. */
  private unpacked(message: HomeMessage, group: GroupId): HomeMessage | null {
    if ((message.type !== "data" && message.type !== "done") || mutant("packing-told-packed")) return message;
    const { packing, telemetry } = this.host.ports;
    const record = plainRecord(packing, message.record);
    if (record !== null) return { ...message, record };
    telemetry.log("error", "cache.unpack", "a cached value cannot be unpacked; who reads it gets no answer", {
      group,
      key: keyOfLine(message.line)[1],
    });
    return null;
  }

  // ── Turns and ticks ──

  pump(): void {
    this.valueBytes = 0;
    for (const [group, holder] of this.holders) this.hearHome(group, holder);
    while (this.local.length > 0) {
      for (const local of this.local.splice(0)) this.deliver(local);
    }
  }

  private deliver(local: Local): void {
    const { node } = this.host.config;
    if (local.to === "holder") this.handOver(node, local.group, local.message);
    else if (local.program === null) this.toHome(node, this.host.storage, local.group, local.message);
    else this.programToHome(local.program, nodeId(node), local.group, local.message);
  }

  tick(now: number): void {
    if (this.holders.size > 0) {
      const moment = { steady: now, wall: this.host.ports.clock.wallNow() };
      for (const holder of this.holders.values()) holder.tick(moment);
    }
    this.watches.tick();
  }

  /** When the next tick has something to do. */
  tickAt(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const holder of this.holders.values()) at = Math.min(at, holder.tickAt);
    return at;
  }

  /** Before this node goes: nobody has to wait for its leases. */
  leave(): void {
    if (mutant("cache-node-leaves-silently")) return;
    for (const holder of this.holders.values()) holder.leave();
  }

  /** Every call under way gets its outcome. */
  stop(): void {
    this.watches.stop();
    for (const holder of this.holders.values()) holder.stop();
  }

  private hearHome(group: GroupId, holder: HolderHost): void {
    const entry = this.host.shards?.entry(group);
    if (entry !== undefined && entry !== null && entry.leader() !== null) holder.hearHome(entry.leaderTerm());
  }
}

function sizeOf(message: HomeMessage): number {
  return message.type === "data" || message.type === "done" ? (message.record.value?.length ?? 0) : 0;
}

/** What a copy keeps must not keep the whole frame that it came in. */
function owned(message: HomeMessage): HomeMessage {
  if (message.type !== "data" && message.type !== "done") return message;
  const { record } = message;
  const copied = { ...record, value: record.value?.slice() ?? null };
  if (message.type === "data") return { ...message, record: copied };
  return { ...message, record: copied, outcome: { ...message.outcome, answer: message.outcome.answer.slice() } };
}
