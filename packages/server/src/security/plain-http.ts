import type { Server } from "node:https";
import type { Socket } from "node:net";

/** First byte of every TLS connection: a handshake record (RFC 8446 §5.1). */
const handshakeRecord = 22;

/**
 * Somebody who speaks plain HTTP to a TLS port is answered in plain HTTP instead of being cut off. The first byte decides; `silentMs`
 * is how long it may take to come.
 */
export function answerPlainHttp(server: Server, silentMs: number, answer: (socket: Socket) => void): void {
  const secure = server.listeners("connection") as ((socket: Socket) => void)[];
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const fail = (): void => void socket.destroy();
    const timer = setTimeout(fail, silentMs);
    socket.once("error", fail);
    socket.once("close", () => clearTimeout(timer));
    const look = (): void => {
      const first = socket.read(1) as Buffer | null;
      if (first === null) {
        socket.once("readable", look);
        return;
      }
      clearTimeout(timer);
      socket.unshift(first);
      if (first[0] === handshakeRecord) {
        socket.removeListener("error", fail);
        for (const listener of secure) listener.call(server, socket);
      } else {
        answer(socket);
      }
    };
    look();
  });
}
