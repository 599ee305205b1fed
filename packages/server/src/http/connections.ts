import { errorCatalogue, httpLimits, type ErrorCode } from "@trivet/contract";
import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Duplex } from "node:stream";
import { failure, type Failure } from "./answer.ts";
import { buildProblem, problemContentType } from "./problems.ts";
import type { RefusalCause, TellRefusal } from "./refusals.ts";

/** Accepted connections above the cap for clients: room for peers, whose upgrade is told apart only after the headers (rule G6). */
const reservedConnections = 128;

/** A complete HTTP answer on a bare socket, then the end of it. */
export function refuseSocket(socket: Duplex, reason: Failure): void {
  const problem = buildProblem(reason, "-", false);
  const body = JSON.stringify(problem.body);
  const headers = {
    ...problem.headers,
    "content-type": problemContentType,
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  // The other end may never read, or close: the socket must not stay.
  setTimeout(() => socket.destroy(), 1_000).unref();
  socket.end(`HTTP/1.1 ${problem.status} ${errorCatalogue[reason.code].title}\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
}

/** By the code of what Node's parser says. */
const parserRefusals: Readonly<Record<string, { readonly code: ErrorCode; readonly cause: RefusalCause }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { code: "request_timeout", cause: "slow" },
  HPE_HEADER_OVERFLOW: { code: "headers_too_large", cause: "headers" },
};
const malformed = failure("bad_request", { values: { field: "request", expected: "not valid HTTP/1.1" }, members: { field: "request" } });

/** What Node's parser refuses, as an answer. */
export const clientErrorAnswerer =
  (tell: TellRefusal) =>
  (error: NodeJS.ErrnoException, socket: Duplex): void => {
    if (error.code === "ECONNRESET" || !socket.writable || socket.destroyed) {
      // The other end went away: nobody is refused.
      socket.destroy();
      return;
    }
    const known = parserRefusals[error.code ?? ""];
    tell(known?.cause ?? "malformed", (socket as Socket).remoteAddress ?? "");
    refuseSocket(socket, known === undefined ? malformed : failure(known.code));
  };

interface Entry {
  readonly address: string;
  heard: boolean;
  upgraded: boolean;
}

/** Who is at the other end of a socket. */
const endpointOf = (socket: Socket): string => `${socket.remoteAddress ?? ""} ${socket.remotePort ?? 0}`;

/** Counts connections of one server by kind and address, and makes room when silent ones fill it up. */
export class Connections {
  readonly #max: number;
  readonly #open = new Map<Socket, Entry>();
  /** Connections of a TLS server that are in their handshake, by their other ends. */
  readonly #handshaking = new Map<string, readonly [Socket, Entry]>();
  readonly #byAddress = new Map<string, number>();
  readonly #refused: TellRefusal;

  constructor(max: number, refused: TellRefusal) {
    this.#max = max;
    this.#refused = refused;
  }

  /** `secure`: requests come with the socket that the handshake made of the connection. */
  attach(server: Server, secure: boolean): void {
    if (secure) server.on("secureConnection", (socket: TLSSocket) => this.#secured(socket));
    server.on("connection", (socket: Socket) => {
      const address = socket.remoteAddress ?? "";
      const entry = { address, heard: false, upgraded: false };
      this.#open.set(socket, entry);
      if (secure) {
        const endpoint = endpointOf(socket);
        this.#handshaking.set(endpoint, [socket, entry]);
        socket.once("close", () => {
          if (this.#handshaking.get(endpoint)?.[0] === socket) this.#handshaking.delete(endpoint);
        });
      }
      this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1);
      socket.once("close", () => {
        this.#open.delete(socket);
        const left = (this.#byAddress.get(address) ?? 1) - 1;
        if (left === 0) this.#byAddress.delete(address);
        else this.#byAddress.set(address, left);
      });
      if (this.#open.size > this.#max + reservedConnections) this.#dropSilent();
    });
  }

  #secured(socket: TLSSocket): void {
    const endpoint = endpointOf(socket);
    const found = this.#handshaking.get(endpoint);
    if (found === undefined) return;
    const [plain, entry] = found;
    this.#handshaking.delete(endpoint);
    this.#open.delete(plain);
    this.#open.set(socket, entry);
    plain.once("close", () => this.#open.delete(socket));
  }

  /** The oldest connection that never sent headers goes first; a peer that dials sends its headers at once. */
  #dropSilent(): void {
    for (const [socket, entry] of this.#open) {
      if (entry.heard) continue;
      this.#refused("silent", entry.address);
      socket.destroy();
      return;
    }
  }

  /** Headers have arrived. Returns why the request must be refused, if so. Never asked for upgrades of peers. */
  admit(request: IncomingMessage): Failure | null {
    const entry = this.#open.get(request.socket);
    if (entry === undefined || entry.heard) return null;
    entry.heard = true;
    const clients = this.clients;
    if (clients > this.#max) {
      this.#refused("total", entry.address);
      return failure("too_many_requests", {
        values: { reason: `This node serves at most ${this.#max} connections (HTTP_MAX_CONNECTIONS).` },
        retryAfterMs: 1_000,
        headers: { connection: "close" },
      });
    }
    if ((this.#byAddress.get(entry.address) ?? 0) > Math.min(this.#max, httpLimits.maxConnectionsPerAddress)) {
      this.#refused("address", entry.address);
      return failure("too_many_requests", {
        values: { reason: "Too many connections from one address." },
        retryAfterMs: 1_000,
        headers: { connection: "close" },
      });
    }
    return null;
  }

  /** An upgraded connection is counted by whoever took it. */
  upgraded(socket: Duplex): void {
    const entry = this.#open.get(socket as Socket);
    if (entry !== undefined) {
      entry.heard = true;
      entry.upgraded = true;
    }
  }

  get clients(): number {
    let count = 0;
    for (const entry of this.#open.values()) if (entry.heard && !entry.upgraded) count++;
    return count;
  }
  get total(): number {
    return this.#open.size;
  }
  get upgradedCount(): number {
    let count = 0;
    for (const entry of this.#open.values()) if (entry.upgraded) count++;
    return count;
  }
}
