import { expect, test } from "vitest";
import { adviceOn, tooOld } from "../../../src/adapters/redis/advice.ts";

test("settings that lose messages are told, safe ones are not", () => {
  expect(adviceOn("maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:1\r\n")).toEqual([]);
  expect(adviceOn("maxmemory:1000\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n")).toEqual([]);
  const bad = adviceOn("maxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n");
  expect(bad).toMatchObject([expect.stringContaining("noeviction"), expect.stringContaining("appendonly")]);
  const named = "role:master\r\nmaster_replid:0123456789abcdef\r\n";
  expect(adviceOn(named)).toEqual([]);
  expect(adviceOn("role:master\r\n")).toMatchObject([expect.stringContaining("master_replid")]);
});

test("a Redis before 7.0 is too old, what does not say is not", () => {
  expect(tooOld("# Server\r\nredis_version:6.2.14\r\n")).toContain("6.2.14");
  expect(tooOld("redis_version:7.0.15\r\n")).toBeNull();
  expect(tooOld("redis_version:10.0.1\r\n")).toBeNull();
  expect(tooOld("")).toBeNull();
});
