import type { Socket } from "node:net";
import { CodecError, LengthPrefixDecoder, framePrefix } from "@trivet/wire";
import type { Link, LinkHandlers } from "@trivet/engine";

/** Up to so many bytes of one flush are copied into one buffer: for small frames that is cheaper than gathering them in the kernel. */
const copyLimitBytes = 64 * 1024;
/** After `close` the other side has so long to take what was sent before. */
const lingerMs = 1000;

const unset: LinkHandlers = {
  frame: () => {
    throw new Error("a frame arrived before the handlers of its link were set");
  },
  closed: () => {},
};

/** A peer connection over a socket: length-prefixed frames, those sent in one go of the event loop written together. */
export class SocketLink implements Link {
  readonly remote: string;
  readonly loopback: boolean;
  readonly provenNodes: readonly string[] | null;
  handlers: LinkHandlers = unset;
  private readonly socket: Socket;
  private readonly decoder: LengthPrefixDecoder;
  private readonly onEnd: (link: SocketLink) => void;
  private queued: Uint8Array[] = [];
  private queuedBytes = 0;
  private flushing = false;
  private open = true;

  /** `socket` must have an error handler already and be past the handshake; call `start` once `handlers` is set. */
  constructor(
    socket: Socket,
    remote: string,
    provenNodes: readonly string[] | null,
    maxFrameBytes: number,
    onEnd: (link: SocketLink) => void,
  ) {
    this.socket = socket;
    this.remote = remote;
    this.loopback = isLoopback(socket.remoteAddress ?? "");
    this.provenNodes = provenNodes;
    this.onEnd = onEnd;
    this.decoder = new LengthPrefixDecoder(maxFrameBytes, (frame) => this.handlers.frame(frame));
  }

  /** Begins to deliver frames; `head` came together with the handshake. */
  start(head: Uint8Array): void {
    const { socket } = this;
    socket.setTimeout(0);
    socket.setNoDelay(true);
    let failure = "closed by the other side";
    socket.on("error", (error: NodeJS.ErrnoException) => {
      failure = error.code ?? error.message;
    });
    socket.on("end", () => this.ended("closed by the other side"));
    socket.on("close", () => this.ended(failure));
    socket.on("data", (chunk: Buffer) => this.feed(chunk));
    if (head.length > 0) this.feed(head);
  }

  send(parts: readonly Uint8Array[]): void {
    if (!this.open) return;
    const prefix = framePrefix(parts);
    this.queued.push(prefix, ...parts);
    this.queuedBytes += prefix.length;
    for (const part of parts) this.queuedBytes += part.length;
    if (this.flushing) return;
    this.flushing = true;
    process.nextTick(this.flush);
  }

  bufferedBytes(): number {
    return this.queuedBytes + this.socket.writableLength;
  }

  close(reason: string): void {
    if (!this.open) return;
    this.flush();
    this.socket.end();
    const linger = setTimeout(() => this.socket.destroy(), lingerMs);
    linger.unref();
    this.socket.once("close", () => clearTimeout(linger));
    this.finish();
    process.nextTick(() => this.handlers.closed(reason));
  }

  /** At shutdown: nothing more is sent. */
  destroy(reason: string): void {
    this.ended(reason);
    this.socket.destroy();
  }

  private readonly flush = (): void => {
    this.flushing = false;
    const { queued, queuedBytes, socket } = this;
    if (queued.length === 0 || !this.open) return;
    this.queued = [];
    this.queuedBytes = 0;
    if (queuedBytes <= copyLimitBytes) {
      socket.write(Buffer.concat(queued, queuedBytes));
      return;
    }
    socket.cork();
    for (const chunk of queued) if (chunk.length > 0) socket.write(chunk);
    socket.uncork();
  };

  private feed(chunk: Uint8Array): void {
    try {
      this.decoder.feed(chunk);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      this.ended(`sent ${error.message}`);
      this.socket.destroy();
    }
  }

  private ended(reason: string): void {
    if (!this.open) return;
    this.finish();
    this.socket.destroySoon();
    this.handlers.closed(reason);
  }

  private finish(): void {
    this.open = false;
    this.queued = [];
    this.queuedBytes = 0;
    this.decoder.stop();
    this.onEnd(this);
  }
}

export function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127.");
}
