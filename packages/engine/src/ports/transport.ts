/** Peer connections that carry whole frames in order. The server adapter does TCP, HTTP Upgrade and length prefixes. */
export interface Link {
  /** Address or name of the other end, for messages to people. */
  readonly remote: string;
  /** True when the other end is on this machine's loopback (peers without MAC or mTLS are accepted only from there). */
  readonly loopback: boolean;
  /** Node ids that the other end's certificate is for (mutual TLS), or null: it proved none. */
  readonly provenNodes: readonly string[] | null;
  /** Queues one frame, given in parts. Parts must not change afterwards. */
  send(parts: readonly Uint8Array[]): void;
  /** Bytes queued and not yet given to the network. */
  bufferedBytes(): number;
  /** Closes; `reason` goes to the log of this side. */
  close(reason: string): void;
  handlers: LinkHandlers;
}
export interface LinkHandlers {
  frame(bytes: Uint8Array): void;
  /** Called once, also after `close`. */
  closed(reason: string): void;
}

export interface Transport {
  /** `opened` gets the link, or null and the reason: refused, timed out, not a Trivet node. Never called synchronously. */
  dial(address: string, opened: (link: Link | null, reason: string) => void): void;
  /** Called for every accepted peer link before its first frame. */
  onAccept(accept: (link: Link) => void): void;
}
