import {
  type CacheCommand,
  type CacheCommandType,
  type CacheResult,
  type CacheResultType,
  cacheConflicts,
  cacheFullThings,
  cacheModes,
  limits,
  packings,
} from "@trivet/wire";
import * as fc from "fast-check";
import { anyText, anyUint } from "./arbitraries.ts";

const duration = fc.integer({ min: 0, max: limits.maxDurationMs });
const signed = fc.oneof(fc.integer(), fc.maxSafeInteger());
const holder = anyText(limits.maxIdentityBytes, 1);
const tag = anyText(limits.maxTagBytes, 1);
const of = { namespace: anyUint, key: anyText(limits.maxCacheKeyBytes, 1) };
const write = {
  ...of,
  version: anyUint,
  ifFence: fc.option(fc.record({ lock: anyText(limits.maxNameBytes, 1), fence: anyUint }), { nil: null }),
};
const condition = fc.oneof(
  fc.constantFrom({ type: "always" } as const, { type: "absent" } as const, { type: "present" } as const),
  fc.record({ type: fc.constant("version"), version: anyUint }),
);
const definitionFields = {
  revalidateMs: duration,
  name: anyText(limits.maxNameBytes, 1),
  version: anyUint,
  mode: fc.constantFrom(...cacheModes),
  staleMs: duration,
  ttlMs: duration,
  negativeTtlMs: duration,
  maxEntries: anyUint,
  maxBytes: anyUint,
};
const definition = fc.oneof(
  fc.record({ ...definitionFields, write: fc.constant("here" as const), maxBehind: fc.constant(0) }),
  fc.record({ ...definitionFields, write: fc.constant("behind" as const), maxBehind: anyUint }),
);

const bytes = fc.uint8Array({ maxLength: 300 });
const put = {
  type: fc.constant("cache-put" as const),
  ...write,
  tags: fc.array(tag, { maxLength: limits.maxTags }),
  ttlMs: duration,
  condition,
  token: fc.option(fc.record({ version: anyUint, asOf: anyUint }), { nil: null }),
};

export const cacheCommands: { readonly [T in CacheCommandType]: fc.Arbitrary<Extract<CacheCommand, { type: T }>> } = {
  "configure-namespace": fc.record({ type: fc.constant("configure-namespace"), namespace: anyUint, definition }),
  "drop-namespace": fc.record({ type: fc.constant("drop-namespace"), namespace: anyUint, version: anyUint }),
  "cache-put": fc.oneof(
    fc.record({ ...put, value: fc.option(bytes, { nil: null }) }),
    fc.record({ ...put, value: bytes, packing: fc.constantFrom(...packings) }),
  ),
  "cache-delete": fc.record({ type: fc.constant("cache-delete"), ...write, condition }),
  "cache-increment": fc.record({ type: fc.constant("cache-increment"), ...write, by: signed, ttlMs: duration }),
  "cache-invalidate": fc.record({ type: fc.constant("cache-invalidate"), namespace: anyUint, tag: anyText(limits.maxTagBytes) }),
  "cache-expire": fc.record({
    type: fc.constant("cache-expire"),
    values: fc.array(fc.record({ ...of, version: anyUint }), { maxLength: 5 }),
  }),
  "cache-flushed": fc.record({
    type: fc.constant("cache-flushed"),
    values: fc.array(fc.record({ ...of, version: anyUint }), { maxLength: 5 }),
  }),
  "register-holder": fc.record({ type: fc.constant("register-holder"), holder, incarnation: anyUint }),
  "forget-holder": fc.record({ type: fc.constant("forget-holder"), holder, incarnation: anyUint }),
  "lease-barrier": fc.record({ type: fc.constant("lease-barrier"), term: anyUint }),
  "lease-resume": fc.record({ type: fc.constant("lease-resume"), term: anyUint }),
};

export const cacheResults: { readonly [T in CacheResultType]: fc.Arbitrary<Extract<CacheResult, { type: T }>> } = {
  "cache-written": fc.record({ type: fc.constant("cache-written"), version: anyUint, number: fc.option(signed, { nil: null }) }),
  "cache-conflict": fc.record({ type: fc.constant("cache-conflict"), reason: fc.constantFrom(...cacheConflicts), version: anyUint }),
  "cache-full": fc.record({ type: fc.constant("cache-full"), limit: fc.constantFrom(...cacheFullThings), max: anyUint }),
  "cache-not-a-number": fc.record({ type: fc.constant("cache-not-a-number") }),
  "cache-unloaded": fc.record({ type: fc.constant("cache-unloaded") }),
  "cache-deleted": fc.record({ type: fc.constant("cache-deleted"), version: anyUint }),
  "cache-invalidated": fc.record({ type: fc.constant("cache-invalidated"), version: anyUint }),
  "no-namespace": fc.record({ type: fc.constant("no-namespace"), namespace: anyUint, version: anyUint }),
};
