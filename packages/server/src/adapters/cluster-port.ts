import type { Link, Transport } from "@trivet/engine";
import type { NodeTransport } from "./transport.ts";

/** All nodes of a cluster with CLUSTER_PORT use the same one: a listed API address is dialled at that port. */
export class ClusterPortTransport implements Transport {
  readonly #inner: NodeTransport;
  readonly #port: number;
  constructor(inner: NodeTransport, port: number) {
    this.#inner = inner;
    this.#port = port;
  }
  dial(address: string, opened: (link: Link | null, reason: string) => void): void {
    const text = address.includes("://") ? address : `http://${address}`;
    if (!URL.canParse(text)) {
      this.#inner.dial(address, opened);
      return;
    }
    const url = new URL(text);
    url.port = String(this.#port);
    this.#inner.dial(url.origin, opened);
  }
  onAccept(accept: (link: Link) => void): void {
    this.#inner.onAccept(accept);
  }
}
