import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LogEvent } from "../../src/observability/events.ts";
import { StartQuiet } from "../../src/observability/start-quiet.ts";

const quietMs = 5_000;
let told: string[] = [];
let quiet: StartQuiet;
beforeEach(() => {
  vi.useFakeTimers();
  told = [];
  quiet = new StartQuiet((event) => told.push(String(event.fields["address"])));
});
afterEach(() => {
  quiet.stop();
  vi.useRealTimers();
});

const event = (name: string, address: string, level: LogEvent["level"] = "warn"): LogEvent => ({
  level,
  event: name,
  text: name,
  fields: { address },
});

test("peers that answer within the start are never warned of, the others once it is over", () => {
  quiet.begin(quietMs);
  expect(quiet.holds(event("peer.unreachable", "a"))).toBe(true);
  expect(quiet.holds(event("peer.unreachable", "b"))).toBe(true);
  expect(quiet.holds(event("peer.connected", "a", "info"))).toBe(false);
  vi.advanceTimersByTime(quietMs - 1);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(told).toEqual(["b"]);
});

test("nothing waits before the start, after it, and of other events", () => {
  expect(quiet.holds(event("peer.unreachable", "a"))).toBe(false);
  quiet.begin(quietMs);
  expect(quiet.holds(event("peer.refused", "a"))).toBe(false);
  expect(quiet.holds(event("peer.unreachable", "a", "error"))).toBe(false);
  vi.advanceTimersByTime(quietMs);
  expect(quiet.holds(event("peer.unreachable", "a"))).toBe(false);
});

test("a node that stops has nothing left to tell", () => {
  quiet.begin(quietMs);
  quiet.holds(event("peer.unreachable", "a"));
  quiet.stop();
  vi.advanceTimersByTime(quietMs);
  expect(told).toEqual([]);
});
