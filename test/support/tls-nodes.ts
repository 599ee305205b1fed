import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts, repository, run, start, trivet, type Started } from "./processes.ts";
import { runVerbatim } from "./shell.ts";
import { ready, waitFor } from "./wait.ts";

/** The nodes of S2 and the ports its document gives them. */
export const nodesOfS2 = {
  node1: 8001,
  node2: 8002,
  node3: 8003,
  "queue-node-1": 9101,
  "cache-node-1": 10_001,
  "cache-node-2": 10_002,
  "cache-node-3": 10_003,
} as const;
export type NameOfS2 = keyof typeof nodesOfS2;
const names = Object.keys(nodesOfS2) as NameOfS2[];

/** S2's system as processes: HTTPS everywhere, one authority, one certificate per node. */
export interface TlsNodes {
  readonly folder: string;
  readonly certs: string;
  portOf(name: NameOfS2): number;
  start(name: NameOfS2, env?: Readonly<Record<string, string>>): Started;
  process(name: NameOfS2): Started;
  /** A command line with the document's ports, run in the folder. */
  curl(command: string): ReturnType<typeof runVerbatim>;
  trivet(...words: readonly string[]): ReturnType<typeof run>;
  /** scripts/gen_certs.sh */
  makeCertificates(...words: readonly string[]): Promise<void>;
  untilHealthy(...names: readonly NameOfS2[]): Promise<void>;
  said(name: NameOfS2, pattern: RegExp): Promise<void>;
  destroy(): Promise<void>;
}

export async function createTlsNodes(): Promise<TlsNodes> {
  const folder = mkdtempSync(join(tmpdir(), "trivet-tls-"));
  const certs = join(folder, "certs");
  const free = await freePorts(names.length);
  const ports = new Map(names.map((name, index) => [name, free[index] ?? 0]));
  const moved = new Map(names.map((name) => [nodesOfS2[name], ports.get(name) ?? 0]));
  const started = new Map<NameOfS2, Started>();
  const listOf = (kind: string): string =>
    JSON.stringify(
      Object.fromEntries(names.filter((name) => name.startsWith(kind)).map((name) => [name, `https://localhost:${ports.get(name)}`])),
    );
  const nodes: TlsNodes = {
    folder,
    certs,
    portOf: (name) => ports.get(name) ?? 0,
    process: (name) => {
      const found = started.get(name);
      if (found === undefined) throw new Error(`${name} was never started`);
      return found;
    },
    start: (name, env = {}) => {
      const role = name.startsWith("queue") ? "queue" : name.startsWith("cache") ? "cache" : "lock";
      const settings = {
        NODE_ID: name,
        INTERNAL_PORT: String(ports.get(name)),
        SHARED_MAC_KEY: "mysecretpresharedkey123456",
        CERT_FILE: join(certs, `${name}.crt`),
        KEY_FILE: join(certs, `${name}.key`),
        CA_FILE: join(certs, "ca.crt"),
        RAFT_PEERS: listOf("node"),
        QUEUE_NODES: listOf("queue"),
        CACHE_PEERS: listOf("cache"),
        DATA_DIR: join(folder, "data", name),
        LOG_DIR: "off",
        ...env,
      };
      const child = start(process.execPath, ["--", trivet, "serve", "--node-type", role], { cwd: folder, env: settings });
      started.set(name, child);
      return child;
    },
    curl: (command) => runVerbatim(command, moved, folder),
    trivet: (...words) => run(process.execPath, ["--", trivet, ...words], { cwd: folder, env: { TRIVET_CA_FILE: join(certs, "ca.crt") } }),
    makeCertificates: async (...words) => {
      const script = join(repository, "scripts", "gen_certs.sh");
      const { code, output } = await run("bash", [script, ...words], { cwd: folder, env: { TRIVET_NO_INSTALL: "1" } });
      if (code !== 0) throw new Error(`gen_certs.sh ended with ${code}: ${output}`);
    },
    untilHealthy: async (...wanted) => {
      for (const name of wanted) {
        await waitFor(`${name} to be healthy`, async () => {
          if (nodes.process(name).hasExited()) throw new Error(nodes.process(name).output().slice(-2_000));
          const answer = await nodes.curl(`curl --cacert certs/ca.crt https://localhost:${nodesOfS2[name]}/health`);
          return answer.status === 200 ? ready(true) : answer.text;
        });
      }
    },
    said: (name, pattern) =>
      waitFor(`${name} to say ${String(pattern)}`, () => {
        const output = nodes.process(name).output();
        return pattern.test(output) ? ready(undefined) : output.slice(-2_000);
      }),
    destroy: async () => {
      const running = [...started.values()].filter((child) => !child.hasExited());
      for (const child of running) child.signal("SIGKILL");
      await Promise.all(running.map((child) => child.exited));
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return nodes;
}
