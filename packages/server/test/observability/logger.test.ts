import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LogFile } from "../../src/observability/log-file.ts";
import { Logger } from "../../src/observability/logger.ts";
import { Metrics } from "../../src/observability/metrics.ts";
import { NodeTelemetry } from "../../src/observability/telemetry.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-log-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = new Date("2026-11-20T12:00:00.000Z");
function logger(options: Partial<ConstructorParameters<typeof Logger>[0]> = {}): { readonly logger: Logger; readonly out: string[] } {
  const out: string[] = [];
  return {
    logger: new Logger({
      nodeId: "node1",
      level: "info",
      dir: null,
      format: "text",
      stdout: (text) => void out.push(text),
      wallNow: () => at,
      ...options,
    }),
    out,
  };
}

describe("logger", () => {
  test("text for people: time, level, node, text, fields, on one line", () => {
    const { logger: log, out } = logger();
    log.log("warn", "x.y", "two\nlines", { peer: "node2", note: "with space", nothing: null });
    expect(out).toEqual(['2026-11-20T12:00:00.000Z WARN  [node1] two ⏎ lines event=x.y peer=node2 note="with space"\n']);
  });
  test("both files hold the same events: text, and JSON lines with the request id (L-12)", async () => {
    const { logger: log } = logger({ dir: folder });
    log.log("info", "http.request", "GET / 200", { request_id: "r-1" });
    log.log("error", "node.failed", "the disk failed");
    await log.flush();
    const text = readFileSync(join(folder, "node1.log"), "utf8").trim().split("\n");
    const json = readFileSync(join(folder, "node1_structured.log"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(text).toHaveLength(2);
    expect(text[0]).toContain("request_id=r-1");
    expect(json).toEqual([
      { level: "info", time: at.toISOString(), node: "node1", event: "http.request", request_id: "r-1", message: "GET / 200" },
      { level: "error", time: at.toISOString(), node: "node1", event: "node.failed", message: "the disk failed" },
    ]);
  });
  test("no member stands twice in a JSON line", () => {
    const { logger: log, out } = logger({ format: "json" });
    log.log("error", "node.failed", "text", { node: "node1" });
    log.log("error", "node.failed", "text", { node: "node2", message: "m" });
    expect(out[0]).toBe(`{"level":"error","time":"${at.toISOString()}","node":"node1","event":"node.failed","message":"text"}\n`);
    expect(out[1]).toContain('"field_node":"node2","field_message":"m","message":"text"');
  });
  test("a note is for the files, not for stdout", async () => {
    const { logger: log, out } = logger({ dir: folder });
    log.note("error", "node.failed", "told elsewhere");
    await log.flush();
    expect(out).toEqual([]);
    expect(readFileSync(join(folder, "node1.log"), "utf8")).toContain("told elsewhere");
  });
  test("LOG_FORMAT=json shows JSON lines on stdout", () => {
    const { logger: log, out } = logger({ format: "json" });
    log.log("info", "a", "b");
    expect(JSON.parse(out[0] ?? "")).toMatchObject({ level: "info", event: "a", message: "b" });
  });
  test("levels below the set one are silent", () => {
    const { logger: log, out } = logger({ level: "warn" });
    log.log("info", "a", "b");
    log.log("debug", "a", "b");
    expect(out).toEqual([]);
  });
  test("secrets are masked, fences are not", () => {
    const { logger: log, out } = logger();
    log.log("info", "a", "b", { SHARED_MAC_KEY: "k1", redis_password: "k2", authorization: "Bearer k3", fencing_token: "17" });
    expect(out[0]).not.toMatch(/k1|k2|k3/);
    expect(out[0]).toContain("fencing_token=17");
  });
  test("a folder that cannot be written is a warning, and the node goes on", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    const { logger: log, out } = logger({ dir: join(file, "logs") });
    await Promise.resolve();
    log.log("info", "a", "still here");
    await log.flush();
    const warnings = out.filter((line) => line.includes("log files are off"));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/WARN .* stdout only: let the user of this process write to .*logs, or set LOG_DIR=off/);
    expect(out.some((line) => line.includes("still here"))).toBe(true);
  });
});

describe("log files", () => {
  test("rotate at the size limit and keep a few", async () => {
    const path = join(folder, "r.log");
    const log = new LogFile(path, (error) => expect.fail(error.message), { maxBytes: 100, keep: 2 });
    for (let index = 0; index < 6; index++) {
      log.write(`${index}`.repeat(60).concat("\n"));
      await log.flush();
    }
    expect(readFileSync(path, "utf8")[0]).toBe("5");
    expect(readFileSync(`${path}.1`, "utf8")[0]).toBe("4");
    expect(readFileSync(`${path}.2`, "utf8")[0]).toBe("3");
    expect(existsSync(`${path}.3`)).toBe(false);
  });
  test("none is kept where that is asked for", async () => {
    const path = join(folder, "k.log");
    const log = new LogFile(path, (error) => expect.fail(error.message), { maxBytes: 100, keep: 0 });
    for (const word of ["a", "b"]) {
      log.write(`${word.repeat(60)}\n`);
      await log.flush();
    }
    expect(readFileSync(path, "utf8")).toBe(`${"b".repeat(60)}\n`);
    expect(existsSync(`${path}.1`)).toBe(false);
  });
  test("the size of a file that was there counts", async () => {
    const path = join(folder, "s.log");
    writeFileSync(path, "x".repeat(99));
    const log = new LogFile(path, (error) => expect.fail(error.message), { maxBytes: 100, keep: 2 });
    log.write("new line\n");
    await log.flush();
    expect(readFileSync(path, "utf8")).toBe("new line\n");
  });
  test("the last words of a process are written synchronously", async () => {
    const path = join(folder, "t.log");
    const log = new LogFile(path, (error) => expect.fail(error.message));
    log.write("first\n");
    log.write("last\n");
    log.flushSync();
    expect(readFileSync(path, "utf8")).toContain("last\n");
    await log.flush();
  });
  test("a failing write is told once and ends the file", async () => {
    const failures: string[] = [];
    const path = join(folder, "gone", "u.log");
    const log = new LogFile(path, (error) => void failures.push(error.message));
    rmSync(join(folder, "gone"), { recursive: true });
    log.write("a\n");
    await log.flush();
    log.write("b\n");
    await log.flush();
    expect(failures).toHaveLength(1);
  });
});

const withdrawn = (sink: NodeTelemetry, version: number): void =>
  sink.log("info", "cache.invalidated", `the copy of item:123 was withdrawn by node2`, { key: "item:123", version, sender: "node2" });

describe("telemetry: the tokens of the source documents", () => {
  let now = 0;
  function telemetry(level: "debug" | "info"): { readonly telemetry: NodeTelemetry; readonly out: string[] } {
    const { logger: log, out } = logger({ level });
    now = 0;
    return { telemetry: new NodeTelemetry(log, new Metrics(), () => now), out };
  }

  test("L-01: LEADER stands in the line of a won election, in upper case, and in raft_role", () => {
    const { telemetry: sink, out } = telemetry("info");
    sink.log("info", "raft.role", "node1 won term 3", { raft_role: "LEADER", term: 3 });
    sink.log("info", "raft.role", "node1 is now LEADER of group 0", { raft_role: "LEADER" });
    sink.log("info", "raft.role", "node1 is now follower in term 4", { raft_role: "FOLLOWER" });
    expect(out.filter((line) => /\bLEADER\b/.test(line))).toHaveLength(2);
    expect(out[0]).toContain("raft_role=LEADER");
  });

  test("L-02: repeated elections are one warning per interval, with the number held back; complete at DEBUG", () => {
    const { telemetry: sink, out } = telemetry("info");
    for (let index = 0; index < 10; index++) {
      sink.log("info", "raft.election-failed", `election of term ${index} failed; silent: node2, node3`, { group: 0 });
      now += 1_000;
    }
    expect(out).toHaveLength(2);
    expect(out[0]).toContain("WARN");
    expect(out[1]).toContain("(4 more like this since)");
    const debug = telemetry("debug");
    for (let index = 0; index < 10; index++) debug.telemetry.log("info", "raft.election-failed", "again", { group: 0 });
    expect(debug.out).toHaveLength(10);
  });

  test("L-03: heartbeats are DEBUG lines", () => {
    const info = telemetry("info");
    info.telemetry.log("info", "raft.heartbeat", "heartbeat round 5");
    expect(info.out).toEqual([]);
    const debug = telemetry("debug");
    debug.telemetry.log("info", "raft.heartbeat", "heartbeat round 5");
    expect(debug.out).toHaveLength(1);
  });

  test("L-06: a forwarded request is seen at DEBUG with from, to and id", () => {
    const { telemetry: sink, out } = telemetry("debug");
    sink.log("debug", "http.forwarded", "acquireLock is passed on", { from: "node2", to: "node1", request_id: "r" });
    expect(out[0]).toMatch(/from=node2 to=node1 request_id=r/);
  });

  test("L-07: peer failures in S1's words, one per peer and interval", () => {
    const { telemetry: sink, out } = telemetry("info");
    for (let index = 0; index < 3; index++) {
      sink.log("warn", "peer.unreachable", "http://node2:8002 refused", { address: "http://node2:8002", reason: "ECONNREFUSED" });
      sink.log("warn", "peer.unreachable", "http://node3:8003 is silent", {
        address: "http://node3:8003",
        reason: "did not answer: timed out",
      });
    }
    expect(out).toHaveLength(2);
    expect(out[0]).toContain("[node1] http://node2:8002 refused (Gagal terhubung ke http://node2:8002) event=");
    expect(out[1]).toContain("Timeout saat mengirim ke http://node3:8003");
  });

  test("L-04: a Redis that values come from, too; any other origin in our words alone", () => {
    const { telemetry: sink, out } = telemetry("info");
    for (const origin of ["redis", "postgres"]) sink.log("error", "origin.down", `${origin} is away`, { node: "node1", origin });
    expect(out[0]).toContain("redis is away (❌ Node node1 GAGAL terhubung ke Redis)");
    expect(out[1]).not.toContain("GAGAL");
  });

  test("loads that fail are one line per origin and interval, and name the key", () => {
    const { telemetry: sink, out } = telemetry("info");
    for (const origin of ["redis", "redis", "postgres"]) sink.log("warn", "origin.load", "not loaded", { key: "k1", origin });
    expect(out).toHaveLength(2);
    expect(out[0]).toContain("cache_key=k1");
  });

  test("L-04: a lost Redis in S0's words", () => {
    const { telemetry: sink, out } = telemetry("info");
    sink.log("error", "redis.down", "Redis at localhost:6379 cannot be reached: refused", { node: "node1", reason: "refused" });
    expect(out[0]).toContain("Redis at localhost:6379 cannot be reached: refused (❌ Node node1 GAGAL terhubung ke Redis)");
  });

  test("L-05: a withdrawn copy in S0's words, with key, version and sender; one line per interval, complete at DEBUG", () => {
    const { telemetry: sink, out } = telemetry("info");
    for (let version = 1; version <= 4; version++) withdrawn(sink, version);
    now += 10_000;
    withdrawn(sink, 5);
    expect(out).toHaveLength(2);
    expect(out[0]).toContain("INVALIDATE diterima: the copy of item:123 was withdrawn by node2");
    expect(out[0]).toMatch(/version=1 sender=node2 cache_key=item:123/);
    expect(out[1]).toContain("(3 more like this since)");
    const debug = telemetry("debug");
    for (let version = 1; version <= 4; version++) withdrawn(debug.telemetry, version);
    expect(debug.out.filter((line) => line.includes("INVALIDATE diterima"))).toHaveLength(4);
  });

  test("the words are not put in twice", () => {
    const { telemetry: sink, out } = telemetry("info");
    sink.log("warn", "peer.unreachable", "Gagal terhubung ke http://node2:8002: refused", {
      address: "http://node2:8002",
      reason: "refused",
    });
    expect(out[0]?.match(/Gagal/g)).toHaveLength(1);
  });
});
