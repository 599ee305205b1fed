import type { Socket } from "node:net";

const waiting = new WeakMap<Socket, Set<() => void>>();

/**
 * Runs `gone` when the connection of a call closes, at once if it has. Of pipelined calls only the first has a response that sees its socket
 * close, so the socket itself is watched, with one listener for all calls on it. Returns how to take that back.
 */
export function onGone(socket: Socket, gone: () => void): () => void {
  if (socket.destroyed) {
    gone();
    return () => undefined;
  }
  let calls = waiting.get(socket);
  if (calls === undefined) {
    const fresh = new Set<() => void>();
    calls = fresh;
    waiting.set(socket, fresh);
    socket.once("close", () => {
      for (const call of fresh) call();
      fresh.clear();
    });
  }
  const known = calls;
  known.add(gone);
  return () => known.delete(gone);
}
