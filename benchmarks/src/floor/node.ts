import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { LogWriter } from "./log-writer.ts";
import { majorityOfThree } from "./majority.ts";
import { decodeProgress, encodeProgress, socketOptions, type NodeReport, type NodeTask } from "./protocol.ts";

/**
 * One of the three nodes of `floor`: the physical limit of "append, fdatasync, majority" on a machine. No terms, no checks, no state;
 * it answers the question how much of a measured figure is the hardware's, the kernel's and the wire's.
 */

function report(message: NodeReport): void {
  process.send?.(message);
}

function lead(task: Extract<NodeTask, { role: "leader" }>): LogWriter {
  const followers: { readonly socket: WebSocket; durable: number }[] = [];
  let client: WebSocket | null = null;
  let ownDurable = 0;
  let committed = 0;
  const advance = (): void => {
    const now = majorityOfThree(ownDurable, followers[0]?.durable ?? 0, followers[1]?.durable ?? 0);
    if (now === committed) return;
    committed = now;
    client?.send(encodeProgress(committed));
  };
  const log = new LogWriter(task.logPath, (commands) => {
    ownDurable = commands;
    advance();
  });
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, ...socketOptions }, () => {
    report({ type: "ready", port: (server.address() as AddressInfo).port });
  });
  server.on("connection", (socket, request) => {
    if (request.url === "/follow") {
      const follower = { socket, durable: 0 };
      followers.push(follower);
      socket.on("message", (bytes) => {
        follower.durable = decodeProgress(bytes as Buffer);
        advance();
      });
      return;
    }
    client = socket;
    socket.on("message", (data) => {
      const bytes = data as Buffer;
      for (const follower of followers) follower.socket.send(bytes);
      log.append(bytes, bytes.byteLength / task.recordBytes);
    });
  });
  return log;
}

function follow(task: Extract<NodeTask, { role: "follower" }>): LogWriter {
  const socket = new WebSocket(`${task.leaderUrl}/follow`, socketOptions);
  const log = new LogWriter(task.logPath, (commands) => {
    socket.send(encodeProgress(commands));
  });
  socket.on("open", () => {
    report({ type: "ready", port: 0 });
  });
  socket.on("message", (data) => {
    const bytes = data as Buffer;
    log.append(bytes, bytes.byteLength / task.recordBytes);
  });
  socket.on("close", () => {
    process.exit(0);
  });
  return log;
}

const task = JSON.parse(process.argv[2] ?? "null") as NodeTask;
const log = task.role === "leader" ? lead(task) : follow(task);
process.on("message", () => {
  report({ type: "counters", syncs: log.syncs, bytes: log.bytes });
});
process.on("disconnect", () => {
  process.exit(0);
});
