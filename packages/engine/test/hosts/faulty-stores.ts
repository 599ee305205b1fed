import { IoError, StoreDamaged } from "@trivet/engine";
import type { OrderedStore, OrderedStores, StoreCut } from "@trivet/engine";

/** What is wrong with the stores of a disk at the moment: their transactions fail, below any buffer. */
export class StoreProblems {
  full = false;
  /** Of those that are, where not all of the disk is. */
  readonly fullStores: Set<string> = new Set();
  /** Names of stores with pages that cannot be read. A new one of the name has other pages. */
  readonly damaged: Set<string> = new Set();
  /** Cuts that were not closed: each keeps a real store from using any page again. */
  readonly openCuts: Set<StoreCut> = new Set();

  /** Bytes that each transaction put, one number for each. */
  readonly written: number[] = [];

  check(name: string): void {
    if (this.full || this.fullStores.has(name)) throw new IoError("no-space", "write", name);
    if (this.damaged.has(name)) throw new StoreDamaged(name, "write: a page cannot be read");
  }
}

export function faultyStores(inner: OrderedStores, problems: StoreProblems): OrderedStores {
  return {
    open: (name, done) =>
      inner.open(name, (error, store) => done(error, store === undefined ? undefined : new FaultyStore(store, name, problems))),
    list: (done) => inner.list(done),
    remove: (name, done) =>
      inner.remove(name, (error) => {
        if (error === null) problems.damaged.delete(name);
        done(error);
      }),
  };
}

class FaultyStore implements OrderedStore {
  private readonly store: OrderedStore;
  private readonly name: string;
  private readonly problems: StoreProblems;

  constructor(store: OrderedStore, name: string, problems: StoreProblems) {
    this.store = store;
    this.name = name;
    this.problems = problems;
  }

  write: OrderedStore["write"] = (change) => {
    this.problems.check(this.name);
    let bytes = 0;
    const result = this.store.write((view) =>
      change({
        get: (key) => view.get(key),
        put: (key, value) => {
          bytes += key.length + value.length;
          view.put(key, value);
        },
        remove: (key) => view.remove(key),
        scan: (from, to, visit) => view.scan(from, to, visit),
      }),
    );
    this.problems.written.push(bytes);
    return result;
  };
  read: OrderedStore["read"] = (look) => this.store.read(look);
  cut(): StoreCut {
    const { openCuts } = this.problems;
    const cut = this.store.cut();
    const counted: StoreCut = {
      next: (maxBytes) => cut.next(maxBytes),
      close: () => {
        openCuts.delete(counted);
        cut.close();
      },
    };
    openCuts.add(counted);
    return counted;
  }
  flush: OrderedStore["flush"] = (done) => this.store.flush(done);
  size: OrderedStore["size"] = () => this.store.size();
  contentHash: OrderedStore["contentHash"] = () => this.store.contentHash();
  close: OrderedStore["close"] = (done) => this.store.close(done);
}
