import { invariant } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Crypto } from "../ports/crypto.ts";
import type { DoneWith, FileHandle, FileStore, IoError } from "../ports/file.ts";
import { Replay, chainOf } from "./recovery.ts";
import type { ChainLink } from "./recovery.ts";
import { makeDirectoryDurably, temporarySuffix } from "./atomic-file.ts";
import { createSegment, decodeSegmentHeader, maxHeaderBytes, segmentName, segmentSequence } from "./segment.ts";
import type { HeaderRead } from "./segment.ts";
import { inOrder } from "./steps.ts";

/** An open log: what was recovered, and the segment to write into. */
export interface OpenLog {
  readonly replay: Replay;
  readonly handle: FileHandle;
  readonly sequence: number;
  /** Where its first batch stands. */
  readonly headerEnd: number;
  readonly position: number;
}

export interface OpenLogOptions {
  readonly directory: string;
  /** The node's identity says that there is a log: an empty directory means that it was lost (rule G5). */
  readonly mustExist: boolean;
  /** Gives others a turn between the steps of a long recovery. */
  readonly defer: (run: () => void) => void;
  /** Told after each segment. */
  readonly progress: (segments: number, of: number) => void;
}

/**
 * Reads the log and makes it fit for appending: removes leftovers, makes doubtful bytes durable, cuts a torn tail. When it is done,
 * everything in `replay` is durable, and a crash at any point before leaves a log that recovers to the same.
 */
export class LogOpening {
  private readonly files: FileStore;
  private readonly crypto: Crypto;
  private readonly options: OpenLogOptions;
  private readonly replay: Replay;
  private readonly headers = new Map<number, HeaderRead>();
  private chain: readonly ChainLink[] = [];
  /** What stands in the newest segment from `doubtfulFrom` to the end of the log. */
  private doubtful: Uint8Array = new Uint8Array(0);

  constructor(files: FileStore, crypto: Crypto, options: OpenLogOptions) {
    this.files = files;
    this.crypto = crypto;
    this.options = options;
    this.replay = new Replay(options.directory, crypto);
  }

  run(done: DoneWith<OpenLog>): void {
    const { files, options } = this;
    const { directory } = options;
    const failed = (error: IoError | null): void => done(error, undefined);
    makeDirectoryDurably(files, directory, (error) => {
      if (error !== null) return failed(error);
      files.list(directory, (error, names) => {
        if (names === undefined) return failed(error);
        this.readHeaders(names, (error) => {
          if (error !== null) return failed(error);
          this.chain = chainOf(this.headers);
          inOrder(this.chain, this.readSegment, (error) => {
            if (error !== null) return failed(error);
            this.replay.finish();
            if (this.chain.length === 0 && options.mustExist) this.replay.missing();
            this.removeLeftovers(names, (error) => {
              if (error !== null) return failed(error);
              this.prepare(done);
            });
          });
        });
      });
    });
  }

  private readHeaders(names: readonly string[], done: (error: IoError | null) => void): void {
    const sequences = names.map(segmentSequence).filter((sequence) => sequence !== null);
    inOrder(
      sequences,
      (sequence, next) =>
        this.readFile(sequence, maxHeaderBytes, (error, bytes) => {
          if (bytes !== undefined) this.headers.set(sequence, decodeSegmentHeader(bytes, sequence, this.crypto));
          next(error);
        }),
      done,
    );
  }

  private readonly readSegment = (link: ChainLink, next: (error: IoError | null) => void): void => {
    this.readFile(link.sequence, null, (error, bytes) => {
      if (bytes === undefined) return next(error);
      const reading = this.replay.readSegment(link, bytes);
      const step = (): void => {
        if (reading.next().done !== true) return this.options.defer(step);
        const { end, doubtfulFrom } = this.replay;
        if (end.sequence === link.sequence) this.doubtful = bytes.slice(Math.min(doubtfulFrom, end.offset), end.offset);
        this.options.progress(this.chain.indexOf(link) + 1, this.chain.length);
        next(null);
      };
      step();
    });
  };

  private readFile(sequence: number, limit: number | null, done: DoneWith<Uint8Array>): void {
    this.files.open(`${this.options.directory}/${segmentName(sequence)}`, "read", (error, handle) => {
      if (handle === undefined) return done(error, undefined);
      handle.size((error, size) => {
        if (size === undefined) return done(error, undefined);
        handle.read(0, Math.min(size, limit ?? size), (readError, bytes) => {
          handle.close((closeError) => done(readError ?? closeError, readError === null ? bytes : undefined));
        });
      });
    });
  }

  /**
   * Temporary files, and segments older than the log's first: deleted ones that a crash brought back must not become part of the log
   * again. A first segment that follows nothing may stand behind damage: then older files are evidence and stay.
   */
  private removeLeftovers(names: readonly string[], done: (error: IoError | null) => void): void {
    const first = this.chain[0];
    const begins = first?.header.type === "header" && first.header.header.follows !== null && !this.replay.damaged ? first.sequence : 0;
    const leftovers = names.filter((name) => name.endsWith(temporarySuffix) || (segmentSequence(name) ?? begins) < begins);
    inOrder(
      leftovers,
      (name, next) => this.files.remove(`${this.options.directory}/${name}`, next),
      (error) => {
        if (error !== null) return done(error);
        // Also for what the last run created or deleted without living to sync it.
        this.files.syncDirectory(this.options.directory, done);
      },
    );
  }

  /** Makes what was recovered durable, then finds or creates the segment to append to. */
  private prepare(done: DoneWith<OpenLog>): void {
    const { end, findings } = this.replay;
    if (end.sequence === 0) return this.startSegment(done);
    this.files.open(`${this.options.directory}/${segmentName(end.sequence)}`, "write", (error, handle) => {
      if (handle === undefined) return done(error, undefined);
      this.rewriteDoubtful(handle, (error) => {
        if (error !== null) return done(error, undefined);
        if (findings.length === 0) return done(null, this.reopened(handle));
        if (findings.every((finding) => finding.type === "torn-tail" && finding.partialRecord)) return this.cutUnfinished(handle, done);
        handle.close((error) => (error === null ? this.startSegment(done) : done(error, undefined)));
      });
    });
  }

  /**
   * Bytes that were never acknowledged are cut in place, which needs no space on a full disk. The cut is durable before anything is
   * written behind it: else a crash could bring old bytes back behind new ones.
   */
  private cutUnfinished(handle: FileHandle, done: DoneWith<OpenLog>): void {
    if (mutant("wal-cut-not-durable")) return done(null, this.reopened(handle));
    handle.truncate(this.replay.end.offset, (error) => {
      if (error !== null) return done(error, undefined);
      handle.sync((error) => (error === null ? done(null, this.reopened(handle)) : done(error, undefined)));
    });
  }

  /**
   * The last batch was read, but perhaps only from the system's cache: its sync may never have been called, or may have failed and
   * left the pages marked clean. Raft will treat it as durable, so it is written again, in place, and synced.
   */
  private rewriteDoubtful(handle: FileHandle, done: (error: IoError | null) => void): void {
    const { doubtful } = this;
    if (doubtful.length === 0 || mutant("wal-recovered-not-synced")) return done(null);
    handle.writeDurable(this.replay.end.offset - doubtful.length, [doubtful], done);
  }

  private reopened(handle: FileHandle): OpenLog {
    const { replay } = this;
    const header = this.headers.get(replay.end.sequence);
    invariant(header?.type === "header", "wal-end-has-header");
    return { replay, handle, sequence: replay.end.sequence, headerEnd: header.bytes, position: replay.end.offset };
  }

  /**
   * Behind damage, or an end that may have been acknowledged, the log goes on in a new segment; what follows its `follows` position in
   * older files is void from this moment on, and stays there as evidence.
   */
  private startSegment(done: DoneWith<OpenLog>): void {
    const { replay } = this;
    const { end, floors } = replay;
    const sequence = Math.max(0, ...this.headers.keys()) + 1;
    const header = {
      sequence,
      firstBatch: replay.lastBatch + 1,
      follows: end.sequence === 0 ? null : { sequence: end.sequence, end: end.offset },
      distrust: floors.distrust,
      groups: floors.tables(),
    };
    createSegment(this.files, this.options.directory, header, this.crypto, (error, created) => {
      if (created === undefined) return done(error, undefined);
      const { handle, headerBytes } = created;
      floors.startSegment(sequence, headerBytes);
      done(null, { replay, handle, sequence, headerEnd: headerBytes, position: headerBytes });
    });
  }
}

/**
 * Makes sure that there is a log, before the identity file says that there must be one (`mustExist`): a crash between the two would
 * else look like a lost log.
 */
export function createLog(files: FileStore, crypto: Crypto, directory: string, done: (error: IoError | null) => void): void {
  // Nothing to recover, so nothing to wait for.
  new LogOpening(files, crypto, { directory, mustExist: false, defer: (run) => run(), progress: () => {} }).run((error, log) => {
    if (log === undefined) done(error);
    else log.handle.close(done);
  });
}
