import { describe, expect, it } from "vitest";
import { parseArguments, type Arguments } from "../src/arguments.ts";

const workloads = ["lock-uncontended", "lock-soak"];
const parse = (line: string): Arguments => parseArguments(line === "" ? [] : line.split(" "), workloads);

describe("the command line of the benchmarks", () => {
  it("measures ours and the peers asked for, ours first", () => {
    expect(parse("run lock-soak --peers etcd,redis,floor --json out.json --quick")).toEqual({
      command: "run",
      workloads: ["lock-soak"],
      subjects: ["trivet", "etcd", "redis", "floor"],
      json: "out.json",
      quick: true,
      rounds: null,
      failovers: null,
      messages: null,
      seconds: null,
      minutes: null,
      cgroup: false,
      directory: null,
    });
    expect(parse("run lock-soak lock-soak lock-uncontended")).toMatchObject({
      workloads: ["lock-soak", "lock-uncontended"],
      subjects: ["trivet"],
    });
  });

  it("watches a cluster that nobody calls, for a minute unless told", () => {
    expect(parse("idle")).toEqual({ command: "idle", seconds: 60, settle: 60 });
    expect(parse("idle --seconds 10 --settle 15")).toEqual({ command: "idle", seconds: 10, settle: 15 });
    expect(parse("idle --settle 5")).toMatchObject({ command: "wrong" });
    expect(parse("idle --seconds 1")).toMatchObject({ command: "wrong" });
  });

  it("measures the state alone, of a million locks unless told", () => {
    expect(parse("state")).toEqual({ command: "state", locks: 1_000_000 });
    expect(parse("state --locks 5000")).toEqual({ command: "state", locks: 5000 });
    expect(parse("state --locks 7")).toMatchObject({ command: "wrong", reason: expect.stringContaining("--locks") as unknown });
  });

  it("replays all traces of caches unless told which, from a folder that may be named", () => {
    expect(parse("hit-ratio")).toEqual({ command: "hit-ratio", traces: [], directory: null });
    expect(parse("hit-ratio gli loop --traces elsewhere")).toEqual({
      command: "hit-ratio",
      traces: ["gli", "loop"],
      directory: "elsewhere",
    });
    expect(parse("eviction")).toEqual({ command: "eviction" });
  });

  it("measures exactly the subjects named", () => {
    expect(parse("run lock-soak --subjects floor --rounds 3")).toMatchObject({ subjects: ["floor"], rounds: 3 });
  });

  it("takes JetStream both as it comes and durable when it is asked for as a peer", () => {
    expect(parse("run lock-soak --peers nats,rabbitmq")).toMatchObject({ subjects: ["trivet", "nats", "nats-always", "rabbitmq"] });
    expect(parse("run lock-soak --subjects nats")).toMatchObject({ subjects: ["nats"] });
  });

  it("takes ours with its queues in Redis in both settings of the file, or in the one that is named", () => {
    const both = ["trivet-redis-everysec", "trivet-redis-always"];
    expect(parse("run lock-soak --peers trivet-redis,redis")).toMatchObject({ subjects: ["trivet", ...both, "redis"] });
    expect(parse("run lock-soak --subjects trivet-redis")).toMatchObject({ subjects: both });
    expect(parse("run lock-soak --peers trivet-redis-always")).toMatchObject({ subjects: ["trivet", "trivet-redis-always"] });
  });

  it("sizes the backlog, the time over HTTP and the cage", () => {
    const line = "run lock-soak --messages 20000 --minutes 40 --seconds 10 --cgroup";
    expect(parse(line)).toMatchObject({ messages: 20_000, minutes: 40, seconds: 10, cgroup: true });
  });

  it.each([
    ["run lock-soak --messages 10", "--messages"],
    ["run lock-soak --seconds 0", "--seconds"],
    ["run lock-soak --minutes half", "--minutes"],
    ["run", "at least one workload"],
    ["run lock-unknown", 'no workload "lock-unknown"'],
    ["run lock-soak --peers etdc", 'no subject "etdc"'],
    ["run lock-soak --peers trivet-rdis", "there are trivet-redis, trivet,"],
    ["run lock-soak --rounds 0", "--rounds"],
    ["run lock-soak --rounds many", "--rounds"],
    ["run lock-soak --bogus", "--bogus"],
    ["hit-ratio glimpse", 'no trace "glimpse"'],
    ["eviction fast", "fast"],
    ["walk", 'no command "walk"'],
  ])("says what is wrong with: %s", (line, reason) => {
    expect(parse(line)).toMatchObject({ command: "wrong", reason: expect.stringContaining(reason) as string });
  });

  it("helps when asked nothing, lists, reports", () => {
    expect(parse("")).toEqual({ command: "help" });
    expect(parse("list")).toEqual({ command: "list" });
    expect(parse("report a.json b.json --quick")).toEqual({ command: "report", files: ["a.json", "b.json"], quick: true });
  });
});
