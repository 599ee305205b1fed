import type { CacheOrigin, OriginAnswer, OriginWrite, OriginWritten, Telemetry } from "@trivet/engine";
import { DatabaseError, Pool, type PoolClient, type PoolConfig } from "pg";
import { reasonOf } from "../redis/link.ts";
import { FairWork } from "./fair-work.ts";
import { originLimits } from "./limits.ts";
import { OriginHealth } from "./origin-health.ts";

const encoder = new TextEncoder();
/** Number of the type `bytea`. */
const bytea = 17;
/** Columns come as the bytes of `bytea`, and as the text that PostgreSQL writes of anything else: JSON stays as it is. */
const types = {
  getTypeParser: (type: number) => (text: string | Buffer) => (type === bytea ? bytesOf(String(text)) : String(text)),
};

export interface PostgresOptions {
  readonly url: string;
  /** With `$1` for the key and, where it needs it, `$2` for the namespace. */
  readonly query: string;
  /** With `$1` for the key, `$2` for the namespace where it needs it, `$3` for the value (NULL = deleted) and `$4` for the stamp. */
  readonly write: string;
  /** Tells the stamp of a row, with `$1` for the key and, where it needs it, `$2` for the namespace; "" = nothing does. */
  readonly stamp: string;
  readonly timeoutMs: number;
  /** This node, in log lines. */
  readonly node: string;
}

/**
 * Rows of a PostgreSQL as an origin: one query, whose first column of the first row is the value, and one statement that writes a row unless it has the
 * same or a higher stamp.
 */
export class PostgresOrigin implements CacheOrigin {
  readonly timeoutMs: number;
  private readonly pools: { readonly loads: Pool; readonly writes: Pool };
  private readonly writers: FairWork = new FairWork(originLimits.writers);
  private readonly query: string;
  private readonly wantsNamespace: boolean;
  private readonly statement: Statement;
  private readonly stamp: Statement | null;
  private readonly health: OriginHealth;

  constructor({ node, query, stamp, timeoutMs, url, write }: PostgresOptions, telemetry: Telemetry) {
    this.timeoutMs = timeoutMs;
    this.query = query;
    this.wantsNamespace = /\$2(?!\d)/.test(query);
    this.statement = numbered(write);
    this.stamp = stamp === "" ? null : numbered(stamp);
    const { host, pathname } = new URL(url);
    this.health = new OriginHealth(telemetry, { node, origin: "postgres", address: `${host}${pathname}` });
    const { connections, lockShare, writers } = originLimits;
    // Writes have their own: nobody who reads waits behind them.
    this.pools = {
      loads: this.pool(url, connections),
      // A row that somebody has locked holds up others for a part of the time alone.
      writes: this.pool(url, writers, { lock_timeout: Math.max(1, Math.floor(timeoutMs * lockShare)) }),
    };
  }

  private pool(url: string, max: number, more: PoolConfig = {}): Pool {
    const { timeoutMs } = this;
    const pool = new Pool({
      connectionString: url,
      application_name: "trivet",
      max,
      connectionTimeoutMillis: timeoutMs,
      idleTimeoutMillis: originLimits.idleMs,
      // The server gives up as well: whom nobody waits for holds no connection.
      statement_timeout: timeoutMs,
      query_timeout: timeoutMs,
      keepAlive: true,
      ...more,
    });
    // A connection that ends while nobody uses it.
    pool.on("error", (error) => this.health.down(reasonOf(error)));
    return pool;
  }

  load(namespace: string, key: string, done: (answer: OriginAnswer) => void): void {
    this.ask(namespace, key).then(done, (error: unknown) => done({ type: "failed", reason: reasonOf(error) }));
  }

  /** Each for itself; once the server is away nobody knocks for the rest, and what cannot begin in time is left. */
  write(writes: readonly OriginWrite[], told: (place: number, outcome: OriginWritten) => void): void {
    const until = performance.now() + this.timeoutMs;
    let away: OriginWritten | null = null;
    this.writers.add(writes.length, async (place) => {
      const isOver = performance.now() >= until;
      const outcome: OriginWritten =
        away ?? (isOver ? { type: "untried" } : await this.writeOne(writes[place] as OriginWrite, (lost) => (away = lost)));
      told(place, outcome);
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.pools.loads.end(), this.pools.writes.end()]);
  }

  private async ask(namespace: string, key: string): Promise<OriginAnswer> {
    const values = this.wantsNamespace ? [key, namespace] : [key];
    const question = { text: this.query, values, rowMode: "array", types } as const;
    return this.on(this.pools.loads, async (client) => answerOf((await client.query<unknown[]>(question)).rows));
  }

  /** `away`: not even a connection was to be had. */
  private async writeOne(write: OriginWrite, away: (outcome: OriginWritten) => void): Promise<OriginWritten> {
    const { key, namespace, stamp, value } = write;
    const all = [key, namespace, value === null ? null : Buffer.from(value), stamp];
    const { places, text } = this.statement;
    try {
      return await this.on(this.pools.writes, async (client): Promise<OriginWritten> => {
        const { rowCount } = await client.query({ text, values: places.map((place) => all[place - 1]) });
        return (rowCount ?? 0) > 0 ? { type: "written" } : this.standing(client, write);
      });
    } catch (error) {
      const outcome: OriginWritten = { type: isRefusal(error) ? "refused" : "unreachable", reason: reasonOf(error) };
      if (error instanceof Unconnected) away(outcome);
      return outcome;
    }
  }

  /** No row was written: for what is there, or for a trigger or a policy. */
  private async standing(client: PoolClient, { key, namespace, stamp }: OriginWrite): Promise<OriginWritten> {
    if (this.stamp === null) return { type: "newer", stamp: null };
    const { places, text } = this.stamp;
    const all = [key, namespace];
    const { rows } = await client.query<(string | null)[]>({
      text,
      values: places.map((place) => all[place - 1]),
      rowMode: "array",
      types,
    });
    const told = rows[0]?.[0] ?? null;
    // Of a numeric column without what leads.
    const found = told === null ? null : told.padStart(stamp.length, "0");
    if (found !== null && found >= stamp) return { type: "newer", stamp: found };
    const there = found === null ? "there is no stamp there" : `the stamp there, ${found}, is lower than ${stamp}`;
    return { type: "refused", reason: `the statement changed no row, though ${there}: a trigger or a policy may keep it from that` };
  }

  private async on<T>(pool: Pool, run: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.connected(pool);
    let broken: Error | undefined;
    // A connection that ends while it is used says so twice: to who waits for an answer, and here; unheard, that would end this node.
    const lost = (error: Error): void => {
      broken = error;
      this.health.down(reasonOf(error));
    };
    client.on("error", lost);
    try {
      const found = await run(client);
      this.health.up();
      return found;
    } catch (error) {
      // A query that PostgreSQL refuses leaves the connection as it was; with anything else nobody knows what comes next on it.
      if (error instanceof DatabaseError && !endsConnection(error)) this.health.up();
      else broken = error instanceof Error ? error : new Error(String(error));
      throw error;
    } finally {
      client.off("error", lost);
      client.release(broken);
    }
  }

  private async connected(pool: Pool): Promise<PoolClient> {
    try {
      return await pool.connect();
    } catch (error) {
      this.health.down(reasonOf(error));
      throw new Unconnected(reasonOf(error));
    }
  }
}

/** There is no connection: nothing was sent. */
class Unconnected extends Error {
  readonly code = "postgres_unconnected";
}

interface Statement {
  readonly text: string;
  /** Which parameters it takes, in the order of its own numbers. */
  readonly places: readonly number[];
}

/** PostgreSQL wants every number up to the highest: a statement without `$2` gets its own. */
function numbered(statement: string): Statement {
  const places = [...new Set([...statement.matchAll(/\$(\d+)/g)].map((found) => Number(found[1])))].toSorted((a, b) => a - b);
  return { text: statement.replaceAll(/\$(\d+)/g, (_whole, number: string) => `$${places.indexOf(Number(number)) + 1}`), places };
}

/**
 * Classes of SQLSTATE. Its severity says less: that is in the language of the server. 08: the connection; 28: who connects; 57P: shutting down, or somebody
 * ended it; XX: PostgreSQL is damaged.
 */
const endsConnection = ({ code }: DatabaseError): boolean => /^(?:08|28|57P|XX)/.test(code ?? "");

/** What the server says of this very statement and row; it may be of another mind about the next. */
function isRefusal(error: unknown): boolean {
  // Classes of SQLSTATE: too many connections, shutting down, read-only, out of resources, cancelled by the timeout.
  return error instanceof DatabaseError && !/^(?:08|25|28|53|57|58|40|XX)/.test(error.code ?? "");
}

function answerOf(rows: readonly (readonly unknown[])[]): OriginAnswer {
  const value = rows[0]?.[0] ?? null;
  if (value === null) return { type: "absent" };
  return { type: "value", value: typeof value === "string" ? encoder.encode(value) : new Uint8Array(value as Buffer) };
}

/** As PostgreSQL writes them in its default format: `\x` and two digits for each. */
function bytesOf(text: string): Buffer {
  if (!text.startsWith("\\x")) throw new Error("bytea_output of the PostgreSQL must be hex");
  return Buffer.from(text.slice(2), "hex");
}
