import http from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Link, Transport } from "@trivet/engine";
import type { NodeTls } from "../security/node-tls.ts";
import { dialFailure } from "./dial-failure.ts";
import { SocketLink } from "./transport-link.ts";

/** The protocol a peer asks for in the `Upgrade` header; another version is another name. */
export const peerProtocol = "trivet-peer-1";
export const peerPath = "/v1/peer";

export interface NodeTransportOptions {
  /** One frame; a longer one ends the connection. */
  readonly maxFrameBytes?: number;
  readonly dialTimeoutMs?: number;
  /** Accepted connections at a time (rule G6: counted apart from clients'). */
  readonly maxAccepted?: number;
  /** Links are made over TLS, and both ends must prove which node they are; null = plain. */
  readonly tls?: NodeTls | null;
  /** Somebody was turned away before there was a link. */
  readonly refused?: (remote: string, code: string, detail: string) => void;
}

/** Between two links that are made again for a new certificate. */
const renewEveryMs = 1_000;
/** So much of what an HTTP server answers instead of upgrading is looked at. */
const maxRefusalBytes = 4096;
const maxRefusalWords = 500;

/** The `detail` of a problem document, or the line of a listener for peers: a Trivet node says why it refuses. */
function detailOf(type: string | undefined, body: string): string {
  if (type === "text/plain") return ` (${body.trim().slice(0, maxRefusalWords)})`;
  try {
    const problem: unknown = JSON.parse(body);
    const detail = typeof problem === "object" && problem !== null && "detail" in problem ? problem.detail : null;
    return typeof detail === "string" && detail !== "" ? ` (${detail})` : "";
  } catch {
    return "";
  }
}

/** Peer connections by HTTP Upgrade, on the API's server or on a listener of their own (`CLUSTER_PORT`). */
export class NodeTransport implements Transport {
  private readonly maxFrameBytes: number;
  private readonly dialTimeoutMs: number;
  private readonly maxAccepted: number;
  private readonly tls: NodeTls | null;
  private readonly refused: (remote: string, code: string, detail: string) => void;
  private readonly links = new Set<SocketLink>();
  private accepted = 0;
  private accept: ((link: Link) => void) | null = null;
  private listener: http.Server | null = null;
  private readonly dials = new Set<http.ClientRequest>();
  private closed = false;

  constructor(options: NodeTransportOptions = {}) {
    this.maxFrameBytes = options.maxFrameBytes ?? 64 * 1024 * 1024;
    this.dialTimeoutMs = options.dialTimeoutMs ?? 2000;
    this.maxAccepted = options.maxAccepted ?? 256;
    this.tls = options.tls ?? null;
    this.refused = options.refused ?? (() => {});
    this.tls?.onReload(() => this.renew());
  }

  onAccept(accept: (link: Link) => void): void {
    this.accept = accept;
  }

  /** `address` is a node's URL or host:port. */
  dial(address: string, opened: (link: Link | null, reason: string) => void): void {
    const answer = once(opened);
    const url = parseAddress(address, this.tls !== null);
    if (url === null || this.closed) {
      const reason = this.closed ? "this node is stopping" : `"${address}" is not an address: give http://host:port`;
      setImmediate(() => answer(null, reason));
      return;
    }
    // A pooled agent would keep the socket.
    const options = { path: peerPath, agent: false, headers: { Connection: "Upgrade", Upgrade: peerProtocol } };
    const request = isSecure(url) ? https.request(url, { ...options, ...this.tls?.dialOptions() }) : http.request(url, options);
    this.dials.add(request);
    const fail = (reason: string): void => {
      clearTimeout(timeout);
      this.dials.delete(request);
      answer(null, reason);
      request.destroy();
    };
    const timeout = setTimeout(() => fail(`${url.host} did not answer within ${this.dialTimeoutMs} ms`), this.dialTimeoutMs);
    request.on("error", (error: NodeJS.ErrnoException) => fail(dialFailure(url.host, error)));
    request.on("response", (response) => {
      const answered = `${url.host} is not a Trivet node, or not one that takes peers: it answered HTTP ${response.statusCode}`;
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        if (body.length < maxRefusalBytes) body += piece;
      });
      // Also when the connection breaks.
      response.on("close", () => fail(`${answered}${detailOf(response.headers["content-type"], body)}`));
    });
    request.on("upgrade", (response, socket, head) => {
      socket.on("error", () => {});
      if (response.headers.upgrade?.toLowerCase() !== peerProtocol || this.closed) {
        socket.destroy();
        return fail(`${url.host} speaks "${response.headers.upgrade ?? ""}" where ${peerProtocol} is wanted`);
      }
      const proven = this.provenNodes(socket);
      if (typeof proven === "string") {
        socket.destroy();
        return fail(`${url.host} is not taken for a node: ${proven}`);
      }
      clearTimeout(timeout);
      this.dials.delete(request);
      const link = this.link(socket, url.host, proven, () => {});
      answer(link, "");
      link.start(head);
    });
    request.end();
  }

  /**
   * Takes an upgrade request when it is one for peers; false = it is for somebody else. To be called from the server's `upgrade` event.
   */
  handleUpgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (request.url !== peerPath) return false;
    // First of all: without it a reset ends the process.
    socket.on("error", () => socket.destroy());
    const wanted = request.headers.upgrade?.toLowerCase() ?? "";
    if (wanted !== peerProtocol) refuse(socket, 426, "Upgrade Required", `This node speaks ${peerProtocol}, not "${wanted}".`);
    else if (this.accept === null || this.closed) refuse(socket, 503, "Service Unavailable", "This node is starting or stopping.");
    else if (this.accepted >= this.maxAccepted) refuse(socket, 503, "Service Unavailable", "Too many peer connections.");
    else this.admit(socket as Socket, head, this.accept);
    return true;
  }

  /** With TLS only nodes that prove which they are get a link (rule of the transport; the engine then compares names). */
  private admit(socket: Socket, head: Buffer, accept: (link: Link) => void): void {
    const proven = this.provenNodes(socket);
    if (typeof proven === "string") {
      this.refused(remoteOf(socket), "certificate", proven);
      refuse(socket, 403, "Forbidden", `This node takes peers of its own authority only: ${proven}.`);
    } else {
      this.take(socket, head, proven, accept);
    }
  }

  /** Which nodes the other end may be; null = nothing is asked of it, text = why it is not taken. */
  private provenNodes(socket: Socket): readonly string[] | null | string {
    if (this.tls === null) return null;
    const peer = this.tls.proven(socket as TLSSocket);
    return peer.type === "proven" ? peer.nodes : peer.detail;
  }

  /** Opens a listener for peers alone. */
  listen(host: string, port: number, done: (error: Error | null, port: number) => void): void {
    const server: http.Server =
      this.tls === null ? http.createServer(answerOther) : https.createServer(this.tls.serverOptions(true), answerOther);
    if (server instanceof https.Server) this.tls?.keep(server, true);
    server.headersTimeout = 5000;
    server.requestTimeout = 5000;
    server.on("upgrade", (request, socket, head) => {
      if (this.handleUpgrade(request, socket, head)) return;
      socket.on("error", () => socket.destroy());
      refuse(socket, 404, "Not Found", "This port is for cluster peers only.");
    });
    const answer = once(done);
    server.once("error", (error) => answer(error, 0));
    server.listen(port, host, () => answer(null, (server.address() as AddressInfo).port));
    this.listener = server;
  }

  /** Ends every connection and the listener; to be called in the API server's `preClose`, which would wait for upgraded sockets for ever. */
  close(): void {
    this.closed = true;
    for (const request of this.dials) request.destroy(new Error("this node is stopping"));
    for (const link of this.links) link.destroy("this node is stopping");
    this.listener?.close();
    this.listener?.closeAllConnections();
  }

  /** Links of before go on with what they proved then: they are made again, one after the other, so that a quorum always has its own. */
  private renew(): void {
    let delay = 0;
    for (const link of this.links) {
      delay += renewEveryMs;
      setTimeout(() => link.close("this node has a new certificate"), delay).unref();
    }
  }

  private take(socket: Socket, head: Buffer, proven: readonly string[] | null, accept: (link: Link) => void): void {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${peerProtocol}\r\n\r\n`);
    this.accepted++;
    const link = this.link(socket, remoteOf(socket), proven, () => {
      this.accepted--;
    });
    accept(link);
    link.start(head);
  }

  private link(socket: Socket, remote: string, proven: readonly string[] | null, ended: () => void): SocketLink {
    const link = new SocketLink(socket, remote, proven, this.maxFrameBytes, (link) => {
      this.links.delete(link);
      ended();
    });
    this.links.add(link);
    return link;
  }
}

function answerOther(request: http.IncomingMessage, response: http.ServerResponse): void {
  response.writeHead(404, { "content-type": "text/plain", connection: "close" });
  response.end("This port is for cluster peers only.\n");
  request.resume();
}

function refuse(socket: Duplex, status: number, title: string, detail: string): void {
  const body = `${detail}\n`;
  // The other end may never read, or close: the socket must not stay.
  setTimeout(() => socket.destroy(), 1_000).unref();
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const remoteOf = (socket: Socket): string => `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;

/** With TLS on, a node speaks it whatever its address says: the list of members may be older than the certificates. */
function parseAddress(address: string, secure: boolean): URL | null {
  const text = address.includes("://") ? address : `http://${address}`;
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  if (!(url.protocol === "http:" || url.protocol === "https:") || url.hostname === "") return null;
  return secure && !isSecure(url) ? new URL(`https://${url.hostname}:${url.port || "80"}`) : url;
}

const isSecure = (url: URL): boolean => url.protocol === "https:";

function once<A extends readonly unknown[]>(run: (...values: A) => void): (...values: A) => void {
  let called = false;
  return (...values) => {
    if (called) return;
    called = true;
    run(...values);
  };
}
