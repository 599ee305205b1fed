import { join } from "node:path";
import { commandBytes, type NodeReport, type NodeTask } from "../floor/protocol.ts";
import { siblingModule } from "../modules.ts";
import { tailOf, type Started } from "../processes.ts";
import { within } from "../waiting.ts";
import type { RunningSubject, Subject, SubjectContext } from "./subject.ts";

const startMs = 15_000;

function noFailover(): Error {
  return new Error("the floor has no fail-over");
}

function throwNoFailover(): never {
  throw noFailover();
}

function nextReport<T extends NodeReport["type"]>(started: Started, type: T): Promise<Extract<NodeReport, { type: T }>> {
  const report = new Promise<Extract<NodeReport, { type: T }>>((resolve, reject) => {
    const listener = (message: unknown): void => {
      const candidate = message as NodeReport;
      if (candidate.type !== type) return;
      started.child.off("message", listener);
      resolve(candidate as Extract<NodeReport, { type: T }>);
    };
    started.child.on("message", listener);
    void started.exited.then(() => {
      reject(new Error(`${started.name} ended: ${tailOf(started.logPath)}`));
    });
  });
  return within(`${started.name}: ${type}`, startMs, report);
}

function startNode(context: SubjectContext, name: string, task: NodeTask): Started {
  const module = siblingModule(import.meta.url, "../floor/node");
  return context.keeper.fork(module, [JSON.stringify(task)], { name: `floor ${name}`, logPath: join(context.directory, `${name}.out`) });
}

async function start(context: SubjectContext): Promise<RunningSubject> {
  const recordBytes = context.recordBytes ?? commandBytes;
  const leader = startNode(context, "leader", { role: "leader", recordBytes, logPath: join(context.directory, "leader.wal") });
  const { port } = await nextReport(leader, "ready");
  const leaderUrl = `ws://127.0.0.1:${port}`;
  const nodes = [leader];
  for (const name of ["follower1", "follower2"]) {
    const logPath = join(context.directory, `${name}.wal`);
    const follower = startNode(context, name, { role: "follower", recordBytes, logPath, leaderUrl });
    await nextReport(follower, "ready");
    nodes.push(follower);
  }
  return {
    nodes: nodes.map(({ name, pid }) => ({ name, pid, kill: () => Promise.reject(noFailover()), restart: throwNoFailover })),
    leadership: () => Promise.resolve(null),
    healthy: () => Promise.resolve(),
    participants: () => Promise.resolve(nodes.map(({ pid }, index) => ({ role: index === 0 ? "leader" : "follower", pid }))),
    fsyncs: async () => {
      const counters = await Promise.all(
        nodes.map((node) => {
          const report = nextReport(node, "counters");
          node.child.send("counters");
          return report;
        }),
      );
      return counters.reduce((sum, { syncs }) => sum + syncs, 0);
    },
    target: () => Promise.resolve({ kind: "floor", urls: [leaderUrl] }),
    queueLeader: () => Promise.resolve(null),
    stop: () => Promise.all(nodes.map((node) => context.keeper.stop(node))).then(() => undefined),
  };
}

/** Append + fdatasync + majority of three, nothing else: what no design of this shape can beat on the machine. */
export const floor: Subject = {
  name: "floor",
  services: ["locks", "queues"],
  queues: { consumes: false, keys: false, groups: false, aliases: false },
  cache: null,
  durability: "fdatasync on a majority of 3 before the answer",
  transport: "ws",
  wire: "WebSocket, one message per turn",
  failsOver: false,
  keepsLocks: false,
  collectable: false,
  http: false,
  start,
};
