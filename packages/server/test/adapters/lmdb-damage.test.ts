import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { BufferedStore, StoreDamaged } from "@trivet/engine";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LmdbStores } from "../../src/adapters/lmdb-stores.ts";
import { done, openStore } from "./lmdb-load.ts";

const pageBytes = 4_096;
const key = (number: number): Buffer => Buffer.from(String(number).padStart(8, "0"));

let root = "";
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "trivet-lmdb-"));
});
afterEach(() => rmSync(root, { recursive: true }));

test("LMDB's own word of a lost page is damage, and a buffered store over it can be closed and removed all the same (rule W6)", async () => {
  const stores = new LmdbStores(root, "boot");
  const whole = await openStore(stores, "a");
  whole.write((view) => {
    for (let at = 0; at < 20_000; at++) view.put(key(at), Buffer.alloc(64, at));
  });
  await done((reported) => whole.close(reported));
  const store = new BufferedStore(await openStore(stores, "a"));
  losePages(path.join(root, "a", "data.mdb"));
  const write = (): void => {
    for (let at = 0; at < 20_000; at += 50) {
      store.write((view) => view.put(key(at), Buffer.from("new")));
      if (at % 500 === 0) store.flush(() => undefined);
    }
  };
  expect(write).toThrow(StoreDamaged);
  await expect(done((reported) => store.close(reported))).rejects.toMatchObject({ cause: { code: "store-damaged" } });
  await done((reported) => stores.remove("a", reported));
});

/** As a disk that has lost what it was given: zeros in the place of all pages but the first and the last ones. */
function losePages(file: string): void {
  const { size } = statSync(file);
  const data = openSync(file, "r+");
  for (let page = 2; page < size / pageBytes - 40; page++) writeSync(data, Buffer.alloc(pageBytes), 0, pageBytes, page * pageBytes);
  closeSync(data);
}
