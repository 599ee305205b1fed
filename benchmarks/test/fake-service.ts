import { LockBusy, type Granted, type LockClient, type Released } from "../src/driver/lock-client.ts";

/** A correct lock service inside the process, FIFO, answering in a later turn. Tests add faults to it. */
export class FakeService implements LockClient {
  readonly holders: null = null;
  readonly held = new Map<string, number>();
  readonly #lines = new Map<string, { readonly caller: number; readonly done: Granted }[]>();
  #fence = 0;
  acquires = 0;
  releases = 0;

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  acquire(caller: number, name: string, waitMs: number, done: Granted): void {
    this.acquires++;
    setImmediate(() => {
      if (!this.held.has(name)) this.#grant(caller, name, done);
      else if (waitMs === 0) done(new LockBusy(name), null);
      else this.#lines.set(name, [...(this.#lines.get(name) ?? []), { caller, done }]);
    });
  }

  #grant(caller: number, name: string, done: Granted): void {
    this.held.set(name, caller);
    this.#fence++;
    done(null, this.#fence);
  }

  release(caller: number, name: string, _handle: unknown, done: Released): void {
    this.releases++;
    setImmediate(() => {
      if (this.held.get(name) !== caller) {
        done(new Error(`caller ${caller} does not hold ${name}`));
        return;
      }
      this.held.delete(name);
      const [next, ...rest] = this.#lines.get(name) ?? [];
      this.#lines.set(name, rest);
      if (next !== undefined) this.#grant(next.caller, name, next.done);
      done(null);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
