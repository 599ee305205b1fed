import { type Hello, type Welcome, encodeClientFrame } from "@trivet/wire";
import { Link, type LinkFailure } from "./link.ts";
import { type Settings, nodeUrl } from "./options.ts";

export interface RouterHandlers {
  /** A node answered and is the one to talk to from now on; also called when moving from one node to another. */
  connected(welcome: Welcome): void;
  message(bytes: Uint8Array): void;
  /** The node is gone; a search for another has begun. */
  disconnected(reason: string): void;
  /** Another node was found and this one, which still answers, is about to be left. */
  leaving(): void;
  /** No node took us in, and trying again will not help. Called until the first `connected` only. */
  rejected(failure: LinkFailure): void;
  /** Somebody waits for an answer: a silent node must be noticed soon. */
  isWaiting(): boolean;
}

/** How often the link is looked after. */
const tickMs = 500;
/** Silence after which a node is pinged: while answers are awaited, and otherwise. */
const pingWaitingMs = 1_000;
const pingIdleMs = 15_000;
/** Nodes tried at the same time. */
const maxAttempts = 3;
/** A leader that could not be reached from here is tried again after so long. */
const hopRetryMs = 10_000;

/**
 * Keeps one link to the best node: the leader when it can be reached, else any. A search tries the nodes one after the other, the
 * next one beside a slow one, and takes the first that greets; rounds of failures are paused with jitter.
 */
export class Router {
  private readonly settings: Settings;
  private readonly handlers: RouterHandlers;
  private readonly hello: () => Hello;
  /** Nodes to try, in the order given; the leader's URL comes first while it is known. */
  private readonly nodes: readonly string[];
  private active: Link | null = null;
  /** What the node in use speaks; of the last one while there is none. */
  protocol = 0;
  private readonly attempts = new Set<Link>();
  private hop: Link | null = null;
  private leader: string | null = null;
  private leaderTerm = 0;
  private lastNode = "";
  private cursor = 0;
  private failures = 0;
  private readonly failureReasons = new Map<string, string>();
  private readonly unresolvable = new Set<string>();
  private wasConnected = false;
  private isClosed = false;
  private searchTimer: NodeJS.Timeout | null = null;
  private ticker: NodeJS.Timeout | null = null;
  private lastTick = 0;
  private lastPing = 0;
  private lastHop = 0;

  constructor(nodes: readonly string[], settings: Settings, hello: () => Hello, handlers: RouterHandlers) {
    this.nodes = nodes;
    this.settings = settings;
    this.hello = hello;
    this.handlers = handlers;
  }

  start(): void {
    this.lastTick = performance.now();
    this.ticker = setInterval(() => this.tick(), tickMs);
    this.search();
  }

  get isConnected(): boolean {
    return this.active !== null;
  }

  /** URL of the node in use, null while there is none. */
  get node(): string | null {
    return this.active === null ? null : this.active.node;
  }

  /** Sends on the link in use. False when there is none. */
  send(message: Uint8Array, isUrgent = false): boolean {
    if (this.active === null) return false;
    this.active.send(message, isUrgent);
    return true;
  }

  /** Why the nodes could not be reached, one line. */
  describeFailures(): string {
    if (this.failureReasons.size === 0) return "no node has answered yet";
    return [...this.failureReasons].map(([node, reason]) => `${node}: ${reason}`).join("; ");
  }

  /** The leader moved. An empty URL = nobody knows where it is. News of an older term is ignored, so that nodes cannot send us in circles. */
  leaderIsAt(url: string, term: number): void {
    if (term < this.leaderTerm) return;
    this.leaderTerm = term;
    this.leader = nodeUrl(url);
    if (this.settings.routing === "leader" && this.leader !== null) this.hopTo(this.leader);
  }

  /** The node asked us to leave. */
  leave(reason: string): void {
    this.active?.abort(reason);
  }

  close(): void {
    this.isClosed = true;
    if (this.ticker !== null) clearInterval(this.ticker);
    if (this.searchTimer !== null) clearTimeout(this.searchTimer);
    for (const link of this.attempts) link.close();
    this.attempts.clear();
    this.hop?.close();
    this.active?.close();
    this.hop = null;
    this.active = null;
  }

  private search(): void {
    this.searchTimer = null;
    if (this.isClosed || this.active !== null) return;
    if (this.attempts.size < maxAttempts) this.attempts.add(this.dial(this.nextNode()));
    this.searchAfter(this.settings.staggerMs);
  }

  private searchAfter(delayMs: number): void {
    if (this.searchTimer !== null) clearTimeout(this.searchTimer);
    this.searchTimer = setTimeout(() => this.search(), delayMs);
  }

  /** The leader first, when it is known and is not the node just lost; then the others in turn. */
  private nextNode(): string {
    const { leader } = this;
    this.leader = null;
    if (leader !== null && leader !== this.lastNode && this.settings.routing === "leader") return leader;
    const node = this.nodes[this.cursor++ % this.nodes.length] ?? "";
    // The node just lost is the least likely to answer: let another go first.
    if (node === this.lastNode && this.failures === 0 && this.nodes.length > 1)
      return this.nodes[this.cursor++ % this.nodes.length] ?? node;
    return node;
  }

  private dial(node: string): Link {
    return new Link(node, this.hello(), this.settings, Math.max(1_000, this.settings.deadAfterMs), {
      welcomed: (link, welcome) => this.welcomed(link, welcome),
      message: (link, bytes) => {
        if (link === this.active) this.handlers.message(bytes);
      },
      closed: (link, failure) => this.closed(link, failure),
    });
  }

  private welcomed(link: Link, welcome: Welcome): void {
    this.attempts.delete(link);
    if (this.hop === link) this.hop = null;
    else if (this.active !== null) return link.close();
    for (const attempt of this.attempts) attempt.close();
    this.attempts.clear();
    if (this.searchTimer !== null) clearTimeout(this.searchTimer);
    this.searchTimer = null;
    if (this.active !== null) {
      this.handlers.leaving();
      this.active.close();
    }
    this.active = link;
    this.protocol = welcome.protocol;
    this.lastNode = link.node;
    this.wasConnected = true;
    this.failures = 0;
    this.failureReasons.clear();
    this.handlers.connected(welcome);
    if (welcome.leader !== welcome.node) return this.leaderIsAt(welcome.leaderUrl, welcome.term);
    this.leader = link.node;
    this.leaderTerm = welcome.term;
  }

  private closed(link: Link, failure: LinkFailure): void {
    if (this.isClosed) return;
    if (link === this.hop) {
      this.hop = null;
      return;
    }
    if (link === this.active) {
      this.active = null;
      this.handlers.disconnected(failure.reason);
      if (this.hop === null) return this.search();
      this.attempts.add(this.hop);
      this.hop = null;
      return this.searchAfter(this.settings.staggerMs);
    }
    if (!this.attempts.delete(link)) return;
    this.failures++;
    this.failureReasons.set(link.node, failure.reason);
    if (failure.final !== null && !this.wasConnected) return this.handlers.rejected(failure);
    if (failure.unresolvable === true) this.unresolvable.add(link.node);
    if (!this.wasConnected && this.unresolvable.size === this.nodes.length) {
      // A name that was mistyped. One that cannot be looked up for a while is another failure (EAI_AGAIN), and is tried again.
      const reason = `No address of a node has a known host (${this.describeFailures()}); write nodes like http://127.0.0.1:8001`;
      return this.handlers.rejected({ reason, final: null });
    }
    if (this.attempts.size > 0) return;
    const round = Math.floor(this.failures / this.nodes.length);
    this.searchAfter(round === 0 ? 0 : this.backoff(round));
  }

  private backoff(round: number): number {
    const [first, longest] = this.settings.backoffMs;
    return Math.min(longest, first * 2 ** Math.min(round - 1, 16)) * (0.5 + Math.random() / 2);
  }

  /** Dials the leader beside the link in use, which stays in use until the leader has greeted. */
  private hopTo(leader: string): void {
    if (this.isClosed || this.active === null || this.active.node === leader) return;
    if (this.hop !== null) {
      if (this.hop.node === leader) return;
      this.hop.close();
    }
    this.lastHop = performance.now();
    this.hop = this.dial(leader);
  }

  private tick(): void {
    const now = performance.now();
    // After a stall of this process the answers may still be unread: give them a chance before judging the node.
    const stalled = now - this.lastTick > 2 * tickMs;
    this.lastTick = now;
    const { active, leader } = this;
    if (active === null || stalled) return;
    const silentMs = now - active.lastReceivedAt;
    const waiting = this.handlers.isWaiting();
    const pinged = this.lastPing > active.lastReceivedAt;
    if (pinged && silentMs > this.settings.deadAfterMs && now - this.lastPing > this.settings.deadAfterMs / 2) {
      return active.abort(`silent for ${Math.round(silentMs)} ms`);
    }
    if (!pinged && silentMs > (waiting ? Math.min(pingWaitingMs, this.settings.deadAfterMs / 2) : pingIdleMs)) {
      this.lastPing = now;
      active.send(encodeClientFrame({ type: "ping", nonce: Math.floor(now) }));
    }
    if (this.settings.routing === "leader" && leader !== null && now - this.lastHop > hopRetryMs) this.hopTo(leader);
  }
}
