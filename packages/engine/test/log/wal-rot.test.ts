import { Prng } from "@trivet/core";
import type { Entry } from "@trivet/core";
import type { MemoryFiles, WalOpened } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { OperationSource, WalRig, aboveFloors, applyToModel, ask, modelOf, render } from "./wal-rig.ts";
import type { LogModel } from "./wal-rig.ts";

const segmentBytes = 700;

interface Written {
  readonly files: MemoryFiles;
  readonly model: LogModel;
  /** Every entry that ever stood in the log, by its rendering. */
  readonly known: ReadonlySet<string>;
}

const entryText = (group: number, { index, term, kind, payload }: Entry): string => `${group}:${index}.${term}${kind}${payload.join()}`;

/** A log of a few segments, every operation durable; closed properly, or ended by kill -9. */
function writtenLog(seed: number, closed: boolean, operations = 25): Written {
  const prng = new Prng(seed);
  const rig = new WalRig(segmentBytes);
  const source = new OperationSource(prng, 2);
  const { wal } = rig.mustOpen();
  let model: LogModel = new Map();
  const known = new Set<string>();
  for (let i = 0; i < operations; i++) {
    const operation = source.next(model);
    model = applyToModel(model, operation);
    if (operation.type === "write") for (const entry of operation.append) known.add(entryText(operation.group, entry));
    let durable = false;
    ask(wal, operation, () => {
      durable = true;
    });
    if (i % 2 === 0) {
      rig.run();
      expect(durable).toBe(true);
    }
  }
  rig.run();
  if (closed) rig.close(wal);
  else rig.kill();
  return { files: rig.files, model, known };
}

function opened(files: MemoryFiles): { rig: WalRig; result: WalOpened } {
  const rig = new WalRig(segmentBytes, files);
  return { rig, result: rig.mustOpen() };
}

/** Reads a damaged copy twice. Either it says exactly what was written, or it knows that it may not vote, and still does after a restart. */
function checkDamaged(
  copy: MemoryFiles,
  { model, known }: Written,
  where: string,
  wanted: (model: LogModel) => LogModel = (all) => all,
): "whole" | "distrusted" {
  const { rig, result } = opened(copy);
  const text = render(modelOf(result.groups));
  if (result.mayVote) {
    expect(render(wanted(modelOf(result.groups))), where).toBe(render(wanted(model)));
    expect([...result.groups.values()].every(({ mayVote }) => mayVote)).toBe(true);
    return "whole";
  }
  expect(result.findings.length, where).toBeGreaterThan(0);
  for (const [group, { hardState, entries, commit, mayVote }] of result.groups) {
    expect(mayVote, where).toBe(false);
    expect(hardState.term, where).toBeLessThanOrEqual(model.get(group)?.hardState.term ?? 0);
    expect(
      entries.filter((entry) => !known.has(entryText(group, entry))),
      where,
    ).toEqual([]);
    expect(commit).toBeLessThanOrEqual(entries.at(-1)?.index ?? result.groups.get(group)?.floor?.index ?? 0);
  }
  rig.kill();
  const again = opened(copy).result;
  expect(again.mayVote, `${where}, after a restart`).toBe(false);
  expect(render(modelOf(again.groups)), `${where}, after a restart`).toBe(text);
  return "distrusted";
}

function termsAndVotes(model: LogModel): string {
  const lines = [...model]
    .filter(([, { hardState }]) => hardState.term > 0)
    .map(([group, { hardState }]) => `${group}: ${hardState.term}/${hardState.vote ?? "-"}`);
  return lines.sort().join();
}

describe("bit rot at any byte is noticed", () => {
  test.each([
    { seed: 1, closed: true },
    { seed: 3, closed: false },
  ])("seed $seed, closed properly: $closed", ({ seed, closed }) => {
    const written = writtenLog(seed, closed, 12);
    const paths = written.files.paths().filter((path) => path.startsWith("wal/"));
    expect(paths.length).toBeGreaterThan(2);
    const prng = new Prng(seed);
    const outcomes = { whole: 0, distrusted: 0 };
    for (const path of paths) {
      const { length } = written.files.contents(path) ?? new Uint8Array(0);
      for (let offset = 0; offset < length; offset++) {
        const copy = written.files.copy();
        const bit = prng.below(8);
        copy.flipBit(path, offset, bit);
        outcomes[checkDamaged(copy, written, `${path} byte ${offset} bit ${bit}`)]++;
        // Terms and votes stand in every newer segment: damage of an older one forgets none (rule W6).
        if (path !== paths.at(-1)) expect(termsAndVotes(modelOf(opened(copy).result.groups))).toBe(termsAndVotes(written.model));
      }
    }
    // Every byte of a log is covered by a checksum: no flipped bit passes for the whole log.
    expect(outcomes.whole).toBe(0);
    expect(outcomes.distrusted).toBeGreaterThan(700);
  });

  test.each([5, 6, 7])("a lost or cut segment is noticed, seed %i", (seed) => {
    const written = writtenLog(seed, true);
    const paths = written.files.paths().filter((path) => path.startsWith("wal/"));
    for (const path of paths.slice(0, -1)) {
      const lost = written.files.copy();
      lost.tamper(path, () => null);
      // Entries at or below the floor are kept only for peers that lag: without them nothing is wrong.
      checkDamaged(lost, written, `${path} lost`, aboveFloors);
      for (const keep of [0, 10, 100, 300]) {
        const cut = written.files.copy();
        cut.tamper(path, (bytes) => bytes.subarray(0, Math.min(keep, bytes.length - 1)));
        expect(checkDamaged(cut, written, `${path} cut to ${keep}`)).toBe("distrusted");
      }
    }
  });

  test("garbage in place of a segment, or behind the log, is noticed", () => {
    const prng = new Prng(8);
    const written = writtenLog(8, true);
    const paths = written.files.paths().filter((path) => path.startsWith("wal/"));
    for (const path of paths) {
      const garbage = written.files.copy();
      garbage.tamper(path, (bytes) => bytes.map(() => prng.below(256)));
      expect(checkDamaged(garbage, written, path)).toBe("distrusted");
      const longer = written.files.copy();
      longer.tamper(path, (bytes) => Uint8Array.from([...bytes, ...Array.from({ length: 600 }, () => prng.between(1, 255))]));
      checkDamaged(longer, written, `${path} with bytes behind it`);
    }
  });
});
