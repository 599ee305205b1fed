import {
  definitionsIn,
  logIndex,
  type Membership,
  type ShardDefinitions,
  ShardRenewal,
  type ShardRenewalOptions,
  type Term,
} from "@trivet/core";
import { cutChunk, type OrderedStore, readMark, ShardLoader, storeName, writeMark } from "@trivet/engine";
import { join } from "node:path";
import { LmdbStores } from "../adapters/lmdb-stores.ts";
import { given, settled } from "../offline/ports.ts";

const chunkBytes = 256 * 1024;
/** What is committed and not flushed makes the file grow. */
const commitsPerFlush = 200;

/** The stores of one shard in the directories that get it; the first is filled and renewed, the others are copies of it. */
export class ShardStores {
  private readonly group: number;
  private readonly stores: readonly OrderedStore[];
  private readonly loader: ShardLoader;
  private commits = 0;

  private constructor(group: number, stores: readonly OrderedStore[]) {
    const [first] = stores;
    if (first === undefined) throw new Error(`shard ${group} is to be nowhere`);
    this.group = group;
    this.stores = stores;
    this.loader = new ShardLoader(first);
  }

  static async create(group: number, index: number, directories: readonly string[]): Promise<ShardStores> {
    const stores: OrderedStore[] = [];
    for (const directory of directories) {
      stores.push(await given<OrderedStore>((done) => new LmdbStores(join(directory, "shards")).open(storeName(group, index), done)));
    }
    return new ShardStores(group, stores);
  }

  async push(chunk: Uint8Array): Promise<void> {
    this.loader.push(chunk);
    await this.committed(this.loader.store);
  }

  /** What it was told of queues and namespaces. */
  definitions(): ShardDefinitions {
    return this.loader.store.read(definitionsIn);
  }

  /** Makes it the state of a new cluster; gives the index at which it stands. */
  async renew(options: ShardRenewalOptions, term: Term, membership: Membership): Promise<number> {
    const { store } = this.loader;
    const renewal = new ShardRenewal(options);
    while (!store.write((view) => renewal.step(view))) await this.committed(store);
    const index = logIndex(renewal.base);
    store.write((view) => writeMark(view, { index, term, membership, membershipIndex: index }));
    await settled((done) => store.flush(done));
    for (const copy of this.stores.slice(1)) await this.copy(store, copy, index);
    return index;
  }

  async close(): Promise<void> {
    for (const store of this.stores) await settled((done) => store.close(done));
  }

  private async copy(from: OrderedStore, to: OrderedStore, index: number): Promise<void> {
    const cut = from.cut();
    try {
      const loader = new ShardLoader(to);
      for (let chunk = cutChunk(cut, chunkBytes); chunk !== null; chunk = cutChunk(cut, chunkBytes)) {
        loader.push(chunk);
        await this.committed(to);
      }
      loader.finish(index);
    } finally {
      cut.close();
    }
    await settled((done) => to.flush(done));
    if (to.contentHash() !== from.contentHash() || to.read(readMark).index !== index)
      throw new Error(`the copy of shard ${this.group} differs from what was copied`);
  }

  private async committed(store: OrderedStore): Promise<void> {
    this.commits += 1;
    if (this.commits % commitsPerFlush === 0) await settled((done) => store.flush(done));
  }
}
