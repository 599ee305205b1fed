import type { StorageOutcome } from "@trivet/engine";
import { type HandedOut, partitionOf } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { got, SlowRig } from "./slow-storage.ts";

const down: StorageOutcome = { type: "unavailable", code: "no_leader", retryAfterMs: 100, detail: "" };
const key = (name: string) => ({ idempotency: { key: name, fingerprint: "f" } });

function rig(partitions = 1): SlowRig {
  const made = new SlowRig();
  made.define({ partitions });
  return made;
}

describe("a partition without a leader", () => {
  test("is not told as empty to those who stood behind the one that was refused, or come before it is asked again", () => {
    const r = rig();
    const [first, second, long] = [r.consume(), r.consume(), r.consume({ waitMs: 10_000 })];
    expect(r.held.length).toBe(1);
    r.held[0]?.go(down);
    expect([got(first), got(second), got(long)]).toEqual(["unavailable", "unavailable", null]);
    expect(got(r.consume())).toBe("unavailable");
    r.clock.advance(100);
    expect(r.held.length).toBe(2);
    r.produce(1);
    r.held[1]?.go();
    expect(got(long)?.length).toBe(1);
  });

  test("says nothing to whom it is known to have had nothing for", () => {
    const r = rig();
    const first = r.consume();
    const waiting = r.consume({ waitMs: 5_000 });
    r.held[0]?.go();
    expect(got(first)).toEqual([]);
    r.held[1]?.go();
    const [refused] = [r.consume()];
    r.held[2]?.go(down);
    expect(got(refused)).toBe("unavailable");
    r.clock.advance(5_000);
    expect(got(waiting)).toEqual([]);
  });
});

test("a consume with a key waits for a partition that others ask, and then looks at the rest", () => {
  const r = rig(3);
  const keyed = r.consume({}, 60_000, key("k"));
  const first = r.held[0]?.partition ?? 0;
  const [busy, last] = [(first + 1) % 3, (first + 2) % 3];
  r.consume({ partition: busy });
  r.held[1]?.go();
  r.consume({ partition: busy });
  r.produce(1, ["a", "b", "c", "d", "e", "f", "g"].find((name) => partitionOf(name, 3) === last) ?? "");
  expect(r.held.map(({ partition }) => partition)).toEqual([first, busy, busy]);
  r.held[0]?.go();
  expect(got(keyed)).toBeNull();
  for (let at = 2; at < 6; at++) r.held[at]?.go();
  expect(got(keyed)?.length).toBe(1);
});

test("a hand-out that another send of the same call was given is no word that nothing is left for others", () => {
  const r = rig();
  const send = r.consume({ waitMs: 10_000 }, 60_000, key("k"));
  r.held[0]?.go();
  const waiting = r.consume({ waitMs: 10_000 });
  r.held[1]?.go();
  r.hintAll();
  const message: HandedOut = {
    partition: 0,
    sequence: 1,
    acquired: 1,
    incarnation: 1,
    deliveries: 0,
    key: "",
    priority: 0,
    producedAt: 0,
    headers: [],
    body: new Uint8Array(),
  };
  r.held[2]?.go({
    type: "answered",
    result: { type: "handed-out", messages: [message], leaseMs: 1_000, more: false },
    requestId: "",
    durability: "memory",
  });
  expect([got(send)?.length, got(waiting), r.held.length]).toEqual([1, null, 4]);
});
