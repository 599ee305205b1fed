import type { GroupExport, NodeHost } from "@trivet/engine";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { AccessControl } from "../../src/security/access-control.ts";
import { scripted, serve, startTestNode, until, type Server } from "../http/harness.ts";
import { TestAccess } from "./access.ts";

let host: NodeHost;
let server: Server;
let files: TestAccess;
let access: AccessControl;
let closed: number;

/** A group that never comes to its end. */
const endless: GroupExport = {
  cluster: "c",
  node: "node1",
  group: 0,
  shards: 1,
  groupTime: 0,
  index: 1,
  term: 1,
  next: (done) => void setImmediate(() => done(null, new Uint8Array(0))),
  close: () => void (closed += 1),
};

beforeEach(async () => {
  closed = 0;
  ({ host } = await startTestNode());
  files = new TestAccess();
  files.write();
  access = files.open();
  const node = scripted(host.api, { exportGroup: (_group, _withinMs, done) => void setImmediate(() => done(endless)) });
  server = await serve(node, { access });
});
afterEach(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
  files.remove();
});

const begun = async (token: string): Promise<Response> => {
  access.look();
  const port = await server.http.listen();
  const answer = await fetch(`http://127.0.0.1:${port}/v1/backup/groups/0`, { headers: { authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(200);
  return answer;
};

test("a backup is cut off when the key of its caller is revoked, and is known to be cut by its missing end", async () => {
  const answer = await begun(files.add("operations", "admin"));
  const read = answer.arrayBuffer().then(
    () => "whole",
    () => "cut",
  );
  access.recheck();
  expect(closed).toBe(0);
  const [key] = files.keys;
  if (key !== undefined) key.revoked = "2026-01-02";
  files.write();
  access.look();
  access.recheck();
  expect(await read).toBe("cut");
  await until(() => closed === 1, "the state to be let go");
});

test("is cut off when the role no longer has what a backup needs", async () => {
  files.roles["backup"] = [{ verbs: ["read", "write", "admin"], resource: "cluster" }];
  const answer = await begun(files.add("nightly", "backup"));
  files.roles["backup"] = [{ verbs: ["read"], resource: "cluster" }];
  files.write();
  access.look();
  access.recheck();
  await expect(answer.arrayBuffer()).rejects.toThrow();
  await until(() => closed === 1, "the state to be let go");
});

test("leaves nothing to look at behind when its reader goes away", async () => {
  const answer = await begun(files.add("operations", "admin"));
  await answer.body?.cancel();
  await until(() => closed === 1, "the state to be let go");
  const [key] = files.keys;
  if (key !== undefined) key.revoked = "2026-01-02";
  files.write();
  access.look();
  access.recheck();
  expect(files.said.lines.filter((line) => line.includes("access.ended"))).toEqual([]);
});
