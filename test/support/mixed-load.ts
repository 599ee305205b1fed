import { connect, type TrivetConnection } from "@trivet/client";
import { setTimeout as pause } from "node:timers/promises";
import { call, expectStatus, type Answer, type Json } from "./http.ts";
import { lostOrLeftOver, startLockClients, violations } from "./lock-clients.ts";
import { Silences } from "./silences.ts";
import { ready, waitFor } from "./wait.ts";

const kinds = ["sdk-produce", "http-produce", "consume", "sdk-cache", "http-cache", "sdk-lock"] as const;
type Kind = (typeof kinds)[number] | "http-lock";

/** Locks, queues and the cache, through the SDK and over HTTP, at the same time. */
export interface MixedLoad {
  /** Waits until each kind of work was acknowledged so many more times. */
  progress(times: number, deadlineMs?: number): Promise<void>;
  /** How long nothing was acknowledged of each kind of work, at the longest so far. */
  longestSilencesMs(): Readonly<Partial<Record<Kind, number>>>;
  /** Ends the load, and gives everything that is not as it was acknowledged; each idempotent request that failed is in it. */
  finish(): Promise<readonly string[]>;
}

/** A call is repeated under its key, at any node, for so long; whoever is still without an answer then has failed. */
const patienceMs = 30_000;
const queue = "rolling";
const cacheKeys = 6;

export async function startMixedLoad(urls: readonly string[]): Promise<MixedLoad> {
  const anyUrl = (): string => urls[Math.floor(Math.random() * urls.length)] ?? "";
  const stop = new AbortController();
  const failures: string[] = [];
  const done = new Map<(typeof kinds)[number], number>(kinds.map((kind) => [kind, 0]));
  const silences = new Silences<Kind>();
  const acknowledged = (kind: (typeof kinds)[number]): void => {
    done.set(kind, (done.get(kind) ?? 0) + 1);
    silences.heard(kind);
  };
  const produced = new Set<string>();
  const consumed = new Set<string>();
  const cached = new Map<string, number>();
  await expectStatus(201, `${anyUrl()}/v1/queues/${queue}`, { method: "PUT", body: { partitions: 4 } });
  const connection = await connect(urls, { routing: "any", commandTimeoutMs: patienceMs, connectTimeoutMs: patienceMs });
  const locks = startLockClients({
    urls,
    clients: 3,
    names: ["shelf/1", "shelf/2", "shelf/3"],
    patienceMs,
    acknowledged: () => silences.heard("http-lock"),
  });
  let keys = 0;

  /** One call under one Idempotency-Key until it has an answer: 503 changed nothing, 504 is an unknown outcome, and so is silence. */
  const insist = async (path: string, method: string, body: Json): Promise<Answer | null> => {
    keys += 1;
    const headers = { "idempotency-key": `mixed-${process.pid}-${keys}` };
    const until = performance.now() + patienceMs;
    while (performance.now() < until) {
      const answer = await call(`${anyUrl()}${path}`, { method, body, headers, timeoutMs: 3_000 }).catch(() => null);
      if (answer !== null && answer.status !== 503 && answer.status !== 504) return answer;
      await pause(20 + Math.random() * 80);
    }
    return null;
  };
  const repeat = async (what: (typeof kinds)[number], run: (turn: number) => Promise<void>): Promise<void> => {
    for (let turn = 1; !stop.signal.aborted; turn += 1) {
      try {
        await run(turn);
        acknowledged(what);
      } catch (error) {
        if (!stop.signal.aborted) failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
        await pause(50);
      }
    }
  };
  const wanted = async (status: number, path: string, method: string, body: Json): Promise<void> => {
    const answer = await insist(path, method, body);
    if (answer?.status !== status)
      throw new Error(`${method} ${path}: ${answer === null ? "no answer" : `${answer.status} ${answer.text}`}`);
  };

  const loops = [
    repeat("sdk-produce", async (turn) => {
      const body = `sdk-${turn}`;
      await connection.queue<string>(queue).produce(body, { key: String(turn % 20) });
      produced.add(body);
    }),
    repeat("http-produce", async (turn) => {
      const body = `http-${turn}`;
      await wanted(201, `/v1/queues/${queue}/messages`, "POST", { messages: [{ body, key: String(turn % 20) }] });
      produced.add(body);
    }),
    repeat("sdk-cache", async (turn) => {
      const key = `sdk/${turn % cacheKeys}`;
      const items = connection.cache<number>("default");
      await items.set(key, turn);
      cached.set(key, turn);
      const { value } = await items.get(key);
      if (value !== turn) throw new Error(`${key} is ${value} after ${turn} was acknowledged`);
    }),
    repeat("http-cache", async (turn) => {
      const key = `http/${turn % cacheKeys}`;
      await wanted(200, `/v1/cache/${encodeURIComponent(key)}`, "PUT", { value: turn });
      cached.set(key, turn);
    }),
    repeat("sdk-lock", async (turn) => {
      await connection.locks.with(`sdk/${turn % 3}`, { waitMs: patienceMs }, async (lock) => lock.assertHeld());
    }),
  ];
  const consuming = consume(connection, stop.signal, failures, (body) => {
    consumed.add(body);
    acknowledged("consume");
  });

  return {
    progress: async (times, deadlineMs = 60_000) => {
      const before = new Map(done);
      await locks.progress(times, deadlineMs);
      await waitFor(
        `${times} more acknowledged calls of each kind`,
        () => {
          const short = kinds.filter((kind) => (done.get(kind) ?? 0) - (before.get(kind) ?? 0) < times);
          return short.length === 0 ? ready(true) : `${short.join(", ")}; ${failures.slice(0, 3).join("; ")}`;
        },
        { deadlineMs },
      );
    },
    longestSilencesMs: () => silences.longestMs(),
    finish: async () => {
      const history = await locks.finish();
      // The consumer goes on until everything acknowledged has come.
      stop.abort();
      await Promise.all([...loops, consuming]);
      await drain(connection, consumed, produced);
      const missing = [...produced].filter((body) => !consumed.has(body));
      const old: string[] = [];
      for (const [key, value] of cached) {
        const { body, text } = await call(`${anyUrl()}/v1/cache/${encodeURIComponent(key)}`);
        if (body["value"] !== value) old.push(`${key}: ${text}, ${value} was acknowledged`);
      }
      await connection.close();
      return [
        ...failures,
        ...violations(history).map((problem) => JSON.stringify(problem)),
        ...(await lostOrLeftOver(history, anyUrl())),
        ...missing.map((body) => `message ${body} was acknowledged and never came`),
        ...old,
      ];
    },
  };
}

async function consume(connection: TrivetConnection, stop: AbortSignal, failures: string[], got: (body: string) => void): Promise<void> {
  try {
    for await (const message of connection.queue<string>(queue).consume({ credit: 20, visibilityMs: 60_000, signal: stop })) {
      await message.ack();
      got(message.body);
    }
  } catch (error) {
    if (!stop.aborted) failures.push(`consume: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function drain(connection: TrivetConnection, consumed: Set<string>, produced: ReadonlySet<string>): Promise<void> {
  const enough = new AbortController();
  const all = (): boolean => [...produced].every((body) => consumed.has(body));
  if (all()) return;
  const limit = setTimeout(() => enough.abort(), 90_000);
  await consume(connection, enough.signal, [], (body) => {
    consumed.add(body);
    if (all()) enough.abort();
  });
  clearTimeout(limit);
}
