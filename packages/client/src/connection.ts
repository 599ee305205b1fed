import { type Command, limits, type Result, type ServerFrame } from "@trivet/wire";
import { Watched } from "./answered.ts";
import { Cache, type CacheOptions } from "./cache/cache.ts";
import { NearCache } from "./cache/near-cache.ts";
import { check, checkDuration, isText } from "./checks.ts";
import { type Answered, CommandStream } from "./command-stream.ts";
import { TrivetError, UnavailableError, errorOf } from "./errors.ts";
import { KeepAlives } from "./keepalives.ts";
import type { LinkFailure } from "./link.ts";
import { Locks } from "./locks.ts";
import { httpGet } from "./http-get.ts";
import { type ConnectOptions, type Settings, nodeUrl, settingsOf } from "./options.ts";
import { type QueueCodec, jsonCodec } from "./queues/codec.ts";
import { Queue } from "./queues/queue.ts";
import { Queues } from "./queues/queues.ts";
import { Session } from "./session.ts";
import { shownAs } from "./shown.ts";
import { type ClientSpan, type ClientTracing, ended, type SpanAttributes, tracingOf } from "./tracing/tracing.ts";

/** Options of a session; defaults are those of the connection. */
export interface SessionOptions {
  readonly ttlMs?: number;
  readonly lockDelayMs?: number;
  readonly label?: string;
}
export interface ExecuteOptions {
  /** Fail after so long; default `commandTimeoutMs`, plus the command's own wait. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Told the result when it comes after the promise was rejected, by the deadline or by `signal`. */
  readonly late?: (result: Result) => void;
}

/** What happens to a connection, for logs and dashboards. */
export type ConnectionEvent =
  | { readonly type: "connected"; readonly node: string }
  | { readonly type: "disconnected"; readonly reason: string };

/** How long `close` waits for the cluster to hear that sessions are over. */
const goodbyeMs = 2_000;

/**
 * A connection to a cluster: one WebSocket at a time, to the leader when it can be reached. It survives the loss of nodes: commands
 * without answer are sent again, as the same bytes, until their deadlines pass, and take effect once.
 */
export class TrivetConnection implements AsyncDisposable {
  readonly locks: Locks;
  private readonly settings: Settings;
  private readonly tracing: ClientTracing;
  private readonly stream: CommandStream;
  private readonly keepAlives: KeepAlives;
  private readonly queues: Queues;
  private readonly near: NearCache;
  private whenConnected: ((failure: TrivetError | null) => void) | null = null;
  private closing: Promise<void> | null = null;
  private readonly listeners = new Set<(event: ConnectionEvent) => void>();

  private constructor(nodes: readonly string[], settings: Settings, tracing: ClientTracing) {
    this.settings = settings;
    this.tracing = tracing;
    this.keepAlives = new KeepAlives((message) => this.stream.send(message));
    this.stream = new CommandStream(
      nodes,
      settings,
      {
        connected: () => this.connected(),
        disconnected: (reason) => this.disconnected(reason),
        leaving: () => this.queues.leaving(),
        rejected: (failure) => this.rejected(failure),
        frame: (frame) => this.frame(frame),
        isWaiting: () => this.keepAlives.count > 0 || this.queues.isWaiting || this.near.isWaiting,
      },
      () => this.keepAlives.first,
    );
    this.queues = new Queues(this.stream, settings, tracing);
    this.near = new NearCache(this.stream, settings.commandTimeoutMs, tracing);
    this.locks = new Locks(this);
    shownAs(this, () => this.shown());
  }

  /** See `connect`. */
  static async open(urls: readonly string[], options: ConnectOptions): Promise<TrivetConnection> {
    const nodes = urls.map((url) => {
      const node = nodeUrl(url);
      if (node === null) throw new TrivetError("bad_request", `${url} is not the URL of a node; write it like http://127.0.0.1:8001`);
      return node;
    });
    if (nodes.length === 0) throw new TrivetError("bad_request", "connect needs the URL of at least one node");
    const settings = settingsOf(options);
    const connection = new TrivetConnection([...new Set(nodes)], settings, await tracingOf(settings.tracing));
    try {
      await connection.greeted();
    } catch (error) {
      connection.stream.close();
      throw error;
    }
    return connection;
  }

  /** URL of the node in use, null while searching for one. */
  get node(): string | null {
    return this.stream.node;
  }

  /** Tells `listener` of every later change of node, until the returned function is called. */
  watch(listener: (event: ConnectionEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Commands sent or waiting to be sent, without answer. */
  get openCommands(): number {
    return this.stream.openCount;
  }

  /**
   * The core of everything else: sends a command together with all others of this turn. `done` is called exactly once, in a later turn,
   * with a TrivetError or with the result, whatever that says. Allocates next to nothing; the promise wrappers are built on it.
   */
  submit(command: Command, done: Answered, timeoutMs: number = this.settings.commandTimeoutMs): void {
    this.stream.submit(command, timeoutMs, done);
  }

  /** `submit` as a promise of the result, whatever that says. Rejects with TrivetError, or with the reason of `signal`. */
  execute(command: Command, options: ExecuteOptions = {}): Promise<Result> {
    const { signal, late } = options;
    const timeoutMs = options.timeoutMs ?? this.settings.commandTimeoutMs + waitOf(command);
    const span = this.tracing.isOn ? executing(this.tracing, command) : null;
    const executed = new Promise<Result>((resolve, reject) => {
      signal?.throwIfAborted();
      const done: Answered = (error, result) => {
        signal?.removeEventListener("abort", abandon);
        if (result === null) reject(error ?? new TrivetError("internal", "neither an error nor a result"));
        else resolve(result);
      };
      const watched = new Watched(done, late ?? (() => {}));
      const asker = late === undefined && signal === undefined ? done : watched;
      const sequence = this.stream.submit(command, timeoutMs, asker, span?.traces ?? null);
      const { caller } = this.stream;
      const abandon = (): void => {
        watched.abandoned = true;
        this.cancel(command, caller, sequence);
        reject(signal?.reason as unknown);
      };
      if (sequence !== 0) signal?.addEventListener("abort", abandon, { once: true });
    });
    return ended(span, executed, executedAs);
  }

  /** Opens a session: what it holds is freed when this process goes silent for `ttlMs`. */
  async openSession(options: SessionOptions = {}): Promise<Session> {
    const { label = this.settings.label, lockDelayMs = this.settings.lockDelayMs, ttlMs = this.settings.sessionTtlMs } = options;
    checkDuration("ttlMs", ttlMs);
    checkDuration("lockDelayMs", lockDelayMs);
    check("label", isText(label, limits.maxIdentityBytes), `at most ${limits.maxIdentityBytes} bytes of UTF-8`);
    const sentAt = performance.now();
    const result = await this.execute(
      { type: "open-session", ttlMs, lockDelayMs, principal: "", label },
      {
        late: (result) => {
          if (result.type === "session-opened") this.submit({ type: "close-session", session: result.session }, () => {});
        },
      },
    );
    if (result.type !== "session-opened") throw errorOf(result);
    const session = new Session(result.session, result.ttlMs, sentAt, {
      closeSession: (ended) => this.closeSession(ended),
      ended: (ended) => this.keepAlives.remove(ended),
    });
    if (session.reason === null) this.keepAlives.add(session);
    return session;
  }

  /**
   * A queue by name. Content is JSON unless a codec says otherwise.
   *
   * @example
   * await trivet.queue<Order>("orders").produce(order, { key: order.customer, dedupId: order.id });
   */
  queue<T = unknown>(name: string, options: { readonly codec?: QueueCodec<T> } = {}): Queue<T> {
    const connection = {
      execute: (command: Command) => this.execute(command),
      get: (path: string) => httpGet(this.node, path, this.settings, this.settings.commandTimeoutMs),
    };
    return new Queue<T>(name, connection, this.queues, options.codec ?? jsonCodec<T>());
  }

  /**
   * Cached values of a namespace, with copies in this process that are never stale. Content is JSON unless a codec says otherwise. How much is kept is
   * said once for a namespace and connection.
   *
   * @example
   * const items = trivet.cache<Item>("items");
   * const item = items.peek(id) ?? (await items.get(id));
   */
  cache<T = unknown>(namespace: string, options: CacheOptions<T> = {}): Cache<T> {
    return new Cache<T>(namespace, this.near, options);
  }

  /** Ends all sessions and consumers, which frees what they hold, waits for that to be known, and closes. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.closeOnce();
    return this.closing;
  }

  /** What `console.log` shows. */
  private shown(): string {
    return `TrivetConnection { ${this.closing === null ? (this.node ?? "searching for a node") : "closed"}, ${this.openCommands} open commands }`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async closeOnce(): Promise<void> {
    await Promise.allSettled([...this.keepAlives.list().map((session) => session.close()), this.queues.close()]);
    this.keepAlives.stop();
    this.queues.names.close();
    this.near.close();
    this.stream.close();
  }

  private async closeSession(session: Session): Promise<void> {
    const result = await this.execute(
      { type: "close-session", session: session.id },
      { timeoutMs: this.closing === null ? this.settings.commandTimeoutMs : goodbyeMs },
    );
    if (result.type !== "done" && result.type !== "not-found" && result.type !== "session-lost") throw errorOf(result);
  }

  private cancel(command: Command, caller: string, sequence: number): void {
    if (command.type !== "acquire" && command.type !== "upgrade") return;
    this.stream.submit({ type: "cancel", actor: command.actor, name: "", caller, sequence }, this.settings.commandTimeoutMs, () => {});
  }

  private greeted(): Promise<void> {
    const { connectTimeoutMs } = this.settings;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          this.whenConnected?.(
            new UnavailableError("unreachable", `No node answered within ${connectTimeoutMs} ms: ${this.stream.describeFailures()}`),
          ),
        connectTimeoutMs,
      );
      this.whenConnected = (failure) => {
        clearTimeout(timer);
        this.whenConnected = null;
        if (failure === null) resolve();
        else reject(failure);
      };
      this.stream.start();
    });
  }

  private connected(): void {
    this.tracing.refresh();
    this.keepAlives.sendAll();
    this.queues.connected();
    this.near.connected();
    this.whenConnected?.(null);
    this.tell({ type: "connected", node: this.stream.node ?? "" });
  }

  private disconnected(reason: string): void {
    this.queues.disconnected();
    this.tell({ type: "disconnected", reason });
  }

  private tell(event: ConnectionEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  private rejected(failure: LinkFailure): void {
    this.whenConnected?.(new TrivetError(failure.final ?? "unreachable", failure.reason));
  }

  private frame(frame: ServerFrame): void {
    if (frame.type === "keep-alive-answer") this.keepAlives.answered(frame);
    else if (frame.type === "session-event") {
      this.keepAlives.find(frame.session)?.end(frame.event === "expired" ? "it expired at the cluster" : "it was closed");
    } else {
      this.queues.frame(frame);
      this.near.frame(frame);
    }
  }
}

/**
 * Connects to a cluster by the URL of one or more of its nodes. Resolves with the first greeting; rejects with a TrivetError
 * (`unreachable`, `unauthorized`, `upgrade_required` …) when there is none within `connectTimeoutMs`.
 *
 * @example
 * await using trivet = await connect(["http://127.0.0.1:8001", "http://127.0.0.1:8002"]);
 * await trivet.locks.with("orders/42", { waitMs: 5_000 }, async (lock) => {
 *   lock.assertHeld();
 *   await db.update(42, { fence: lock.fence });
 * });
 */
export function connect(urls: string | readonly string[], options: ConnectOptions = {}): Promise<TrivetConnection> {
  return TrivetConnection.open(typeof urls === "string" ? [urls] : urls, options);
}

/** Names of locks stay out of it. */
function executing(tracing: ClientTracing, { type }: Command): ClientSpan {
  return tracing.begin("client", `trivet ${type}`, { "trivet.command": type }, "caller");
}
function executedAs({ type }: Result): SpanAttributes {
  return { "trivet.outcome": type };
}

function waitOf(command: Command): number {
  return command.type === "acquire" || command.type === "upgrade" ? command.waitMs : 0;
}
