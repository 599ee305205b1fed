import type { CacheOrigin, OriginAnswer, Telemetry } from "@trivet/engine";
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
  readonly timeoutMs: number;
  /** This node, in log lines. */
  readonly node: string;
}

/** Rows of a PostgreSQL as an origin: one query, whose first column of the first row is the value. */
export class PostgresOrigin implements CacheOrigin {
  readonly timeoutMs: number;
  private readonly pool: Pool;
  private readonly query: string;
  private readonly wantsNamespace: boolean;
  private readonly health: OriginHealth;

  constructor({ node, query, timeoutMs, url }: PostgresOptions, telemetry: Telemetry) {
    this.timeoutMs = timeoutMs;
    this.query = query;
    this.wantsNamespace = /\$2(?!\d)/.test(query);
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

  async close(): Promise<void> {
    await this.pool.end();
  }

  private async ask(namespace: string, key: string): Promise<OriginAnswer> {
    const client = await this.connected();
    let broken: Error | undefined;
    try {
      const values = this.wantsNamespace ? [key, namespace] : [key];
      const { rows } = await client.query<unknown[]>({ text: this.query, values, rowMode: "array", types });
      this.health.up();
      return answerOf(rows);
    } catch (error) {
      // A query that PostgreSQL refuses leaves the connection as it was; with anything else nobody knows what comes next on it.
      if (error instanceof DatabaseError && error.severity === "ERROR") this.health.up();
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
