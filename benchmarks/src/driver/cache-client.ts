/** What the driver needs of a cache, whoever it is. */
export interface CacheClient {
  /** Reads what this process keeps, without waiting; undefined = nothing that may be read. Null where the subject has no such call. */
  readonly peek: ((key: string) => unknown) | null;
  /** The value, from wherever the subject has it. Its answer is as the subject's own call gives it. */
  get(key: string): Promise<unknown>;
  /** Resolves when the subject calls it written. */
  set(key: string, value: string): Promise<unknown>;
  /** The value in what `get` or `peek` gave; null where nothing is stored. */
  textOf(answer: unknown): string | null;
  /** Reads so far that this process's own copies answered, and those that they did not; null where nobody counts. */
  counts(): { readonly hits: number; readonly misses: number } | null;
  close(): Promise<void>;
}

export interface CacheOpenOptions {
  /** Copies that the process may keep; 0 = none. */
  readonly entries: number;
}

/** Names as programs have them, and long enough to be hashed for something. */
export function cacheKey(number: number): string {
  return `user:${number}:profile`;
}

export function cacheKeys(count: number): string[] {
  return Array.from({ length: count }, (_, number) => cacheKey(number));
}

const valueChars = 100;

/** A value that says which write it is of. */
export function valueOf(write: number): string {
  return String(write).padEnd(valueChars, ".");
}

/** Of which write a value is; 0 = of none. */
export function writeOf(text: string | null): number {
  if (text === null) return 0;
  const write = Number.parseInt(text, 10);
  if (!Number.isInteger(write)) throw new Error(`"${text.slice(0, 20)}" is no value of this benchmark`);
  return write;
}

/** Writes under way at a time while a store is filled. */
const fillCallers = 64;

/** Stores a value under every key. */
export async function fillCache(client: CacheClient, keys: readonly string[]): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    for (let key = keys[next++]; key !== undefined; key = keys[next++]) await client.set(key, valueOf(0));
  };
  await Promise.all(Array.from({ length: fillCallers }, caller));
}

/** A turn of the event loop: leases are renewed and withdrawals heard in turns. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
