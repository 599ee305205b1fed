import { logIndex, type LogIndex, type SystemEvent } from "@trivet/core";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scripted, serve, startTestNode, until, type Server } from "./harness.ts";
import { follow } from "./sse.ts";

let host: NodeHost;
let server: Server;
let port: number;
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api);
  port = await server.http.listen();
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

const followLock = (at: number, name: string): ReturnType<typeof follow> => follow(at, `/v1/locks/${encodeURIComponent(name)}/watch`);

describe("GET /v1/locks/{name}/watch", () => {
  test("first the state, then what happens to this lock and no other, with the log index as id", async () => {
    const watch = await followLock(port, "watched/é");
    expect(watch.type).toBe("text/event-stream");
    await until(() => watch.events.length === 1);
    expect(watch.events[0]).toMatchObject({ event: "state", data: { name: "watched/é", status: "available" } });
    await server.call("POST", "/v1/locks/other/acquire", { owner: "x" });
    await server.call("POST", `/v1/locks/${encodeURIComponent("watched/é")}/acquire`, { owner: "alice" });
    await server.call("POST", `/v1/locks/${encodeURIComponent("watched/é")}/release`, { owner: "alice" });
    await until(() => watch.events.length === 3);
    expect(watch.events.slice(1).map((event) => event.event)).toEqual(["lock-granted", "lock-released"]);
    expect(watch.events[1]?.data).toMatchObject({
      owner: "alice",
      mode: "exclusive",
      fence: expect.stringMatching(/^[0-9]+$/),
      session_id: null,
    });
    expect(watch.events[2]?.data).toMatchObject({ cause: "released" });
    expect(Number(watch.events[2]?.id)).toBeGreaterThan(Number(watch.events[1]?.id));
    watch.close();
    await watch.ended;
  });

  test("a watcher that leaves is forgotten, and the metric says so", async () => {
    const watch = await followLock(port, "w2");
    await until(async () => (await server.metrics.text()).includes("\nwatchers 1\n"));
    watch.close();
    await until(async () => (await server.metrics.text()).includes("\nwatchers 0\n"));
  });

  test("a reader that is too slow is disconnected", async () => {
    let listener: ((event: SystemEvent, index: LogIndex) => void) | null = null;
    let stopped = false;
    const node = scripted(host.api, {
      watch: (given) => {
        listener = given;
        return () => {
          stopped = true;
        };
      },
    });
    const own = await serve(node, { settle: false });
    const watch = await followLock(await own.http.listen(), "slow");
    watch.pause();
    let index = 1_000;
    await until(() => {
      for (let count = 0; count < 500; count++)
        listener?.({ type: "lock-waiting", name: "slow", owner: "o".repeat(1_000), session: 0, mode: "exclusive" }, logIndex(++index));
      return stopped;
    });
    expect((index - 1_000) * 1_000).toBeLessThan(64 * 1024 * 1024);
    watch.close();
    await own.http.close(0);
  });

  test("closing the server ends watches with a reason", async () => {
    const own = await serve(host.api);
    const watch = await followLock(await own.http.listen(), "w3");
    await until(() => watch.events.length === 1);
    await own.http.close(1_000);
    await watch.ended;
    expect(watch.events.at(-1)).toMatchObject({ event: "closed", data: { reason: "the node is stopping" } });
  });
});
