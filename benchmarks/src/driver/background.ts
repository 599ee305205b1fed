import type { LockClient } from "./lock-client.ts";

/** Pairs without measurement, so that a fail-over happens under load. Errors are expected while there is no leader, and counted. */
export class Background {
  readonly #client: LockClient;
  readonly #prefix: string;
  #busy = 0;
  #pairs = 0;
  #errors = 0;
  #stopping = false;
  #idle: (() => void) | null = null;

  constructor(client: LockClient, prefix: string) {
    this.#client = client;
    this.#prefix = prefix;
  }

  start(callers: number): void {
    for (let caller = 0; caller < callers; caller++) {
      this.#busy++;
      this.#pair(caller, 0);
    }
  }

  #pair(caller: number, generation: number): void {
    if (this.#stopping) {
      this.#busy--;
      if (this.#busy === 0) this.#idle?.();
      return;
    }
    const name = `${this.#prefix}/${caller}/${generation}`;
    const retry = (): void => {
      this.#errors++;
      // A pause, else thousands of refused calls per second would compete with the election for the CPU.
      setTimeout(() => {
        this.#pair(caller, generation + 1);
      }, 10);
    };
    this.#client.acquire(caller, name, 0, (error, handle) => {
      if (error !== null) {
        retry();
        return;
      }
      this.#client.release(caller, name, handle, (failure) => {
        if (failure !== null) {
          retry();
          return;
        }
        this.#pairs++;
        this.#pair(caller, generation);
      });
    });
  }

  stop(): Promise<{ readonly pairs: number; readonly errors: number }> {
    this.#stopping = true;
    return new Promise((resolve) => {
      const done = (): void => {
        resolve({ pairs: this.#pairs, errors: this.#errors });
      };
      if (this.#busy === 0) done();
      else this.#idle = done;
    });
  }
}
