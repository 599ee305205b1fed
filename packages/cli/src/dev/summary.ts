import { table, type Paint } from "../output/output.ts";
import type { ClusterHealth } from "./ready.ts";

/** Where the CLI looks when it is not told. */
const defaultFirstPort = 8001;

/** What `npm start` leaves on the screen once the cluster works: health, where things are, three commands to try. */
export function summary(
  health: ClusterHealth,
  elapsedMs: number,
  folders: { readonly dataDir: string; readonly logDir: string },
  paint: Paint,
): string {
  const nodes = health.nodes.length;
  const rows = health.nodes.map(({ node, healthy, problem }) => [
    `  ${node.id}`,
    node.url,
    node.id === health.leader ? paint.bold("LEADER") : "follower",
    healthy ? paint.green("healthy") : paint.red(problem),
  ]);
  const [first, second = first] = health.nodes.map((entry) => entry.node);
  const title = `Trivet is running: ${nodes} ${nodes === 1 ? "node" : "nodes"}, leader ${health.leader ?? "none"} in term ${health.term}`;
  return [
    "",
    `${paint.green(title)}, ready after ${(elapsedMs / 1_000).toFixed(1)} s.`,
    "",
    table(["  NODE", "ADDRESS", "ROLE", "HEALTH"], rows, paint),
    "",
    `  API and its documentation   ${first?.url}/docs`,
    `  Data of the nodes           ${folders.dataDir} (kept between starts)`,
    `  Logs of the nodes           ${folders.logDir}`,
    "",
    paint.bold("Try in another terminal:"),
    `  curl -X POST "http://localhost:${first?.port}/lock/test-lock?lock_type=exclusive"`,
    `  curl http://localhost:${second?.port}/lock/test-lock`,
    `  npx trivet${first?.port === defaultFirstPort ? "" : ` --url http://localhost:${first?.port}`} status`,
    "",
    "Ctrl-C stops the cluster.",
    "",
  ].join("\n");
}

/** What is wrong when the cluster did not become ready in time. */
export function unreadyText(health: ClusterHealth): string {
  const lines = health.nodes.filter((entry) => !entry.healthy).map((entry) => `  ${entry.node.id} ${entry.node.url}: ${entry.problem}`);
  return ["The cluster is not ready yet:", ...lines, "It goes on trying; the lines of the nodes above and in logs/ say why."].join("\n");
}
