/**
 * The wire of the floor: WebSocket binary messages. Towards the log: the concatenated commands, all of one size. Back: the number of
 * commands that are durable (from a follower) or committed (from the leader) so far, since commands are answered in order.
 */

/** Of a command in the lock workloads; queues have their own. */
export const commandBytes = 64;

export function encodeProgress(commands: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeDoubleLE(commands, 0);
  return bytes;
}

export function decodeProgress(bytes: Buffer): number {
  return bytes.readDoubleLE(0);
}

/** Options of every WebSocket here, as the design sets them for the stream. Messages arrive as Buffer, the default binary type of ws. */
export const socketOptions = { perMessageDeflate: false, skipUTF8Validation: true } as const;

/** What the parent tells a node at its start. */
export type NodeTask =
  | { readonly role: "leader"; readonly logPath: string; readonly recordBytes: number }
  | { readonly role: "follower"; readonly logPath: string; readonly recordBytes: number; readonly leaderUrl: string };

/** What a node tells its parent: ready (a follower is connected, a leader listens), and its counters when asked. */
export type NodeReport =
  | { readonly type: "ready"; readonly port: number }
  | { readonly type: "counters"; readonly syncs: number; readonly bytes: number };
