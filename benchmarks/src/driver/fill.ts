import type { LockClient } from "./lock-client.ts";

export interface FillOptions {
  readonly sessions: number;
  readonly locksPerSession: number;
  readonly ttlMs: number;
  /** Acquires under way at once. */
  readonly inFlight: number;
  readonly prefix: string;
}

export interface FillResult {
  readonly held: number;
  readonly seconds: number;
  readonly errors: number;
  readonly first_error: string | null;
}

const maxErrors = 1000;

/** Name of lock `lock` of session `session`: 24 bytes, as people's names are, none a prefix of a shared string. */
export function heldName(prefix: string, session: number, lock: number): string {
  return `${prefix}/${String(session).padStart(5, "0")}/order-${String(lock).padStart(6, "0")}`;
}

/** Acquires `sessions × locksPerSession` locks and keeps them. */
export async function fill(client: LockClient, options: FillOptions): Promise<FillResult> {
  const { holders } = client;
  if (holders === null) throw new Error("this subject does not hold locks without a caller");
  await holders.open(options.sessions, options.ttlMs);
  const total = options.sessions * options.locksPerSession;
  const startedAt = performance.now();
  return new Promise((resolve) => {
    let next = 0;
    let busy = 0;
    let held = 0;
    let errors = 0;
    let firstError: string | null = null;
    const mayStart = (): boolean => busy < options.inFlight && next < total && errors < maxErrors;
    const more = (): void => {
      while (mayStart()) {
        const session = next % options.sessions;
        const name = heldName(options.prefix, session, Math.floor(next / options.sessions));
        next++;
        busy++;
        holders.hold(session, name, (error) => {
          busy--;
          if (error === null) {
            held++;
          } else {
            errors++;
            firstError ??= error.message;
          }
          more();
        });
      }
      if (busy === 0) resolve({ held, seconds: (performance.now() - startedAt) / 1000, errors, first_error: firstError });
    };
    more();
  });
}
