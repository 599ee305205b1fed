import { describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

const base = "http://127.0.0.1:8001/v1";
const entry = {
  key: "item:123",
  namespace: "default",
  found: "value",
  value: { n: 1 },
  version: "17",
  state: "S",
  source: "cache",
  tags: ["a"],
  ttl_ms: 1_500,
  token: "17.20",
};
const written = { key: "k", namespace: "default", version: "18", state: "M", request_id: "r" };
const copy = { node: "node1", state: "M", version: "17", lease_left_ms: 650, age_ms: 12, transitions: [{ from: "I", to: "M", at: 1 }] };
const explained = {
  key: "a/b",
  namespace: "default",
  shard: 3,
  home: "node2",
  term: 4,
  phase: "open",
  version: "17",
  state: "M",
  tags: [],
  ttl_ms: null,
  directory: "X",
  owner: "node1",
  sharers: [
    { node: "node1", incarnation: "1", lease_left_ms: 650 },
    { node: "sdk-7", incarnation: "1", lease_left_ms: 100 },
  ],
  queued: 0,
  waiting_for: [],
  copies: [copy, { ...copy, node: "node3", state: "I", version: "0", lease_left_ms: 0, transitions: [] }],
  silent: ["node2"],
};

describe("trivet cache", () => {
  it("reads a value: data on stdout, the rest beside it", async () => {
    const read = await runCli(["cache", "get", "item:123"], () => ({ body: entry }));
    expect(read.calls).toEqual([`GET ${base}/cache/item%3A123`]);
    expect([read.stdout, read.stderr]).toEqual(['{"n":1}\n', "version 17, S, from cache, gone in 1.5 s\n"]);
    const strict = await runCli(["cache", "get", "k", "--namespace", "s p", "--consistency", "strict"], () => ({
      body: { ...entry, found: "negative", value: null, ttl_ms: null },
    }));
    expect(strict.calls).toEqual([`GET ${base}/cache/k?namespace=s+p&consistency=strict`]);
    expect(strict.stderr).toContain("known not to exist");
    const again = await runCli(["cache", "get", "k", "--revalidate", "wait"], () => ({ body: { ...entry, source: "origin" } }));
    expect(again.calls).toEqual([`GET ${base}/cache/k?revalidate=wait`]);
    const bytes = await runCli(["--json", "cache", "get", "k"], () => ({ body: { ...entry, value: null, value_base64: "AP8=" } }));
    expect(JSON.parse(bytes.stdout)).toMatchObject({ version: 1, kind: "cache-entry", entry: { value_base64: "AP8=" } });
  });

  it("tells what the origin of a key does not have yet", async () => {
    const behind = { version: "17", deleted: false, for_ms: 2_500 };
    const read = await runCli(["cache", "explain", "a/b"], () => ({ body: { ...explained, behind } }));
    expect(read.stdout).toContain("The origin is behind: version 17 is not there yet, for 2.5 s.");
    const gone = await runCli(["cache", "explain", "a/b"], () => ({ body: { ...explained, behind: { ...behind, deleted: true } } }));
    expect(gone.stdout).toContain("its deletion is not there yet");
    expect((await runCli(["cache", "explain", "a/b"], () => ({ body: { ...explained, behind: null } }))).stdout).not.toContain("behind");
  });

  it("warms keys up, a bounded call after the other, and says how far it is", async () => {
    const keys = Array.from({ length: 300 }, (_, at) => `k${at}`);
    const asked: string[][] = [];
    const warmed = await runCli(["cache", "warm", "--namespace", "pages", ...keys, "k0"], (_method, _url, body) => {
      const some = (body as { readonly keys: string[] }).keys;
      asked.push(some);
      return { body: { namespace: "pages", loaded: some.length - 1, stored: 0, absent: 1, failed: [] } };
    });
    expect(asked.map(({ length }) => length)).toEqual([128, 128, 44]);
    expect(asked.flat()).toEqual(keys);
    expect(warmed.stderr).toContain("128 of 300 keys: 127 loaded");
    expect(warmed.stderr).toContain("300 of 300 keys: 297 loaded, 0 there already, 3 without a value");
    expect(warmed.stdout).toBe("297 of 300 keys are warm.\n");
  });

  it("warms the keys that another node keeps, and fails with the reason when some could not be read", async () => {
    const copies = [
      { namespace: "default", key: "a", state: "S", version: "1", age_ms: 1 },
      { namespace: "other", key: "b", state: "S", version: "1", age_ms: 1 },
      { namespace: "default", key: "c", state: "E", version: "1", age_ms: 1 },
    ];
    const failed = [{ key: "c", code: "origin_unavailable", detail: "the origin is away" }];
    const warmed = await runCli(["--json", "cache", "warm", "--like", "http://127.0.0.1:8002/"], (_method, url) =>
      url.includes("cache-state") ? { body: { keys: copies, next_cursor: null } } : { body: { loaded: 1, stored: 0, absent: 0, failed } },
    );
    expect(warmed.calls).toEqual([
      "GET http://127.0.0.1:8002/v1/cache-state?limit=500",
      `POST ${base}/cache-warm {"namespace":"default","keys":["a","c"]}`,
    ]);
    expect(JSON.parse(warmed.stdout)).toMatchObject({ kind: "cache-warmed", keys: 2, loaded: 1, failed });
    expect(cliError(warmed)).toMatchObject({ code: "origin_unavailable", why: "the origin is away" });
  });

  it.each([[[]], [["a", "--file", "x"]], [["--file", "/does/not/exist"]], [["a", "b", "--limit", "1"]]])(
    "warms nothing when it is not told what, or is told too much: %j",
    async (wrong) => {
      const refused = await runCli(["cache", "warm", ...wrong], () => ({ body: {} }));
      expect(refused.calls).toEqual([]);
      expect(cliError(refused).exitCode).toBe(64);
    },
  );

  it("writes no control characters of a value to the terminal, and what it writes is JSON", async () => {
    const value = "a\u001b[2J\u009b";
    const read = await runCli(["cache", "get", "k"], () => ({ body: { ...entry, value } }));
    for (const character of ["\u001b", "\u009b"]) expect(read.stdout).not.toContain(character);
    expect(JSON.parse(read.stdout)).toBe(value);
  });

  it("stores JSON, or else a text, with its conditions", async () => {
    const put = await runCli(["cache", "put", "k", '{"n":1}', "--ttl-ms", "5", "--tag", "a", "--tag", "b", "--if-version", "0"], () => ({
      body: written,
    }));
    expect(put.calls).toEqual([`PUT ${base}/cache/k {"value":{"n":1},"ttl_ms":5,"tags":["a","b"],"if_version":"0"}`]);
    expect(put.stdout).toBe("version 18, M\n");
    const text = await runCli(["cache", "put", "k", "hello", "--if-absent"], () => ({ body: written }));
    expect(text.calls).toEqual([`PUT ${base}/cache/k {"value":"hello","only_if":"absent"}`]);
    expect(cliError(await runCli(["cache", "put", "k", "1", "--if-absent", "--if-version", "2"], () => ({}))).exitCode).toBe(64);
  });

  it("deletes and counts", async () => {
    const deleted = await runCli(["cache", "del", "k", "--if-version", "7"], () => ({ body: { deleted: true } }));
    expect([deleted.calls, deleted.stdout]).toEqual([[`DELETE ${base}/cache/k?if_version=7`], "Deleted.\n"]);
    expect((await runCli(["cache", "del", "k"], () => ({ body: { deleted: false } }))).stdout).toBe("There was nothing.\n");
    const counted = await runCli(["cache", "incr", "k", "5", "--ttl-ms", "9"], () => ({ body: { ...written, value: 6 } }));
    expect([counted.calls, counted.stdout]).toEqual([[`POST ${base}/cache/k/increment {"by":5,"ttl_ms":9}`], "6\n"]);
    const down = await runCli(["cache", "incr", "k", "--", "-2"], () => ({ body: { ...written, value: 4 } }));
    expect(down.calls).toEqual([`POST ${base}/cache/k/increment {"by":-2}`]);
  });

  it("invalidates a key, a tag, or everything once that was typed", async () => {
    const key = await runCli(["cache", "invalidate", "k"], () => ({ body: { invalidated: true } }));
    expect(key.calls).toEqual([`POST ${base}/cache/k/invalidate`]);
    expect(key.stdout).toContain("what is stored stays");
    const tag = await runCli(["cache", "invalidate", "--tag", "a", "--namespace", "s"], () => ({ body: { shards: 8 } }));
    expect(tag.calls).toEqual([`POST ${base}/cache-invalidate {"namespace":"s","tag":"a"}`]);
    const unattended = await runCli(["cache", "invalidate", "--all"], () => ({}));
    expect([cliError(unattended).exitCode, unattended.calls]).toEqual([64, []]);
    const all = await runCli(["cache", "invalidate", "--all"], () => ({ body: { shards: 8 } }), { prompt: async () => "default" });
    expect(all.calls).toEqual([`POST ${base}/cache-invalidate {"namespace":"default","all":true}`]);
    for (const args of [[], ["k", "--all"], ["--tag", "a", "--all"]])
      expect(cliError(await runCli(["cache", "invalidate", ...args], () => ({}))).exitCode).toBe(64);
  });

  it("explains where a key is", async () => {
    const told = await runCli(["cache", "explain", "a/b"], () => ({ body: explained }));
    expect(told.calls).toEqual([`GET ${base}/cache/a%2Fb?explain=1`]);
    expect(told.stdout).toContain("Home: node2, leader of shard 3 in term 4, open. Its directory says X, owner node1.");
    expect(told.stdout).toMatch(/node1 +M +17 +yes +650 ms +12 ms +I→M/);
    expect(told.stdout).toMatch(/node3 +I +0/);
    expect(told.stdout).toContain("Other holders: sdk-7");
    expect(told.stdout).toContain("No answer from node2.");
    const busy = { ...explained, version: "0", ttl_ms: 2_000, tags: ["t"], queued: 2, waiting_for: ["node3"], silent: [] };
    const waiting = await runCli(["cache", "explain", "k"], () => ({ body: busy }));
    expect(waiting.stdout).toContain("version 0 (there is nothing), gone in 2.0 s");
    expect(waiting.stdout).toContain("2 operations wait, for node3.");
  });

  it("verifies, and ends with 1 where an invariant does not hold", async () => {
    const right = await runCli(["cache", "verify"], () => ({ body: { ok: true, keys_checked: 5, violations: [], silent: [] } }));
    expect([right.stdout, right.error]).toEqual(["All is right: 5 keys checked on all nodes.\n", null]);
    const violation = { invariant: "single-writer", namespace: "default", key: "k", detail: "node1 and node2 have it as M" };
    const wrong = await runCli(["cache", "verify"], () => ({ body: { ok: false, keys_checked: 5, violations: [violation], silent: [] } }));
    expect(wrong.stdout).toMatch(/single-writer +default +k +node1 and node2/);
    expect(cliError(wrong)).toMatchObject({ code: "cache_incoherent", exitCode: 1 });
    const more = { ok: false, keys_checked: 5, violations: [], silent: [], truncated: ["node2"] };
    const partly = await runCli(["cache", "verify"], () => ({ body: more }));
    expect(partly.stdout).toBe("Nothing is wrong with 5 keys; there are more.\n");
    expect(cliError(partly)).toMatchObject({ code: "cache_unverified", exitCode: 1 });
    expect(cliError(partly).why).toContain("node2 has more");
    const silent = await runCli(["cache", "verify"], () => ({
      status: 503,
      body: { code: "peer_silent", title: "A node does not answer" },
    }));
    expect(cliError(silent)).toMatchObject({ code: "peer_silent", exitCode: 69 });
  });

  it("lists the copies of the asked node, page by page", async () => {
    const key = { namespace: "default", key: "a", state: "S", version: "3", age_ms: 20 };
    const statistics = { hits: 3, misses: 1, hit_ratio: 0.75 };
    const page = { node_id: "node1", entries: 2, bytes: 9, max_entries: 128, max_bytes: 1_024, policy: "lru", statistics };
    const pages = new Map([
      [null, { ...page, keys: [key], next_cursor: "x" }],
      ["x", { ...page, keys: [{ ...key, key: "b" }], next_cursor: null }],
    ]);
    const listed = await runCli(["cache", "ls", "--limit", "5"], (_method, url) => ({
      body: pages.get(new URL(url).searchParams.get("cursor")),
    }));
    expect(listed.calls).toEqual([`GET ${base}/cache-state?limit=5`, `GET ${base}/cache-state?limit=4&cursor=x`]);
    expect(listed.stdout).toMatch(/default +b +S +3 +20 ms/);
    expect(listed.stderr).toBe("node1: 2 of 128 copies, 9 bytes, lru; 3 hits, 1 misses (75.0 %).\n");
  });

  it("makes, changes and deletes namespaces", async () => {
    const settings = { mode: "ttl", stale_ms: 50, ttl_ms: 0, max_entries: 9, max_bytes: 0 };
    const namespace = { name: "s", id: "2", version: 1, settings };
    const made = await runCli(["cache", "namespace", "create", "a/b", "--set", "mode=ttl", "--set", "stale_ms=50"], () => ({
      status: 201,
      body: namespace,
    }));
    expect(made.calls).toEqual([`PUT ${base}/cache-namespaces/a%2Fb {"mode":"ttl","stale_ms":50}`]);
    expect(made.stdout).toMatch(/s +2 +ttl +50 +9/);
    const changed = await runCli(["cache", "namespace", "set", "s", "max_entries=9"], () => ({ body: namespace }));
    expect(changed.calls).toEqual([`PUT ${base}/cache-namespaces/s {"max_entries":9}`]);
    const listed = await runCli(["cache", "namespace", "ls", "s"], () => ({ body: { namespaces: [namespace], next_cursor: "x" } }));
    expect(listed.calls).toEqual([`GET ${base}/cache-namespaces?limit=100&prefix=s`]);
    expect(listed.stderr).toContain("--limit shows more");
    expect(cliError(await runCli(["cache", "namespace", "delete", "s"], () => ({}))).exitCode).toBe(64);
    const deleted = await runCli(["cache", "namespace", "delete", "s", "--yes"], () => ({ body: { deleted: true, name: "s" } }));
    expect(deleted.calls).toEqual([`DELETE ${base}/cache-namespaces/s`]);
  });

  it("refuses what cannot be, and exits as the catalogue says", async () => {
    expect(cliError(await runCli(["cache", "get", ".."], () => ({}))).exitCode).toBe(64);
    expect(cliError(await runCli(["cache", "incr", "k", "1.5"], () => ({}))).exitCode).toBe(64);
    const missing = await runCli(["cache", "get", "k"], () => ({ status: 404, body: { code: "cache_miss", title: "Nothing" } }));
    expect(cliError(missing)).toMatchObject({ code: "cache_miss", exitCode: 66 });
    const other = await runCli(["cache", "put", "k", "1", "--if-version", "3"], () => ({
      status: 412,
      body: { code: "version_mismatch", title: "Another" },
    }));
    expect(cliError(other).exitCode).toBe(13);
  });
});
