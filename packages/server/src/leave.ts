import { existsSync, renameSync, rmSync } from "node:fs";
import type { NodeApi } from "@trivet/engine";
import type { NodeConfig } from "./config/index.ts";
import type { Logger } from "./observability/logger.ts";

/**
 * A scaled replica that is stopped leaves the cluster (NODE_SCALABLE): its shards move to others first, then it is no member any more. True when the
 * cluster says so within the time of a stop; else the leader drops the node after its silence.
 */
export function leaveCluster(node: NodeApi, config: NodeConfig, logger: Logger): Promise<boolean> {
  const { phase } = node.status();
  if (phase === "removed") return Promise.resolve(true);
  if (phase !== "running") return Promise.resolve(false);
  logger.log("info", "node.leave", `${config.nodeId} is a scaled replica: it leaves the cluster`);
  return new Promise((resolve) => {
    const began = performance.now();
    // The answer travels over a link that the cluster closes with the same step: the node's own phase says it too.
    const look = setInterval(() => {
      if (node.status().phase === "removed") finish(true, "");
      else if (performance.now() - began > config.shutdownTimeoutMs) finish(false, "not in time (SHUTDOWN_TIMEOUT_MS)");
    }, lookEveryMs);
    let over = false;
    const finish = (left: boolean, why: string): void => {
      if (over) return;
      over = true;
      clearInterval(look);
      if (left) logger.log("info", "node.left", `${config.nodeId} has left the cluster`);
      else {
        const text = `${config.nodeId} could not leave: ${why}; the cluster drops it after ten minutes of silence`;
        logger.log("warn", "node.leave-failed", text);
      }
      resolve(left);
    };
    node.changeMembers({ remove: [config.nodeId] }, config.shutdownTimeoutMs, (outcome) => {
      if (outcome.type === "changed") finish(true, "");
      else if (outcome.type === "refused") finish(false, outcome.reason);
    });
  });
}

const lookEveryMs = 50;

/** A node that has left may come back under its id with an empty disk only. What it had is kept beside until the next time. */
export function setAsideData(config: NodeConfig, logger: Logger): void {
  const { dataDir } = config.storage;
  const aside = `${dataDir.replace(/\/+$/, "")}.left`;
  try {
    rmSync(aside, { recursive: true, force: true });
    if (existsSync(dataDir)) renameSync(dataDir, aside);
  } catch (error) {
    const text = `${dataDir} could not be moved to ${aside}: ${(error as Error).message}; empty it before this node starts again`;
    logger.log("warn", "node.leave-failed", text);
  }
}
