import { httpLimits } from "@trivet/contract";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { AccessControl } from "../../src/security/access-control.ts";
import { WrongCredentials } from "../../src/security/wrong-credentials.ts";
import { parsePrometheus } from "../observability/prometheus.ts";
import { serve, startTestNode, type Answer, type Server } from "../http/harness.ts";
import { TestAccess } from "./access.ts";
import { TestIssuer } from "./issuer.ts";

const { wrongCredentialsAtOnce: atOnce, wrongCredentialsPerSecond: perSecond } = httpLimits;
/** Until one more is looked at. */
const oneMoreMs = 1_000 / perSecond;

let host: NodeHost;
let files: TestAccess;
let issuer: TestIssuer;
let access: AccessControl;
let server: Server;
let port: number;
let now = 0;
const lines: string[] = [];
const keys = { one: "", two: "" };
beforeAll(async () => {
  ({ host } = await startTestNode());
  files = new TestAccess();
  keys.one = files.add("one", "writer");
  keys.two = files.add("two", "writer");
  issuer = new TestIssuer();
  await issuer.write();
  access = files.open({ jwt: issuer.config() });
  server = await serve(host.api, {
    access,
    now: () => now,
    log: { log: (level, event, text, fields) => void lines.push(JSON.stringify({ level, event, text, fields })) },
  });
  port = await server.http.listen();
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
  files.remove();
  issuer.remove();
});
// All addresses have full buckets again.
beforeEach(() => void (now += 1_000_000));

const call = (credential: string | null, remoteAddress = "10.0.0.1"): Promise<Answer> =>
  server.raw({
    method: "GET",
    url: "/v1/ring",
    remoteAddress,
    headers: credential === null ? {} : { authorization: `Bearer ${credential}` },
  });
const statusOf = async (...given: Parameters<typeof call>): Promise<number> => (await call(...given)).status;
const wrong = "tvt_nobody_0123456789012345678901234567890123456789012";
async function useUp(remoteAddress?: string): Promise<void> {
  for (let n = 0; n < atOnce; n += 1) expect(await statusOf(wrong, remoteAddress)).toBe(401);
}

/** What the stream answers to this key before it begins: status, and time to wait. */
const askStream = (key: string): Promise<readonly [number | undefined, string | undefined]> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`, { headers: { authorization: `Bearer ${key}` } });
    socket.on("unexpected-response", (_request, response) => {
      resolve([response.statusCode, response.headers["retry-after"]]);
      response.destroy();
    });
    socket.on("open", () => reject(new Error("open")));
    socket.on("error", () => undefined);
  });

describe("wrong credentials of one address", () => {
  test("are 429 with the time to wait once there were many, and are not looked at any more", async () => {
    await useUp();
    const looked = vi.spyOn(access, "recognize");
    const answer = await call(wrong);
    expect(answer.json).toMatchObject({ status: 429, code: "too_many_requests", retry_after_ms: oneMoreMs });
    expect(answer.headers["retry-after"]).toBe("1");
    // Nor is a right one that was not seen to be right from there: else it could be guessed on.
    expect(await statusOf(keys.one)).toBe(429);
    expect(looked).not.toHaveBeenCalled();
    looked.mockRestore();
    const counted = parsePrometheus(await server.metrics.text()).get("access_refused_total")?.samples;
    expect(counted?.find(({ labels }) => labels["reason"] === "guesses")?.value).toBe(2);
    expect(lines.filter((line) => line.includes('"reason":"guesses"'))[0]).toMatch(/"level":"warn","event":"access.refused".*10\.0\.0\.1/);
  });

  test("leave other addresses, probes and calls without a credential as they are", async () => {
    await useUp();
    expect(await statusOf(wrong, "10.0.0.2")).toBe(401);
    expect(await statusOf(keys.one, "10.0.0.3")).toBe(200);
    expect(await statusOf(null)).toBe(401);
    expect((await server.raw({ method: "GET", url: "/v1/health/live", remoteAddress: "10.0.0.1" })).status).toBe(200);
  });

  test("are looked at again as time goes by; right ones take nothing, and go on once they were seen to be right", async () => {
    await useUp();
    now += oneMoreMs;
    for (let n = 0; n < 3; n += 1) expect(await statusOf(keys.one)).toBe(200);
    expect(await statusOf(wrong)).toBe(401);
    expect(await statusOf(wrong)).toBe(429);
    expect(await statusOf(keys.one)).toBe(200);
    expect(await statusOf(keys.two)).toBe(429);
    // Of that address, and as long as they are right.
    const [record] = files.keys;
    if (record !== undefined) record.revoked = "2026-02-02";
    files.write();
    access.look();
    expect(await statusOf(keys.one)).toBe(401);
    if (record !== undefined) record.revoked = null;
    files.write();
    access.look();
  });

  test("do not shut out who was right before they came", async () => {
    expect(await statusOf(keys.two)).toBe(200);
    await useUp();
    expect(await statusOf(keys.two)).toBe(200);
    expect(await statusOf(wrong)).toBe(429);
  });

  test("cannot be tokens in any number because they come all at once", async () => {
    const tokens = await Promise.all(Array.from({ length: atOnce + 30 }, (_, n) => issuer.sign({ aud: `another ${n}` })));
    const statuses = await Promise.all(tokens.map((token) => statusOf(token)));
    expect(statuses.filter((status) => status === 401)).toHaveLength(atOnce);
    expect(statuses.filter((status) => status === 429)).toHaveLength(30);
    const good = await issuer.sign({ roles: ["writer"] });
    expect(await statusOf(good)).toBe(429);
    now += oneMoreMs;
    expect(await statusOf(good)).toBe(200);
    expect(await statusOf(tokens[0] ?? "")).toBe(401);
    expect(await statusOf(good)).toBe(200);
  });

  test("many good tokens that come all at once are taken", async () => {
    const tokens = await Promise.all(Array.from({ length: atOnce }, (_, n) => issuer.sign({ sub: `s${n}`, roles: ["writer"] })));
    for (let round = 0; round < 2; round += 1)
      expect(new Set(await Promise.all(tokens.map((token) => statusOf(token))))).toEqual(new Set([200]));
  });

  test("end streams before they begin, too", async () => {
    for (let n = 0; n < atOnce; n += 1) expect((await askStream(wrong))[0]).toBe(401);
    expect(await askStream(wrong)).toEqual([429, "1"]);
    expect(await askStream(keys.one)).toEqual([429, "1"]);
    expect(await statusOf(wrong, "127.0.0.1")).toBe(429);
  });
});

test("addresses and credentials that are remembered are bounded", () => {
  const limiter = new WrongCredentials(() => 0);
  for (let n = 0; n < 20_001; n += 1) {
    limiter.take(`address ${n}`);
    limiter.right(`address ${n}`, `credential ${n}`);
  }
  expect(limiter.sizes).toEqual({ addresses: 10_000, credentials: 10_000 });
});
