import type { NodeApi, NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scripted, serve, startTestNode, type Server } from "./harness.ts";

let host: NodeHost;
const open: Server[] = [];
beforeAll(async () => {
  ({ host } = await startTestNode());
});
afterAll(async () => {
  for (const server of open) await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

/** A node that does not lead: it knows no lease itself. */
async function follower(leader: (id: number) => number | null): Promise<{ readonly server: Server; readonly asked: number[] }> {
  const asked: number[] = [];
  const leasesLeft: NodeApi["leasesLeft"] = (leases, _timeoutMs, done) => {
    asked.push(leases.length);
    setImmediate(() => done(leases.map(({ id }) => leader(id))));
  };
  const server = await serve(scripted(host.api, { leaseLeft: () => null, leasesLeft }), { settle: false });
  open.push(server);
  return { server, asked };
}

describe("leases asked for at a follower", () => {
  test("come from the leader, in one question per answer", async () => {
    const { server, asked } = await follower(() => 1_234.4);
    for (const name of ["f1", "f2"]) await server.call("POST", `/v1/locks/${name}/acquire`, { owner: "a" });
    expect((await server.call("POST", "/v1/locks/f1/acquire", { owner: "b" })).json).toMatchObject({
      code: "locked",
      holders: [{ owner: "a", expires_in_ms: 1_234 }],
    });
    expect((await server.call("GET", "/v1/locks/f1")).json).toMatchObject({ holders: [{ expires_in_ms: 1_234 }] });
    expect((await server.call("GET", "/v1/locks?prefix=f")).json).toMatchObject({
      locks: [{ holders: [{ expires_in_ms: 1_234 }] }, { holders: [{ expires_in_ms: 1_234 }] }],
    });
    expect((await server.call("GET", "/lock/f1")).json).toMatchObject({ holders: [{ expires_in_ms: 1_234 }] });
    expect(asked).toEqual([1, 1, 2, 1]);
    expect((await server.call("GET", "/v1/locks/f1?consistency=stale")).json).toMatchObject({ holders: [{ expires_in_ms: null }] });
    expect(asked).toHaveLength(4);
  });

  test("stay null when the leader does not answer", async () => {
    const { server } = await follower(() => null);
    await server.call("POST", "/v1/locks/g1/acquire", { owner: "a" });
    expect((await server.call("GET", "/v1/locks/g1")).json).toMatchObject({ holders: [{ owner: "a", expires_in_ms: null }] });
  });
});
