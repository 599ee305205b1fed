import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IoError, MemoryClock, MemoryOrderedStores, type OrderedStore } from "@trivet/engine";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LmdbStores } from "../packages/server/src/adapters/lmdb-stores.ts";
import { applyBatch, done, everything, lastBatch, openStore } from "../packages/server/test/adapters/lmdb-load.ts";
import { canMount, canMountImage, mountImageDisk, mountSmallDisk, type ImageDisk } from "./support/faults.ts";
import { repository, start, type Started } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

let folder = "";
let disks: { unmount(): void }[] = [];
let writer: Started | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-store-"));
  disks = [];
  writer = null;
});
afterEach(async () => {
  writer?.signal("SIGKILL");
  await writer?.exited;
  for (const disk of disks.toReversed()) disk.unmount();
  rmSync(folder, { recursive: true });
});

const close = (store: OrderedStore): Promise<void> => done((reported) => store.close(reported));
const upTo = (what: "committed" | "flushed", output: string): number =>
  Number([...output.matchAll(new RegExp(`^${what} (\\d+)$`, "gm"))].at(-1)?.[1] ?? 0);

/** Every thread of it: one in the middle of a sync is stopped when that is done, and the copy of the disk is of one moment. */
async function stop(process: Started): Promise<void> {
  process.signal("SIGSTOP");
  const tasks = `/proc/${process.pid}/task`;
  await waitFor("all threads to be stopped", () => {
    const states = readdirSync(tasks).map((id) => /\) (\w) /.exec(readFileSync(join(tasks, id, "stat"), "utf8"))?.[1]);
    return states.every((state) => state === "T") ? ready(true) : states.join("");
  });
}

/** Contents after each of the first batches. */
class Expected {
  private readonly clock = new MemoryClock();
  private store: OrderedStore | null = null;
  private number = 0;

  async after(number: number): Promise<OrderedStore> {
    if (this.store === null || number < this.number) {
      const opening = openStore(new MemoryOrderedStores(this.clock), "a");
      this.clock.runUntilIdle();
      this.store = await opening;
      this.number = 0;
    }
    while (this.number < number) this.store.write((view) => applyBatch(view, ++this.number));
    return this.store;
  }
}

describe.skipIf(!canMountImage)("power loss under an ordered store", () => {
  it("leads back to a commit that is not older than the last flush, whole", async () => {
    const disk: ImageDisk = mountImageDisk(join(folder, "disk"), 128);
    disks.push(disk);
    const script = join(repository, "packages", "server", "test", "adapters", "lmdb-writer.ts");
    const process_ = start(process.execPath, ["--conditions=source", "--import", "tsx", script, disk.path, "before"], { cwd: repository });
    writer = process_;
    const expected = new Expected();
    let lost = 0;
    for (let round = 1; round <= 8; round++) {
      const reached = upTo("committed", process_.output());
      // oxlint-disable-next-line no-await-in-loop -- one loss after another
      await waitFor("more commits", () => {
        if (process_.hasExited()) throw new Error(process_.output().slice(-1_000));
        return upTo("committed", process_.output()) >= reached + 40 ? ready(true) : process_.output().slice(-200);
      });
      // oxlint-disable-next-line no-await-in-loop -- see above
      await stop(process_);
      const copy = disk.copyTo(join(folder, `copy-${round}`));
      disks.push(copy);
      process_.signal("SIGCONT");
      const { flushed, committed } = { flushed: upTo("flushed", process_.output()), committed: upTo("committed", process_.output()) };
      // oxlint-disable-next-line no-await-in-loop -- see above
      const found = await openStore(new LmdbStores(copy.path, "after"), "a");
      const number = lastBatch(found);
      expect(number).toBeGreaterThanOrEqual(flushed);
      // Lines may still be on their way: one commit, and those of one pipe at most.
      lost += Math.max(0, committed - number);
      // oxlint-disable-next-line no-await-in-loop -- see above
      const twin = await expected.after(number);
      expect(found.contentHash()).toBe(twin.contentHash());
      expect(everything(found)).toEqual(everything(twin));
      found.write((view) => applyBatch(view, number + 1));
      // oxlint-disable-next-line no-await-in-loop -- see above
      await close(found);
      disks.pop()?.unmount();
    }
    // Otherwise nothing was cut off, and this test says nothing.
    expect(lost).toBeGreaterThan(0);
  });
});

describe.skipIf(!canMount)("a full disk under an ordered store", () => {
  it("is an error with its code, changes nothing, and is over once there is room", async () => {
    const disk = mountSmallDisk(join(folder, "disk"), 8);
    disks.push(disk);
    const stores = new LmdbStores(disk.path);
    const store = await openStore(stores, "a");
    const expected = new Expected();
    let number = 0;
    const fill = (): unknown => {
      for (;;) {
        try {
          store.write((view) => {
            applyBatch(view, number + 1);
            // Room that is not given back.
            view.put(Buffer.from(`kept ${number}`), new Uint8Array(100_000));
          });
          number += 1;
        } catch (error) {
          return error;
        }
      }
    };
    const refused = fill();
    expect(refused).toBeInstanceOf(IoError);
    expect(refused).toMatchObject({ code: "no-space" });
    expect(number).toBeGreaterThan(10);
    const state = everything(store);
    expect(lastBatch(store)).toBe(number);
    // Again, larger than any list of pages in memory: refused within the transaction.
    expect(() => store.write((view) => view.put(Buffer.from("large"), new Uint8Array(4_000_000)))).toThrow(/no-space/);
    expect(everything(store)).toEqual(state);
    expect(store.contentHash()).toMatch(/^[0-9a-f]{16}$/);
    await done((reported) => store.flush(reported));
    // Removing takes pages as well, until the flush after it gives some back; a disk that is really full must be given room.
    expect(spawnSync("mount", ["-o", "remount,size=64m", disk.path]).status).toBe(0);
    store.write((view) => {
      for (let at = 0; at < number; at++) view.remove(Buffer.from(`kept ${at}`));
    });
    await done((reported) => store.flush(reported));
    const twin = await expected.after(number);
    expect(store.contentHash()).toBe(twin.contentHash());
    await close(store);
    const again = await openStore(stores, "a");
    expect(everything(again)).toEqual(everything(twin));
    await close(again);
  });
});
