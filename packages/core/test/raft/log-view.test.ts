import { type Entry, logIndex, Prng, term } from "@trivet/core";
import { expect, test } from "vitest";
import { LogView } from "../../src/raft/log-view.ts";

const overhead = 32;

/** What it means, by a walk. */
function walked(log: LogView, index: number, maxBytes: number): number {
  let bytes = 0;
  let from = index + 1;
  while (from > log.firstIndex) {
    const entry = log.entryAt(logIndex(from - 1));
    if (entry === null) break;
    bytes += entry.payload.length + overhead;
    if (bytes > maxBytes) break;
    from -= 1;
  }
  return from;
}

test("the stretch of a log that fits into so many bytes is found as by a walk, whatever was appended, cut off and compacted", () => {
  const prng = new Prng(7);
  const below = (limit: number): number => Math.floor(prng.next() * limit);
  const log = new LogView(logIndex(0), term(0));
  const seen = { within: 0, whole: 0, none: 0 };
  for (let round = 0; round < 4_000; round += 1) {
    const what = below(100);
    if (what < 80) {
      const entry: Entry = { index: logIndex(log.lastIndex + 1), term: term(1), kind: "command", payload: new Uint8Array(below(300)) };
      log.append(entry);
    } else if (what < 88 && log.lastIndex >= log.firstIndex) {
      log.truncateFrom(logIndex(log.firstIndex + below(log.lastIndex - log.firstIndex + 1)));
    } else if (what < 99) log.compactTo(logIndex(log.firstIndex - 1 + below(Math.min(8, log.lastIndex - log.firstIndex + 2))));
    else log.reset(logIndex(log.lastIndex + below(10)), term(1));
    const index = Math.max(0, log.firstIndex - 3 + below(log.lastIndex - log.firstIndex + 6));
    const bytes = below(4_000);
    const found = log.stretchTo(logIndex(index), bytes);
    expect(found).toBe(walked(log, index, bytes));
    if (found > index) seen.none += 1;
    else if (found === log.firstIndex) seen.whole += 1;
    else seen.within += 1;
  }
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(100);
});
