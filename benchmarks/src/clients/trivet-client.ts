import { connect, type Session, type TrivetConnection, type TrivetError } from "@trivet/client";
import type { Actor, Result } from "@trivet/wire";
import { LockBusy, freeByTrying, type Granted, type HolderClient, type LockClient, type Released } from "../driver/lock-client.ts";

/** On top of the time a call may wait in line. */
const answerMs = 10_000;

/** What a result that is no grant means to the driver. */
function refusal(result: Result): Error {
  if (result.type === "busy") return new LockBusy(`${result.name} is held`);
  return new Error(`answered ${JSON.stringify(result)}`);
}

/**
 * The SDK's own connection: all callers share it and one session, each caller is an owner of its own. Commands go through `submit`, the call
 * that the SDK's promises are built on, so that what is measured is the wire and the cluster.
 */
export class TrivetClient implements LockClient {
  readonly holders: HolderClient;
  readonly #connection: TrivetConnection;
  #session: Session;
  #renewing = false;
  readonly #actors: Actor[] = [];
  /** Sessions that hold without keepalives, for as long as they were opened. */
  readonly #holding: Actor[] = [];

  private constructor(connection: TrivetConnection, session: Session) {
    this.#connection = connection;
    this.#session = session;
    this.holders = {
      open: async (sessions, ttlMs) => {
        this.#holding.push(...(await Promise.all(Array.from({ length: sessions }, () => this.#openHolding(ttlMs)))));
      },
      hold: (index, name, done) => {
        this.#acquire(this.#holding[index], name, 0, done);
      },
      isFree: (name) => freeByTrying(this, 0, name),
    };
  }

  static async connect(urls: readonly string[]): Promise<TrivetClient> {
    const connection = await connect(urls, { connectTimeoutMs: 30_000, label: "benchmark" });
    return new TrivetClient(connection, await connection.openSession());
  }

  async #openHolding(ttlMs: number): Promise<Actor> {
    const result = await this.#connection.execute({ type: "open-session", ttlMs, lockDelayMs: 0, principal: "", label: "benchmark" });
    if (result.type !== "session-opened") throw refusal(result);
    return { session: result.session, principal: "", owner: "default" };
  }

  prepare(callers: number): Promise<void> {
    for (let caller = this.#actors.length; caller < callers; caller++) this.#actors.push(this.#actorOf(caller));
    return Promise.resolve();
  }

  #actorOf(caller: number): Actor {
    return { session: this.#session.id, principal: "", owner: `caller-${caller}` };
  }

  acquire(caller: number, name: string, waitMs: number, done: Granted): void {
    this.#acquire(this.#actors[caller], name, waitMs, done);
  }

  #acquire(actor: Actor | undefined, name: string, waitMs: number, done: Granted): void {
    if (actor === undefined) throw new Error("this caller was not prepared");
    this.#connection.submit(
      { type: "acquire", actor, keys: [{ name, mode: "exclusive", of: 0 }], ttlMs: 0, waitMs, reentrant: false, anonymous: false },
      (error, result) => {
        if (result !== null && result.type === "granted") done(null, result.fence);
        else done(this.#failure(error, result), null);
      },
      waitMs + answerMs,
    );
  }

  release(caller: number, name: string, handle: unknown, done: Released): void {
    const actor = this.#actors[caller];
    if (actor === undefined) throw new Error("this caller was not prepared");
    this.#connection.submit(
      { type: "release", actor, name, fence: handle as number, anonymous: false },
      (error, result) => {
        if (result !== null && result.type === "released") done(null);
        else done(this.#failure(error, result));
      },
      answerMs,
    );
  }

  #failure(error: TrivetError | null, result: Result | null): Error {
    if (result === null) return error ?? new Error("neither an error nor a result");
    if (result.type === "session-lost" && result.session === this.#session.id) this.#renewSession();
    return refusal(result);
  }

  /** A cluster that was down for longer than the session's time to live has ended it: the callers go on in a new one. */
  #renewSession(): void {
    if (this.#renewing) return;
    this.#renewing = true;
    this.#session.end("the cluster no longer knows it");
    this.#connection.openSession().then(
      (session) => {
        this.#renewing = false;
        this.#session = session;
        for (const caller of this.#actors.keys()) this.#actors[caller] = this.#actorOf(caller);
      },
      (error: unknown) => {
        this.#renewing = false;
        process.stderr.write(`no new session: ${error instanceof Error ? error.message : String(error)}\n`);
      },
    );
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
