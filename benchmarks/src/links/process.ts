import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A process that stands for the network: it sends back what it gets, and relays to ports, until it is told to let everything vanish. */

export interface LinkTask {
  readonly relayTo: readonly number[];
}
export interface LinkReady {
  readonly echoPort: number;
  /** In the order of `relayTo`. */
  readonly relayPorts: readonly number[];
}

let isCut = false;

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Nobody is told when it is cut, as when a cable is pulled: connections stay, and what is sent arrives nowhere. */
function forward(from: Socket, to: Socket): void {
  from.setNoDelay(true);
  from.on("data", (bytes) => {
    if (!isCut) to.write(bytes);
  });
  from.on("error", () => {
    to.destroy();
  });
  from.on("close", () => {
    if (!isCut) to.destroy();
  });
}

function relay(port: number): Server {
  return createServer((inside) => {
    const outside = connect(port, "127.0.0.1");
    forward(inside, outside);
    forward(outside, inside);
  });
}

const echo = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on("error", () => {
    socket.destroy();
  });
  socket.pipe(socket);
});

process.on("disconnect", () => {
  process.exit(0);
});
process.on("message", (message) => {
  if (message === "cut") isCut = true;
  process.send?.("done");
});
const { relayTo } = JSON.parse(process.argv[2] ?? "null") as LinkTask;
const ready: LinkReady = { echoPort: await listen(echo), relayPorts: await Promise.all(relayTo.map((port) => listen(relay(port)))) };
process.send?.(ready);
