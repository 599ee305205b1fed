import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { zipfKeys } from "./zipf.ts";

/** Keys asked for, in order, numbered by their first appearance. */
export interface Trace {
  readonly requests: Int32Array;
  readonly unique: number;
}
type Key = number | bigint | string;

/** Decompressed size at most: the largest trace known has 40 MB. */
const mostBytes = 2 ** 28;
const loopKeys = 1011;
const loopRounds = 500;
const zipfRequests = 1_000_000;
const zipfSeed = 7;

export type TraceName = "gli" | "multi3" | "loop" | "sprite" | "web12" | "corda" | "corda-loop-corda" | "zipf";
export const traceNames: readonly TraceName[] = ["gli", "multi3", "loop", "sprite", "web12", "corda", "corda-loop-corda", "zipf"];

/** What the traces come from: files of a folder that is not part of this project, or nothing but arithmetic. */
export class TraceFolder {
  private readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Throws, with what to do, when a file is not there or cannot be read. */
  load(name: TraceName): Trace {
    switch (name) {
      case "gli":
      case "multi3":
      case "sprite":
        return numbered(lines(gunzipSync(this.read(`${name}.trace.gz`))));
      case "web12":
        return numbered(int32s(this.unxz("web12.trace.xz")));
      case "corda":
        return numbered(this.corda());
      case "loop":
        return numbered(loop(1));
      case "corda-loop-corda": {
        const corda = this.corda();
        // Numbers of the loop and of the trace must not meet: those of the trace stay big integers.
        return numbered([...corda, ...loop(5), ...corda]);
      }
      case "zipf":
        return numbered(zipfKeys(10_000, 0.99, zipfRequests, zipfSeed));
    }
  }

  private corda(): bigint[] {
    return int64s(gunzipSync(this.read("trace_vaultservice.gz")));
  }

  private locate(file: string): string {
    if (!existsSync(this.path))
      throw new Error(`no folder ${this.path}: the traces are not part of this project; name the folder they are in with --traces DIR`);
    const path = join(this.path, file);
    if (!existsSync(path)) throw new Error(`no file ${path}: name the folder it is in with --traces DIR, or leave the trace out`);
    return path;
  }

  private read(file: string): Buffer {
    return readFileSync(this.locate(file));
  }

  /** Node has no xz. */
  private unxz(file: string): Buffer {
    const path = this.locate(file);
    const { error, status, stdout, stderr } = spawnSync("xz", ["--decompress", "--stdout", path], { maxBuffer: mostBytes });
    if (error !== undefined) throw new Error(`${path}: xz cannot be run (Debian: xz-utils): ${error.message}`, { cause: error });
    if (status !== 0) throw new Error(`${path}: ${stderr.toString().trim()}`);
    return stdout;
  }
}

/** One integer a line; `*` marks nothing that matters here. */
function lines(text: Buffer): number[] {
  return text
    .toString("latin1")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && line !== "*")
    .map((line) => {
      const key = Number(line);
      if (!Number.isInteger(key)) throw new Error(`not a key: "${line}"`);
      return key;
    });
}

function int32s(bytes: Buffer): number[] {
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, place) => bytes.readInt32BE(place * 4));
}

function int64s(bytes: Buffer): bigint[] {
  return Array.from({ length: Math.floor(bytes.length / 8) }, (_, place) => bytes.readBigInt64BE(place * 8));
}

function loop(times: number): number[] {
  return Array.from({ length: loopKeys * loopRounds * times }, (_, place) => place % loopKeys);
}

function numbered(keys: ArrayLike<Key> & Iterable<Key>): Trace {
  const numbers = new Map<Key, number>();
  const requests = new Int32Array(keys.length);
  let place = 0;
  for (const key of keys) {
    let number = numbers.get(key);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(key, number);
    }
    requests[place++] = number;
  }
  return { requests, unique: numbers.size };
}
