import type { FileHandle, FileStore } from "../ports/file.ts";
import { failure, finished, pattern, result } from "./api.ts";
import type { TestApi } from "./api.ts";

const create = (files: FileStore, path: string): Promise<FileHandle> => result((done) => files.open(path, "create", done));
const close = (handle: FileHandle): Promise<void> => finished((done) => handle.close(done));

const fileWith = async (files: FileStore, path: string, bytes: Uint8Array): Promise<void> => {
  const handle = await create(files, path);
  await finished((done) => handle.write(0, [bytes], done));
  await close(handle);
};
const contents = async (files: FileStore, path: string): Promise<Uint8Array> => {
  const handle = await result<FileHandle>((done) => files.open(path, "read", done));
  const size = await result<number>((done) => handle.size(done));
  const bytes = await result<Uint8Array>((done) => handle.read(0, size, done));
  await close(handle);
  return new Uint8Array(bytes);
};

/** What every FileStore must do. `make` gives an empty one. */
export function fileStoreConformance(api: TestApi, make: () => FileStore): void {
  const { test, equal, ok } = api;

  test("what is written in parts is read back as one", async () => {
    const files = make();
    const handle = await create(files, "a");
    await finished((done) => handle.write(0, [pattern(3), new Uint8Array(0), pattern(5, 2)], done));
    await finished((done) => handle.writeDurable(8, [pattern(4, 3)], done));
    await finished((done) => handle.sync(done));
    const bytes = await result<Uint8Array>((done) => handle.read(0, 100, done));
    equal([...bytes], [...pattern(3), ...pattern(5, 2), ...pattern(4, 3)]);
    equal(await result<number>((done) => handle.size(done)), 12);
    equal((await result<Uint8Array>((done) => handle.read(10, 100, done))).length, 2);
    equal((await result<Uint8Array>((done) => handle.read(50, 10, done))).length, 0);
    await close(handle);
    equal([...(await contents(files, "a"))], [...bytes]);
  });

  test("writes overwrite in place, and a gap reads as zeros", async () => {
    const files = make();
    const handle = await create(files, "a");
    await finished((done) => handle.write(0, [pattern(10)], done));
    await finished((done) => handle.write(4, [Uint8Array.of(0, 0)], done));
    await finished((done) => handle.write(14, [Uint8Array.of(9)], done));
    const expected = pattern(15);
    expected.fill(0, 4, 6);
    expected.fill(0, 10, 14);
    expected[14] = 9;
    equal([...(await result<Uint8Array>((done) => handle.read(0, 15, done)))], [...expected]);
    await close(handle);
  });

  test("a write of thousands of parts and of megabytes is whole", async () => {
    const files = make();
    const handle = await create(files, "a");
    const parts = Array.from({ length: 3000 }, (_, i) => pattern(7, i));
    await finished((done) => handle.writeDurable(0, parts, done));
    const large = pattern(3 * 1024 * 1024 + 1);
    await finished((done) => handle.write(21_000, [large.subarray(0, 1_000_000), large.subarray(1_000_000)], done));
    await close(handle);
    const bytes = await contents(files, "a");
    ok(
      parts.every((part, i) => part.every((byte, j) => bytes[i * 7 + j] === byte)),
      "every part stands at its place",
    );
    ok(
      large.every((byte, i) => bytes[21_000 + i] === byte),
      "the large write is whole",
    );
  });

  test("truncate cuts and extends with zeros", async () => {
    const files = make();
    const handle = await create(files, "a");
    await finished((done) => handle.write(0, [pattern(10)], done));
    await finished((done) => handle.truncate(4, done));
    await finished((done) => handle.truncate(8, done));
    equal([...(await result<Uint8Array>((done) => handle.read(0, 10, done)))], [...pattern(4), 0, 0, 0, 0]);
    await close(handle);
  });

  test("calls of one handle are answered later, once each, in the order they were made", async () => {
    const files = make();
    const handle = await create(files, "a");
    const order: number[] = [];
    let synchronous = true;
    await new Promise<void>((resolve) => {
      const answered = (number: number): void => {
        ok(!synchronous, "not answered synchronously");
        order.push(number);
        if (order.length === 6) resolve();
      };
      handle.write(0, [pattern(100_000)], () => answered(1));
      handle.read(0, 3, (_, bytes) => {
        equal([...(bytes ?? [])], [...pattern(3)]);
        answered(2);
      });
      handle.writeDurable(1, [Uint8Array.of(255)], () => answered(3));
      handle.sync(() => answered(4));
      handle.read(0, 3, (_, bytes) => {
        equal(bytes?.[1], 255);
        answered(5);
      });
      handle.close(() => answered(6));
      synchronous = false;
    });
    equal(order, [1, 2, 3, 4, 5, 6]);
  });

  test("bytes that were read do not change with the file", async () => {
    const files = make();
    const handle = await create(files, "a");
    await finished((done) => handle.write(0, [pattern(8)], done));
    const before = await result<Uint8Array>((done) => handle.read(0, 8, done));
    await finished((done) => handle.write(0, [new Uint8Array(8)], done));
    equal([...before], [...pattern(8)]);
    await close(handle);
  });

  test("names: create is exclusive, missing ones are not found", async () => {
    const files = make();
    await fileWith(files, "a", pattern(3));
    equal(await failure((done) => files.open("a", "create", done)), "exists");
    equal(await failure((done) => files.open("b", "read", done)), "not-found");
    equal(await failure((done) => files.open("b", "write", done)), "not-found");
    equal(await failure((done) => files.open("none/b", "create", done)), "not-found");
    equal(await failure((done) => files.remove("b", done)), "not-found");
    equal(await failure((done) => files.rename("b", "c", done)), "not-found");
    equal(await failure((done) => files.list("none", done)), "not-found");
  });

  test("rename replaces, and an open file outlives its name", async () => {
    const files = make();
    await fileWith(files, "old", pattern(5));
    await fileWith(files, "new", pattern(7, 2));
    const handle = await result<FileHandle>((done) => files.open("old", "read", done));
    await finished((done) => files.rename("new", "old", done));
    equal([...(await contents(files, "old"))], [...pattern(7, 2)]);
    equal(await failure((done) => files.open("new", "read", done)), "not-found");
    await finished((done) => files.remove("old", done));
    equal([...(await result<Uint8Array>((done) => handle.read(0, 10, done)))], [...pattern(5)]);
    await close(handle);
  });

  test("directories are made, listed, synced and removed as trees", async () => {
    const files = make();
    equal(await failure((done) => files.makeDirectory("", done)), "exists");
    await finished((done) => files.makeDirectory("d", done));
    equal(await failure((done) => files.makeDirectory("d", done)), "exists");
    await finished((done) => files.makeDirectory("d/e", done));
    await fileWith(files, "d/b", pattern(1));
    await fileWith(files, "d/a", pattern(1));
    await fileWith(files, "d/e/c", pattern(1));
    await finished((done) => files.syncDirectory("d/e", done));
    await finished((done) => files.syncDirectory("d", done));
    await finished((done) => files.syncDirectory("", done));
    equal(await result((done) => files.list("d", done)), ["a", "b", "e"]);
    await finished((done) => files.removeTree("d", done));
    equal(await result((done) => files.list("", done)), []);
    await finished((done) => files.removeTree("d", done));
    equal(await failure((done) => files.syncDirectory("d", done)), "not-found");
  });

  test("the lock is exclusive, and there is free space", async () => {
    const files = make();
    await finished((done) => files.lock("lock", done));
    equal(await failure((done) => files.lock("lock", done)), "locked");
    ok((await result<number>((done) => files.freeBytes(done))) > 0, "free bytes");
  });
}
