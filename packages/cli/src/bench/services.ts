import type { Queue, TrivetConnection } from "@trivet/client";
import { randomBytes } from "node:crypto";
import type { QueueStateAnswer } from "../api/queue-answers.ts";
import type { Api } from "../api/http.ts";
import { closedLoop, type Load, type Measured } from "./closed-loop.ts";
import { figureOf, type Figure } from "./figures.ts";

export const benchServices = ["locks", "queue", "cache"] as const;
export type BenchService = (typeof benchServices)[number];

/** What is stored at most in one measurement: whoever runs this did not ask for a full disk. */
export const mostStoredBytes: number = 256 * 1024 * 1024;
const partitions = 4;
/** Cached values that are there at a time: so many for each caller, and so many bytes of all. */
const keysPerCaller = 16;
const mostCachedBytes = 64 * 1024 * 1024;

export interface Bench {
  readonly connection: TrivetConnection;
  readonly api: Api;
  readonly voters: number;
  readonly inFlight: number;
  readonly seconds: number;
  readonly size: number;
  readonly signal: AbortSignal;
  /** Told of what is measured, once a second. */
  readonly say: (text: string) => void;
  /** Told of each measurement that has ended. */
  readonly measured: (figure: Figure, measured: Measured) => void;
  /** Name of everything that is made: nothing else is touched. */
  readonly name: string;
}

export const newBenchName = (): string => `trivet-bench-${randomBytes(4).toString("hex")}`;

/** Measures one service, and leaves nothing behind. */
export const measureService: Readonly<Record<BenchService, (bench: Bench) => Promise<void>>> = { locks, queue, cache };

async function locks(bench: Bench): Promise<void> {
  const { connection, name } = bench;
  // Not part of what is measured.
  await connection.locks.session();
  const durability = quorum(bench);
  await measure(bench, "locks", "acquire + release", durability, {}, async (caller) => {
    const lock = await connection.locks.acquire(`${name}/${caller}`);
    await lock.release();
    return true;
  });
}

async function queue(bench: Bench): Promise<void> {
  const { connection, name } = bench;
  const { bytesCodec } = await import("@trivet/client");
  const target = connection.queue(name, { codec: bytesCodec });
  await target.create({ partitions });
  await andThen(
    () => onQueue(bench, target),
    () => target.delete(),
  );
}

async function onQueue(bench: Bench, target: Queue<Uint8Array>): Promise<void> {
  const { api, inFlight, name, size, signal } = bench;
  const { durability } = (await api.call("GET", `/v1/queues/${name}`)) as QueueStateAnswer;
  const means = durability === "quorum" ? quorum(bench) : `on Redis: ${durability}`;
  const body = new Uint8Array(randomBytes(size));
  const produced = await measure(bench, "queue", `produce ${size} B`, means, { most: mostStored(bench) }, async () => {
    await target.produce(body);
    return true;
  });
  if (signal.aborted) return;
  const consumer = target.consume({ group: "bench", credit: 2 * inFlight });
  // Who waits for a message when the time is over gets none.
  const stop = (): void => consumer.stop();
  const timer = setTimeout(stop, bench.seconds * 1_000);
  signal.addEventListener("abort", stop, { once: true });
  try {
    await measure(bench, "queue", "consume + ack", means, { most: produced.operations }, async () => {
      const next = await consumer.next();
      if (next.done === true) return false;
      await next.value.ack();
      return true;
    });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    await consumer.close();
  }
}

async function cache(bench: Bench): Promise<void> {
  const path = `/v1/cache-namespaces/${bench.name}`;
  await bench.api.call("PUT", path, {}, { "if-none-match": "*" });
  await andThen(
    () => onCache(bench),
    () => bench.api.call("DELETE", path),
  );
}

async function onCache(bench: Bench): Promise<void> {
  const { connection, inFlight, name, size } = bench;
  const { bytesCodec } = await import("@trivet/client");
  // No copies here: what a program's own copies answer costs the cluster nothing.
  const values = connection.cache(name, { codec: bytesCodec, maxEntries: 0 });
  const keys = Math.max(1, Math.min(keysPerCaller, Math.floor(mostCachedBytes / size / inFlight)));
  const key = (caller: number, turn: number): string => `${caller}-${turn % keys}`;
  const value = new Uint8Array(randomBytes(size));
  await measure(bench, "cache", `set ${size} B`, quorum(bench), { most: mostStored(bench) }, async (caller, turn) => {
    await values.set(key(caller, turn), value);
    return true;
  });
  if (bench.signal.aborted) return;
  await measure(bench, "cache", "get, no copies kept", "the latest acknowledged value", {}, async (caller, turn) => {
    await values.get(key(caller, turn));
    return true;
  });
}

/** `clean` runs whatever became of the work; the work's own error says more than one of `clean` after it. */
async function andThen(work: () => Promise<void>, clean: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await clean().catch(() => undefined);
    throw error;
  }
  await clean();
}

const mostStored = ({ inFlight, size }: Bench): number => Math.max(inFlight, Math.floor(mostStoredBytes / size));

async function measure(
  bench: Bench,
  service: BenchService,
  operation: string,
  durability: string,
  bounds: Pick<Load, "most">,
  run: (caller: number, turn: number) => Promise<boolean>,
): Promise<Measured> {
  const { inFlight, seconds, signal, say } = bench;
  const progress = (done: number, elapsed: number): void =>
    say(`${service}, ${operation}: ${Math.round(elapsed)} of ${seconds} s, ${done} done`);
  const measured = await closedLoop({ inFlight, seconds, signal, progress, ...bounds }, run);
  bench.measured(figureOf(service, operation, durability, measured), measured);
  return measured;
}

const quorum = ({ voters }: Bench): string => `on the disks of ${Math.floor(voters / 2) + 1} of ${voters} nodes`;
