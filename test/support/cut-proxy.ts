import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A way to a node that can be cut: what is sent vanishes nowhere and arrives nowhere, and nobody is told, as when a cable is pulled. */
export interface CutProxy {
  readonly url: string;
  cut(): void;
  /** Open again for new connections; those of before stay dead. */
  heal(): void;
  close(): Promise<void>;
}

export async function startCutProxy(port: number): Promise<CutProxy> {
  let isCut = false;
  const sockets = new Set<Socket>();
  const dead = new Set<Socket>();
  const server = createServer((inside) => {
    sockets.add(inside);
    inside.on("error", () => undefined);
    if (isCut) {
      dead.add(inside);
      inside.pause();
      return;
    }
    const outside = connect(port, "127.0.0.1");
    sockets.add(outside);
    for (const [from, to] of [
      [inside, outside],
      [outside, inside],
    ] as const) {
      from.on("error", () => undefined);
      from.on("data", (bytes) => {
        if (!dead.has(from)) to.write(bytes);
      });
      from.on("close", () => {
        sockets.delete(from);
        if (!dead.has(from)) to.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: () => {
      isCut = true;
      for (const socket of sockets) dead.add(socket);
    },
    heal: () => {
      isCut = false;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
