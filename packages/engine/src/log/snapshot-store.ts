import type { GroupId, SnapshotMeta } from "@trivet/core";
import { invariant } from "@trivet/core";
import { encodeUtf8 } from "@trivet/wire";
import type { Clock } from "../ports/clock.ts";
import type { Crypto } from "../ports/crypto.ts";
import type { FileStore, IoError } from "../ports/file.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { makeDirectoryDurably, parentOf, temporarySuffix } from "./atomic-file.ts";
import { logLimits } from "./limits.ts";
import { DamagedSnapshot, SnapshotFileReader, verifySnapshot } from "./snapshot-file.ts";
import type { SnapshotDescription } from "./snapshot-file.ts";
import { SnapshotReceiver } from "./snapshot-receiver.ts";
import { FileSnapshotWriter } from "./snapshot-writer.ts";
import { inOrder } from "./steps.ts";
import type { FatalStorage, SnapshotReader, SnapshotStoreApi, SnapshotWriter, WalFinding } from "./types.ts";

export interface SnapshotPorts {
  readonly files: FileStore;
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly telemetry: Telemetry;
}

export interface SnapshotOptions {
  /** Relative to the data directory; its parents are created too. */
  readonly directory: string;
  readonly group: GroupId;
}

interface Kept {
  readonly meta: SnapshotMeta;
  readonly path: string;
}

const extension = ".snap";
const receivedSuffix = `.part${temporarySuffix}`;

/**
 * Opens the snapshots of one group: removes what was unfinished and reads every file to its end. `findings` names damaged ones; they
 * stay on the disk until two newer good ones exist.
 */
export function openSnapshotStore(
  ports: SnapshotPorts,
  options: SnapshotOptions,
  fatal: FatalStorage,
  done: (error: IoError | null, store: SnapshotStoreApi | null, findings: readonly WalFinding[]) => void,
): void {
  const store = new SnapshotStore(ports, options, fatal);
  store.load((error, findings) => {
    if (error !== null) done(error, null, []);
    else done(null, store, findings);
  });
}

class SnapshotStore implements SnapshotStoreApi {
  private readonly ports: SnapshotPorts;
  private readonly options: SnapshotOptions;
  private readonly fatal: FatalStorage;
  private readonly receiver: SnapshotReceiver;
  /** Good ones, newest first. */
  private list: Kept[] = [];
  /** Damaged or superseded files, removed once two good ones are newer. */
  private discarded: string[] = [];
  private failed = false;

  constructor(ports: SnapshotPorts, options: SnapshotOptions, fatal: FatalStorage) {
    this.ports = ports;
    this.options = options;
    this.fatal = fatal;
    const { files, clock, crypto } = ports;
    const pathFor = (id: string): string => this.pathOf(0, id) + receivedSuffix;
    this.receiver = new SnapshotReceiver({ files, clock, crypto, group: options.group, pathFor, fail: (error) => this.fail(error) });
  }

  load(done: (error: IoError | null, findings: readonly WalFinding[]) => void): void {
    const { files } = this.ports;
    const { directory } = this.options;
    const findings: WalFinding[] = [];
    const finish = (error: IoError | null): void => done(error, findings);
    this.makeDirectories(directory, (error) => {
      if (error !== null) return finish(error);
      files.list(directory, (error, names) => {
        if (names === undefined) return finish(error);
        const leftovers = names.filter((name) => name.endsWith(temporarySuffix));
        inOrder(
          leftovers,
          (name, next) => files.remove(`${directory}/${name}`, next),
          (error) => {
            if (error !== null) return finish(error);
            const candidates = names.filter((name) => name.endsWith(extension));
            inOrder(
              candidates,
              (name, next) => this.loadFile(`${directory}/${name}`, findings, next),
              (error) => {
                if (error !== null) return finish(error);
                this.list.sort((a, b) => b.meta.index - a.meta.index);
                // What a crash left behind of the last adoption or removal.
                files.syncDirectory(directory, finish);
              },
            );
          },
        );
      });
    });
  }

  latest(): SnapshotMeta | null {
    return this.list[0]?.meta ?? null;
  }

  kept(): readonly SnapshotMeta[] {
    return this.list.map(({ meta }) => meta);
  }

  create(meta: Omit<SnapshotMeta, "bytes">): SnapshotWriter {
    const { files, crypto } = this.ports;
    const { id, index, term, membership, membershipIndex } = meta;
    const description: SnapshotDescription = { id, index, term, membership, membershipIndex, group: this.options.group };
    const path = this.pathOf(index, id);
    const owner = {
      files,
      crypto,
      fail: (error: IoError | null) => this.fail(error),
      complete: (from: string, finished: SnapshotMeta, done: () => void) => this.putInPlace(from, path, finished, done),
    };
    return new FileSnapshotWriter(owner, path + temporarySuffix, description);
  }

  open(meta: SnapshotMeta, done: (error: IoError | null, reader: SnapshotReader | null) => void): void {
    const path = this.find(meta.id)?.path ?? this.pathOf(meta.index, meta.id);
    this.ports.files.open(path, "read", (error, handle) => {
      if (handle === undefined) return done(error, null);
      const reader = new SnapshotFileReader(handle, this.ports.crypto);
      reader.readHead((error) => {
        if (error !== null) {
          this.distrust(meta.id, error);
          return handle.close(() => done(error, null));
        }
        done(null, {
          next: (done) =>
            reader.readChunk((error, chunk) => {
              if (error !== null) this.distrust(meta.id, error);
              done(error, chunk);
            }),
          close: () => handle.close(() => {}),
        });
      });
    });
  }

  readBytes(id: string, offset: number, length: number, done: (data: Uint8Array | null, end: boolean) => void): void {
    const kept = this.find(id);
    if (kept === undefined) return this.ports.clock.defer(() => done(null, true));
    this.ports.files.open(kept.path, "read", (error, handle) => {
      if (handle === undefined) return done(null, true);
      handle.read(offset, length, (error, data) => {
        handle.close(() => {
          if (data === undefined) done(null, true);
          else done(data, offset + data.length >= kept.meta.bytes);
        });
      });
    });
  }

  receive(
    meta: SnapshotMeta,
    offset: number,
    data: Uint8Array,
    last: boolean,
    done: (durableBytes: number, failed: boolean) => void,
  ): void {
    this.receiver.receive(meta, offset, data, last, done);
  }

  adopt(meta: SnapshotMeta, done: (error: IoError | null) => void): void {
    this.receiver.take(meta, (path) => {
      invariant(path !== null, "snapshot-adopt-complete", () => `snapshot ${meta.id} was not received to its end`);
      this.putInPlace(path, this.pathOf(meta.index, meta.id), meta, () => done(null));
    });
  }

  keepOnly(ids: readonly string[], done: () => void): void {
    const dropped = this.list.filter(({ meta }) => !ids.includes(meta.id)).map(({ path }) => path);
    this.list = this.list.filter(({ meta }) => ids.includes(meta.id));
    this.remove([...dropped, ...this.discarded.splice(0)], () =>
      this.ports.files.syncDirectory(this.options.directory, (error) => {
        if (error === null) done();
        else this.fail(error);
      }),
    );
  }

  /** One level after the other, each durable before the next. */
  private makeDirectories(path: string, done: (error: IoError | null) => void): void {
    const levels: string[] = [];
    for (let level = path; level !== ""; level = parentOf(level)) levels.unshift(level);
    inOrder(levels, (level, next) => makeDirectoryDurably(this.ports.files, level, next), done);
  }

  private loadFile(path: string, findings: WalFinding[], next: (error: IoError | null) => void): void {
    this.ports.files.open(path, "read", (error, handle) => {
      if (handle === undefined) return next(error);
      verifySnapshot(handle, this.ports.crypto, (error, verified) => {
        handle.close(() => {
          if (error !== null && !(error.cause instanceof DamagedSnapshot)) return next(error);
          if (verified === null || verified.description.group !== this.options.group) {
            const detail = error?.cause instanceof DamagedSnapshot ? error.cause.message : "a snapshot of another group";
            findings.push({ type: "corrupt", file: path, offset: 0, detail });
            this.discarded.push(path);
          } else {
            const { group: _group, ...description } = verified.description;
            this.list.push({ meta: { ...description, bytes: verified.bytes }, path });
          }
          next(null);
        });
      });
    });
  }

  /** Gives a complete, durable file its name: from here on it is the newest. */
  private putInPlace(from: string, to: string, meta: SnapshotMeta, done: () => void): void {
    const { files } = this.ports;
    files.rename(from, to, (error) => {
      if (error !== null) return this.fail(error);
      files.syncDirectory(this.options.directory, (error) => {
        if (error !== null) return this.fail(error);
        this.discarded = this.discarded.filter((path) => path !== to);
        this.list = [{ meta, path: to }, ...this.list.filter((kept) => kept.meta.id !== meta.id)];
        this.list.sort((a, b) => b.meta.index - a.meta.index);
        this.prune(done);
      });
    });
  }

  private prune(done: () => void): void {
    const dropped = this.list.splice(logLimits.snapshotsKept).map(({ path }) => path);
    if (this.list.length >= logLimits.snapshotsKept) dropped.push(...this.discarded.splice(0));
    this.remove(dropped, done);
  }

  private remove(paths: readonly string[], done: () => void): void {
    const remove = (path: string, next: (error: IoError | null) => void): void =>
      this.ports.files.remove(path, (error) => next(error?.code === "not-found" ? null : error));
    inOrder(paths, remove, (error) => {
      if (error === null) done();
      else this.fail(error);
    });
  }

  private find(id: string): Kept | undefined {
    return this.list.find((kept) => kept.meta.id === id);
  }

  /** A kept snapshot turned out damaged: the older one takes its place. */
  private distrust(id: string, error: IoError): void {
    if (!(error.cause instanceof DamagedSnapshot)) return;
    const kept = this.find(id);
    if (kept === undefined) return;
    this.list = this.list.filter((other) => other !== kept);
    this.discarded.push(kept.path);
    this.ports.telemetry.count("trivet_storage_corruptions_total", 1, { kind: "snapshot" });
    this.ports.telemetry.log("error", "snapshot.damaged", `${kept.path}: ${error.cause.message}`, { path: kept.path });
  }

  private pathOf(index: number, id: string): string {
    const tag = this.ports.crypto.crc32(encodeUtf8(id)).toString(16).padStart(8, "0");
    return `${this.options.directory}/${index.toString().padStart(16, "0")}-${tag}${extension}`;
  }

  private fail(error: IoError | null): void {
    invariant(error !== null, "io-error-given");
    if (this.failed) return;
    this.failed = true;
    this.fatal(error);
  }
}
