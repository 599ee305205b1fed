import { decodeUtf8, encodeUtf8 } from "@trivet/wire";
import type { Done, DoneWith, FileStore } from "../ports/file.ts";
import { IoError } from "../ports/file.ts";
import { writeFileAtomically } from "./atomic-file.ts";
import type { Crypto } from "../ports/crypto.ts";

/** Replaces a small file as a whole; a crash leaves the old or the new one. */
export function writeJsonFile(files: FileStore, crypto: Crypto, path: string, value: unknown, done: Done): void {
  const body = JSON.stringify(value);
  const bytes = encodeUtf8(`${JSON.stringify({ crc32: crypto.crc32(encodeUtf8(body)), body })}\n`);
  writeFileAtomically(files, path, [bytes], done);
}

/** Reads what `writeJsonFile` wrote; undefined when there is no such file, an `io` error when it is damaged. */
export function readJsonFile(files: FileStore, crypto: Crypto, path: string, done: DoneWith<unknown>): void {
  files.open(path, "read", (openError, handle) => {
    if (openError !== null || handle === undefined) {
      done(openError?.code === "not-found" ? null : openError, undefined);
      return;
    }
    handle.size((sizeError, size) => {
      handle.read(0, size ?? 0, (readError, bytes) => {
        handle.close(() => {
          const error = sizeError ?? readError;
          if (error !== null || bytes === undefined) {
            done(error, undefined);
            return;
          }
          parse(crypto, path, bytes, done);
        });
      });
    });
  });
}

function parse(crypto: Crypto, path: string, bytes: Uint8Array, done: DoneWith<unknown>): void {
  try {
    const outer = JSON.parse(decodeUtf8(bytes)) as { readonly crc32?: unknown; readonly body?: unknown };
    if (typeof outer.body === "string" && crypto.crc32(encodeUtf8(outer.body)) === outer.crc32) {
      done(null, JSON.parse(outer.body));
      return;
    }
    done(new IoError("io", "checksum", path), undefined);
  } catch (cause) {
    done(new IoError("io", "parse", path, cause), undefined);
  }
}
