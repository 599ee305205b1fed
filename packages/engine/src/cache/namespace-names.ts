import type { NamespacePage, NamespaceView, SystemState } from "@trivet/core";
import type { NodeApi } from "../node/node-api.ts";
import type { Unavailable } from "../ports/calls.ts";
import type { CacheRefusal } from "./cache-api.ts";

/** Names to namespaces, as group 0 has them. */
export class NamespaceNames {
  private readonly state: () => SystemState | null;
  private readonly api: Pick<NodeApi, "read">;

  constructor(state: () => SystemState | null, api: Pick<NodeApi, "read">) {
    this.state = state;
    this.api = api;
  }

  /** As far as this node knows. */
  known(name: string): NamespaceView | null {
    return this.state()?.namespace(name) ?? null;
  }

  numbered(namespace: number): NamespaceView | null {
    return this.state()?.namespaceByNumber(namespace) ?? null;
  }

  page(prefix: string, cursor: string, limit: number): NamespacePage {
    return this.state()?.namespaces(prefix, cursor, limit) ?? { namespaces: [], next: null };
  }

  /** One that is unknown here may have been made through another node just now: only a fresh read says that it is not there. */
  with(name: string, timeoutMs: number, fail: (why: CacheRefusal | Unavailable) => void, run: (namespace: NamespaceView) => void): void {
    const known = this.known(name);
    if (known !== null) return run(known);
    return this.refresh(timeoutMs, fail, () => {
      const found = this.known(name);
      if (found === null) fail({ type: "unknown-namespace", namespace: name });
      else run(found);
    });
  }

  refresh(timeoutMs: number, fail: (why: Unavailable) => void, then: () => void): void {
    this.api.read("linearizable", timeoutMs, (outcome) => (outcome.type === "ready" ? then() : fail(outcome)));
  }
}
