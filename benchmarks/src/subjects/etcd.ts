import { join } from "node:path";
import { freePorts, waitFor } from "../waiting.ts";
import { tailOf, type Started } from "../processes.ts";
import { counterIn } from "../measure/prometheus.ts";
import type { Leadership, RunningSubject, Subject, SubjectContext } from "./subject.ts";

const startMs = 30_000;
const requestMs = 2000;

interface StatusReply {
  readonly header: { readonly member_id: string; readonly raft_term: string };
  readonly leader?: string;
}

class EtcdNode {
  readonly name: string;
  readonly url: string;
  readonly #context: SubjectContext;
  readonly #args: readonly string[];
  process: Started;

  constructor(context: SubjectContext, name: string, url: string, args: readonly string[]) {
    this.#context = context;
    this.name = name;
    this.url = url;
    this.#args = args;
    this.process = this.#launch();
  }

  #launch(): Started {
    const { keeper, directory } = this.#context;
    return keeper.start("etcd", this.#args, { name: `etcd ${this.name}`, logPath: join(directory, `${this.name}.out`) });
  }

  get pid(): number {
    return this.process.pid;
  }

  kill(): Promise<void> {
    return this.#context.keeper.kill(this.process);
  }

  restart(): void {
    this.process = this.#launch();
  }

  async status(): Promise<{ readonly member: string; readonly leader: string | null; readonly term: number }> {
    if (!this.#context.keeper.isRunning(this.process)) throw new Error(`${this.name} ended: ${tailOf(this.process.logPath)}`);
    const response = await fetch(`${this.url}/v3/maintenance/status`, {
      method: "POST",
      body: "{}",
      signal: AbortSignal.timeout(requestMs),
    });
    if (!response.ok) throw new Error(`status ${response.status} from ${this.name}`);
    const { header, leader } = (await response.json()) as StatusReply;
    const known = leader === undefined || leader === "0" ? null : leader;
    return { member: header.member_id, leader: known, term: Number(header.raft_term) };
  }

  async metrics(): Promise<string> {
    const response = await fetch(`${this.url}/metrics`, { signal: AbortSignal.timeout(requestMs) });
    return response.text();
  }
}

async function start(context: SubjectContext): Promise<RunningSubject> {
  const ports = await freePorts(6);
  const names = ["etcd1", "etcd2", "etcd3"];
  const clientUrl = (index: number): string => `http://127.0.0.1:${ports[index]}`;
  const peerUrl = (index: number): string => `http://127.0.0.1:${ports[index + 3]}`;
  const cluster = names.map((name, index) => `${name}=${peerUrl(index)}`).join(",");
  const nodes = names.map((name, index) => {
    const client = ["--listen-client-urls", clientUrl(index), "--advertise-client-urls", clientUrl(index)];
    const peer = ["--listen-peer-urls", peerUrl(index), "--initial-advertise-peer-urls", peerUrl(index)];
    const founding = ["--initial-cluster", cluster, "--initial-cluster-state", "new", "--initial-cluster-token", "trivet-benchmark"];
    const args = ["--name", name, "--data-dir", join(context.directory, name), ...client, ...peer, ...founding, "--log-level", "error"];
    // 8 GiB, the largest etcd recommends: a million locks with their revisions do not fit into the default of 2.
    return new EtcdNode(context, name, clientUrl(index), [...args, "--logger", "zap", "--quota-backend-bytes", String(8 * 2 ** 30)]);
  });
  const statuses = (): Promise<Awaited<ReturnType<EtcdNode["status"]>>[]> => Promise.all(nodes.map((node) => node.status()));
  const leadership = async (): Promise<Leadership> =>
    waitFor("etcd names a leader", startMs, async () => {
      const results = await Promise.allSettled(nodes.map((node) => node.status()));
      const known = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      const newest = known.filter(({ leader }) => leader !== null).sort((a, b) => b.term - a.term)[0];
      if (newest?.leader === null || newest?.leader === undefined) return null;
      const index = results.findIndex((result) => result.status === "fulfilled" && result.value.member === newest.leader);
      const name = nodes[index]?.name;
      return name === undefined ? null : { leader: name, term: newest.term };
    });
  const healthy = async (timeoutMs: number): Promise<void> => {
    await waitFor("all etcd nodes follow one leader", timeoutMs, async () => {
      const [first, ...others] = await statuses();
      return first !== undefined && first.leader !== null && others.every(({ leader }) => leader === first.leader) ? true : null;
    });
  };
  await healthy(startMs);
  return {
    nodes,
    leadership,
    healthy,
    participants: async () => {
      const { leader } = await leadership();
      return nodes.map(({ name, pid }) => ({ role: name === leader ? "leader" : "follower", pid }));
    },
    fsyncs: async () => {
      const pages = await Promise.all(nodes.map((node) => node.metrics()));
      let sum = 0;
      for (const page of pages) {
        const wal = counterIn(page, "etcd_disk_wal_fsync_duration_seconds_count");
        const backend = counterIn(page, "etcd_disk_backend_commit_duration_seconds_count");
        if (wal === null || backend === null) return null;
        sum += wal + backend;
      }
      return sum;
    },
    target: async () => {
      const { leader } = await leadership();
      const first = nodes.filter(({ name }) => name === leader);
      const others = nodes.filter(({ name }) => name !== leader);
      return { kind: "etcd", urls: [...first, ...others].map(({ url }) => url) };
    },
    queueLeader: () => Promise.resolve(null),
    stop: () => Promise.all(nodes.map((node) => context.keeper.stop(node.process))).then(() => undefined),
  };
}

/** Three etcd nodes and their own lock service. */
export const etcd: Subject = {
  name: "etcd",
  services: ["locks"],
  queues: null,
  cache: null,
  durability: "fsync on a majority of 3 before the answer",
  transport: "grpc",
  wire: "gRPC (v3lock) at the leader, one lease per caller",
  failsOver: true,
  keepsLocks: true,
  collectable: false,
  http: false,
  start,
};
