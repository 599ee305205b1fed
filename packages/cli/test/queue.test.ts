import { describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

const settings = { partitions: 2, visibility_ms: 30_000, max_deliveries: 5, paused: false };
const summary = { name: "orders", id: "7", version: 3, created_at: 0, settings };
const counts = { messages: 4, bytes: 40, delayed: 1, dead: 2, produced: 9, oldest_at: 0 };
const group = { group: "billing", ready: 3, leased: 1, settled: 5, dead: 2, expired: 0, purged: 0 };
const message = { id: "7-0-1", partition: 0, sequence: "1", body: { n: 1 }, key: "k", priority: 0, produced_at: 0 };
const base = "http://127.0.0.1:8001/v1/queues";

const answer = (_method: string, url: string): { body: unknown } => ({ body: url.includes("redrive") ? { redriven: 2 } : summary });

describe("trivet queue", () => {
  it("lists queues, page by page, up to the limit", async () => {
    const pages = new Map([
      [null, { queues: [summary], next_cursor: "x" }],
      ["x", { queues: [{ ...summary, name: "orders2", settings: { ...settings, paused: true } }], next_cursor: "y" }],
    ]);
    const ran = await runCli(["queue", "ls", "ord", "--limit", "2"], (_method, url) => ({
      body: pages.get(new URL(url).searchParams.get("cursor")),
    }));
    expect(ran.calls).toEqual([`GET ${base}?limit=2&prefix=ord`, `GET ${base}?limit=1&prefix=ord&cursor=x`]);
    expect(ran.stdout).toMatch(/orders2 +7 +2 +30000 ms +5 +paused/);
    expect(ran.stderr).toContain("--limit shows more");
  });

  it("makes a queue with the settings given, and shows one with groups and partitions", async () => {
    const made = await runCli(["queue", "create", "a/b", "--partitions", "2", "--set", "paused=true", "--set", "ttl_ms=5"], () => ({
      status: 201,
      body: { ...summary, created: true },
    }));
    expect(made.calls).toEqual([`PUT ${base}/a%2Fb {"partitions":2,"paused":true,"ttl_ms":5}`]);
    expect(made.stdout).toMatch(/visibility_ms +30000/);
    const state = { ...summary, backend: "embedded", durability: "quorum", totals: counts, groups: [group] };
    const shown = await runCli(["queue", "show", "orders"], () => ({
      body: { ...state, partitions: [{ partition: 0, leader: "node2", ...counts, groups: [group] }] },
    }));
    expect(shown.stdout).toMatch(/billing +3 +1 +5 +2 +0 +0/);
    expect(shown.stdout).toMatch(/0 +node2 +4 +40 +1 +2 +9/);
    expect(shown.stdout).toContain("has reached: quorum");
  });

  it("produces JSON, or else a text, and tells what was reached", async () => {
    const produced = {
      queue: "q",
      ack: "quorum",
      message_ids: ["7-0-1"],
      messages: [{ id: "7-0-1", partition: 0, sequence: "1", duplicate: true }],
    };
    const json = await runCli(["queue", "produce", "q", '{"n":1}', "--key", "k", "--header", "a=b=c", "--delay-ms", "5"], () => ({
      status: 201,
      body: produced,
    }));
    expect(json.calls).toEqual([`POST ${base}/q/messages {"body":{"n":1},"key":"k","delay_ms":5,"headers":{"a":"b=c"}}`]);
    expect(json.stdout).toBe("7-0-1 (was there already) quorum\n");
    const asked = await runCli(["queue", "produce", "q", "1", "--ack", "replicas:1"], () => ({
      status: 201,
      body: { ...produced, ack: "primary" },
    }));
    expect(asked.calls).toEqual([`POST ${base}/q/messages {"body":1,"ack":"replicas:1"}`]);
    expect(asked.stdout).toBe("7-0-1 (was there already) primary\n");
    const text = await runCli(["--json", "queue", "produce", "q", "hello"], () => ({ status: 201, body: produced }));
    expect(text.calls).toEqual([`POST ${base}/q/messages {"body":"hello"}`]);
    expect(JSON.parse(text.stdout)).toMatchObject({ version: 1, kind: "produced", ack: "quorum" });
  });

  it("takes messages, with receipts unless they are settled at once", async () => {
    const body = { messages: [{ ...message, receipt: "r1", acquired: 2, deliveries: 1 }], lease_ms: 30_000 };
    const leased = await runCli(["queue", "consume", "q", "--group", "g", "--max", "5", "--wait-ms", "20000"], () => ({ body }));
    expect(leased.calls).toEqual([`POST ${base}/q/consume {"group":"g","max":5,"wait_ms":20000,"ack":"manual"}`]);
    expect(leased.stdout).toMatch(/7-0-1 +k +2 +1 +\{"n":1\} +r1/);
    const settled = await runCli(["queue", "consume", "q", "--ack", "auto"], () => ({ body }));
    expect(settled.stdout).not.toContain("r1");
    const none = await runCli(["queue", "consume", "q"], () => ({ body: { messages: [], lease_ms: 0 } }));
    expect(none.stdout).toBe("Nothing is ready.\n");
  });

  it("settles by receipts, and says for each what became of it", async () => {
    const settled = { body: { settled: 2, results: [] } };
    const acked = await runCli(["queue", "ack", "a/b", "r1", "r2"], () => settled);
    expect(acked.calls).toEqual([`POST ${base}/a%2Fb/ack {"receipts":["r1","r2"]}`]);
    expect(acked.stdout).toBe("Settled: 2.\n");
    const nacked = await runCli(["queue", "nack", "q", "r1", "--delay-ms", "5", "--reason", "no disk", "--dead"], () => settled);
    expect(nacked.calls).toEqual([`POST ${base}/q/nack {"receipts":["r1"],"delay_ms":5,"reason":"no disk","dead":true}`]);
    const extended = await runCli(["--json", "queue", "extend", "q", "r1", "--visibility-ms", "60000"], () => settled);
    expect(extended.calls).toEqual([`POST ${base}/q/extend {"receipts":["r1"],"visibility_ms":60000}`]);
    expect(JSON.parse(extended.stdout)).toMatchObject({ kind: "settled", settled: 2 });
    const released = await runCli(["queue", "release", "q", "r1"], () => settled);
    expect(released.calls).toEqual([`POST ${base}/q/release {"receipts":["r1"]}`]);
    const results = [
      { receipt: "r1", outcome: "settled" },
      { receipt: "r2", outcome: "stale" },
    ];
    const late = await runCli(["queue", "ack", "q", "r1", "r2"], () => ({
      status: 409,
      body: { code: "receipt_stale", title: "Late", detail: "Not every one.", results },
    }));
    expect(cliError(late)).toMatchObject({ exitCode: 12, why: "Not every one.\nr1: settled\nr2: stale", details: { results } });
    expect((await runCli(["queue", "ack", "q"], () => settled)).error).not.toBeNull();
  });

  it("looks at messages and dead letters, and never writes control characters of them to the terminal", async () => {
    const dead = { group: "g", reason: "bad\u001b[2J", acquired: 3, deliveries: 3, died_at: 0 };
    const page = { messages: [{ ...message, state: "dead", due_at: null, expires_at: null, dead }], next_cursor: null };
    const letters = await runCli(["queue", "dlq", "q"], () => ({ body: page }));
    expect(letters.calls).toEqual([`GET ${base}/q/dlq?limit=20`]);
    expect(letters.stdout).toContain("g: bad\\x1b[2J");
    const peeked = await runCli(["queue", "peek", "q", "--state", "delayed", "--limit", "3"], () => ({
      body: { messages: [], next_cursor: null },
    }));
    expect(peeked.calls).toEqual([`GET ${base}/q/messages?limit=3&state=delayed`]);
    expect(peeked.stdout).toBe("No such messages.\n");
  });

  it("pauses, resumes and redrives", async () => {
    expect((await runCli(["queue", "pause", "q"], answer)).calls).toEqual([`POST ${base}/q/pause`]);
    expect((await runCli(["queue", "resume", "q"], answer)).stdout).toBe("Resumed.\n");
    const some = await runCli(["queue", "redrive", "q", "7-0-1", "7-0-2"], answer);
    expect(some.calls).toEqual([`POST ${base}/q/dlq/redrive {"ids":["7-0-1","7-0-2"]}`]);
    expect(some.stdout).toBe("2 dead letters are messages again.\n");
  });

  it("removes things only when the name was typed", async () => {
    for (const args of [
      ["queue", "purge", "orders", "--dead"],
      ["queue", "delete", "orders"],
    ]) {
      const unattended = await runCli(args, () => ({}));
      expect(cliError(unattended)).toMatchObject({ exitCode: 64, next: "repeat the command with --yes" });
      const mistyped = await runCli(args, () => ({}), { prompt: async () => "yes" });
      expect([cliError(mistyped).exitCode, mistyped.calls]).toEqual([64, []]);
    }
    const purged = await runCli(["queue", "purge", "orders", "--dead"], () => ({ body: { purged: 3 } }), { prompt: async () => "orders" });
    expect(purged.calls).toEqual([`DELETE ${base}/orders/messages?dead=true`]);
    expect(purged.stdout).toBe("3 removed.\n");
    const deleted = await runCli(["queue", "delete", "orders", "--yes"], () => ({ body: { deleted: true, name: "orders" } }));
    expect(deleted.calls).toEqual([`DELETE ${base}/orders`]);
  });

  it("refuses what cannot be, and exits as the catalogue says", async () => {
    expect(cliError(await runCli(["queue", "consume", "q", "--max", "0"], () => ({}))).exitCode).toBe(64);
    expect(cliError(await runCli(["queue", "show", ".."], () => ({}))).exitCode).toBe(64);
    const unknown = await runCli(["queue", "show", "q"], () => ({ status: 404, body: { code: "queue_unknown", title: "No such queue" } }));
    expect(cliError(unknown)).toMatchObject({ code: "queue_unknown", exitCode: 66 });
    const full = await runCli(["queue", "produce", "q", "1"], () => ({ status: 429, body: { code: "queue_full", title: "Full" } }));
    expect(cliError(full).exitCode).toBe(75);
  });
});
