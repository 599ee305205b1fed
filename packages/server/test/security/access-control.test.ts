import { routeIds } from "@trivet/contract";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Failure } from "../../src/http/answer.ts";
import type { AccessControl } from "../../src/security/access-control.ts";
import type { Identity } from "../../src/security/policy.ts";
import { rights } from "../../src/security/rights.ts";
import { TestAccess } from "./access.ts";

let files: TestAccess;
beforeEach(() => {
  files = new TestAccess();
});
afterEach(() => files.remove());

const reasonOf = (who: Identity | Failure | null): string =>
  who !== null && "code" in who ? `${who.code}: ${String(who.values?.["reason"])}` : "";
const known = (access: AccessControl, key: string): Identity => {
  const who = access.identify(`Bearer ${key}`);
  if ("code" in who) throw new Error(reasonOf(who));
  return who;
};

describe("who calls", () => {
  test("is known by the key, whose secret is nowhere in the file", () => {
    const key = files.add("billing", "billing");
    const access = files.open();
    expect(known(access, key)).toMatchObject({ principal: "key:billing", roles: ["billing"] });
    expect(JSON.stringify(files.keys)).not.toContain(key.slice(-43));
  });

  test("is refused without a key, with half of one, with another one's secret, and with none that is known", () => {
    const [first, second] = [files.add("a", "admin"), files.add("b", "admin")];
    const access = files.open();
    const other = `${first.slice(0, -43)}${second.slice(-43)}`;
    expect(reasonOf(access.identify(undefined))).toBe("unauthorized: The request carried no credential.");
    expect(reasonOf(access.identify("Basic YTpi"))).toMatch(/not `Bearer <key>`/);
    for (const token of [other, first.slice(0, -1), `${first}x`, "tvt_nobody_", "tvt_zzzz_".padEnd(52, "A")]) {
      expect(reasonOf(access.identify(`Bearer ${token}`)), token).toBe("unauthorized: The credential is not known here.");
    }
    expect(files.said.counted).toContain("access_refused_total none");
    expect(files.said.counted).toContain("access_refused_total unknown");
    // Neither the key nor a part of it is told to anybody.
    expect(JSON.stringify(files.said)).not.toContain(first.slice(-20));
  });

  test("a key that ended or was revoked works no longer, also for a stream that is open", () => {
    const key = files.add("a", "admin");
    const access = files.open();
    const who = known(access, key);
    expect(who.whyEnded()).toBeNull();
    const [record] = files.keys;
    if (record !== undefined) record.revoked = "2026-02-02";
    files.write();
    access.look();
    expect(reasonOf(access.identify(`Bearer ${key}`))).toBe("unauthorized: The key was revoked.");
    expect(who.whyEnded()).toBe("the key was revoked");
    if (record !== undefined) [record.revoked, record.expires] = [null, "2026-02-02"];
    files.write();
    access.look();
    expect(reasonOf(access.identify(`Bearer ${key}`))).toMatch(/The key ended on 2026-02-02/);
  });

  test("keys of API_KEYS have the role that is written before them", () => {
    const access = files.open({ file: null, keys: [{ role: "reader", key: "0123456789abcdef" }] });
    expect(known(access, "0123456789abcdef").roles).toEqual(["reader"]);
    expect(reasonOf(access.identify("Bearer 0123456789abcdee"))).toMatch(/not known/);
  });
});

describe("the file", () => {
  test("that is not good keeps a node from starting, and a running one goes on with what it had, and says so once", () => {
    const key = files.add("a", "admin");
    const access = files.open();
    files.write("{");
    access.look();
    access.look();
    expect(known(access, key).principal).toBe("key:a");
    expect(files.said.lines).toEqual([expect.stringMatching(/error access\.refused-file .*line 1/)]);
    expect(() => files.open()).toThrow(/^ACCESS_FILE: .*not valid JSON/);
  });

  test.each([
    ['{"version":2,"roles":{},"keys":[]}', /"version" is 1/],
    ['{"version":1,"rules":{}}', /"rules" is not known/],
    ['{"version":1,"roles":{"admin":[]}}', /admin is built in/],
    ['{"version":1,"roles":{"r":[{"verbs":["own"],"resource":"locks"}]}}', /verbs are any of/],
    ['{"version":1,"roles":{"r":[{"verbs":["read"],"resource":"all"}]}}', /resource is one of/],
    ['{"version":1,"roles":{"r":[{"verbs":["read"],"resource":"cluster","prefix":"a"}]}}', /no prefix/],
    ['{"version":1,"roles":{"r":[{"verbs":["read"],"resource":"locks","prefx":"a"}]}}', /"prefx" is not known/],
    ['{"version":1,"keys":[{"id":"abcd","name":"a","role":"none","sha256":"","created":""}]}', /role none, which does not exist/],
    ['{"version":1,"keys":[{"id":"abcd","name":"a","role":"admin","sha256":"12","created":""}]}', /hash of key 1/],
  ])("%s", (text, why) => {
    files.write(text);
    expect(() => files.open()).toThrow(why);
  });
});

const fenced = (lock: string) => ({ if_fence: { lock, fence: "9" } });

describe("what a caller may do", () => {
  const judge = (id: (typeof routeIds)[number], parts: { params?: unknown; query?: unknown; body?: unknown }): string => {
    const access = files.open();
    return reasonOf(access.judge(known(access, key), id, { params: {}, query: {}, body: undefined, ...parts }));
  };
  let key: string;
  beforeEach(() => {
    key = files.add("billing", "billing");
  });

  test("is what its role says of these names, and of each of several", () => {
    expect(judge("acquireLock", { params: { name: "orders/1" } })).toBe("");
    expect(judge("acquireLock", { params: { name: "other" } })).toBe('forbidden: key:billing may not write the lock "other".');
    expect(judge("forceReleaseLock", { params: { name: "orders/1" } })).toMatch(/may not admin the lock "orders\/1"/);
    expect(judge("acquireLockSet", { body: { locks: [{ name: "orders/1" }, { name: "orders/2" }] } })).toBe("");
    expect(judge("acquireLockSet", { body: { locks: [{ name: "orders/1" }, { name: "other" }] } })).toMatch(/"other"/);
    expect(judge("queueProduce", { body: { queue: "billing:in" } })).toBe("");
    expect(judge("queueProduce", { body: { queue: "billings" } })).toMatch(/"billings"/);
    // A token of any queue.
    expect(judge("queueAck", { body: { ack_token: "x" } })).toMatch(/queues that it does not name/);
    expect(judge("listLocks", { query: { prefix: "orders/" } })).toBe("");
    expect(judge("listLocks", {})).toMatch(/all locks/);
    expect(judge("lockGraph", {})).toMatch(/may not read locks/);
    expect(judge("addMember", {})).toMatch(/may not admin the cluster/);
    expect(judge("openSession", {})).toBe("");
    expect(files.said.lines.some((line) => line.startsWith("warn access.forbidden"))).toBe(true);
  });

  test("of cached values is by namespace and key, wherever a call names them", () => {
    expect(judge("getCached", { params: { key: "42" }, query: { namespace: "billing" } })).toBe("");
    expect(judge("putCached", { params: { key: "42" }, query: { namespace: "billing" } })).toBe("");
    expect(judge("putCached", { params: { key: "billing" } })).toMatch(/may not write the cached value "default\/billing"/);
    expect(judge("getCached", { params: { key: "42" }, query: { namespace: "billings" } })).toMatch(/"billings\/42"/);
    expect(judge("readCachedKeys", { body: { namespace: "billing", keys: ["a", "b"] } })).toBe("");
    expect(judge("readCachedKeys", { body: { keys: ["a", "b"] } })).toMatch(/"default\/a"/);
    expect(judge("invalidateCache", { body: { namespace: "billing", tag: "t" } })).toBe("");
    expect(judge("invalidateCache", { body: { all: true } })).toMatch(/"default"/);
    expect(judge("s4CachePut", { body: { key: "a", value: 1 } })).toMatch(/"default\/a"/);
    expect(judge("s4CacheGet", { query: { key: "a" } })).toMatch(/"default\/a"/);
    expect(judge("watchCache", { query: { prefix: "a" } })).toMatch(/"default"/);
    expect(judge("deleteNamespace", { params: { namespace: "billing" } })).toMatch(/may not admin/);
    expect(judge("cacheState", {})).toMatch(/may not read cache that it does not name/);
    // Where the handler does not look, nobody else does.
    expect(judge("deleteCached", { params: { key: "a" }, body: { namespace: "billing", keys: ["x"], key: "y" } })).toMatch(/"default\/a"/);
    expect(judge("s0CacheWrite", { params: { key: "a" }, query: { namespace: "billing" }, body: { keys: ["billing/x"] } })).toMatch(
      /"default\/a"/,
    );
  });

  test("of namespaces with a / in their name is not that of keys with one", () => {
    const access = files.open();
    files.roles["eu"] = [{ verbs: ["read", "write", "admin"], resource: "cache", prefix: "shop/eu" }];
    files.roles["euspace"] = [{ verbs: ["read", "write", "admin"], resource: "cache", prefix: "shop%2Feu" }];
    files.roles["shop"] = [{ verbs: ["read"], resource: "cache", prefix: "shop" }];
    const [eu, euSpace, shop] = [files.add("eu", "eu"), files.add("euspace", "euspace"), files.add("shop", "shop")];
    access.look();
    const reads = (who: string, namespace: string, name: string): boolean =>
      access.judge(known(access, who), "getCached", { params: { key: name }, query: { namespace }, body: undefined }) === null;
    const drops = (who: string, namespace: string): boolean =>
      access.judge(known(access, who), "deleteNamespace", { params: { namespace }, query: {}, body: undefined }) === null;
    expect([reads(eu, "shop", "eu/1"), reads(eu, "shop/eu", "1"), drops(eu, "shop/eu")]).toEqual([true, false, false]);
    expect([reads(euSpace, "shop", "eu/1"), reads(euSpace, "shop/eu", "1"), drops(euSpace, "shop/eu")]).toEqual([false, true, true]);
    // What the escape itself is made of is escaped as well.
    expect(reads(euSpace, "shop%2Feu", "1")).toBe(false);
    expect([reads(shop, "shop", "x"), reads(shop, "shop/eu", "1")]).toEqual([true, false]);
  });

  test("with a fence takes the right to the lock it is of; pausing is administration wherever it is asked for", () => {
    expect(judge("putCached", { params: { key: "1" }, query: { namespace: "billing" }, body: fenced("orders/1") })).toBe("");
    expect(judge("putCached", { params: { key: "1" }, query: { namespace: "billing" }, body: fenced("other") })).toMatch(
      /write the lock "other"/,
    );
    expect(judge("produce", { params: { queue: "billing" }, body: fenced("other") })).toMatch(/write the lock "other"/);
    expect(judge("deleteCached", { params: { key: "1" }, query: { namespace: "billing", fence_lock: "other" } })).toMatch(
      /write the lock "other"/,
    );
    expect(judge("raiseFence", { body: { queue: "billing", lock: "other" } })).toMatch(/write the lock "other"/);
    expect(judge("patchQueue", { params: { queue: "billing" }, body: { visibility_ms: 1 } })).toBe("");
    expect(judge("patchQueue", { params: { queue: "billing" }, body: { paused: true } })).toMatch(/may not admin the queue "billing"/);
  });

  test("every path of the API stands in the table, and few of them are open", () => {
    expect(Object.keys(rights).sort()).toEqual([...routeIds].sort());
    expect(routeIds.filter((id) => rights[id] === null).sort()).toEqual(["live", "openApi", "ready", "s4Health"]);
  });
});
