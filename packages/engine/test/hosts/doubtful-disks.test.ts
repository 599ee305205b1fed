import { describe, expect, test } from "vitest";
import { encodeMembershipPayload, type Entry, logIndex, nodeId, term } from "@trivet/core";
import type { OpenedSystem } from "../../src/node/open.ts";
import { Directory, noop } from "./directory.ts";
import { guard } from "./guard.ts";

const wal = "wal/0000000001.wal";
const range = (from: number, to: number): Entry[] => Array.from({ length: to - from + 1 }, (_, i) => noop(from + i, 1));
const doubtOf = (log: OpenedSystem): [boolean, boolean | undefined] => [log.restored.mayVote, log.restored.onlyTornTail];

function config(index: number, voters: readonly string[], learners: readonly string[] = []): Entry {
  const membership = { voters: voters.map(nodeId), outgoing: [], learners: learners.map(nodeId), learnersNext: [], autoLeave: false };
  return { index: logIndex(index), term: term(1), kind: "config", payload: encodeMembershipPayload(membership) };
}

/** Snapshots at 50 and 100, the log trimmed to what follows 100; acknowledged up to 150. Then the newer snapshot is damaged. */
function withGap(): Directory {
  const directory = new Directory();
  const log = directory.open(false);
  directory.append(log, range(1, 150), 1, 100);
  directory.snapshot(log, 50, 1);
  directory.snapshot(log, 100, 1);
  directory.trim(log, 100, 1);
  directory.close(log);
  const newest =
    directory.files
      .paths()
      .filter((path) => path.startsWith("snapshots/"))
      .at(-1) ?? "";
  directory.files.flipBit(newest, (directory.files.contents(newest)?.length ?? 0) - 3, 1);
  return directory;
}

describe("a hole between the snapshot fallen back to and the log (W6)", () => {
  guard(
    "host-gap-forgotten",
    "keeps the node from voting also after it was refilled in part and started again, until it is trusted",
    () => {
      const directory = withGap();
      let log = directory.open(true);
      expect(log.restored.snapshot?.index).toBe(50);
      expect(doubtOf(log)).toEqual([false, false]);
      // The leader's entries begin to come; a snapshot is taken of them, and everything on this disk goes together again.
      directory.append(log, range(51, 120), 2, 120);
      directory.snapshot(log, 110, 1);
      directory.trim(log, 110, 1);
      directory.close(log);
      log = directory.open(true);
      expect(log.restored.snapshot?.index).toBe(110);
      expect(log.lost).toBe(null);
      expect(doubtOf(log)).toEqual([false, false]);
      directory.trust(log);
      directory.close(log);
      expect(doubtOf(directory.open(true))).toEqual([true, false]);
    },
  );
});

/** Where the last batch ends; zeros behind it are room for the next ones. */
function logEnd(directory: Directory): number {
  return (directory.files.contents(wal)?.findLastIndex((byte) => byte !== 0) ?? -1) + 1;
}

/** A founder whose cluster has grown to three; then the first entries, or the last, are damaged. */
function grown(later: readonly Entry[], damage: "middle" | "end"): Directory {
  const directory = new Directory(["n1"]);
  const log = directory.open(false);
  directory.append(log, range(1, 3), 1);
  const begin = logEnd(directory);
  directory.append(log, range(4, 5), 1);
  if (later.length > 0) directory.append(log, later, 1);
  directory.append(log, range(6 + later.length, 9), 1);
  const length = logEnd(directory);
  directory.files.flipBit(wal, damage === "middle" ? begin + 30 : length - 3, 1);
  return directory;
}

describe("the only copy (W6)", () => {
  guard("host-only-copy-by-founders", "is not that of a single founder whose cluster has grown since, wherever it was damaged", () => {
    for (const damage of ["middle", "end"] as const) {
      const directory = grown([config(6, ["n1", "n2", "n3"])], damage);
      // Also at later starts, which do not read what is behind the damage.
      for (let start = 0; start < 2; start++) {
        const log = directory.tryOpen(true);
        expect(log instanceof Error ? log.message : log.restored.mayVote).toBe(false);
        if (!(log instanceof Error)) directory.close(log);
      }
    }
  });

  test("refuses to start, and says so again at the next start; also when all others were removed", () => {
    for (const later of [[], [config(6, ["n1", "n2", "n3"]), config(7, ["n1"])]]) {
      for (const damage of ["middle", "end"] as const) {
        const directory = grown(later, damage);
        for (let start = 0; start < 2; start++) {
          const refused = directory.tryOpen(true);
          expect(refused).toMatchObject({ code: "damaged" });
          directory.files.endProcess();
        }
      }
    }
  });

  test("a learner's copy settles a torn end, but cannot be elected in place of a damaged log", () => {
    const learner = [config(6, ["n1"], ["n2"])];
    expect(grown(learner, "end").open(true).restored).toMatchObject({ mayVote: false, onlyTornTail: true });
    expect(grown(learner, "middle").tryOpen(true)).toMatchObject({ code: "damaged" });
  });
});
