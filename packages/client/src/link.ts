import {
  CodecError,
  GatheredWrites,
  type Hello,
  type Welcome,
  decodeServerFrame,
  encodeClientFrame,
  oldestStreamProtocol,
  streamProtocol,
} from "@trivet/wire";
import { WebSocket } from "ws";
import { type SecureOptions, streamUrl } from "./options.ts";

/** Why a link could not be had, or ended. */
export interface LinkFailure {
  readonly reason: string;
  /** `final`: trying this node again will not help (credentials, protocol). */
  readonly final: "unauthorized" | "forbidden" | "upgrade_required" | null;
  /** There is no host of this name. */
  readonly unresolvable?: boolean;
}

export interface LinkHandlers {
  welcomed(link: Link, welcome: Welcome): void;
  /** Every later message. */
  message(link: Link, bytes: Uint8Array): void;
  /** Once, unless this side closed the link. */
  closed(link: Link, failure: LinkFailure): void;
}

/** What a node is shown of us. */
export interface LinkAccess {
  readonly token: () => string | null;
  readonly tls: () => SecureOptions;
}

/** Largest message a node may send. */
const maxMessageBytes = 16 * 1024 * 1024;

/** How long a node may take to say goodbye. */
const goodbyeMs = 1_000;

/** One WebSocket to one node, past its handshake once `welcomed` was called. */
export class Link {
  readonly node: string;
  /** Monotonic time of the last message. */
  lastReceivedAt = 0;
  private readonly socket: WebSocket;
  private writes: GatheredWrites | null = null;
  private readonly handlers: LinkHandlers;
  private readonly deadline: NodeJS.Timeout;
  private isWelcomed = false;
  private ended = false;

  constructor(node: string, hello: Hello, access: LinkAccess, timeoutMs: number, handlers: LinkHandlers) {
    const { tls } = access;
    const token = access.token();
    this.node = node;
    this.handlers = handlers;
    this.socket = new WebSocket(streamUrl(node), {
      perMessageDeflate: false,
      skipUTF8Validation: true,
      maxPayload: maxMessageBytes,
      followRedirects: false,
      // The mask protects proxies from what scripts in browsers send. This is no browser: an all-zero mask costs nothing.
      generateMask: () => {},
      ...(node.startsWith("https:") ? tls() : {}),
      ...(token === null ? {} : { headers: { authorization: `Bearer ${token}` } }),
    });
    this.deadline = setTimeout(() => this.abort(`no greeting within ${timeoutMs} ms`), timeoutMs);
    this.socket.on("upgrade", ({ socket }) => {
      socket.setNoDelay(true);
      this.writes = new GatheredWrites(socket, (run) => process.nextTick(run));
    });
    this.socket.on("open", () => {
      this.lastReceivedAt = performance.now();
      this.send(encodeClientFrame(hello));
    });
    this.socket.on("message", (data: Buffer, isBinary: boolean) => this.receive(data, isBinary));
    this.socket.on("unexpected-response", (_, response) => {
      const { statusCode = 0 } = response;
      const final = statusCode === 401 ? "unauthorized" : statusCode === 403 ? "forbidden" : null;
      this.end({ reason: `HTTP status ${statusCode}`, final });
      response.destroy();
    });
    this.socket.on("error", (error: NodeJS.ErrnoException) =>
      this.end({ reason: error.message === "" ? error.name : error.message, final: null, unresolvable: error.code === "ENOTFOUND" }),
    );
    this.socket.on("close", (code, reason) =>
      this.end({ reason: `closed by the node (${code}${reason.length === 0 ? "" : ` ${reason.toString()}`})`, final: null }),
    );
  }

  /** `isUrgent`: it leaves before this returns, whatever the program does next. */
  send(message: Uint8Array, isUrgent = false): void {
    this.writes?.add(message.length);
    this.socket.send(message);
    if (isUrgent) this.writes?.end();
  }

  /** Ends the link without telling the handlers. */
  close(): void {
    this.ended = true;
    clearTimeout(this.deadline);
    this.socket.close();
    setTimeout(() => this.socket.terminate(), goodbyeMs).unref();
  }

  /** Ends a link that may no longer work, telling the handlers. */
  abort(reason: string): void {
    this.end({ reason, final: null });
  }

  private receive(bytes: Uint8Array, isBinary: boolean): void {
    if (this.ended) return;
    this.lastReceivedAt = performance.now();
    if (!isBinary) return this.end({ reason: "the node sent text where frames are binary", final: null });
    try {
      if (this.isWelcomed) this.handlers.message(this, bytes);
      else this.greet(bytes);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      this.end({ reason: `the node sent what is no frame: ${error.message}`, final: null });
    }
  }

  private greet(bytes: Uint8Array): void {
    const frame = decodeServerFrame(bytes);
    if (frame.type === "closing") {
      const final = frame.code === "protocol" ? "upgrade_required" : frame.code === "unauthorized" ? "unauthorized" : null;
      return this.end({ reason: `${frame.code}: ${frame.detail}`, final });
    }
    if (frame.type !== "welcome") return this.end({ reason: `the node greeted with ${frame.type}`, final: null });
    if (frame.protocol < oldestStreamProtocol || frame.protocol > streamProtocol) {
      return this.end({ reason: `the node chose protocol ${frame.protocol}`, final: "upgrade_required" });
    }
    this.isWelcomed = true;
    clearTimeout(this.deadline);
    this.handlers.welcomed(this, frame);
  }

  private end(failure: LinkFailure): void {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.deadline);
    this.socket.terminate();
    this.handlers.closed(this, failure);
  }
}
