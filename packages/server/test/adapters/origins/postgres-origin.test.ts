import { MemoryTelemetry } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresOrigin } from "../../../src/adapters/origins/index.ts";
import { FairWork } from "../../../src/adapters/origins/fair-work.ts";
import { loadConfig } from "../../../src/config/index.ts";
import { given } from "../../config/given.ts";
import { until } from "../redis/redis-server.ts";
import { hasPostgres, PostgresServer } from "./postgres-server.ts";
import { FakePostgres } from "./fake-postgres.ts";
import { eventsOf, load, stampOf, textOf, write, written } from "./support.ts";

describe.skipIf(!hasPostgres)("PostgreSQL as an origin", () => {
  let server: PostgresServer;
  const opened: PostgresOrigin[] = [];
  const telemetry = new MemoryTelemetry();
  function open(query: string, timeoutMs = 5_000, told = telemetry, write = "", stamp = ""): PostgresOrigin {
    const origin = new PostgresOrigin({ url: server.url, query, write, stamp, timeoutMs, node: "node1" }, told);
    opened.push(origin);
    return origin;
  }
  beforeAll(async () => {
    server = await PostgresServer.start();
    await server.ask("CREATE TABLE pages (site text, path text, body text, raw bytea, shape jsonb, PRIMARY KEY (site, path))");
    const row = ["one", "/a", "höst", Buffer.from([0, 255, 1]), '{"b": [1, 2], "a": 12345678901234567890}'];
    await server.ask("INSERT INTO pages VALUES ($1, $2, $3, $4, $5)", row);
    await server.ask("INSERT INTO pages (site, path) VALUES ('one', '/empty')");
  }, 60_000);
  afterAll(async () => {
    for (const origin of opened) await origin.close();
    await server.stop();
  });

  test("a value is the first column of the row that the query finds, as PostgreSQL writes it; no row and NULL are nothing", async () => {
    const text = open("SELECT body FROM pages WHERE path = $1 AND site = $2");
    expect(await textOf(text, "one", "/a")).toBe("höst");
    expect(await load(text, "two", "/a")).toEqual({ type: "absent" });
    expect(await load(text, "one", "/empty")).toEqual({ type: "absent" });
    expect(await textOf(text, "one", "/a' OR true --")).toBe("absent");
    const bytes = open("SELECT raw FROM pages WHERE path = $1");
    expect(await load(bytes, "any", "/a")).toEqual({ type: "value", value: new Uint8Array([0, 255, 1]) });
    const json = open("SELECT shape FROM pages WHERE path = $1");
    expect(await textOf(json, "any", "/a")).toBe('{"a": 12345678901234567890, "b": [1, 2]}');
  });

  test("a query that PostgreSQL refuses, and one that takes too long, fail with a reason; the next one works", async () => {
    const wrong = open("SELECT body FROM nowhere WHERE path = $1");
    expect(await load(wrong, "n", "k")).toEqual({ type: "failed", reason: 'relation "nowhere" does not exist' });
    const slow = open("SELECT pg_sleep(60)::text || $1 WHERE $1 = 'slow' UNION ALL SELECT 'fast' WHERE $1 <> 'slow'", 200);
    expect(await load(slow, "n", "slow")).toMatchObject({ type: "failed", reason: expect.stringMatching(/timeout/i) });
    expect(await textOf(slow, "n", "other")).toBe("fast");
  });

  const readBack = "SELECT value FROM trivet_cache WHERE namespace = $2 AND key = $1";
  const setOf = (): { readonly write: string; readonly stamp: string } => {
    const { cache } = loadConfig(given({ env: { CACHE_ORIGIN_POSTGRES_URL: server.url } })).config;
    return cache.origins.postgres ?? { write: "", stamp: "" };
  };
  const writing = (told = telemetry, timeoutMs = 5_000): PostgresOrigin => {
    const { stamp, write: statement } = setOf();
    return open(readBack, timeoutMs, told, statement, stamp);
  };

  test("a write as it is set when nobody says how: rows with stamps, which neither repeats nor late writes change", async () => {
    await server.ask("CREATE TABLE trivet_cache (namespace text, key text, value bytea, stamp numeric(32), PRIMARY KEY (namespace, key))");
    const origin = writing();
    expect(await write(origin, written("k", "new", 12), written("l", "höst", 13))).toEqual([{ type: "written" }, { type: "written" }]);
    expect(await textOf(origin, "n", "l")).toBe("höst");
    expect(await write(origin, written("k", "old", 9), written("l", "höst", 13))).toEqual([
      { type: "newer", stamp: stampOf(12) },
      { type: "newer", stamp: stampOf(13) },
    ]);
    expect(await textOf(origin, "n", "k")).toBe("new");
    expect(await write(origin, written("k", null, 14))).toEqual([{ type: "written" }]);
    expect(await write(origin, written("k", "old", 11))).toEqual([{ type: "newer", stamp: stampOf(14) }]);
    expect(await load(origin, "n", "k")).toEqual({ type: "absent" });
    const many = Array.from({ length: 100 }, (_, at) => written(`many ${at}`, String(at), 1));
    expect(await write(origin, ...many)).toEqual(many.map(() => ({ type: "written" })));
    expect(await textOf(origin, "n", "many 99")).toBe("99");
  });

  test("a statement of one's own, without the namespace and with columns of other types; what PostgreSQL does not take is told with its reason", async () => {
    await server.ask("CREATE TABLE shapes (name text PRIMARY KEY, shape jsonb CHECK (shape <> '13'), stamp text COLLATE \"C\")");
    const statement =
      "INSERT INTO shapes VALUES ($1, convert_from($3, 'UTF8')::jsonb, $4) ON CONFLICT (name) DO UPDATE SET shape = EXCLUDED.shape, stamp = EXCLUDED.stamp WHERE shapes.stamp < EXCLUDED.stamp";
    const origin = open("SELECT shape FROM shapes WHERE name = $1", 5_000, telemetry, statement);
    expect(await write(origin, written("a", '{"b": 1}', 5), written("b", "no JSON", 6), written("c", "13", 7))).toEqual([
      { type: "written" },
      { type: "refused", reason: expect.stringContaining("json") },
      { type: "refused", reason: expect.stringContaining("check constraint") },
    ]);
    expect(await write(origin, written("a", '{"b": 2}', 10), written("a2", "1", 11))).toEqual([{ type: "written" }, { type: "written" }]);
    // Nobody said what tells its stamp.
    expect(await write(origin, written("a", '{"b": 1}', 9))).toEqual([{ type: "newer", stamp: null }]);
    expect(await textOf(origin, "n", "a")).toBe('{"b": 2}');
  });

  test("a row that somebody has locked keeps no other one waiting longer than a part of the time", async () => {
    const origin = writing(telemetry, 2_000);
    expect(await write(origin, written("locked", "v", 1))).toEqual([{ type: "written" }]);
    const locker = await server.locker();
    try {
      await locker.query("BEGIN");
      await locker.query("SELECT * FROM trivet_cache WHERE key = 'locked' FOR UPDATE");
      const many = Array.from({ length: 60 }, (_, at) => written(`beside ${at}`, "v", 2));
      const [first, ...others] = await write(origin, written("locked", "w", 2), ...many);
      expect(first).toEqual({ type: "refused", reason: expect.stringContaining("lock") });
      expect(others).toEqual(many.map(() => ({ type: "written" })));
      await locker.query("COMMIT");
      expect(await write(origin, written("locked", "w", 2))).toEqual([{ type: "written" }]);
    } finally {
      await locker.end();
    }
  });

  test("a row that a trigger keeps from being written is not taken for a newer one", async () => {
    await server.ask("CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    await server.ask(
      "CREATE TRIGGER keep_out BEFORE INSERT ON trivet_cache FOR EACH ROW WHEN (NEW.key LIKE 'kept%') EXECUTE FUNCTION keep_out()",
    );
    await server.ask("ALTER TABLE trivet_cache DISABLE TRIGGER keep_out");
    const origin = writing();
    expect(await write(origin, written("kept", "v", 5))).toEqual([{ type: "written" }]);
    await server.ask("ALTER TABLE trivet_cache ENABLE TRIGGER keep_out");
    expect(await write(origin, written("kept", "w", 6), written("kept out", "w", 6))).toEqual([
      { type: "refused", reason: expect.stringContaining("is lower") },
      { type: "refused", reason: expect.stringContaining("no stamp") },
    ]);
    expect(await write(origin, written("kept", "v", 4))).toEqual([{ type: "newer", stamp: stampOf(5) }]);
  });

  test("a PostgreSQL that is away takes no write, and is asked once for a batch and not for each of it", async () => {
    const origin = writing(new MemoryTelemetry());
    await server.kill();
    const batch = Array.from({ length: 50 }, (_, at) => written(`k${at}`, "v", 20));
    expect(new Set((await write(origin, ...batch)).map(({ type }) => type))).toEqual(new Set(["unreachable"]));
    await server.start();
    expect(await write(origin, written("k0", "v", 20))).toEqual([{ type: "written" }]);
  }, 60_000);

  test("a server that goes and comes back is told once each, without the password", async () => {
    const told = new MemoryTelemetry();
    const origin = open("SELECT body FROM pages WHERE path = $1", 5_000, told);
    expect(await textOf(origin, "n", "/a")).toBe("höst");
    await server.kill();
    await until(async () => (await load(origin, "n", "/a")).type === "failed");
    await until(async () => eventsOf(told).includes("origin.down"));
    expect(await load(origin, "n", "/a")).toMatchObject({ type: "failed", reason: expect.stringContaining("ECONNREFUSED") });
    await server.start();
    expect(await textOf(origin, "n", "/a")).toBe("höst");
    expect(eventsOf(told)).toEqual(["origin.up", "origin.down", "origin.up"]);
    expect(JSON.stringify(told.lines)).not.toContain("s3cret");
    expect(told.lines[0]?.fields).toEqual({ node: "node1", origin: "postgres", address: `127.0.0.1:${server.port}/postgres` });
  }, 60_000);
});

describe("a PostgreSQL of any language", () => {
  test.each(["ERROR", "FEHLER"])("refuses one write with severity %s, and takes the others", async (severity) => {
    const server = await FakePostgres.start((values) =>
      values.includes("bad") ? { severity, code: "23514", message: "nein" } : "INSERT 0 1",
    );
    const options = { url: server.url, query: "SELECT $1", write: "INSERT $1 $3 $4", stamp: "", timeoutMs: 5_000, node: "node1" };
    const origin = new PostgresOrigin(options, new MemoryTelemetry());
    try {
      const outcomes = await write(origin, ...["bad", "a", "b", "c", "d", "e"].map((key) => written(key, "v", 1)));
      expect(outcomes.map(({ type }) => type)).toEqual(["refused", "written", "written", "written", "written", "written"]);
    } finally {
      await origin.close();
      await server.stop();
    }
  });

  test("that ends a connection in the midst of an answer ends nothing else", async () => {
    const server = await FakePostgres.start((values) => (values.includes("ends") ? "hang up" : "INSERT 0 1"));
    const options = { url: server.url, query: "SELECT $1", write: "INSERT $1 $3 $4", stamp: "", timeoutMs: 5_000, node: "node1" };
    const told = new MemoryTelemetry();
    const origin = new PostgresOrigin(options, told);
    try {
      expect(await load(origin, "n", "ends")).toMatchObject({ type: "failed" });
      expect(eventsOf(told)).toEqual(["origin.down"]);
      expect((await write(origin, written("ends", "v", 1), written("a", "v", 1))).map(({ type }) => type)).toEqual([
        "unreachable",
        "written",
      ]);
    } finally {
      await origin.close();
      await server.stop();
    }
  });

  test("tells what it has written while it hangs on another row", async () => {
    const server = await FakePostgres.start((values) => (values.includes("hangs") ? null : "INSERT 0 1"));
    const options = { url: server.url, query: "SELECT $1", write: "INSERT $1 $3 $4", stamp: "", timeoutMs: 500, node: "node1" };
    const origin = new PostgresOrigin(options, new MemoryTelemetry());
    try {
      const told: number[] = [];
      const all = ["a", "hangs", "b", "c", "d", "e"].map((key) => written(key, "v", 1));
      await new Promise<void>((resolve) =>
        origin.write(all, (place, { type }) => {
          told.push(place);
          if (type === "unreachable") resolve();
        }),
      );
      expect(told.at(-1)).toBe(1);
      expect(told.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
    } finally {
      await origin.close();
      await server.stop();
    }
  });
});

describe("batches", () => {
  test("have their parts done in turn, and so many at a time over all of them", async () => {
    const work = new FairWork(2);
    const order: string[] = [];
    const ends: (() => void)[] = [];
    const part = (name: string) => (place: number) =>
      new Promise<void>((resolve) => {
        order.push(`${name}${place}`);
        ends.push(resolve);
      });
    work.add(4, part("a"));
    work.add(2, part("b"));
    work.add(0, part("none"));
    await until(async () => order.length === 2);
    for (let ended = 0; ended < 6; ended++) {
      expect(order.length - ended).toBeLessThanOrEqual(2);
      ends[ended]?.();
      await until(async () => order.length === Math.min(6, ended + 3));
    }
    expect(order).toEqual(["a0", "b0", "a1", "b1", "a2", "a3"]);
  });
});
