import type { ClientTarget, Service } from "../clients/protocol.ts";
import type { Participant } from "../measure/window.ts";
import type { ProcessKeeper } from "../processes.ts";

export const subjectNames = [
  "trivet",
  "trivet-redis-everysec",
  "trivet-redis-always",
  "floor",
  "etcd",
  "redis",
  "bullmq",
  "nats",
  "nats-always",
  "rabbitmq",
  "lru-cache",
  "cacheable",
  "node-redis",
] as const;
export type SubjectName = (typeof subjectNames)[number];

/** What a subject needs to start. */
export interface SubjectContext {
  readonly keeper: ProcessKeeper;
  /** Empty folder for data and logs; removed after the measurement. */
  readonly directory: string;
  /** Makes our own processes collect garbage when told to (lock-million weighs live data, not garbage). */
  readonly collectable?: boolean;
  /** Bytes of a command of the floor. */
  readonly recordBytes?: number;
}

/** Who leads, as the nodes say. A changed `term` is a leader change, even back to the same node. */
export interface Leadership {
  readonly leader: string;
  readonly term: number;
}

/** What a node says about itself, of all Raft groups it takes part in. */
export interface Vitals {
  /** Times it became the leader of a group since it started, as was planned or not. */
  readonly leaderChanges: number;
  /** Times it heard no leader of a group for so long that it asked whether an election could be won. */
  readonly heartbeatsMissed: number;
  /** Groups of which it knows no leader. */
  readonly leaderless: number;
  /** The longest delay of its event loop since it was asked before. */
  readonly loopDelayMs: number;
}

export interface RunningNode {
  readonly name: string;
  readonly pid: number;
  /** Absent: it does not say. */
  vitals?(): Promise<Vitals>;
  /** Bytes on disk of what it keeps for queues, without its log. Absent: not known. */
  storedBytes?(): number;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on its data; ready when `RunningSubject.healthy` says so. */
  restart(): void;
}

/** A subject with all its processes up. */
export interface RunningSubject {
  readonly nodes: readonly RunningNode[];
  /** Null where there is no leader to ask for. */
  leadership(): Promise<Leadership | null>;
  /** Resolves when every node takes part again. */
  healthy(timeoutMs: number): Promise<void>;
  /** Server processes with their present roles. */
  participants(): Promise<readonly Participant[]>;
  /** Sync calls of all nodes so far, by the subject's own counters; null when it does not count them. */
  fsyncs(): Promise<number | null>;
  target(transport: "native" | "http"): Promise<ClientTarget>;
  /** The node that decides about the first partition of a queue; null where nobody does. */
  queueLeader(queue: string): Promise<string | null>;
  stop(): Promise<void>;
}

/** What a subject can do as a queue. */
export interface QueueAbilities {
  /** Only takes messages (the floor). */
  readonly consumes: boolean;
  /** Order within keys whatever the number of consumers. */
  readonly keys: boolean;
  readonly groups: boolean;
  /** S4's three calls over plain HTTP. */
  readonly aliases: boolean;
}

/** What a subject can do as a cache. */
export interface CacheAbilities {
  /** Keeps values in the process that asks. */
  readonly copies: boolean;
  /** What one process writes others read. */
  readonly shared: boolean;
}

export interface Subject {
  readonly name: SubjectName;
  readonly services: readonly Service[];
  /** Workloads that measure it; absent: every one that it can take part in. */
  readonly onlyIn?: readonly string[];
  /** Null for one that is no queue. */
  readonly queues: QueueAbilities | null;
  /** Null for one that is no cache. */
  readonly cache: CacheAbilities | null;
  /** Stated beside every figure. */
  readonly durability: string;
  /** Short name of the wire its client uses. */
  readonly transport: string;
  /** How the client talks to it, for people. */
  readonly wire: string;
  /** Whether a killed leader is followed by another one. */
  readonly failsOver: boolean;
  /** Whether locks stay held without calls (lock-million). */
  readonly keepsLocks: boolean;
  /** Its nodes collect garbage on SIGUSR2 when started `collectable`. */
  readonly collectable: boolean;
  /** Offers plain HTTP beside its native wire. */
  readonly http: boolean;
  start(context: SubjectContext): Promise<RunningSubject>;
}
