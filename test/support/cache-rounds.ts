import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { connect, type ConnectOptions } from "@trivet/client";

/** What one process of the test is told. */
export interface RoundsSettings {
  readonly urls: readonly string[];
  readonly routing: NonNullable<ConnectOptions["routing"]>;
  /** Numbers that all processes share: for each key the last acknowledged value; then for each process what it has done. */
  readonly file: string;
  readonly process: number;
  readonly keys: number;
  /** Keys that this process writes, each for itself alone. */
  readonly writes: readonly number[];
}

/** Counters of a process in the shared file. */
const counters = ["reads", "hits", "writes", "stale"] as const;
export type Counted = Record<(typeof counters)[number], number>;

/** Eight bytes a number. The page cache is one for all processes, and no process has to be awake for another to read. */
export class SharedNumbers {
  private readonly descriptor: number;
  private readonly keys: number;
  private readonly bytes = Buffer.alloc(8);

  constructor(file: string, keys: number) {
    this.descriptor = openSync(file, "r+");
    this.keys = keys;
  }

  acknowledged(key: number): number {
    return this.read(key);
  }
  acknowledge(key: number, value: number): void {
    this.write(key, value);
  }
  counted(process: number): Counted {
    return Object.fromEntries(counters.map((name, at) => [name, this.read(this.placeOf(process) + at)])) as Counted;
  }
  count(process: number, counted: Counted): void {
    for (const [at, name] of counters.entries()) this.write(this.placeOf(process) + at, counted[name]);
  }
  close(): void {
    closeSync(this.descriptor);
  }

  private placeOf(process: number): number {
    return this.keys + process * counters.length;
  }
  private read(place: number): number {
    const read = readSync(this.descriptor, this.bytes, 0, 8, place * 8);
    return read === 8 ? this.bytes.readDoubleLE(0) : 0;
  }
  private write(place: number, value: number): void {
    this.bytes.writeDoubleLE(value, 0);
    writeSync(this.descriptor, this.bytes, 0, 8, place * 8);
  }
}

const nameOf = (key: number): string => `rounds-${key}`;
/** So many reads in one turn: then messages are heard. */
const readsPerTurn = 20;

/** Writes its keys and reads all of them until `stop`; gives what it found wrong. */
export async function playRounds(settings: RoundsSettings, stop: AbortSignal): Promise<readonly string[]> {
  const { file, keys, process: self, routing, urls, writes } = settings;
  const shared = new SharedNumbers(file, keys);
  const connection = await connect(urls, { routing, commandTimeoutMs: 60_000, connectTimeoutMs: 60_000, deadAfterMs: 1_500 });
  const cache = connection.cache<number>("default");
  const counted: Counted = { reads: 0, hits: 0, writes: 0, stale: 0 };
  const problems: string[] = [];

  const judge = (key: number, acknowledged: number, value: number | null, how: string): void => {
    counted.reads++;
    if ((value ?? 0) >= acknowledged) return;
    counted.stale++;
    problems.push(`process ${self}: ${how} of ${nameOf(key)} gave ${value}, ${acknowledged} was acknowledged before`);
  };
  const write = async (key: number): Promise<void> => {
    for (let value = shared.acknowledged(key) + 1; !stop.aborted; value++) {
      await cache.set(nameOf(key), value);
      shared.acknowledge(key, value);
      counted.writes++;
      judge(key, value, (await cache.get(nameOf(key))).value, "get of the writer");
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  const read = async (): Promise<void> => {
    for (let turn = 0; !stop.aborted; turn++) {
      for (let n = 0; n < readsPerTurn; n++) {
        const key = (turn * readsPerTurn + n) % keys;
        const acknowledged = shared.acknowledged(key);
        const copy = cache.peek(nameOf(key));
        if (copy !== undefined) {
          counted.hits++;
          judge(key, acknowledged, copy.value, "peek");
        } else if (n === 0) judge(key, acknowledged, (await cache.get(nameOf(key))).value, "get");
      }
      shared.count(self, counted);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  try {
    await Promise.all([read(), ...writes.map((key) => write(key))]);
  } catch (error) {
    problems.push(`process ${self}: ${String(error)}`);
  }
  await connection.close();
  shared.close();
  return problems;
}
