import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Prng } from "@trivet/core";
import { IoError, MemoryClock, MemoryOrderedStores, StoreDamaged } from "@trivet/engine";
import type { OrderedStore } from "@trivet/engine";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LmdbStores } from "../../src/adapters/lmdb-stores.ts";
import { applyBatch, digestOf, done, everything, lastBatch, openStore } from "./lmdb-load.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), "trivet-lmdb-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const flush = (store: OrderedStore): Promise<void> => done((reported) => store.flush(reported));
const close = (store: OrderedStore): Promise<void> => done((reported) => store.close(reported));
const data = (): Buffer => readFileSync(path.join(root, "live", "a", "data.mdb"));
const key = (number: number): Buffer => Buffer.from(String(number).padStart(8, "0"));
const pageBytes = 4096;

/** What a disk may hold that was told to keep `flushed` and was given `written` since: of every page one or the other. */
function powerLoss(flushed: Buffer, written: Buffer, prng: Prng): Buffer {
  const length = prng.pick([flushed.length, written.length, Math.max(flushed.length, written.length)]);
  const disk = Buffer.alloc(length);
  const chance = prng.pick([0.05, 0.5, 0.95, 1]);
  for (let at = 0; at < length; at += pageBytes) {
    const from = (at >= flushed.length || prng.chance(chance)) && at < written.length ? written : flushed;
    from.copy(disk, at, at, at + pageBytes);
  }
  return disk;
}

/** A copy of the directory as a system finds it that starts after the power was lost. */
async function afterPowerLoss(content: Buffer): Promise<OrderedStore> {
  const copy = path.join(root, "copy");
  rmSync(copy, { recursive: true, force: true });
  cpSync(path.join(root, "live"), copy, { recursive: true });
  writeFileSync(path.join(copy, "a", "data.mdb"), content);
  return openStore(new LmdbStores(copy, "after"), "a");
}

describe("power loss", () => {
  test("whatever pages got to the disk, the state is that of the last flush", async () => {
    const prng = new Prng(7);
    const live = await openStore(new LmdbStores(path.join(root, "live"), "before"), "a");
    let number = 0;
    for (let round = 0; round < 8; round++) {
      for (let i = prng.between(1, 30); i > 0; i--) live.write((view) => applyBatch(view, ++number));
      await flush(live);
      const [flushedNumber, flushed, contents, hash] = [number, data(), everything(live), live.contentHash()];
      for (let loss = 0; loss < 3; loss++) {
        for (let i = prng.between(1, 30); i > 0; i--) live.write((view) => applyBatch(view, ++number));
        const found = await afterPowerLoss(powerLoss(flushed, data(), prng));
        expect(lastBatch(found)).toBe(flushedNumber);
        expect(found.contentHash()).toBe(hash);
        expect(everything(found)).toEqual(contents);
        // It is a store like any other: what comes next works, and so does the next loss.
        for (let i = 0; i < 5; i++) found.write((view) => applyBatch(view, 1_000_000 + i));
        await close(found);
      }
    }
    await close(live);
  });

  test("in the middle of a flush, the state is that of the flush before", async () => {
    const prng = new Prng(8);
    const live = await openStore(new LmdbStores(path.join(root, "live"), "before"), "a");
    let number = 0;
    for (let round = 0; round < 10; round++) {
      live.write((view) => applyBatch(view, ++number));
      await flush(live);
      const [before, flushed] = [number, data()];
      for (let i = prng.between(1, 20); i > 0; i--) live.write((view) => applyBatch(view, ++number));
      const under = flush(live);
      for (let i = prng.between(0, 20); i > 0; i--) live.write((view) => applyBatch(view, ++number));
      // The record is written by this thread's next turn at the earliest.
      const written = data();
      const record = readFileSync(path.join(root, "live", "a", "flushed"));
      await under;
      const found = await (async () => {
        const copy = path.join(root, "copy");
        rmSync(copy, { recursive: true, force: true });
        mkdirSync(path.join(copy, "a"), { recursive: true });
        writeFileSync(path.join(copy, "a", "flushed"), record);
        writeFileSync(path.join(copy, "a", "data.mdb"), powerLoss(flushed, written, new Prng(round)));
        return openStore(new LmdbStores(copy, "after"), "a");
      })();
      expect(lastBatch(found)).toBe(before);
      everything(found);
      await close(found);
    }
    await close(live);
  });

  test("while a cut is open and flushes go on, too", async () => {
    const live = await openStore(new LmdbStores(path.join(root, "live"), "before"), "a");
    for (let number = 1; number <= 30; number++) live.write((view) => applyBatch(view, number));
    const cut = live.cut();
    const contents = everything(live);
    for (let number = 31; number <= 90; number++) {
      live.write((view) => applyBatch(view, number));
      if (number % 10 === 0) await flush(live);
    }
    const seen = new Map<string, string>();
    for (let part = cut.next(5000); part !== null; part = cut.next(5000)) {
      for (const [at, value] of part) seen.set(Buffer.from(at).toString("hex"), digestOf(value));
      live.write((view) => applyBatch(view, 91));
    }
    cut.close();
    expect(seen).toEqual(contents);
    await close(live);
  });

  test("before the first opening was answered leaves a store that is empty, not a broken one", async () => {
    const stores = new LmdbStores(root, "before");
    mkdirSync(path.join(root, "a"));
    writeFileSync(path.join(root, "a", "data.mdb"), "half a p");
    writeFileSync(path.join(root, "a", "flushed"), new Uint8Array(600));
    const store = await openStore(stores, "a");
    expect(everything(store).size).toBe(0);
    await close(store);
  });

  test("a damaged record of the flush is told, and nothing is deleted", async () => {
    const store = await openStore(new LmdbStores(root, "before"), "a");
    store.write((view) => applyBatch(view, 1));
    await close(store);
    const file = path.join(root, "a", "flushed");
    writeFileSync(file, readFileSync(file).fill(7));
    const before = readFileSync(path.join(root, "a", "data.mdb"));
    await expect(openStore(new LmdbStores(root, "before"), "a")).rejects.toThrow(/flushed cannot be read/);
    expect(readFileSync(path.join(root, "a", "data.mdb"))).toEqual(before);
  });
});

describe("kill -9", () => {
  test("keeps everything that was committed, flushed or not", async () => {
    const script = fileURLToPath(new URL("lmdb-writer.ts", import.meta.url));
    const child = spawn(process.execPath, ["--conditions=source", "--import", "tsx", script, root], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let committed = 0;
    await new Promise<void>((resolve, reject) => {
      child.stdout.setEncoding("utf8").on("data", (lines: string) => {
        committed = Math.max(committed, ...[...lines.matchAll(/^committed (\d+)$/gm)].map(([, number]) => Number(number)));
        if (committed >= 200) child.kill("SIGKILL");
      });
      child.once("close", () => (committed >= 200 ? resolve() : reject(new Error(`the writer ended at ${committed}`))));
    });
    const store = await openStore(new LmdbStores(root), "a");
    const found = lastBatch(store);
    expect(found).toBeGreaterThanOrEqual(committed);
    const twin = new MemoryOrderedStores(new MemoryClock());
    const expected = await new Promise<OrderedStore>((resolve) => {
      twin.open("a", (_, opened) => opened !== undefined && resolve(opened));
      (twin.clock as MemoryClock).runUntilIdle();
    });
    for (let number = 1; number <= found; number++) expected.write((view) => applyBatch(view, number));
    // Both compute the same hash of the same contents.
    expect(store.contentHash()).toBe(expected.contentHash());
    expect(everything(store)).toEqual(everything(expected));
    await close(store);
  });
});

test("where the system has no boot id, an end without closing leads back to the last flush, and closing loses nothing", async () => {
  const live = await openStore(new LmdbStores(path.join(root, "live"), ""), "a");
  live.write((view) => applyBatch(view, 1));
  await flush(live);
  live.write((view) => applyBatch(view, 2));
  const copy = path.join(root, "copy");
  cpSync(path.join(root, "live"), copy, { recursive: true });
  const killed = await openStore(new LmdbStores(copy, ""), "a");
  expect(lastBatch(killed)).toBe(1);
  await close(killed);
  await close(live);
  const again = await openStore(new LmdbStores(path.join(root, "live"), ""), "a");
  expect(lastBatch(again)).toBe(2);
  await close(again);
});

describe("damage of the pages", () => {
  test("is told as damage, or as an error, but no wrong value is handed out", async () => {
    const store = await openStore(new LmdbStores(path.join(root, "live")), "a");
    for (let number = 1; number <= 40; number++) store.write((view) => applyBatch(view, number));
    const contents = everything(store);
    await close(store);
    const intact = data();
    for (let round = 0; round < 40; round++) {
      const prng = new Prng(round);
      const rotten = Buffer.from(intact);
      // In values only: LMDB follows what stands in its pages without looking, and a wrong pointer may end the process.
      const at = rotten.indexOf(Buffer.alloc(64, prng.between(1, 40)), prng.below(rotten.length));
      if (at < 0) continue;
      rotten[at + 20] = (rotten[at + 20] ?? 0) ^ (1 << prng.below(8));
      writeFileSync(path.join(root, "live", "a", "data.mdb"), rotten);
      const found = await openStore(new LmdbStores(path.join(root, "live")), "a");
      try {
        expect(everything(found)).toEqual(contents);
      } catch (error) {
        expect(error).toBeInstanceOf(StoreDamaged);
      }
      writeFileSync(path.join(root, "live", "a", "data.mdb"), intact);
      await close(found);
    }
  });
});

test("the file does not grow when as much goes as comes, as long as flushes go on", async () => {
  const store = await openStore(new LmdbStores(path.join(root, "live")), "a");
  for (let number = 0; number < 20_000; number++) {
    store.write((view) => {
      view.put(key(number), new Uint8Array(1000));
      view.remove(key(number - 1000));
    });
    if (number % 100 === 0) await flush(store);
  }
  const { bytes, freeBytes } = store.size();
  expect(bytes).toBeLessThan(8_000_000);
  expect(freeBytes).toBeGreaterThan(0);
  expect(freeBytes).toBeLessThan(bytes);
  await close(store);
});

test("names of the directory that are not stores are not listed, and a removal that was cut off is finished", async () => {
  const stores = new LmdbStores(root);
  mkdirSync(path.join(root, "a.gone"));
  writeFileSync(path.join(root, "a.gone", "data.mdb"), "x");
  const store = await openStore(stores, "a");
  await close(store);
  expect(await new Promise((resolve) => stores.list((_, names) => resolve(names)))).toEqual(["a"]);
  expect(() => readFileSync(path.join(root, "a.gone", "data.mdb"))).toThrow(/ENOENT/);
});

test("where a directory cannot be made, opening is an error with the path", async () => {
  writeFileSync(path.join(root, "file"), "");
  await expect(openStore(new LmdbStores(path.join(root, "file")), "a")).rejects.toThrow(IoError);
});
