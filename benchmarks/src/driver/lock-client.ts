/** Called exactly once per call, never before the call returned. `handle` names the grant for its release. */
export type Granted = (error: Error | null, handle: unknown) => void;
export type Released = (error: Error | null) => void;

/**
 * What the driver needs of a lock service: numbered callers on one connection. Callbacks, not promises, so that the driver adds the same
 * few nanoseconds to every subject; a subject whose own library is made of promises pays for them, as its users do.
 */
export interface LockClient {
  /** Makes callers 0 … count-1 usable (their leases or sessions exist). Idempotent. */
  prepare(callers: number): Promise<void>;
  /** `waitMs` 0: try once. Else wait in line (or by retrying, where the service knows no line). */
  acquire(caller: number, name: string, waitMs: number, done: Granted): void;
  release(caller: number, name: string, handle: unknown, done: Released): void;
  /** Opens `sessions` lasting sessions (leases) that hold locks without further calls, for lock-million. Null: not offered. */
  readonly holders: HolderClient | null;
  close(): Promise<void>;
}

/** `holders.isFree` of a service whose clients try once and get an answer. */
export function freeByTrying(client: LockClient, caller: number, name: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    client.acquire(caller, name, 0, (error, handle) => {
      if (error instanceof LockBusy) {
        resolve(false);
      } else if (error !== null) {
        reject(error);
      } else {
        client.release(caller, name, handle, () => {
          resolve(true);
        });
      }
    });
  });
}

/** Locks that stay: one lasting session holds many. */
export interface HolderClient {
  open(sessions: number, ttlMs: number): Promise<void>;
  hold(session: number, name: string, done: Granted): void;
  /** Whether nobody holds `name`, found out by trying to acquire it. */
  isFree(name: string): Promise<boolean>;
}

/** Somebody else holds the lock: an answer, not a failure, where a caller asks on purpose. */
export class LockBusy extends Error {
  readonly code = "busy";
}
