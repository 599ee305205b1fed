import { copyFileSync } from "node:fs";
import { get } from "node:https";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { connect as connectClient } from "@trivet/client";
import type { NodeHost } from "@trivet/engine";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { NodeTls } from "../../src/security/node-tls.ts";
import { serve, startTestNode, until, type Server } from "../http/harness.ts";
import { makeAuthority, tlsOf, toolsFor, type Said, type TestAuthority } from "./certs.ts";

let host: NodeHost;
let own: TestAuthority;
let other: TestAuthority;
beforeAll(async () => {
  [{ host }, own, other] = await Promise.all([startTestNode(), makeAuthority(), makeAuthority()]);
  await own.issue("node1");
  await own.issue("billing", { kind: "client" });
  await other.issue("billing", { kind: "client" });
});
afterAll(async () => {
  await new Promise<void>((resolve) => host.api.stop(resolve));
  own.remove();
  other.remove();
});

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.http.close(0)));
});
async function listen(tls: NodeTls): Promise<{ readonly port: number; readonly server: Server }> {
  const server = await serve(host.api, { tls });
  servers.push(server);
  return { port: await server.http.listen(), server };
}

interface Seen {
  readonly status: number;
  readonly body: string;
  readonly serial: string;
  readonly protocol: string | null;
}
const read = (response: IncomingMessage): Promise<Seen> =>
  new Promise((resolve, reject) => {
    const socket = response.socket as Partial<TLSSocket>;
    const serial = socket.getPeerX509Certificate?.()?.serialNumber ?? "";
    const protocol = socket.getProtocol?.() ?? null;
    let body = "";
    response.setEncoding("utf8");
    response.on("error", reject);
    response.on("data", (text: string) => (body += text));
    response.on("end", () => resolve({ status: response.statusCode ?? 0, body, serial, protocol }));
  });
const fetchOver = (port: number, options: Parameters<typeof get>[1] = {}): Promise<Seen> =>
  new Promise((resolve, reject) => {
    get(
      `https://localhost:${port}/health`,
      { ca: own.ca, agent: false, ...options },
      (response) => void read(response).then(resolve, reject),
    ).on("error", reject);
  });
const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "answered",
    (error: unknown) => String((error as { readonly code?: unknown }).code),
  );

describe("TLS_MODE=server", () => {
  test("answers over TLS 1.3 to whoever knows the authority, and counts connections as ever", async () => {
    const { port, server } = await listen(tlsOf(own.files("node1"), "node1"));
    expect(await fetchOver(port)).toMatchObject({ status: 200, protocol: "TLSv1.3" });
    expect(server.http.connections.total).toBeLessThanOrEqual(1);
    await until(() => server.http.connections.total === 0, "the connection to be forgotten");
  });

  test("not to others: another authority, another name, an older protocol", async () => {
    const said: Said = { lines: [], counted: [] };
    const { port } = await listen(tlsOf(own.files("node1"), "node1", said));
    expect(await codeOf(fetchOver(port, { ca: other.ca }))).toMatch(/UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/);
    expect(await codeOf(fetchOver(port, { servername: "elsewhere.example" }))).toBe("ERR_TLS_CERT_ALTNAME_INVALID");
    expect(await codeOf(fetchOver(port, { maxVersion: "TLSv1.2" }))).toMatch(/PROTOCOL_VERSION|EPROTO/);
    await until(() => said.counted.some((line) => line.startsWith("tls_refused_total ERR_SSL_UNSUPPORTED_PROTOCOL")), "it to be counted");
  });

  test("says in plain HTTP that it takes HTTPS only (X-14)", async () => {
    const { port, server } = await listen(tlsOf(own.files("node1"), "node1"));
    const answer = await new Promise<Seen>((resolve, reject) => {
      const call = httpRequest({ port, host: "127.0.0.1", path: "/lock/a", method: "POST", agent: false }, (response) => {
        void read(response).then(resolve, reject);
      });
      call.on("error", reject).end("x".repeat(10_000));
    });
    expect(answer).toMatchObject({ status: 400 });
    expect(JSON.parse(answer.body)).toMatchObject({ code: "https_required", title: "HTTPS required" });
    expect(await server.metrics.text()).toMatch(/tls_refused_total\{reason="plain_http"\} 1/);
  });

  test("carries the stream of the SDK, which takes the authority as an option", async () => {
    const { port } = await listen(tlsOf(own.files("node1"), "node1"));
    const url = `https://localhost:${port}`;
    await using trivet = await connectClient(url, { tls: () => ({ ca: own.ca }), routing: "any" });
    const lock = await trivet.locks.acquire("over-tls");
    expect(lock.fence).toBeGreaterThan(0n);
    await lock.release();
    await expect(connectClient(url, { tls: { ca: other.ca }, connectTimeoutMs: 300 })).rejects.toThrow(/certificate/);
  });
});

const pair = (from: TestAuthority): object => ({ cert: from.folder.read("billing.crt"), key: from.folder.read("billing.key") });

describe("TLS_MODE=mutual", () => {
  test("takes clients that the authority signed, and no others; each is counted and told", async () => {
    const said: Said = { lines: [], counted: [] };
    const { port } = await listen(tlsOf({ ...own.files("node1"), clients: "certified" }, "node1", said));
    expect(await fetchOver(port, pair(own))).toMatchObject({ status: 200 });
    expect(await codeOf(fetchOver(port))).toMatch(/CERTIFICATE_REQUIRED|ECONNRESET|HANDSHAKE/);
    expect(await codeOf(fetchOver(port, pair(other)))).toMatch(/UNKNOWN_CA|ECONNRESET|ALERT/);
    await until(() => said.counted.filter((line) => line.startsWith("tls_refused_total")).length >= 2, "both to be counted");
    expect(said.lines.join("\n")).toMatch(/warn tls\.refused a TLS handshake of .* failed/);
  });
});

describe("certificates that change while a node runs", () => {
  test("new ones are used for the next connection; what is not good is left alone, told once, and counted", async () => {
    const said: Said = { lines: [], counted: [] };
    const tls = tlsOf(own.files("node1"), "node1", said);
    const { port } = await listen(tls);
    const first = (await fetchOver(port)).serial;
    await own.issue("node1");
    tls.look();
    const second = (await fetchOver(port)).serial;
    expect(second).not.toBe(first);
    expect(said.counted).toEqual(["tls_reloads_total loaded"]);

    copyFileSync(own.files("billing").keyFile, own.files("node1").keyFile);
    tls.look();
    tls.look();
    expect((await fetchOver(port)).serial).toBe(second);
    expect(said.counted).toEqual(["tls_reloads_total loaded", "tls_reloads_total refused"]);
    expect(said.lines.filter((line) => line.startsWith("error"))).toEqual([
      expect.stringMatching(/the old ones stay in use: KEY_FILE: .* is not the key of/),
    ]);

    await own.issue("node1");
    tls.look();
    expect((await fetchOver(port)).serial).not.toBe(second);
  });

  test("the end of a certificate is announced a month before, once a day", () => {
    const said: Said = { lines: [], counted: [] };
    let now = Date.now();
    const tls = new NodeTls(own.files("node1"), "node1", { ...toolsFor(said), wallNow: () => now });
    tls.look();
    expect(said.lines).toEqual([expect.stringMatching(/^warn tls\.expiry CERT_FILE: .*renew it with: trivet cert issue node1$/)]);
    now += 25 * 3_600_000;
    tls.look();
    expect(said.lines).toHaveLength(2);
  });
});

test("a node does not start without the certificates it was told to use", () => {
  expect(() => tlsOf({ ...own.files("node1"), keyFile: "/nowhere/node1.key" }, "node1")).toThrow(/^KEY_FILE: \/nowhere\/node1\.key/);
});
