import type { NodeId } from "@trivet/core";
import type { NodeApi, NodeStatus } from "@trivet/engine";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { watchQuorum } from "../../src/observability/quorum-watch.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function statusOf(leader: string | null): NodeStatus {
  const voters = ["node1", "node2", "node3"] as NodeId[];
  const group = {
    group: 0,
    role: "pre-candidate",
    term: 3,
    leader,
    commitIndex: 1,
    appliedIndex: 1,
    lastIndex: 1,
    firstIndex: 1,
    membership: { voters, outgoing: [], learners: [], learnersNext: [], autoLeave: false },
  };
  const peer = {
    node: "node2",
    address: "http://node2:8002",
    connected: false,
    matchIndex: 0,
    lag: 0,
    rttMs: null,
    lastError: "refused the connection",
    lastContactMsAgo: null,
  };
  return {
    node: "node1",
    cluster: "c",
    phase: "running",
    phaseDetail: "",
    groups: [group],
    peers: [peer],
    quorumContactMsAgo: null,
    shardWaits: [],
  } as unknown as NodeStatus;
}

test("a cluster without leader is explained in the log: how many voters of how many, and which are missing (T-09)", () => {
  let leader: string | null = null;
  let now = 0;
  const lines: string[] = [];
  const stop = watchQuorum(
    { status: () => statusOf(leader) } as NodeApi,
    { log: (level, _event, text) => void lines.push(`${level} ${text}`) },
    () => now,
  );
  const pass = (ms: number): void => {
    for (let spent = 0; spent < ms; spent += 2_000) {
      now += 2_000;
      vi.advanceTimersByTime(2_000);
    }
  };
  pass(4_000);
  expect(lines).toEqual([]);
  pass(6_000);
  expect(lines).toEqual(["warn no leader for 6 s: have 1 of 2 voters needed, missing: node2, node3 (node2: refused the connection)"]);
  pass(20_000);
  expect(lines).toHaveLength(1);
  pass(20_000);
  expect(lines).toHaveLength(2);
  leader = "node1";
  pass(60_000);
  expect(lines).toHaveLength(2);
  stop();
});
