import { monotonicMs } from "../waiting.ts";
import type { LockClient } from "./lock-client.ts";

/** A name nobody else uses: a lost grant of an earlier probe must not stand in the way. */
let probes = 0;

export interface Probe {
  readonly granted_at_ms: number;
  readonly attempts: number;
}

const pauseMs = 5;

/** Acquires until granted: retries what the subject's own client gives up on, as a service that needs the lock would. */
export function probe(client: LockClient, options: { readonly caller: number; readonly timeoutMs: number }): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const endsAt = performance.now() + options.timeoutMs;
    let attempts = 0;
    let lastError = "no answer";
    let settled = false;
    const timer = setTimeout(() => {
      settled = true;
      reject(new Error(`no grant within ${options.timeoutMs} ms after ${attempts} attempts: ${lastError}`));
    }, options.timeoutMs);
    const attempt = (): void => {
      if (settled) return;
      attempts++;
      probes++;
      const name = `bench/probe/${process.pid}/${probes}`;
      client.acquire(options.caller, name, 0, (error, handle) => {
        const grantedAt = monotonicMs();
        if (error !== null) {
          lastError = error.message;
          if (performance.now() < endsAt) setTimeout(attempt, pauseMs);
          return;
        }
        client.release(options.caller, name, handle, () => {
          if (settled) return;
          settled = true;
          clearTimeout(timer);
          resolve({ granted_at_ms: grantedAt, attempts });
        });
      });
    };
    attempt();
  });
}
