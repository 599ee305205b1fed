import { NodeClock, NodeCrypto, NodeFiles } from "../adapters/index.ts";
import type { IoError, Telemetry } from "@trivet/engine";

/** What the log and the snapshots of a directory need where no node runs. */
export interface OfflinePorts {
  readonly files: NodeFiles;
  readonly clock: NodeClock;
  readonly crypto: NodeCrypto;
  readonly telemetry: Telemetry;
}

const silent: Telemetry = { isVerbose: false, count: () => undefined, observe: () => undefined, log: () => undefined };

export function offlinePorts(directory: string, telemetry: Telemetry = silent): OfflinePorts {
  return { files: new NodeFiles(directory), clock: new NodeClock(), crypto: new NodeCrypto(), telemetry };
}

/** A call that tells only whether it went well. */
export function settled(run: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    run((error) => (error === null ? resolve() : reject(error)));
  });
}

/** A call that gives something, or an error. */
export function given<T>(run: (done: (error: Error | null, value?: T | null) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    run((error, value) => {
      if (error !== null || value === undefined || value === null) reject(error ?? new Error("nothing was given"));
      else resolve(value);
    });
  });
}

/** Files that fail for good while a call is under way: its promise is rejected. */
export function whileWriting<T>(run: (fatal: (error: IoError) => void) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    run(reject).then(resolve, reject);
  });
}
