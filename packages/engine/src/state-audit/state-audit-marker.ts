import type { GroupId } from "@trivet/core";
import type { Crypto } from "../ports/crypto.ts";
import type { FileStore, IoError } from "../ports/file.ts";
import { readJsonFile, writeJsonFile } from "../log/json-file.ts";

/** Why this node's state of a group is not to be used. Survives restarts: the snapshots or the store beside it hold the same wrong state. */
export interface Doubt {
  readonly detail: string;
}

function pathOf(group: GroupId): string {
  return group === 0 ? "state-in-doubt.json" : `state-in-doubt-${group}.json`;
}

/** What an earlier run of this node left behind; null = its state was not in doubt. */
export function readDoubt(
  files: FileStore,
  crypto: Crypto,
  group: GroupId,
  done: (error: IoError | null, doubt: Doubt | null) => void,
): void {
  readJsonFile(files, crypto, pathOf(group), (error, value) => {
    // A mark that cannot be read is a mark: fetching the state once more harms nothing.
    if (error !== null && error.operation !== "checksum" && error.operation !== "parse") done(error, null);
    else if (error !== null) done(null, { detail: "an earlier run of this node found its state in doubt" });
    else done(null, value === undefined ? null : (value as Doubt));
  });
}

/** The durable mark. Wishes are carried out one after the other; only the latest counts. */
export class DoubtMarker {
  private readonly path: string;
  private readonly files: FileStore;
  private readonly crypto: Crypto;
  private readonly fatal: (error: IoError) => void;
  private written: Doubt | null;
  private wanted: Doubt | null;
  private busy = false;

  constructor(group: GroupId, files: FileStore, crypto: Crypto, found: Doubt | null, fatal: (error: IoError) => void) {
    this.path = pathOf(group);
    this.files = files;
    this.crypto = crypto;
    this.fatal = fatal;
    this.written = found;
    this.wanted = found;
  }

  set(doubt: Doubt | null): void {
    this.wanted = doubt;
    this.run();
  }

  private run(): void {
    const { path, wanted } = this;
    if (this.busy || wanted === this.written) return;
    this.busy = true;
    const settled = (error: IoError | null): void => {
      if (error !== null && error.code !== "not-found") {
        this.fatal(error);
        return;
      }
      this.busy = false;
      this.written = wanted;
      this.run();
    };
    if (wanted !== null) writeJsonFile(this.files, this.crypto, path, wanted, settled);
    else
      this.files.remove(path, (error) => {
        if (error !== null) settled(error);
        else this.files.syncDirectory("", settled);
      });
  }
}
