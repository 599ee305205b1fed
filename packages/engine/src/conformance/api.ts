import type { Done, DoneWith, IoError, IoErrorCode } from "../ports/file.ts";

/** The part of a test runner that the suites need, so that they belong to none. */
export interface TestApi {
  readonly test: (name: string, body: () => Promise<void>) => void;
  readonly equal: (actual: unknown, expected: unknown) => void;
  readonly ok: (condition: boolean, what: string) => void;
}

/** The value of a callback-style call; rejects with its error. */
export function result<T>(run: (done: DoneWith<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    run((error, value) => (error === null ? resolve(value as T) : reject(error)));
  });
}

/** Waits for a callback-style call without a value. */
export function finished(run: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    run((error) => (error === null ? resolve() : reject(error)));
  });
}

/** The code of the error that a call must end with. */
export function failure(run: (done: (error: IoError | null) => void) => void): Promise<IoErrorCode | "no error"> {
  return new Promise((resolve) => {
    run((error) => resolve(error === null ? "no error" : error.code));
  });
}

/** `length` bytes that differ from place to place. */
export function pattern(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed * 17 + (i >>> 8)) & 0xff;
  return bytes;
}
