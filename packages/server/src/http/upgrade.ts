import { ServerResponse, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Identity } from "../security/policy.ts";
import { failure, type Failure } from "./answer.ts";
import { isFailure } from "./calls.ts";
import { refuseSocket, type Connections } from "./connections.ts";

/** Where peers ask for frames on the API port (decision D10). */
export const peerPath = "/v1/peer";
export const streamPath = "/v1/stream";

/** Takes over a socket. `head` holds bytes that came right behind the request: a first frame may be among them. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
export interface UpgradeTargets {
  /** Links of peers; null when they have their own listener (CLUSTER_PORT). */
  readonly peer: UpgradeHandler | null;
  readonly stream: (request: IncomingMessage, socket: Duplex, head: Buffer, identity: Identity | null) => void;
}
/** Null = whoever it is may, as there is no access control; else who may use the stream, or why somebody may not. */
export type StreamGate = (request: IncomingMessage) => Admission | Promise<Admission>;
type Admission = Identity | Failure | null;

const ignored = (): void => undefined;

/**
 * The one place that looks at `Upgrade` headers (recipes §5). Sockets that were handed over are remembered, because `app.close()` would
 * wait for them for ever.
 */
export class UpgradeDispatcher {
  readonly #targets: UpgradeTargets;
  readonly #connections: Connections;
  readonly #gate: StreamGate;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();

  constructor(server: Server, targets: UpgradeTargets, connections: Connections, gate: StreamGate) {
    this.#server = server;
    this.#gate = gate;
    this.#targets = targets;
    this.#connections = connections;
    server.on("upgrade", (request, socket, head) => this.#dispatch(request, socket, head));
  }

  #dispatch(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Without a listener an ECONNRESET would end the process.
    socket.on("error", ignored);
    const protocols = (request.headers.upgrade ?? "").split(",").map((name) => name.trim().toLowerCase());
    const path = (request.url ?? "/").split("?", 1)[0];
    if (path === peerPath) {
      if (this.#targets.peer === null)
        refuseSocket(socket, failure("forbidden", { values: { reason: "Peers are taken on CLUSTER_PORT only." } }));
      // Nobody answers another spelling of it.
      else if (request.url !== peerPath) refuseSocket(socket, failure("not_found", { values: { what: "This address with a query" } }));
      else this.#handOver(this.#targets.peer, request, socket, head);
      return;
    }
    if (protocols.includes("websocket")) {
      if (path !== streamPath) refuseSocket(socket, failure("not_found", { values: { what: `WebSocket ${path}` } }));
      else this.#admitted(request, socket, head);
      return;
    }
    if (protocols.includes("h2c")) {
      this.#plain(request, socket, head);
      return;
    }
    refuseSocket(socket, failure("upgrade_required", { headers: { upgrade: "websocket" } }));
  }

  #admitted(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refused = this.#connections.admit(request);
    if (refused !== null) return refuseSocket(socket, refused);
    const admit = (who: Admission): void => {
      if (who !== null && isFailure(who)) return refuseSocket(socket, who);
      this.#handOver((...upgrade) => this.#targets.stream(...upgrade, who), request, socket, head);
    };
    const who = this.#gate(request);
    if (!(who instanceof Promise)) return admit(who);
    // Bytes that come meanwhile stay in the socket, which nobody reads yet.
    who.then(
      (known) => {
        if (!socket.destroyed) admit(known);
      },
      () => refuseSocket(socket, failure("internal")),
    );
  }

  #handOver(handler: UpgradeHandler, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#connections.upgraded(socket);
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    (socket as Socket).setNoDelay(true);
    (socket as Socket).setTimeout(0);
    handler(request, socket, head);
  }

  /** curl --http2 offers h2c: it is content with an HTTP/1.1 answer, as long as there is no body to resend. */
  #plain(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const hasBody =
      head.length > 0 || request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
    if (hasBody) {
      refuseSocket(
        socket,
        failure("upgrade_required", { detail: "HTTP/2 is not offered; send the request with HTTP/1.1.", headers: { upgrade: "HTTP/1.1" } }),
      );
      return;
    }
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Socket);
    response.once("finish", () => {
      response.detachSocket(socket as Socket);
      socket.end();
    });
    this.#server.emit("request", request, response);
  }

  /** Ends every socket that was handed over. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }
}
