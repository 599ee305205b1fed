import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeHost } from "@trivet/engine";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { verifyAudit } from "../../src/security/audit-chain.ts";
import { setAside } from "../../src/security/audit-files.ts";
import { AuditLog } from "../../src/security/audit-log.ts";
import { serve, startTestNode, until } from "../http/harness.ts";
import { type ClientOptions, WebSocket } from "ws";
import { TestAccess } from "./access.ts";
import { toolsFor, type Said } from "./certs.ts";

const key = "0123456789abcdef-audit";
let folder: string;
let path: string;
let said: Said;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-audit-"));
  path = join(folder, "audit.log");
  said = { lines: [], counted: [] };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (maxBytes = 67_108_864): AuditLog => new AuditLog({ path, key, maxBytes }, "node1", toolsFor(said));
/** A log of five records: the start, and four that a test wrote. */
async function written(): Promise<string[]> {
  const log = open();
  for (let n = 1; n <= 4; n += 1) await log.append("admin", { call: `DELETE /v1/raft/members/n${n}` });
  await log.close();
  return readFileSync(path, "utf8").trimEnd().split("\n");
}
const verdictOf = (lines: readonly string[], anchors: Parameters<typeof verifyAudit>[2] = []): string => {
  const verdict = verifyAudit(key, lines.map((line) => `${line}\n`).join(""), anchors);
  return verdict.ok ? `${verdict.records} good` : `line ${verdict.line}: ${verdict.fault}`;
};

describe("the chain shows what was done to the log", () => {
  test("nothing: it is good, over restarts, and its lines can be read", async () => {
    await written();
    const log = open();
    await log.close();
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    expect(verdictOf(lines)).toBe("6 good");
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({ seq: 2, node: "node1", event: "admin", call: "DELETE /v1/raft/members/n1" });
  });

  test("edited, left out, moved, repeated, added to, written with another key", async () => {
    const [a = "", b = "", c = "", d = "", e = ""] = await written();
    expect(verdictOf([a, b.replace("n1", "n9"), c, d, e])).toMatch(/^line 2: its code/);
    expect(verdictOf([a, c, d, e])).toMatch(/^line 2:/);
    expect(verdictOf([a, c, b, d, e])).toMatch(/^line 2:/);
    expect(verdictOf([a, b, b, c, d, e])).toMatch(/^line 3:/);
    expect(verdictOf([b, c, d, e])).toMatch(/^line 1:/);
    expect(verdictOf([a, b, '{"seq":3}', c])).toMatch(/^line 3: the line has no code/);
    expect(verifyAudit("another key of the same length", `${a}\n`).ok).toBe(false);
  });

  test("shortened, or written anew by somebody who has the key: only against an anchor", async () => {
    const lines = await written();
    const { head } = verifyAudit(key, `${lines.join("\n")}\n`);
    expect(verdictOf(lines.slice(0, 3))).toBe("3 good");
    expect(verdictOf(lines.slice(0, 3), [head])).toMatch(/record 5, of which there is an anchor, is not there/);
    // Cut, and as long as before again.
    expect(verdictOf(lines, [{ ...head, mac: "0".repeat(64) }, head])).toMatch(/two anchors of record 5/);
    rmSync(path);
    const log = open();
    for (let n = 1; n <= 4; n += 1) await log.append("admin", { call: "something else" });
    await log.close();
    expect(verdictOf(readFileSync(path, "utf8").trimEnd().split("\n"), [head])).toMatch(/written anew/);
    expect(verdictOf(lines, [head])).toBe("5 good");
  });
});

describe("a node", () => {
  test("prints an anchor of what is new to its ordinary log", async () => {
    await written();
    const [line = ""] = said.lines.filter((text) => text.includes("audit.anchor"));
    const [, seq, mac = ""] = /anchor (\d+):([0-9a-f]{64}) of chain [0-9a-f]{32}$/.exec(line) ?? [];
    expect(verifyAudit(key, readFileSync(path, "utf8"), [{ seq: Number(seq), mac }])).toMatchObject({ ok: true, records: 5 });
  });

  test("prints the head before something is administered, so that no end of that can be cut off unseen", async () => {
    const log = open();
    for (let n = 2; n <= 4; n += 1) {
      await log.append("admin", { call: "x" });
      expect(said.lines.at(-1)).toMatch(new RegExp(`audit log anchor ${n}:`));
    }
    expect(log.records).toBe(4);
    const whole = readFileSync(path, "utf8");
    const anchors = said.lines.flatMap((line) => {
      const [, seq, mac = ""] = /anchor (\d+):([0-9a-f]{64}) of chain [0-9a-f]{32}$/.exec(line) ?? [];
      return seq === undefined ? [] : [{ seq: Number(seq), mac }];
    });
    const lines = whole.trimEnd().split("\n");
    expect(verdictOf(lines, anchors)).toBe("4 good");
    expect(verdictOf(lines.slice(0, -1), anchors)).toMatch(/record 4, of which there is an anchor/);
    await log.close();
  });

  test("prints the rest within a second, and nothing that is not on disk", async () => {
    const log = open();
    const written = log.append("refused", { status: 401 });
    log.print();
    expect(said.lines).toEqual([]);
    await written;
    await until(() => said.lines.some((line) => line.includes("audit log anchor 2:")), "the anchor");
    await log.close();
  });

  test("does not go on behind a line that was changed; a line that was never finished is taken away, and that is told", async () => {
    const lines = await written();
    appendFileSync(path, '{"seq":6,"time":"20');
    await open().close();
    const [last = ""] = readFileSync(path, "utf8").trimEnd().split("\n").slice(-1);
    expect(JSON.parse(last)).toMatchObject({ seq: 6, event: "start", cut_bytes: 19 });
    writeFileSync(path, `${lines.join("\n").replace("n2", "n7")}\n`);
    expect(open).toThrow(/^AUDIT_LOG: .*audit\.log line 3: its code does not follow/);
  });

  test("does not go on with the log of another node, nor with what was put aside of one", async () => {
    await written();
    const openAs = (node: string) => () => new AuditLog({ path, key, maxBytes: 1_000_000 }, node, toolsFor(said));
    const before = readFileSync(path, "utf8");
    expect(openAs("node2")).toThrow(/^AUDIT_LOG: .*audit\.log is the log of node node1, and this is node node2/);
    renameSync(path, `${path}.1-5`);
    expect(openAs("node2")).toThrow(/audit\.log\.1-5 is the log of node node1/);
    expect(readFileSync(`${path}.1-5`, "utf8")).toBe(before);
    await openAs("node1")().close();
    expect(verifyAudit(key, readFileSync(path, "utf8"))).toMatchObject({ ok: true, first: 6 });
  });

  test("writes at most so many refusals a second, and how many it left out", async () => {
    const log = new AuditLog({ path, key, maxBytes: 1_000_000 }, "node1", { ...toolsFor(said), wallNow: () => 1_700_000_000_500 });
    for (let n = 0; n < 25; n += 1) log.refused({ call: "GET /v1/locks", status: 401 });
    await log.close();
    expect(readFileSync(path, "utf8").trimEnd().split("\n").length).toBe(1 + 10);
  });
});

const textsOf = (files: readonly string[]): string[] => files.map((file) => readFileSync(file, "utf8"));

describe("a file that is full", () => {
  /** So small that two records of a test fill it. */
  const small = 300;
  async function rotated(): Promise<readonly string[]> {
    const log = open(small);
    for (let n = 1; n <= 9; n += 1) await log.append("admin", { call: `DELETE /v1/raft/members/n${n}` });
    await log.close();
    return [...setAside(path), path];
  }
  test("is put aside, and the chain goes on in another one, over restarts", async () => {
    const files = await rotated();
    expect(files.length).toBeGreaterThan(3);
    for (const file of files.slice(0, -1)) expect(file).toMatch(/audit\.log\.\d+-\d+$/);
    const verdict = verifyAudit(key, textsOf(files));
    expect(verdict).toMatchObject({ ok: true, first: 1 });
    await open(small).close();
    const again = verifyAudit(key, textsOf([...setAside(path), path]));
    expect(again.ok).toBe(true);
    expect(again.records).toBeGreaterThan(verdict.records);
    expect(said.lines.some((line) => line.startsWith("info audit.set-aside"))).toBe(true);
  });

  test("that is left out, changed or in another place is found; the last ones alone say where they begin", async () => {
    const files = await rotated();
    const texts = textsOf(files);
    expect(verifyAudit(key, [...texts.slice(0, 1), ...texts.slice(2)])).toMatchObject({ ok: false, file: 1, line: 1 });
    expect(verifyAudit(key, [texts[1] ?? "", texts[0] ?? ""])).toMatchObject({ ok: false, file: 1, line: 1 });
    expect(verifyAudit(key, [(texts[0] ?? "").replace("n1", "n8"), ...texts.slice(1)])).toMatchObject({ ok: false, file: 0 });
    const last = verifyAudit(key, texts.slice(-1));
    expect(last.ok).toBe(true);
    expect(last.first).toBeGreaterThan(5);
    // An anchor of what is in another file says nothing; one of the record just before this file does.
    const { head } = verifyAudit(key, texts.slice(0, -1));
    expect(verifyAudit(key, texts.slice(-1), [head, { seq: 1, mac: "0".repeat(64) }]).ok).toBe(true);
    expect(verifyAudit(key, texts.slice(-1), [{ ...head, mac: "0".repeat(64) }]).ok).toBe(false);
    // Nobody without the key can make a beginning.
    expect(verifyAudit("another key of the same length", texts.slice(-1)).ok).toBe(false);
  });

  test("a node that ended between two files goes on where the last one ends", async () => {
    const files = await rotated();
    rmSync(path);
    const before = verifyAudit(key, textsOf(files.slice(0, -1)));
    await open(small).close();
    const [first = ""] = readFileSync(path, "utf8").split("\n");
    expect(JSON.parse(first)).toMatchObject({ seq: before.head.seq + 1, event: "continued", before: before.head.mac });
    expect(verifyAudit(key, textsOf([...setAside(path), path])).ok).toBe(true);
  });

  test("that was taken elsewhere is no longer needed: a node starts with the newest alone", async () => {
    for (const file of (await rotated()).slice(0, -1)) rmSync(file);
    await open().close();
    expect(verifyAudit(key, readFileSync(path, "utf8")).ok).toBe(true);
  });
});

describe("calls", () => {
  let host: NodeHost;
  beforeAll(async () => {
    ({ host } = await startTestNode());
  });
  afterAll(() => new Promise<void>((resolve) => host.api.stop(resolve)));

  test("that administer stand in the log before they are done, with how they ended; others do not", async () => {
    const audit = open();
    const server = await serve(host.api, { audit });
    await server.call("POST", "/v1/locks/a/acquire", { owner: "o" });
    const forced = await server.call("POST", "/v1/locks/a/force-release", { reason: "gone" });
    expect(forced.status, forced.text).toBe(200);
    const events = (): unknown[] =>
      readFileSync(path, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { event: string }).event);
    await until(() => existsSync(path) && events().length >= 3, "the lines");
    expect(events()).toEqual(["start", "admin", "done"]);
    expect(readFileSync(path, "utf8")).toMatch(/"principal":"anonymous".*"call":"POST \/v1\/locks\/a\/force-release".*"status":200/);
    await server.http.close(0);
    await audit.close();
  });

  test("of the stream that are refused stand in it like others, with who asked as far as it is known", async () => {
    const files = new TestAccess();
    const limited = files.add("billing", "billing");
    const audit = open();
    const server = await serve(host.api, { audit, access: files.open() });
    const port = await server.http.listen();
    const refusal = (options: ClientOptions): Promise<number | undefined> =>
      new Promise((resolve) => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream?from=test`, options);
        socket.on("unexpected-response", (_request, response) => {
          resolve(response.statusCode);
          response.destroy();
        });
        socket.on("error", () => undefined);
      });
    expect(await refusal({})).toBe(401);
    expect(await refusal({ headers: { authorization: `Bearer ${limited}x` } })).toBe(401);
    expect(await refusal({ headers: { authorization: `Bearer ${limited}` } })).toBe(403);
    expect(await refusal({ origin: "http://evil.example" })).toBe(403);
    await server.http.close(0);
    await audit.close();
    files.remove();
    const [, ...told] = readFileSync(path, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const stream = { event: "refused", address: "127.0.0.1", call: "GET /v1/stream" };
    expect(told).toMatchObject([
      { ...stream, principal: "anonymous", status: 401 },
      { ...stream, principal: "anonymous", status: 401 },
      { ...stream, principal: "key:billing", status: 403 },
      { ...stream, principal: "anonymous", status: 403 },
    ]);
    expect(readFileSync(path, "utf8")).not.toContain(limited.slice(-43));
  });

  test("that administer are refused when they cannot be written down (it fails closed), and nothing is done", async () => {
    mkdirSync(join(folder, "gone"));
    const audit = new AuditLog({ path: join(folder, "gone", "audit.log"), key, maxBytes: 1_000_000 }, "node1", toolsFor(said));
    await audit.append("admin", {});
    await audit.close();
    // The folder is gone: the file cannot be made again.
    rmSync(join(folder, "gone"), { recursive: true });
    const server = await serve(host.api, { audit });
    await server.call("POST", "/v1/locks/kept/acquire", { owner: "o" });
    expect((await server.call("POST", "/v1/locks/kept/force-release", { reason: "x" })).json).toMatchObject({
      status: 507,
      code: "storage_unavailable",
    });
    expect((await server.call("GET", "/v1/locks/kept")).json).toMatchObject({ status: "held" });
    expect(said.counted).toContain("audit_failures_total");
    await server.http.close(0);
  });
});
