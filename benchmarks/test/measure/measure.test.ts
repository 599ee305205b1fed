import { describe, expect, it } from "vitest";
import { parseCpuSeconds, parseField, parseMachineCpu, usageOf } from "../../src/measure/proc.ts";
import { counterIn, samplesIn } from "../../src/measure/prometheus.ts";
import { loopDelayIn, vitalsIn } from "../../src/subjects/trivet-vitals.ts";
import { costBetween, type Participant, type Reading } from "../../src/measure/window.ts";

describe("what the kernel says about a process", () => {
  it("adds user and system time, whatever the process is called", () => {
    const stat = "42 (node (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 11 0 1000 1 1";
    expect(parseCpuSeconds(stat)).toBe(4);
    expect(parseCpuSeconds("nonsense")).toBeNull();
  });

  it("finds a field by its whole name and turns kB into bytes", () => {
    expect(parseField("VmRSSx:\t1 kB\nVmRSS:\t  2048 kB\n", "VmRSS")).toBe(2048 * 1024);
    expect(parseField("wchar: 7\nwrite_bytes: 4096\ncancelled_write_bytes: 1\n", "write_bytes")).toBe(4096);
    expect(parseField("wchar: 7\n", "write_bytes")).toBeNull();
  });

  it("tells work, theft and the rest of the machine's time apart", () => {
    expect(parseMachineCpu("cpu  100 20 30 800 40 5 5 200 0 0\ncpu0 1 1 1 1 1 1 1 1\n")).toEqual({ busy_s: 1.5, stolen_s: 2, total_s: 12 });
    expect(parseMachineCpu("intr 1\n")).toBeNull();
  });

  it("knows nothing of a process that does not exist", () => {
    expect(usageOf(2 ** 22 + 1)).toEqual({ cpu_s: null, written_bytes: null, rss_bytes: null, rss_anon_bytes: null });
  });
});

describe("a Prometheus page", () => {
  const page = '# HELP a_total x\na_total{group="0"} 3\na_total{group="1"} 4\na_total_more 100\nb 1.5e3\n';
  it("is summed over the labels of exactly the name asked for", () => {
    expect(counterIn(page, "a_total")).toBe(7);
    expect(counterIn(page, "b")).toBe(1500);
    expect(counterIn(page, "c")).toBeNull();
  });

  it("is summed over those with a label, and taken apart", () => {
    const more = 'a_total{group="0",kind="x"} 3\na_total{group="1",kind="x"} 4\na_total{group="10",kind="y"} 5\n';
    expect(counterIn(more, "a_total", 'kind="x"')).toBe(7);
    expect(counterIn(more, "a_total", 'group="1"')).toBe(4);
    expect(counterIn(more, "a_total", 'kind="z"')).toBeNull();
    expect(samplesIn(more, "a_total").map(({ value }) => value)).toEqual([3, 4, 5]);
  });
});

describe("what a node says about itself", () => {
  const page = [
    'raft_has_leader{group="0"} 1',
    'raft_has_leader{group="1"} 0',
    'raft_leader_changes_total{group="0"} 2',
    'raft_leader_changes_total{group="7"} 1',
    'raft_role_changes_total{role="pre-candidate"} 4',
    'raft_role_changes_total{role="leader"} 3',
    "nodejs_eventloop_lag_max_seconds 0.25",
    "",
  ].join("\n");

  it("is of all its groups: leaders, missed heartbeats, and how late its loop was", () => {
    expect(vitalsIn(page)).toEqual({ leaderChanges: 3, heartbeatsMissed: 4, leaderless: 1 });
    expect(loopDelayIn(page)).toBe(250);
  });

  it("is nothing where nothing has been counted, and a page of something else is refused", () => {
    expect(vitalsIn('raft_has_leader{group="0"} 1\n')).toEqual({ leaderChanges: 0, heartbeatsMissed: 0, leaderless: 0 });
    expect(() => vitalsIn("up 1\n")).toThrow("without Raft groups");
  });
});

function usage(cpu: number | null, written: number, anon: number): Reading["usages"][number] {
  return { cpu_s: cpu, written_bytes: written, rss_bytes: anon * 2, rss_anon_bytes: anon };
}

describe("the cost of a measurement", () => {
  const participants: Participant[] = [
    { role: "leader", pid: 1 },
    { role: "follower", pid: 2 },
    { role: "follower", pid: 3 },
    { role: "client", pid: 4 },
  ];
  const before: Reading = {
    usages: [usage(1, 0, 1), usage(1, 0, 1), usage(1, 0, 1), usage(1, 0, 1)],
    machine: { busy_s: 10, stolen_s: 0, total_s: 100 },
    fsyncs: 5,
  };
  const after: Reading = {
    usages: [usage(3, 100, 7), usage(2, 50, 9), usage(2, 50, 5), usage(4, 1000, 99)],
    machine: { busy_s: 19, stolen_s: 2, total_s: 120 },
    fsyncs: 25,
  };

  it("adds up the processes by role, and the writes and memory of the servers only", () => {
    expect(costBetween(participants, before, after)).toEqual({
      cpu_s: 7,
      cpu_s_by_role: { leader: 2, follower: 2, client: 3 },
      written_bytes: 200,
      fsyncs: 20,
      rss_bytes: 18,
      rss_anon_bytes: 9,
      foreign_cpu: 0.1,
      stolen_cpu: 0.1,
    });
  });

  it("does not pass off a part for the whole when one process could not be read", () => {
    const partial = { ...after, usages: after.usages.map((entry, index) => (index === 1 ? usage(null, 50, 9) : entry)), fsyncs: null };
    expect(costBetween(participants, before, partial)).toMatchObject({ cpu_s: null, foreign_cpu: null, fsyncs: null, written_bytes: 200 });
  });
});
