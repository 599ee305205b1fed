import { groupId, logIndex, term } from "@trivet/core";
import { describe, expect, test } from "vitest";
import { WalRig } from "./wal-rig.ts";

const segmentBytes = 16 * 1024;
const roomBytes = 2 * 1024;

/** Writes one entry to a fresh log on a disk of that size; bytes of its file afterwards, and of what the log itself holds. */
function afterOneEntry(quotaBytes: number): { file: number; log: number } {
  const sizeWith = (room: number): number => {
    const rig = new WalRig(segmentBytes);
    rig.roomBytes = room;
    rig.files.options = { ...rig.files.options, quotaBytes };
    const { wal } = rig.mustOpen();
    let durable = false;
    const entry = { index: logIndex(1), term: term(1), kind: "command" as const, payload: new Uint8Array(100).fill(7) };
    wal.write({ group: groupId(0), hardState: null, truncateFrom: logIndex(0), append: [entry], commit: logIndex(0) }, () => {
      durable = true;
    });
    rig.run();
    expect(durable).toBe(true);
    expect(rig.fatals).toEqual([]);
    const [path] = rig.files.paths().filter((name) => name.startsWith("wal/"));
    return rig.files.contents(path ?? "")?.length ?? 0;
  };
  return { file: sizeWith(roomBytes), log: sizeWith(0) };
}

describe("room ahead of the log", () => {
  test("is made on a disk with space", () => {
    const { file, log } = afterOneEntry(10 * segmentBytes);
    expect(file).toBeGreaterThanOrEqual(log + roomBytes / 2);
  });

  test("is not made on a disk that is getting full: the last space is for the batches", () => {
    const { file, log } = afterOneEntry(3 * segmentBytes);
    expect(file).toBe(log);
  });
});
