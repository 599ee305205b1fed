import { describe, expect, test } from "vitest";
import { findSelf, parsePeers } from "../../src/config/index.ts";

const read = (raw: unknown, port = 8000): readonly (readonly [string | null, string])[] => {
  const outcome = parsePeers(raw, port);
  if (outcome.type === "bad") throw new Error(outcome.expected);
  return outcome.peers.map((peer) => [peer.id, peer.url] as const);
};

describe("one grammar for the peer lists of all five documents (X-09)", () => {
  test.each<[string, unknown, [string | null, string][]]>([
    [
      "URLs",
      "http://node1:8001,http://node2:8002",
      [
        [null, "http://node1:8001"],
        [null, "http://node2:8002"],
      ],
    ],
    [
      "spaces, slashes, a comma at the end",
      " http://node1:8001/ , http://node2:8002/ ,",
      [
        [null, "http://node1:8001"],
        [null, "http://node2:8002"],
      ],
    ],
    [
      "host:port",
      "node1:8001,10.0.0.2:8002",
      [
        [null, "http://node1:8001"],
        [null, "http://10.0.0.2:8002"],
      ],
    ],
    [
      "bare names take the own port",
      "node1,node2",
      [
        ["node1", "http://node1:8000"],
        ["node2", "http://node2:8000"],
      ],
    ],
    [
      "id=url",
      "a=http://x:1,b=http://y:2",
      [
        ["a", "http://x:1"],
        ["b", "http://y:2"],
      ],
    ],
    ["id=host:port", "a=x:1", [["a", "http://x:1"]]],
    [
      "id:host:port",
      "a:x:1,b:10.0.0.1:2",
      [
        ["a", "http://x:1"],
        ["b", "http://10.0.0.1:2"],
      ],
    ],
    [
      "IPv6",
      "http://[::1]:8001,[fe80::2]:8002",
      [
        [null, "http://[::1]:8001"],
        [null, "http://[fe80::2]:8002"],
      ],
    ],
    ["a URL without port takes the own port", "http://node1", [[null, "http://node1:8000"]]],
    ["port 80 stays 80", "http://node1:80", [[null, "http://node1:80"]]],
    [
      "JSON object",
      '{"node1":"http://node1:8001","node2":"node2:8002"}',
      [
        ["node1", "http://node1:8001"],
        ["node2", "http://node2:8002"],
      ],
    ],
    [
      "JSON array of names",
      '["queue-node-1","queue-node-2:9101"]',
      [
        ["queue-node-1", "http://queue-node-1:8000"],
        [null, "http://queue-node-2:9101"],
      ],
    ],
    [
      "JSON array of objects",
      '[{"id":"a","url":"http://x:1"},{"node":"b","address":"y:2"}]',
      [
        ["a", "http://x:1"],
        ["b", "http://y:2"],
      ],
    ],
    ["an array from trivet.config.json", ["http://a:1"], [[null, "http://a:1"]]],
    ["https", "https://a:1", [[null, "https://a:1"]]],
    ["host names in one letter case", "http://NODE1:8001", [[null, "http://node1:8001"]]],
    ["nothing", "", []],
  ])("%s", (_name, raw, expected) => {
    expect(read(raw)).toEqual(expected);
  });

  test.each([
    ["twice the same address", "http://a:1,http://a:1/"],
    ["twice the same id", "a=http://x:1,a=http://y:1"],
    ["an empty item", "http://a:1,,http://b:2"],
    ["a path", "http://a:1/raft"],
    ["credentials", "http://user:pass@a:1"],
    ["another scheme", "ftp://a:1"],
    ["a port too large", "a:70000"],
    ["port 0", "a:0"],
    ["an id with a space", "a b=http://x:1"],
    ["a number in JSON", "[1]"],
    ["an address that is no text", '{"a":1}'],
  ])("refuses %s", (_name, raw) => {
    expect(parsePeers(raw, 8000).type).toBe("bad");
  });

  test("says where the JSON is broken", () => {
    expect(parsePeers('{"a":"http://x:1"', 8000)).toEqual({ type: "bad", expected: "expected ',' or '}'", position: 18 });
  });
});

const peersOf = (raw: string) => {
  const outcome = parsePeers(raw, 8000);
  return outcome.type === "peers" ? outcome.peers : [];
};

describe("which entry is this node", () => {
  test("the id decides; node1 is not node10", () => {
    expect(findSelf(peersOf("node10,node1,node2"), "node1", 8000, "box")?.id).toBe("node1");
    expect(findSelf(peersOf("http://node10:8000,http://node2:8000"), "node1", 8000, "box")).toBeNull();
  });
  test("host and port together decide for URLs", () => {
    expect(findSelf(peersOf("http://node1:8001,http://node2:8002"), "node2", 8002, "box")?.url).toBe("http://node2:8002");
  });
  test("equal ports on different hosts say nothing", () => {
    expect(findSelf(peersOf("http://a:8000,http://b:8000"), "c", 8000, "box")).toBeNull();
  });
});
