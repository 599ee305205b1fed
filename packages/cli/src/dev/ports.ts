import { createServer } from "node:net";
import type { PlannedNode } from "./plan.ts";

/** The nodes whose port somebody already listens on. */
export async function takenPorts(nodes: readonly PlannedNode[]): Promise<readonly PlannedNode[]> {
  const taken = await Promise.all(nodes.map((node) => isTaken(node.port)));
  return nodes.filter((_node, index) => taken[index]);
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(true));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(false)));
  });
}
