import {
  type CacheOrigin,
  defaultHostConfig,
  MemoryApplyWorker,
  MemoryClock,
  MemoryCrypto,
  MemoryFiles,
  MemoryNetwork,
  MemoryOrderedStores,
  MemoryPacking,
  MemoryRandom,
  MemoryTelemetry,
  NodeHost,
  type NodeHostConfig,
  type Outcome,
  type SubmitOptions,
  type Transport,
} from "@trivet/engine";
import { Prng } from "@trivet/core";
import type { AcquireLock, Command } from "@trivet/wire";
import type { MemorySpans } from "../memory-spans.ts";
import { faultyStores, StoreProblems } from "./faulty-stores.ts";

export interface Member {
  readonly url: string;
  readonly config: NodeHostConfig;
  readonly files: MemoryFiles;
  readonly telemetry: MemoryTelemetry;
  /** Of its shards; null = it takes part in none. */
  readonly stores: MemoryOrderedStores | null;
  readonly storeProblems: StoreProblems;
  host: NodeHost;
  view: ReturnType<MemoryClock["view"]>;
  failure: Error | null;
}

/** The transport of the node at `url`: for tests that give a node more addresses, or watch its links. */
export type TransportOf = (network: MemoryNetwork, url: string) => Transport;

/** What a callback was told; null until then. */
export class Told<T> {
  value: T | null = null;
  readonly hear = (value: T): void => {
    this.value = value;
  };
}

/** Real node hosts on in-memory ports and one virtual clock. */
export class Cluster {
  readonly clock = new MemoryClock();
  readonly network: MemoryNetwork;
  readonly members = new Map<string, Member>();
  private readonly prng: Prng;
  private readonly transportOf: TransportOf;
  /** Nodes added from here on hold shards. */
  withShards = false;
  /** What the apply worker of a program that starts from here on keeps of each store in memory; undefined = as a node does. */
  bufferedBytes: number | undefined = undefined;
  /** Where a node that starts from here on leaves its spans; null = it traces nothing. */
  spansOf: (node: string) => MemorySpans | null = () => null;
  /** Of all nodes, as they are at the time of each load. */
  readonly cacheOrigins: { redis?: CacheOrigin; postgres?: CacheOrigin } = {};

  constructor(seed = 1, transportOf: TransportOf = (network, url) => network.transport(url)) {
    this.prng = new Prng(seed);
    this.transportOf = transportOf;
    this.network = new MemoryNetwork(this.clock, { fate: () => ({ delaysMs: [0.1 + this.prng.next() * 0.4] }) });
  }

  static of(size: number, overrides: Partial<NodeHostConfig> = {}, seed = 1, transportOf?: TransportOf): Cluster {
    const cluster = new Cluster(seed, transportOf);
    return cluster.addAll(size, overrides);
  }

  static sharded(
    size: number,
    overrides: Partial<NodeHostConfig> = {},
    seed = 1,
    bufferedBytes?: number,
    spansOf: Cluster["spansOf"] = () => null,
  ): Cluster {
    const cluster = new Cluster(seed);
    cluster.spansOf = spansOf;
    cluster.withShards = true;
    cluster.bufferedBytes = bufferedBytes;
    return cluster.addAll(size, overrides);
  }

  private addAll(size: number, overrides: Partial<NodeHostConfig>): this {
    const urls = Array.from({ length: size }, (_, index) => `http://n${index + 1}`);
    for (const [index, url] of urls.entries()) this.add(`n${index + 1}`, url, { peers: urls, ...overrides });
    return this;
  }

  add(node: string, url: string, overrides: Partial<NodeHostConfig> = {}): Member {
    const config: NodeHostConfig = { ...defaultHostConfig, node, url, peers: [], ...overrides };
    const view = this.clock.view();
    const files = new MemoryFiles(view, { latencyMs: () => 0.1 });
    const telemetry = new MemoryTelemetry();
    const stores = this.withShards ? new MemoryOrderedStores(view, { latencyMs: () => 0.2 }) : null;
    const member: Member = {
      url,
      config,
      files,
      telemetry,
      stores,
      storeProblems: new StoreProblems(),
      view,
      failure: null,
      host: null as never,
    };
    this.members.set(node, member);
    this.boot(member);
    return member;
  }

  private applyWorker({ storeProblems, view }: Member, stores: MemoryOrderedStores): MemoryApplyWorker {
    const options = this.bufferedBytes === undefined ? {} : { bufferedBytes: this.bufferedBytes };
    return new MemoryApplyWorker(view, faultyStores(stores, storeProblems), { latencyMs: () => 0.05, ...options });
  }

  private boot(member: Member): void {
    member.failure = null;
    const spans = this.spansOf(member.config.node);
    spans?.tie(member.view);
    const ports = {
      clock: member.view,
      crypto: new MemoryCrypto(),
      files: member.files,
      packing: new MemoryPacking(),
      random: new MemoryRandom(this.prng.nextUint32()),
      ...(spans === null ? {} : { spans }),
      telemetry: member.telemetry,
      cacheOrigins: this.cacheOrigins,
      transport: this.transportOf(this.network, member.url),
      ...(member.stores === null ? {} : { applyWorker: this.applyWorker(member, member.stores) }),
    };
    const host = new NodeHost(ports, member.config, (error) => {
      member.failure = error;
    });
    member.host = host;
    host.start((error) => {
      member.failure = error;
    });
  }

  member(node: string): Member {
    const member = this.members.get(node);
    if (member === undefined) throw new Error(`no member ${node}`);
    return member;
  }

  /** kill -9: nothing more runs, unsynced writes may be lost. */
  kill(node: string): void {
    const member = this.member(node);
    member.view.kill();
    this.network.detach(member.url);
    member.files.crash(this.prng.fork());
    member.stores?.crash(this.prng.fork());
  }

  restart(node: string): void {
    const member = this.member(node);
    member.view = this.clock.view();
    member.files.clock = member.view;
    if (member.stores !== null) member.stores.clock = member.view;
    this.boot(member);
  }

  /** Starts a killed node again, with other settings, reached at `url`. */
  move(node: string, url: string, overrides: Partial<NodeHostConfig>): void {
    const member = this.member(node);
    this.members.set(node, { ...member, url, config: { ...member.config, url, ...overrides } });
    this.restart(node);
  }

  leader(): Member | null {
    const leaders = [...this.members.values()].filter((member) => member.host.system?.isLeader === true && !member.host.isStopped);
    const newest = Math.max(...leaders.map((member) => member.host.system?.term() ?? 0));
    return leaders.find((member) => member.host.system?.term() === newest) ?? null;
  }

  /** The leader and, in the order of their ids, the two that follow it. */
  roles(): { readonly leader: Member; readonly followers: readonly [Member, Member] } {
    const leader = this.leader();
    const [first, second] = [...this.members.values()].filter((member) => member !== leader);
    if (leader === null || first === undefined || second === undefined) throw new Error(`not three with a leader\n${this.describe()}`);
    return { leader, followers: [first, second] };
  }

  /** As the leader sees the lock; null without one. */
  lockStatus(name: string): string | null {
    return this.leader()?.host.machine?.lock(name).status ?? null;
  }

  run(ms: number): void {
    this.clock.advance(ms);
  }

  until(what: string, condition: () => boolean, limitMs = 20_000): void {
    const end = this.clock.now() + limitMs;
    while (!condition()) {
      if (this.clock.now() >= end) throw new Error(`not within ${limitMs} virtual ms: ${what}\n${this.describe()}`);
      this.clock.advance(5);
    }
  }

  untilReady(): void {
    this.until("all run and know a leader", () =>
      [...this.members.values()].every(({ host }) => host.phase === "running" && (host.system?.leader() ?? null) !== null),
    );
  }

  describe(): string {
    return [...this.members.values()]
      .map(
        ({ host, failure }) =>
          `${host.config.node} ${host.phase} ${host.phaseDetail} ${host.system?.raft.role} t${host.system?.term()} c${host.system?.raft.commitIndex} a${host.system?.appliedIndex} ${failure?.message ?? ""}`,
      )
      .join("\n");
  }

  submit(node: string, command: Command, timeoutMs = 5_000): Outcome {
    const told = this.begin(node, command, { timeoutMs });
    this.until(`answer to ${command.type} at ${node}`, () => told.value !== null);
    if (told.value === null) throw new Error(`no answer to ${command.type}`);
    return told.value;
  }

  /** Submits without waiting for the outcome. */
  begin(node: string, command: Command, options: SubmitOptions): Told<Outcome> {
    const told = new Told<Outcome>();
    this.member(node).host.api.submit(command, options, told.hear);
    return told;
  }
}

/** Three nodes that run and know their leader. */
export function ready(overrides: Partial<NodeHostConfig> = {}): Cluster {
  const cluster = Cluster.of(3, overrides);
  cluster.untilReady();
  return cluster;
}

export function acquire(name: string, owner: string, overrides: Partial<AcquireLock> = {}): AcquireLock {
  return {
    type: "acquire",
    actor: { session: 0, principal: "test", owner },
    keys: [{ name, mode: "exclusive", of: 0 }],
    ttlMs: 60_000,
    waitMs: 0,
    reentrant: false,
    anonymous: false,
    ...overrides,
  };
}
