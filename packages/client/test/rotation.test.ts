import { describe, expect, test } from "vitest";
import { Rotation } from "../src/queues/rotation.ts";

describe("where messages without a name go", () => {
  test("stays for 64 KiB, then moves on by one, over all partitions", () => {
    const rotation = new Rotation();
    const first = rotation.partition(4, 1000);
    for (let n = 0; n < 63; n++) rotation.sent(1024);
    expect(rotation.partition(4, 1001)).toBe(first);
    rotation.sent(1024);
    expect(rotation.partition(4, 1002)).toBe((first + 1) % 4);
    expect(rotation.partition(4, 1003)).toBe((first + 1) % 4);
    const seen = new Set([first]);
    for (let n = 0; n < 4; n++) {
      rotation.sent(64 * 1024);
      seen.add(rotation.partition(4, 1004));
    }
    expect(seen.size).toBe(4);
  });

  test("moves on after 50 ms, however little was sent: a slow producer reaches every partition", () => {
    const rotation = new Rotation();
    const seen = [0, 1, 2, 3].map((n) => rotation.partition(4, 1000 + n * 50));
    expect(new Set(seen).size).toBe(4);
    expect(rotation.partition(4, 1199)).toBe(seen[3]);
  });
});
