import { expect, test } from "vitest";
import { Directory, noop } from "./directory.ts";

test("W5: entries acknowledged after a crash between adopting a snapshot and recording it survive the next restart", () => {
  const directory = new Directory();
  // Ten entries of term 1, never committed. A snapshot of the leader of term 2 at index 10 is adopted; the crash comes before `installed`.
  let log = directory.open(false);
  const uncommitted = Array.from({ length: 10 }, (_, index) => noop(index + 1, 1));
  directory.append(log, uncommitted, 1);
  directory.snapshot(log, 10, 2);
  directory.close(log);

  log = directory.open(true);
  expect(log.restored.snapshot?.index).toBe(10);
  expect(log.restored.entries).toEqual([]);
  directory.append(log, [noop(11, 2), noop(12, 2)], 2);
  directory.close(log);

  log = directory.open(true);
  expect(log.restored.entries.map(({ index }) => index)).toEqual([11, 12]);
});
