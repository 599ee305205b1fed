import { Prng } from "@trivet/core";
import { MemoryClock, MemoryNetwork } from "@trivet/engine";
import type { Link } from "@trivet/engine";
import { describe, expect, test } from "vitest";

interface End {
  readonly link: Link;
  readonly frames: number[];
  readonly closed: string[];
}
const endOf = (link: Link): End => {
  const end: End = { link, frames: [], closed: [] };
  link.handlers = { frame: (bytes) => end.frames.push(bytes[0] ?? -1), closed: (reason) => end.closed.push(reason) };
  return end;
};
const connected = (clock: MemoryClock, network: MemoryNetwork): { mine: End; theirs: End } => {
  let mine: End | null = null;
  let theirs: End | null = null;
  network.transport("b").onAccept((link) => {
    theirs = endOf(link);
  });
  network.transport("a").dial("b", (link) => {
    if (link !== null) mine = endOf(link);
  });
  clock.runUntilIdle();
  if (mine === null || theirs === null) throw new Error("not connected");
  return { mine, theirs };
};
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("MemoryNetwork", () => {
  test("delays keep the order, reordering must be asked for, copies arrive twice", () => {
    const prng = new Prng(4);
    const clock = new MemoryClock();
    const network = new MemoryNetwork(clock);
    const { mine, theirs } = connected(clock, network);
    network.options = { fate: () => ({ delaysMs: [prng.below(20)] }) };
    for (const number of numbers(100)) mine.link.send([Uint8Array.of(number)]);
    clock.runUntilIdle();
    expect(theirs.frames).toEqual(numbers(100));

    theirs.frames.length = 0;
    network.options = { fate: () => ({ delaysMs: [prng.below(20)], reorder: true }) };
    for (const number of numbers(100)) mine.link.send([Uint8Array.of(number)]);
    clock.runUntilIdle();
    expect(theirs.frames).not.toEqual(numbers(100));
    expect(theirs.frames.sort((a, b) => a - b)).toEqual(numbers(100));

    theirs.frames.length = 0;
    network.options = { fate: ({ bytes }) => ({ delaysMs: bytes === 1 ? [1, 1] : [], reorder: true }) };
    mine.link.send([Uint8Array.of(1)]);
    mine.link.send([Uint8Array.of(2, 2)]);
    clock.runUntilIdle();
    expect(theirs.frames).toEqual([1, 1]);
    expect(mine.link.bufferedBytes()).toBe(0);
  });

  test("a cut holds frames back until it heals, in one direction if so wanted", () => {
    const clock = new MemoryClock();
    const network = new MemoryNetwork(clock);
    const { mine, theirs } = connected(clock, network);
    network.options = { fate: ({ from }) => ({ delaysMs: from === "a" ? [] : [1] }) };
    mine.link.send([Uint8Array.of(1)]);
    mine.link.send([Uint8Array.of(2)]);
    theirs.link.send([Uint8Array.of(3)]);
    clock.runUntilIdle();
    expect([theirs.frames, mine.frames]).toEqual([[], [3]]);
    expect(mine.link.bufferedBytes()).toBe(2);
    network.options = {};
    mine.link.send([Uint8Array.of(4)]);
    network.retransmit();
    clock.runUntilIdle();
    expect(theirs.frames).toEqual([1, 2, 4]);
  });

  test("a dial through a cut times out, to a dead node it is refused", () => {
    const clock = new MemoryClock();
    const network = new MemoryNetwork(clock, { dialTimeoutMs: 200 });
    const a = network.transport("a");
    const reasons: string[] = [];
    a.dial("b", (_, reason) => reasons.push(`${reason} ${clock.now()}`));
    clock.runUntilIdle();
    network.options = { dialTimeoutMs: 200, fate: () => ({ delaysMs: [] }) };
    a.dial("b", (_, reason) => reasons.push(`${reason} ${clock.now()}`));
    clock.runUntilIdle();
    expect(reasons).toEqual(["b refused the connection 1000", "b did not answer 1200"]);
  });

  test("a node that dies is never called again; the other end sees the link close", () => {
    const clock = new MemoryClock();
    const network = new MemoryNetwork(clock);
    const { mine, theirs } = connected(clock, network);
    mine.link.send([Uint8Array.of(1)]);
    theirs.link.send([Uint8Array.of(2)]);
    network.detach("b");
    clock.runUntilIdle();
    expect(theirs).toMatchObject({ frames: [], closed: [] });
    expect(mine.closed).toEqual(["connection reset"]);
    network.breakLinks(() => true, "nothing left");
    clock.runUntilIdle();
    expect(mine.closed.length).toBe(1);
  });

  test("broken links close at both ends, once", () => {
    const clock = new MemoryClock();
    const network = new MemoryNetwork(clock);
    const { mine, theirs } = connected(clock, network);
    network.breakLinks((a, b) => a === "a" || b === "a", "reset");
    mine.link.close("too late");
    clock.runUntilIdle();
    expect([mine.closed, theirs.closed]).toEqual([["reset"], ["reset"]]);
  });
});
