import { expect, test, vi } from "vitest";
import { keyOf, tables } from "../../src/queues/keys.ts";
import { decodeGroupRecord } from "../../src/queues/records.ts";
import { ShardRenewal } from "../../src/queues/renewal.ts";
import { guard } from "../raft/guard.ts";
import { Bench, queue } from "./support/bench.ts";

const unixSeconds = 1_800_000_000;
const fenceFloor = unixSeconds * 2 ** 20;

/** The bench's shard as that of a new cluster; gives the base of its counters. */
function renew(b: Bench, times = { savedMs: (unixSeconds - 1) * 1000, nowMs: unixSeconds * 1000 }): number {
  const renewal = new ShardRenewal({ fenceFloor, index: 50, ...times });
  let steps = 0;
  while (!renewal.step(b.view)) {
    steps += 1;
    expect(steps).toBeLessThan(10_000);
  }
  b.leases.clear();
  b.reopen();
  return renewal.base;
}

const groupId = (b: Bench, name = "g"): number => {
  const stored = b.view.get(keyOf(tables.group, queue, 0, name));
  return stored === undefined ? 0 : decodeGroupRecord(stored).id;
};
const settleAs = (b: Bench, incarnation: number, sequence: number, acquired: number): unknown =>
  b.do({
    type: "settle",
    queue,
    group: "g",
    settlement: "ack",
    delayMs: -1,
    reason: "",
    receipts: [{ partition: 0, sequence, acquired, incarnation }],
  });

guard("renewal-leases-kept", "what was leased is handed out again, in its order, and that is no failure of the message", () => {
  const b = new Bench();
  b.produce({ key: "a" }, { key: "a" }, {}, {}, {});
  expect(b.take(3)).toEqual([1, 3, 4]);
  renew(b);
  b.check();
  expect(b.consume({ maxMessages: 10 })).toMatchObject([
    { sequence: 1, acquired: 2, deliveries: 0 },
    { sequence: 3, acquired: 2, deliveries: 0 },
    { sequence: 4, acquired: 2, deliveries: 0 },
    { sequence: 5, acquired: 1 },
  ]);
  expect(b.settle("ack", 1, 2)).toBe("settled");
  expect(b.take()).toEqual([2]);
  b.check();
});

guard("renewal-groups-keep-ids", "a receipt that the former cluster gave after its backup settles nothing", () => {
  const b = new Bench();
  b.produce({}, {});
  b.take(1);
  const former = groupId(b);
  renew(b);
  // The former cluster had handed 2 out to somebody; here it is handed out as the first time, too.
  expect(b.take(10)).toEqual([1, 2]);
  expect(settleAs(b, former, 2, 1)).toMatchObject({ outcomes: ["unknown"] });
  expect(settleAs(b, groupId(b), 2, 1)).toMatchObject({ outcomes: ["settled"] });
  b.check();
});

guard("renewal-message-names-go-on", "no message gets a name that the former cluster may have given", () => {
  const b = new Bench();
  b.produce({}, {});
  const base = renew(b);
  const [next = 0] = b.produce({});
  expect(next).toBeGreaterThanOrEqual(base);
  expect(next).toBeGreaterThan(2 ** 40);
  expect(b.take(10)).toEqual([1, 2, next]);
  b.check();
});

guard("renewal-fence-floor-kept", "a fence of the former cluster is behind, also where this shard has not seen the lock", () => {
  const b = new Bench();
  expect(b.do({ type: "raise-fence", lock: "l", fence: 17 })).toMatchObject({ type: "counted" });
  renew(b);
  expect(b.do({ type: "raise-fence", lock: "l", fence: 18 })).toMatchObject({ type: "fence-behind" });
  expect(b.do({ type: "raise-fence", lock: "other", fence: 1_000_000 })).toMatchObject({ type: "fence-behind" });
  expect(b.do({ type: "raise-fence", lock: "l", fence: fenceFloor + 1 })).toMatchObject({ type: "counted" });
});

test("what waits for a retry, for its time, or for one group only goes on waiting for it", () => {
  const b = new Bench({ backoffMs: 500 });
  b.produce({}, { delayMs: 2000 }, {});
  b.take(1);
  b.settle("nack", 1);
  b.do({ type: "create-group", queue, partition: 0, group: "h", start: { type: "earliest" } });
  b.take(1);
  b.settle("dead", 3);
  b.do({ type: "redrive", queue, partition: 0, sequences: [], limit: 10, bounded: true });
  b.check();
  renew(b);
  b.check();
  expect(b.take(10).length).toBe(1);
  b.pass(500, 3);
  expect(b.take(10)).toEqual([1]);
  b.pass(2000, 3);
  expect(b.take(10)).toEqual([2]);
  // The message that came back for `g` alone is not for the other group.
  expect(b.take(10, { group: "h" })).toEqual([1, 3, 2]);
  b.check();
});

guard("renewal-step-unbounded", "no step of it changes more than some megabytes of messages that are for one group only", () => {
  const b = new Bench();
  const body = new Uint8Array(512 * 1024);
  for (let number = 0; number < 24; number++) b.produce({ body });
  for (let number = 1; number <= 24; number++) {
    expect(b.take(1)).toEqual([number]);
    b.settle("dead", number);
  }
  b.do({ type: "create-group", queue, partition: 0, group: "h", start: { type: "latest" } });
  // Each takes some megabytes of them.
  for (let asked = 0; asked < 4; asked++) b.do({ type: "redrive", queue, partition: 0, sequences: [], limit: 100, bounded: true });
  const renewal = new ShardRenewal({ fenceFloor, index: 50, savedMs: unixSeconds * 1000, nowMs: unixSeconds * 1000 });
  const put = vi.spyOn(b.view, "put");
  let most = 0;
  for (let isOver = false; !isOver; put.mockClear()) {
    isOver = renewal.step(b.view);
    most = Math.max(
      most,
      put.mock.calls.reduce((sum, [, value]) => sum + value.length, 0),
    );
  }
  put.mockRestore();
  expect(most).toBeGreaterThan(body.length);
  expect(most).toBeLessThan(10 * body.length);
  b.leases.clear();
  b.reopen();
  for (let number = 1; number <= 24; number++) expect(b.take(1)).toHaveLength(1);
  expect([b.take(1), b.take(1, { group: "h" })]).toEqual([[], []]);
  b.check();
});

test("consumers and holders of copies are forgotten, versions and the index begin anew, and a second renewal begins above the first", () => {
  const b = new Bench();
  b.produce({});
  b.take(1);
  b.do({ type: "register-holder", holder: "node1", incarnation: 9 }, "leader");
  b.do({ type: "lease-barrier", term: 3 }, "leader");
  const first = renew(b);
  expect(b.shard.holders()).toEqual([]);
  expect(b.shard.leaseMarker()).toBeNull();
  expect(b.do({ type: "consumer-gone", queue, consumer: "c", begun: null })).toEqual({ type: "counted", count: 0 });
  expect(b.take(1)).toEqual([1]);
  const former = groupId(b);
  const second = renew(b, { savedMs: unixSeconds * 1000, nowMs: unixSeconds * 1000 + 1 });
  expect(second).toBeGreaterThan(first);
  expect(groupId(b)).toBeGreaterThan(former);
  b.check();
});

test("thousands of rows are renewed in steps", () => {
  const b = new Bench();
  for (let batch = 0; batch < 5; batch++) b.produce(...Array.from({ length: 600 }, (_, at) => ({ key: `k${at % 7}` })));
  b.take(100);
  renew(b);
  b.check();
  expect(b.take(100)).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

/** A restore at t0, its backup a day later; that one restored `days` after the first. */
function renewedTwice(days: number): Bench {
  const [t0, day] = [unixSeconds * 1000, 86_400_000];
  const b = new Bench();
  b.produce({});
  b.do({ type: "create-group", queue, partition: 0, group: "g", start: { type: "earliest" } });
  renew(b, { savedMs: t0 - day, nowMs: t0 });
  renew(b, { savedMs: t0 + day, nowMs: t0 + days * day });
  return b;
}

test("a receipt of one restore settles nothing in a later restore of the same backup, also soon after an earlier restore", () => {
  const [former, present] = [renewedTwice(2), renewedTwice(3)];
  expect(former.take()).toEqual(present.take());
  expect(groupId(present)).toBeGreaterThan(groupId(former));
  expect(settleAs(present, groupId(former), 1, 1)).toMatchObject({ outcomes: ["unknown"] });
  expect(settleAs(present, groupId(present), 1, 1)).toMatchObject({ outcomes: ["settled"] });
  const [[earlier = 0], [later = 0]] = [former.produce({}), present.produce({})];
  expect(later).toBeGreaterThan(earlier);
});
