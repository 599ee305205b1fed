import { reportConfig } from "@trivet/server";
import { describe, expect, it } from "vitest";
import { accessIn, isLauncherOwned, nodeEnvironment, planNodes, withPeerKey } from "../src/dev/plan.ts";

/** The key that nodes get where this stands in the environment and in a file of the working directory. */
function keyOf(env: Record<string, string>, path = "", content = ""): string | undefined {
  const { rows } = reportConfig({ env, cwd: "/app", readFile: (asked) => (asked === `/app/${path}` ? content : null) });
  return withPeerKey(env, accessIn(rows), () => "made")["SHARED_MAC_KEY"];
}

describe("the plan of trivet dev", () => {
  const nodes = planNodes({ nodes: 3, firstPort: 8001, dataDir: "data" });

  it("gives every node its own id, port and folder", () => {
    expect(nodes).toEqual([
      { id: "node1", port: 8001, url: "http://127.0.0.1:8001", dataDir: "data/node1" },
      { id: "node2", port: 8002, url: "http://127.0.0.1:8002", dataDir: "data/node2" },
      { id: "node3", port: 8003, url: "http://127.0.0.1:8003", dataDir: "data/node3" },
    ]);
  });

  it("does not take ids, ports, peers and Redis from the surroundings, under any of their names", () => {
    const sample = {
      NODE_ID: "x",
      PORT: "1",
      HTTP_PORT: "2",
      NODE_PORT: "3",
      INTERNAL_PORT: "4",
      ALL_NODES: "a",
      PEERS: "b",
      PEER_ADDRESSES: "c",
    };
    const more = {
      RAFT_PEERS: "{}",
      QUEUE_NODES: "[]",
      CACHE_PEERS: "{}",
      REDIS_URL: "redis://redis",
      REDIS_HOST: "redis",
      NODE_TYPE: "lock",
      JOIN: "u",
    };
    const [first] = nodes;
    if (!first) throw new Error("no node");
    const environment = nodeEnvironment(first, nodes, { ...sample, ...more, LOG_LEVEL: "DEBUG", CACHE_CAPACITY: "100", PATH: "/bin" });
    expect(environment).toEqual({
      LOG_LEVEL: "DEBUG",
      CACHE_CAPACITY: "100",
      PATH: "/bin",
      NODE_ID: "node1",
      HTTP_HOST: "127.0.0.1",
      HTTP_PORT: "8001",
      ADVERTISE_URL: "http://127.0.0.1:8001",
      PEERS: "node1=http://127.0.0.1:8001,node2=http://127.0.0.1:8002,node3=http://127.0.0.1:8003",
      DATA_DIR: "data/node1",
      LOG_FORMAT: "json",
      AUTO_REPLACE: "true",
      SEED_DEMO_DATA: "true",
    });
    for (const name of Object.keys({ ...sample, ...more })) expect(isLauncherOwned(name), name).toBe(true);
    for (const name of ["LOG_LEVEL", "SHARED_MAC_KEY", "HOME"]) expect(isLauncherOwned(name), name).toBe(false);
  });

  it("gives nodes that ask callers who they are a key to prove themselves with, unless there is one", () => {
    expect(keyOf({})).toBeUndefined();
    expect(keyOf({ AUTH_MODE: "none" })).toBeUndefined();
    expect(keyOf({ AUTH_MODE: "keys" })).toBe("made");
    expect(keyOf({ AUTH_MODE: "" }, ".env", "AUTH_MODE=jwt")).toBe("made");
    expect(keyOf({}, "trivet.config.json", '{"AUTH_MODE": "keys"}')).toBe("made");
    expect(keyOf({ AUTH_MODE: "none" }, "trivet.config.json", '{"AUTH_MODE": "keys"}')).toBeUndefined();
    expect(keyOf({ AUTH_MODE: "keys", SHARED_MAC_KEY: "mine" })).toBe("mine");
    expect(keyOf({ AUTH_MODE: "keys" }, ".env", "NODE_SECRET=mine-0123456789abcdef")).toBeUndefined();
    expect(keyOf({ AUTH_MODE: "keys" }, "trivet.config.json", '{"SHARED_MAC_KEY": "mine-0123456789abcdef"}')).toBeUndefined();
  });
});
