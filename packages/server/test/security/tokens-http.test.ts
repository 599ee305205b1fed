import { connect as connectClient } from "@trivet/client";
import type { NodeHost } from "@trivet/engine";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { AccessControl } from "../../src/security/access-control.ts";
import { serve, startTestNode, until, type Answer, type Server } from "../http/harness.ts";
import { follow } from "../http/sse.ts";
import { TestAccess } from "./access.ts";
import { TestIssuer } from "./issuer.ts";

let host: NodeHost;
let server: Server;
let port: number;
let files: TestAccess;
let issuer: TestIssuer;
let access: AccessControl;
let folder: string;
beforeAll(async () => {
  ({ host } = await startTestNode());
  folder = mkdtempSync(join(tmpdir(), "trivet-token-"));
  files = new TestAccess();
  files.write();
  issuer = new TestIssuer();
  await issuer.write();
  access = files.open({ jwt: issuer.config() });
  server = await serve(host.api, { access });
  port = await server.http.listen();
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
  files.remove();
  issuer.remove();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  files.now = () => Date.now();
});

const bearer = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` });
const call = (token: string, method: Parameters<Server["call"]>[0], url: string, body?: unknown): Promise<Answer> =>
  server.call(method, url, body, bearer(token));
const endsIn = (seconds: number): number => Math.floor(Date.now() / 1_000) + seconds;
/** What the clock shows once a token that ends in less than an hour has ended. */
const later = (): number => Date.now() + 3_600_000;

describe("calls with a token", () => {
  test("do what its role allows, as its own principal; outside its prefix they are 403, and when it has ended 401", async () => {
    const token = await issuer.sign({ roles: ["writer"], prefixes: ["orders"] });
    const granted = await call(token, "POST", "/v1/locks/orders%2F7/acquire", { owner: "a" });
    expect(granted.status, granted.text).toBe(200);
    expect((await call(token, "POST", "/v1/locks/orders2/acquire", { owner: "a" })).json).toMatchObject({ status: 403, code: "forbidden" });
    expect((await call(token, "GET", "/v1/locks?prefix=orders/")).status).toBe(200);
    expect((await call(token, "GET", "/v1/locks")).status).toBe(403);
    expect((await call(token, "GET", "/v1/cluster")).status).toBe(403);
    const foreign = await call(await issuer.sign({ aud: "another" }), "GET", "/v1/locks");
    expect(foreign.json).toMatchObject({ status: 401, code: "unauthorized" });
    files.now = later;
    expect((await call(token, "GET", "/v1/locks?prefix=orders/")).json).toMatchObject({ status: 401, code: "unauthorized" });
  });

  test("no token is in a metric or a line of the log", async () => {
    const token = await issuer.sign({ aud: "another" });
    await call(token, "GET", "/v1/locks");
    const told = [JSON.stringify(files.said), await server.metrics.text()].join("\n");
    for (const part of token.split(".")) expect(told).not.toContain(part);
  });
});

describe("what stays open ends with its credential", () => {
  const watches = ["/v1/locks/orders%2F1/watch", "/v1/cache-watch"];

  test.each(watches)("%s of a token that has ended", async (path) => {
    const watch = await follow(port, path, bearer(await issuer.sign({ roles: ["reader"], exp: endsIn(60) })));
    access.recheck();
    expect(watch.events.filter(({ event }) => event === "closed")).toEqual([]);
    files.now = later;
    access.recheck();
    await watch.ended;
    expect(watch.events.at(-1)).toMatchObject({
      event: "closed",
      data: { code: "unauthorized", reason: expect.stringMatching(/has ended/) },
    });
    expect(files.said.counted).toContain("access_refused_total ended");
    expect(files.said.lines.at(-1)).toMatch(/^info access\.ended .*jwt:alice/);
  });

  test.each(watches)("%s of a key that was revoked, or taken out of the file", async (path) => {
    for (const drop of [true, false]) {
      const key = files.add("watcher", "reader");
      access.look();
      const watch = await follow(port, path, bearer(key));
      const [record] = files.keys.slice(-1);
      if (record !== undefined) record.revoked = "2026-02-02";
      if (drop) files.keys.pop();
      files.write();
      access.look();
      access.recheck();
      await watch.ended;
      expect(watch.events.at(-1)).toMatchObject({ event: "closed", data: { code: "unauthorized" } });
    }
  });

  test.each([
    [watches[0] ?? "", "locks", "orders/"],
    [watches[1] ?? "", "cache", "default"],
  ])("%s of a key whose role was narrowed; one that is about something else goes on", async (path, resource, prefix) => {
    const rule = (to: string): unknown => [{ verbs: ["read"], resource, prefix: to }];
    files.roles["narrow"] = rule(prefix);
    files.roles["other"] = rule(prefix);
    const [narrow, other] = [files.add("narrow", "narrow"), files.add("other", "other")];
    access.look();
    const watch = await follow(port, path, bearer(narrow));
    const stays = await follow(port, path, bearer(other));
    files.roles["narrow"] = rule("elsewhere/");
    files.write();
    access.look();
    access.recheck();
    await watch.ended;
    expect(watch.events.at(-1)).toMatchObject({ event: "closed", data: { code: "forbidden" } });
    expect(stays.events.filter(({ event }) => event === "closed")).toEqual([]);
    stays.close();
    await stays.ended;
  });

  test("a node looks by itself, again and again", async () => {
    const own = files.open({ jwt: issuer.config() });
    own.start();
    const ownServer = await serve(host.api, { access: own, settle: false });
    const watch = await follow(await ownServer.http.listen(), watches[0] ?? "", bearer(await issuer.sign({ roles: ["reader"] })));
    files.now = later;
    await watch.ended;
    own.stop();
    await ownServer.http.close(0);
  });

  test("a stream of the SDK ends, and goes on with the token that its file holds by then", async () => {
    const path = join(folder, "token");
    writeFileSync(path, `${await issuer.sign({ roles: ["writer"], exp: endsIn(60) })}\n`);
    const events: string[] = [];
    await using trivet = await connectClient(`http://127.0.0.1:${port}`, { tokenFile: path, routing: "any" });
    trivet.watch((event) => events.push(event.type));
    writeFileSync(path, await issuer.sign({ roles: ["writer"], exp: endsIn(100_000) }));
    files.now = later;
    access.recheck();
    await until(() => events.join() === "disconnected,connected");
    await trivet.locks.with("anything", {}, (lock) => lock.assertHeld());
  });

  test("a stream of a token that has ended stays out until there is another", async () => {
    const path = join(folder, "short");
    writeFileSync(path, await issuer.sign({ roles: ["writer"], exp: endsIn(60) }));
    await using trivet = await connectClient(`http://127.0.0.1:${port}`, { tokenFile: path, routing: "any", backoffMs: [5, 10] });
    files.now = later;
    const before = files.said.counted.filter((line) => line.endsWith("token_expired")).length;
    access.recheck();
    await until(() => files.said.counted.filter((line) => line.endsWith("token_expired")).length > before + 1);
    expect(trivet.node).toBeNull();
    writeFileSync(path, await issuer.sign({ roles: ["writer"], exp: endsIn(100_000) }));
    await until(() => trivet.node !== null);
  });

  test("connect refuses a token that could not be sent, without showing it", async () => {
    const url = `http://127.0.0.1:${port}`;
    await expect(connectClient(url, { token: "two words" })).rejects.toThrow(/^token is no key and no token/);
    await expect(connectClient(url, { token: "a", tokenFile: "b" })).rejects.toMatchObject({ code: "bad_request" });
    await expect(connectClient(url, { tokenFile: join(folder, "none") })).rejects.toThrow(/tokenFile: .*ENOENT/);
    const limited = await issuer.sign({ roles: ["writer"], prefixes: ["orders"] });
    await expect(connectClient(url, { token: limited })).rejects.toMatchObject({ code: "forbidden" });
  });
});
