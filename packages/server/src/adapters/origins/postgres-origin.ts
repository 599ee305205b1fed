import type { CacheOrigin, OriginAnswer, OriginWrite, OriginWritten, Telemetry } from "@trivet/engine";
import { DatabaseError, Pool, type PoolClient } from "pg";
import { reasonOf } from "../redis/link.ts";
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
  private readonly pool: Pool;
  private readonly query: string;
  private readonly wantsNamespace: boolean;
  private readonly statement: Statement;
  private readonly health: OriginHealth;

  constructor({ node, query, timeoutMs, url, write }: PostgresOptions, telemetry: Telemetry) {
    this.timeoutMs = timeoutMs;
    this.query = query;
    this.wantsNamespace = /\$2(?!\d)/.test(query);
    this.statement = numbered(write);
    const { host, pathname } = new URL(url);
    this.health = new OriginHealth(telemetry, { node, origin: "postgres", address: `${host}${pathname}` });
    this.pool = new Pool({
      connectionString: url,
      application_name: "trivet",
      max: originLimits.connections,
      connectionTimeoutMillis: timeoutMs,
      idleTimeoutMillis: originLimits.idleMs,
      // The server gives up as well: whom nobody waits for holds no connection.
      statement_timeout: timeoutMs,
      query_timeout: timeoutMs,
      keepAlive: true,
    });
    // A connection that ends while nobody uses it.
    this.pool.on("error", (error) => this.health.down(reasonOf(error)));
  }

  load(namespace: string, key: string, done: (answer: OriginAnswer) => void): void {
    this.ask(namespace, key).then(done, (error: unknown) => done({ type: "failed", reason: reasonOf(error) }));
  }

  write(writes: readonly OriginWrite[], done: (outcomes: readonly OriginWritten[]) => void): void {
    this.writeAll(writes).then(done, (error: unknown) => {
      const reason = reasonOf(error);
      done(writes.map(() => ({ type: "unreachable", reason })));
    });
  }

  async close(): Promise<void> {
    await this.pool.end();
  }

  private async ask(namespace: string, key: string): Promise<OriginAnswer> {
    const values = this.wantsNamespace ? [key, namespace] : [key];
    return this.on(async (client) => answerOf((await client.query<unknown[]>({ text: this.query, values, rowMode: "array", types })).rows));
  }

  /** Some at a time; once the server is away nobody knocks for the rest. */
  private async writeAll(writes: readonly OriginWrite[]): Promise<readonly OriginWritten[]> {
    const outcomes: OriginWritten[] = [];
    let next = 0;
    let lost: OriginWritten | null = null;
    const work = async (): Promise<void> => {
      while (next < writes.length) {
        const place = next++;
        const outcome: OriginWritten = lost ?? (await this.writeOne(writes[place] as OriginWrite));
        if (outcome.type === "unreachable") lost = outcome;
        outcomes[place] = outcome;
      }
    };
    await Promise.all(Array.from({ length: originLimits.writers }, work));
    return outcomes;
  }

  private async writeOne({ key, namespace, stamp, value }: OriginWrite): Promise<OriginWritten> {
    const all = [key, namespace, value === null ? null : Buffer.from(value), stamp];
    const { places, text } = this.statement;
    try {
      const { rowCount } = await this.on((client) => client.query({ text, values: places.map((place) => all[place - 1]) }));
      return { type: (rowCount ?? 0) > 0 ? "written" : "newer" };
    } catch (error) {
      return { type: isRefusal(error) ? "refused" : "unreachable", reason: reasonOf(error) };
    }
  }

  private async on<T>(run: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.connected();
    let broken: Error | undefined;
    try {
      const found = await run(client);
      this.health.up();
      return found;
    } catch (error) {
      // A query that PostgreSQL refuses leaves the connection as it was; with anything else nobody knows what comes next on it.
      if (isDatabaseError(error)) this.health.up();
      else broken = error instanceof Error ? error : new Error(String(error));
      throw error;
    } finally {
      client.release(broken);
    }
  }

  private async connected(): Promise<PoolClient> {
    try {
      return await this.pool.connect();
    } catch (error) {
      this.health.down(reasonOf(error));
      throw error;
    }
  }
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

const isDatabaseError = (error: unknown): error is DatabaseError => error instanceof DatabaseError && error.severity === "ERROR";

/** What the server says of this very statement and row; it may be of another mind about the next. */
function isRefusal(error: unknown): boolean {
  // Classes of SQLSTATE: too many connections, shutting down, read-only, out of resources, cancelled by the timeout.
  return isDatabaseError(error) && !/^(?:08|25|53|57|58|40)/.test(error.code ?? "");
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
