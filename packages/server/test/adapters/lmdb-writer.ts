import { LmdbStores } from "../../src/adapters/lmdb-stores.ts";
import { applyBatch, openStore } from "./lmdb-load.ts";

// Commits one batch after another, flushing at times, and says so in lines, until it is killed or nobody reads them any more.
const [directory = "", boot] = process.argv.slice(2);
const store = await openStore(new LmdbStores(directory, boot), "a");
const say = (line: string): void => void process.stdout.write(`${line}\n`);
let number = 0;
let flushing = false;
const step = (): void => {
  store.write((view) => applyBatch(view, ++number));
  say(`committed ${number}`);
  if (number % 17 === 0 && !flushing) {
    const upTo = number;
    flushing = true;
    store.flush((error) => {
      flushing = false;
      if (error !== null) throw error;
      say(`flushed ${upTo}`);
    });
  }
  // Not as fast as it could: what it does is done again to compare.
  setTimeout(step, 1);
};
step();
