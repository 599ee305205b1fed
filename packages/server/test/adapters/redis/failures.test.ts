import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { freePort, hasProgram, hasRedis, RedisServer, until } from "./redis-server.ts";
import { Bench, message, openStorage, type Opened, storageAt } from "./support.ts";

const linesOf = ({ telemetry }: Opened): string[] =>
  telemetry.lines.map(({ event }) => event).filter((event) => event !== "redis.settings");

describe.skipIf(!hasRedis)("Redis that fails", () => {
  const servers: RedisServer[] = [];
  const opened: Opened[] = [];
  afterEach(async () => {
    for (const { storage } of opened.splice(0)) await storage.close();
    for (const server of servers.splice(0)) await server.stop();
  });
  async function serve(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start(args);
    servers.push(server);
    return server;
  }
  async function connect(...[server, options]: Parameters<typeof storageAt>): Promise<Opened> {
    const storage = await storageAt(server, options);
    opened.push(storage);
    return storage;
  }
  const unavailable = { type: "unavailable", code: "redis_unavailable", retryAfterMs: 1000 };

  test("a node starts without Redis, says so once, answers at once, and works when Redis comes", async () => {
    const server = new RedisServer(await freePort());
    servers.push(server);
    // As it was configured: what its name stands for here is one more thing that may be wrong.
    const address = `localhost:${server.port}`;
    const node = openStorage({ nodes: [{ host: "localhost", port: server.port }] });
    opened.push(node);
    const b = new Bench(node.storage, 1);
    const told: number[] = [];
    node.storage.watchReady((queue) => void told.push(queue));
    expect(await b.submit(b.production([{}]))).toMatchObject(unavailable);
    expect(await b.query({ type: "stats", queue: 1, partition: 0 })).toMatchObject(unavailable);
    await until(async () => linesOf(node).includes("redis.down"));
    const refused = await b.submit(b.production([{}]));
    expect(refused).toMatchObject({ ...unavailable, detail: expect.stringContaining(address) });
    await server.start();
    await until(async () => node.storage.isUp);
    expect(await b.produce({})).toEqual([1]);
    expect(linesOf(node)).toEqual(["redis.down", "redis.up"]);
    expect(node.telemetry.lines[0]).toMatchObject({ level: "error", fields: { node: "node1", address } });
    expect(node.telemetry.lines[0]?.text).toContain(address);
    await until(async () => told.includes(-1));
  });

  test("Redis goes and comes back: told once each, and what was acknowledged is still there", async () => {
    const server = await serve("--appendonly", "yes", "--appendfsync", "always");
    const node = await connect(server);
    const b = new Bench(node.storage, 1);
    await b.produce({}, { delayMs: 100 });
    await b.take(1);
    await server.kill();
    await until(async () => !node.storage.isUp);
    expect(await b.submit(b.consumption())).toMatchObject(unavailable);
    await server.start();
    await until(async () => node.storage.isUp);
    expect(await b.settle("ack", 1)).toBe("settled");
    await until(async () => (await b.take()).includes(2));
    expect(linesOf(node)).toEqual(["redis.up", "redis.down", "redis.up"]);
  });

  test("a command that was sent and not answered is of unknown fate; its retry takes effect once", async () => {
    const server = await serve("--appendonly", "yes", "--appendfsync", "always");
    const node = await connect(server);
    const b = new Bench(node.storage, 1);
    await b.produce({});
    server.signal("SIGSTOP");
    const idempotency = { key: "k", fingerprint: "f" };
    const unknown = await b.submit(b.production([{}]), { timeoutMs: 100, idempotency });
    expect(unknown).toMatchObject({ type: "unknown" });
    const { requestId } = unknown as { readonly requestId: string };
    const lost = b.submit(b.production([{ dedupId: "d" }]));
    // The server is executing nothing; that the command is under way only the connection knows.
    await new Promise((resolve) => setImmediate(resolve));
    await server.kill();
    expect(await lost).toMatchObject({ type: "unknown" });
    await server.start();
    await until(async () => node.storage.isUp);
    const answers: unknown[] = [];
    for (let time = 0; time < 2; time++) {
      const repeated = await b.submit(b.production([{}]), { timeoutMs: 5000, idempotency });
      if (repeated.type !== "answered") throw new Error(JSON.stringify(repeated));
      expect(await b.request(requestId)).toEqual({ type: "shard-answered", answer: repeated.result });
      answers.push([repeated.result, await b.produce({ dedupId: "d" })]);
    }
    expect(answers[1]).toEqual(answers[0]);
    expect(await b.take()).toHaveLength(3);
  });

  test("a server that says nothing any more is given up", async () => {
    const server = await serve();
    const node = await connect(server);
    const b = new Bench(node.storage, 1);
    server.signal("SIGSTOP");
    expect(await b.submit(b.production([{}]), { timeoutMs: 60_000 })).toMatchObject({ type: "unknown" });
    await until(async () => !node.storage.isUp);
    expect(await b.submit(b.production([{}]))).toMatchObject(unavailable);
    server.signal("SIGCONT");
    await until(async () => node.storage.isUp);
    await b.produce({});
  });

  test("killed in the middle of produces with appendfsync always, nothing acknowledged is lost and nothing is twice", async () => {
    const server = await serve("--appendonly", "yes", "--appendfsync", "always");
    const { storage } = await connect(server);
    const b = new Bench(storage, 1);
    const acknowledged = new Map<string, number>();
    const ended = new AbortController();
    const produce = async (producer: number): Promise<void> => {
      for (let count = 0; !ended.signal.aborted; count++) {
        const dedupId = `${producer}-${count}`;
        // As callers do: again, under the same id, until it is acknowledged.
        for (let isDone = false; !isDone && !ended.signal.aborted;) {
          const outcome = await b.submit(b.production([message({ dedupId, body: Buffer.from(dedupId) })]));
          isDone = outcome.type === "answered";
          if (outcome.type === "answered" && outcome.result.type === "produced")
            acknowledged.set(dedupId, outcome.result.messages[0]?.sequence ?? 0);
          else await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
    };
    const producers = Array.from({ length: 8 }, (_, at) => produce(at));
    for (let kills = 0; kills < 3; kills++) {
      const before = acknowledged.size;
      await until(async () => acknowledged.size >= before + 200);
      await server.kill();
      await server.start();
    }
    const before = acknowledged.size;
    await until(async () => acknowledged.size >= before + 200);
    ended.abort();
    await Promise.all(producers);
    const found = new Map<string, number>();
    for (;;) {
      const messages = await b.consume({ maxMessages: 1000 });
      if (messages.length === 0) break;
      for (const { body, sequence } of messages) {
        const text = Buffer.from(body).toString();
        expect([text, found.has(text)]).toEqual([text, false]);
        found.set(text, sequence);
      }
    }
    for (const [text, sequence] of acknowledged) expect([text, found.get(text)]).toEqual([text, sequence]);
  });

  test("a Redis without memory refuses produces, drops nothing, and lets what is there be settled", async () => {
    const server = await serve("--maxmemory-policy", "noeviction");
    const { storage } = await connect(server);
    const b = new Bench(storage, 1);
    await b.produce({});
    await server.ask("CONFIG", "SET", "maxmemory", "1mb");
    expect(await b.submit(b.production([{}]))).toMatchObject({ type: "unavailable", code: "overloaded" });
    expect(await b.take()).toEqual([1]);
    expect(await b.settle("ack", 1)).toBe("settled");
  });

  test("a wrong password is told as any other reason, and is in no log line", async () => {
    const server = await serve("--requirepass", "right");
    const node = openStorage({ nodes: [{ host: "127.0.0.1", port: server.port }], password: "wrong-secret" });
    opened.push(node);
    await until(async () => linesOf(node).includes("redis.down"));
    const b = new Bench(node.storage, 1);
    expect(await b.submit(b.production([{}]))).toMatchObject(unavailable);
    expect(JSON.stringify(node.telemetry.lines)).not.toContain("wrong-secret");
    const { storage } = await connect(server, { password: "right" });
    expect(await new Bench(storage, 1).produce({})).toEqual([1]);
  });

  test.skipIf(!hasProgram("openssl"))("over TLS, to a server whose certificate is known, and to no other", async () => {
    const certificate = new RedisServer(await freePort());
    servers.push(certificate);
    const [key, cert] = ["key.pem", "cert.pem"].map((name) => certificate.file(name)) as [string, string];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, ...subject],
      { stdio: "ignore" },
    );
    const port = await freePort();
    await serve(
      "--tls-port",
      String(port),
      "--tls-cert-file",
      cert,
      "--tls-key-file",
      key,
      "--tls-ca-cert-file",
      cert,
      "--tls-auth-clients",
      "no",
    );
    const nodes = [{ host: "127.0.0.1", port }];
    const known = openStorage({ nodes, tls: { ca: readFileSync(cert) } });
    const stranger = openStorage({ nodes, tls: {} });
    opened.push(known, stranger);
    await until(async () => known.storage.isUp);
    expect(await new Bench(known.storage, 1).produce({})).toEqual([1]);
    await until(async () => linesOf(stranger).includes("redis.down"));
    const b = new Bench(stranger.storage, 1);
    expect(await b.submit(b.production([{}]))).toMatchObject(unavailable);
  });

  test("a user of Redis's access control needs the keys, the channel and scripts, and no more", async () => {
    const server = await serve();
    const rules = ["on", ">secret", "~q:*", "&q:*", "+@stream", "+@hash", "+@sortedset", "+@connection", "+@scripting", "+@pubsub"];
    await server.ask("ACL", "SETUSER", "trivet", ...rules, "+time", "+del", "+unlink", "+pexpire");
    const node = await connect(server, { username: "trivet", password: "secret" });
    const b = new Bench(node.storage, 1);
    await b.produce({});
    expect(await b.take()).toEqual([1]);
    // What it cannot do without asking the server is told.
    const advice = (): string => JSON.stringify(node.telemetry.lines.filter(({ event }) => event === "redis.settings"));
    await until(async () => advice().includes("Grant it +info"));
    await server.ask("ACL", "SETUSER", "trivet", "+info");
    const other = await connect(server, { username: "trivet", password: "secret" });
    await until(async () => JSON.stringify(other.telemetry.lines).includes("append-only file"));
    expect(JSON.stringify(other.telemetry.lines)).not.toContain("+info");
    expect(await new Bench(other.storage, 1).produce({})).toHaveLength(1);
  });

  test("a user that may neither publish nor listen loses nothing but time, and is told so", async () => {
    const server = await serve();
    await server.ask("ACL", "SETUSER", "deaf", "on", ">secret", "~q:*", "+@all", "resetchannels");
    const node = await connect(server, { username: "deaf", password: "secret" });
    const b = new Bench(node.storage, 1);
    expect(await b.take()).toEqual([]);
    expect(await b.produce({})).toEqual([1]);
    expect(await b.produce({})).toEqual([2]);
    const taken = await b.take();
    expect(await b.take()).toEqual([]);
    expect(await b.produce({ delayMs: 50 }, { delayMs: 50 })).toEqual([3, 4]);
    await until(async () => taken.push(...(await b.take())) === 4);
    expect(taken).toEqual([1, 2, 3, 4]);
    const told = (): string[] => node.telemetry.lines.filter(({ event }) => event === "redis.settings").map(({ text }) => text);
    await until(async () => told().some((text) => text.includes("Grant it +@pubsub &q:*")));
    expect(linesOf(node)).toEqual(["redis.up"]);
  });

  test("a default user without rights, as whom Redis loads its file, is told: with it queues are empty after a restart", async () => {
    const server = await serve("--appendonly", "yes", "--appendfsync", "always");
    const advice = async (): Promise<readonly string[]> => {
      await server.ask("CONFIG", "RESETSTAT");
      const node = await connect(server);
      const told = (): string[] => node.telemetry.lines.filter(({ event }) => event === "redis.settings").map(({ text }) => text);
      const b = new Bench(node.storage, 1);
      await until(async () => String(await server.ask("INFO", "commandstats")).includes("cmdstat_acl|dryrun"));
      // Its answer comes after that of the question, which was asked before it.
      expect(await b.submit(b.production([{}]))).toMatchObject({ type: "answered" });
      return told();
    };
    expect(await advice()).toEqual([]);
    await server.ask("ACL", "SETUSER", "default", "resetkeys", "~q:{orders*");
    expect(await advice()).toEqual([expect.stringContaining("user default off ~* &* +@all")]);
  });
});
