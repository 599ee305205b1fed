import { createServer } from "node:net";
import type { NodeConfig } from "../config/index.ts";
import { type DoctorOptions, error, type Finding, ok, warning } from "./doctor-findings.ts";

const answerWithinMs = 3_000;
const setToken = "set TRIVET_TOKEN or TRIVET_TOKEN_FILE";
/** A date in HTTP has whole seconds. */
const skewWarningMs = 3_000;
const skewErrorMs = 30_000;

interface Status {
  readonly node_id?: string;
  readonly cluster_id?: string | null;
  readonly phase?: string;
  readonly leader?: string | null;
}
export interface PeerLook {
  readonly node: string | null;
  readonly url: string;
  readonly status: Status | null;
  readonly problem: string | null;
  /** It asks for a key that was not given, or not good enough. */
  readonly refused: boolean;
  /** Its clock less ours, milliseconds. */
  readonly skewMs: number | null;
}

function ask(url: string, { tls }: NodeConfig, { fetchWith, token }: DoctorOptions): Promise<Response> {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  return fetchWith(tls)(url, { signal: AbortSignal.timeout(answerWithinMs), headers });
}

async function look(url: string, node: string | null, config: NodeConfig, options: DoctorOptions): Promise<PeerLook> {
  const base = { node, url, status: null, skewMs: null, refused: false };
  try {
    const asked = options.nowMs();
    const answer = await ask(`${url}/v1/raft/status`, config, options);
    const date = Date.parse(answer.headers.get("date") ?? "");
    // Half of the way there and back, and half of a second that the date leaves out.
    const skewMs = Number.isNaN(date) ? null : date + 500 - (asked + options.nowMs()) / 2;
    if (answer.status === 401 || answer.status === 403) return { ...base, skewMs, refused: true, problem: "it asks for a key" };
    const status = (await answer.json()) as Status;
    return typeof status.node_id === "string"
      ? { ...base, skewMs, status, problem: null }
      : { ...base, skewMs, problem: "what answers there is no node of Trivet" };
  } catch (cause) {
    return { ...base, problem: reasonOf(cause) };
  }
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (cause.name === "TimeoutError") return "no answer in time";
  const inner = cause.cause instanceof Error ? cause.cause : cause;
  return "code" in inner && inner.code === "ECONNREFUSED" ? "nothing listens there" : inner.message;
}

export function lookAtPeers(config: NodeConfig, options: DoctorOptions): Promise<readonly PeerLook[]> {
  const others = config.peers.filter((peer) => peer !== config.self);
  return Promise.all(others.map((peer) => look(peer.url, peer.id, config, options)));
}

/** The nodes that answer where people look for a cluster, when no peers are named. */
export async function checkCluster(config: NodeConfig, options: DoctorOptions): Promise<readonly Finding[]> {
  const { clusterUrls: urls } = options;
  const isNamed = config.peers.some((peer) => peer !== config.self);
  if (urls.length === 0 || isNamed) return [];
  const looks = await Promise.all(urls.map((url) => look(url, null, config, options)));
  const up = looks.flatMap(({ refused, status, url }) => {
    if (refused) return [warning("cluster", `${url} asks for a key.`, setToken)];
    if (status === null) return [];
    const { leader, node_id: found = "", phase = "" } = status;
    if (leader === null || leader === undefined)
      return [
        warning("cluster", `${found} at ${url} is ${phase}, without a leader.`, "start the other nodes; trivet status shows who is missed"),
      ];
    return [ok("cluster", `${found} at ${url} is ${phase}, leader ${leader}`)];
  });
  return up.length > 0 ? up : [ok("cluster", `no node answers at ${urls.join(", ")}`)];
}

export function checkPeers(config: NodeConfig, looks: readonly PeerLook[]): readonly Finding[] {
  if (looks.length === 0) return [ok("peers", "no other node is named: a cluster of one")];
  const findings = looks.map((peer): Finding => {
    if (peer.status === null)
      return warning(
        "peers",
        `${peer.url}: ${peer.problem ?? "no answer"}.`,
        peer.refused ? setToken : "start that node, or correct PEERS; trivet status shows who is missed",
      );
    const { leader, node_id: found = "", phase = "" } = peer.status;
    if (found === config.nodeId)
      return error("peers", `${peer.url} says that it is ${found}, as this node.`, "give every node a NODE_ID of its own");
    if (peer.node !== null && peer.node !== found)
      return error("peers", `${peer.url} is ${found}, but PEERS calls it ${peer.node}.`, "correct PEERS");
    return ok(
      "peers",
      `${found} at ${peer.url} is ${phase}${leader === null || leader === undefined ? ", without a leader" : `, leader ${leader}`}`,
    );
  });
  const clusters = new Set(looks.flatMap(({ status }) => (typeof status?.cluster_id === "string" ? [status.cluster_id] : [])));
  if (clusters.size > 1) {
    findings.push(
      error(
        "peers",
        `The peers belong to ${clusters.size} clusters: ${[...clusters].join(", ")}.`,
        "take those of the other cluster out of PEERS",
      ),
    );
  }
  return findings;
}

/** Correctness does not hang on it, but delays, times to live and certificates do. */
export function checkClock(looks: readonly PeerLook[]): readonly Finding[] {
  const seen = looks.filter(({ skewMs }) => skewMs !== null);
  if (seen.length === 0) return [];
  const bad = seen.filter(({ skewMs }) => Math.abs(skewMs ?? 0) > skewWarningMs);
  const next = "set the clocks by NTP (chrony, systemd-timesyncd) on every machine";
  if (bad.length === 0) return [ok("clock", "the clocks of the nodes that answer agree within 3 s")];
  return bad.map(({ skewMs, url }) => {
    const seconds = Math.round(Math.abs(skewMs ?? 0) / 1_000);
    const what = `The clock of ${url} is ${seconds} s ${(skewMs ?? 0) > 0 ? "ahead of" : "behind"} this one.`;
    return Math.abs(skewMs ?? 0) > skewErrorMs ? error("clock", what, next) : warning("clock", what, next);
  });
}

/** Who runs there, of which a probe tells everybody the name; null = it does not say. */
async function nameAt(url: string, config: NodeConfig, options: DoctorOptions): Promise<string | null> {
  try {
    const answer = await ask(`${url}/v1/health/live`, config, options);
    const { node_id: name } = (await answer.json()) as Status;
    return name ?? null;
  } catch {
    return null;
  }
}

/** Something listens on the API's port: is it this node? */
async function whoHasPort(config: NodeConfig, options: DoctorOptions): Promise<Finding> {
  const { advertiseUrl, http, nodeId } = config;
  const own = await look(advertiseUrl, nodeId, config, options);
  const found = own.refused ? await nameAt(advertiseUrl, config, options) : (own.status?.node_id ?? null);
  if (found === nodeId) return ok("port", `${nodeId} runs at ${advertiseUrl}`);
  const place = `Port ${http.port} on ${http.host}`;
  if (found !== null) return error("port", `${place} is taken by something else: ${found}.`, "stop that program, or set HTTP_PORT");
  if (own.refused) return warning("port", `${place} is taken; whether by ${nodeId} is not told without a key.`, setToken);
  return error(
    "port",
    `${place} is taken by something else, or ${nodeId} cannot be asked at ${advertiseUrl}: ${own.problem ?? "no answer"}.`,
    "stop that program, or set HTTP_PORT; if it is this node, correct ADVERTISE_URL or its certificates",
  );
}

/** Free, or taken by this very node. */
export async function checkPort(config: NodeConfig, options: DoctorOptions): Promise<readonly Finding[]> {
  const { http, cluster, metricsPort } = config;
  const findings: Finding[] = [];
  const taken = await isTaken(http.host, http.port);
  if (taken === null) findings.push(ok("port", `port ${http.port} on ${http.host} is free`));
  else if (taken === "EADDRINUSE") {
    findings.push(await whoHasPort(config, options));
  } else
    findings.push(
      error(
        "port",
        `Port ${http.port} on ${http.host} cannot be used: ${taken}.`,
        "set HTTP_HOST to an address of this machine and HTTP_PORT above 1023",
      ),
    );
  // Where the API's port is taken by this very node, so are these.
  const runs = taken === "EADDRINUSE";
  if (cluster !== null) findings.push(...(await checkFurther("peers", cluster, runs, "set another CLUSTER_PORT, on all nodes the same")));
  if (metricsPort !== null)
    findings.push(...(await checkFurther("metrics", { host: http.host, port: metricsPort }, runs, "set another METRICS_PORT")));
  return findings;
}

async function checkFurther(
  whom: string,
  { host, port }: { readonly host: string; readonly port: number },
  runs: boolean,
  next: string,
): Promise<readonly Finding[]> {
  const taken = await isTaken(host, port);
  if (taken === null) return [ok("port", `port ${port} for ${whom} is free`)];
  return taken === "EADDRINUSE" && runs ? [] : [error("port", `Port ${port} for ${whom} cannot be used: ${taken}.`, next)];
}

/** Null = it can be listened on; else the error's code. */
function isTaken(host: string, port: number): Promise<string | null> {
  if (port === 0) return Promise.resolve(null);
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (cause: NodeJS.ErrnoException) => resolve(cause.code ?? cause.message));
    probe.listen(port, host, () => probe.close(() => resolve(null)));
  });
}
