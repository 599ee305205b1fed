import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { charts } from "../../src/report/charts.ts";
import { headline, withHeadline } from "../../src/report/headline.ts";
import { page } from "../../src/report/markdown.ts";
import { logScale, linearScale, niceTicks } from "../../src/report/scale.ts";
import { select, type Selection, type Source } from "../../src/report/select.ts";
import { barChart } from "../../src/report/svg.ts";
import { targets } from "../../src/report/targets.ts";
import { writeReport } from "../../src/report/write.ts";
import { readResults, writeResults, type Missing, type Result } from "../../src/results.ts";
import { figure } from "../../src/table.ts";
import { good, machine, missing, result } from "./fixtures.ts";

const source = (path: string, results: readonly (Result | Missing)[], cpu = machine.cpu): Source => {
  return { path, file: { machine: { ...machine, cpu }, versions: {}, results } };
};

describe("the choice of results", () => {
  it("takes the newest run of each workload and mixes none", () => {
    const old = [result({ run: "1", subject: "trivet" }), result({ run: "1", subject: "etcd" })];
    const soak = result({ run: "1", workload: "lock-soak" });
    const chosen = select([source("new", [result({ run: "2" })]), source("old", [...old, soak])], { quick: false, strict: false });
    expect(chosen.results.map(({ run, workload, subject }) => [run, workload, subject])).toEqual([
      ["2", "lock-uncontended", "trivet"],
      ["1", "lock-soak", "trivet"],
    ]);
  });

  it("prefers a run that measured ours to a newer one that only tried the peers", () => {
    const ours = source("a", [result({ run: "1" }), result({ run: "1", subject: "etcd" })]);
    const peers = source("b", [result({ run: "2", subject: "etcd" })]);
    const nothing = source("c", [missing({ run: "3" })]);
    expect(select([ours, peers, nothing], { quick: false, strict: false }).results.map(({ run }) => run)).toEqual(["1", "1"]);
    expect(select([peers, nothing], { quick: false, strict: false }).results.map(({ run }) => run)).toEqual(["2"]);
  });

  it("leaves quick runs out unless asked, and says so", () => {
    const sources = [source("a", [result({ run: "1" })]), source("b", [result({ run: "2", quick: true })])];
    const careful = select(sources, { quick: false, strict: false });
    expect(careful.results.map(({ run }) => run)).toEqual(["1"]);
    expect(careful.leftOut).toHaveLength(1);
    expect(select(sources, { quick: true, strict: false }).results.map(({ run }) => run)).toEqual(["2"]);
    expect(() => select([source("b", [result({ quick: true })])], { quick: false, strict: false })).toThrow("quick run");
  });

  it("is of one machine for each service: that of its newest result", () => {
    const elsewhere = [result({ run: "1" }), result({ run: "1", workload: "lock-soak" }), result({ run: "1", workload: "queue-produce" })];
    const sources = [source("a", elsewhere, "Other CPU"), source("b", [result({ run: "2" })])];
    const chosen = select(sources, { quick: false, strict: false });
    expect(chosen.results.map(({ run, workload }) => [run, workload])).toEqual([
      ["1", "queue-produce"],
      ["2", "lock-uncontended"],
    ]);
    expect([chosen.machines["lock"]?.cpu, chosen.machines["queue"]?.cpu]).toEqual(["Test CPU", "Other CPU"]);
    expect(chosen.leftOut).toEqual(["a: lock-uncontended was measured on another machine", "a: lock-soak was measured on another machine"]);
    expect(() => select(sources, { quick: false, strict: true })).toThrow("another machine");
    expect(() => select([], { quick: false, strict: false })).toThrow("no results yet");
  });

  it("keeps the machine of each service when results are put together once more", () => {
    const [first, second] = [
      source("a", [result({ run: "1", workload: "queue-produce" })], "Other CPU"),
      source("b", [result({ run: "2" })]),
    ];
    const { machines, results, versions } = select([first, second], { quick: false, strict: true });
    const together = { path: "c", file: { machine, machines, versions, results } };
    const newer = source("d", [result({ run: "3", workload: "cache-hit" })], "Third CPU");
    const chosen = select([together, newer], { quick: false, strict: true });
    expect(
      Object.entries(chosen.machines)
        .map(([service, { cpu }]) => `${service} ${cpu}`)
        .sort(),
    ).toEqual(["cache Third CPU", "lock Test CPU", "queue Other CPU"]);
    expect(page(chosen, [])).toContain("|  | Queues | Locks | The cache |");
  });
});

describe("the targets", () => {
  it("are reached by results that reach them", () => {
    expect(targets(good()).map(({ met }) => met)).toEqual(Array.from({ length: 8 }, () => true));
  });

  const worse: readonly (readonly [string, (entry: Result) => Result])[] = [
    ["64 in flight", (entry) => (entry.clients === 64 && entry.subject === "etcd" ? { ...entry, ops_per_s: 9000 } : entry)],
    ["256 in flight", (entry) => (entry.clients === 256 && entry.subject === "redis" ? { ...entry, ops_per_s: 200_000 } : entry)],
    ["one in flight", (entry) => (entry.transport === "http" ? { ...entry, more: { ...entry.more, closed_p50_ms: 0.9 } } : entry)],
    ["hand-off", (entry) => (entry.workload === "lock-contended" ? { ...entry, p50_ms: 1 } : entry)],
    ["kill -9", (entry) => (entry.workload === "lock-failover" ? { ...entry, p99_ms: 1000 } : entry)],
    ["plain HTTP", (entry) => (entry.transport === "http" ? { ...entry, more: { ...entry.more, closed_release_p99_ms: 10 } } : entry)],
    ["leader changes", (entry) => (entry.workload === "lock-soak" ? { ...entry, more: { ...entry.more, leader_changes: 1 } } : entry)],
    ["1 M held", (entry) => (entry.workload === "lock-million" ? { ...entry, more: { ...entry.more, bytes_per_lock: 1025 } } : entry)],
  ];
  it.each(worse)("are missed when one figure of %s is too low", (what, spoil) => {
    const missed = targets(good().map(spoil)).filter(({ met }) => met === false);
    expect(missed.map((target) => target.what).join()).toContain(what);
    expect(missed).toHaveLength(1);
  });

  it("are neither reached nor missed while a peer or a full-length run is missing", () => {
    const withoutEtcd = good().filter(({ subject }) => subject !== "etcd");
    expect(targets(withoutEtcd).filter(({ met }) => met === null)).toHaveLength(2);
    const short = good().map((entry) => (entry.workload === "lock-soak" ? { ...entry, more: { ...entry.more, seconds: 15 } } : entry));
    expect(targets(short).filter(({ met }) => met === null)).toHaveLength(1);
  });
});

function selection(results: readonly (Result | Missing)[]): Selection {
  return { machines: { lock: machine }, versions: { trivet: "0.1.0" }, results, leftOut: [] };
}

describe("the page", () => {
  it("names every missing peer with its reason, every error and every disturbance", () => {
    const results = [...good(), missing({}), result({ errors: 3, first_error: "timed out", foreign_cpu: 0.3 })];
    const text = page(selection(results), charts(results));
    expect(text).toContain("- etcd: etcd is not installed");
    expect(text).toContain("- trivet: 3 errors, the first: timed out");
    expect(text).toContain("other processes used 30 % of the machine");
    expect(text).toContain("fsync on a majority of 3");
    expect(text).not.toContain("Quick run");
  });

  it("says so when it is made of quick runs", () => {
    expect(page(selection([result({ quick: true })]), [])).toContain("Quick run");
  });

  it("is the same for the same results", () => {
    expect(page(selection(good()), charts(good()))).toBe(page(selection(good()), charts(good())));
  });

  it("links only charts that exist", () => {
    const text = page(selection(good()), charts(good()));
    const linked = [...text.matchAll(/\(benchmarks\/([a-z-]+\.svg)\)/g)].map(([, file]) => file);
    expect(new Set(linked)).toEqual(new Set(charts(good()).map(({ file }) => file)));
    expect(linked.length).toBeGreaterThan(5);
  });
});

describe("what README.md says", () => {
  const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");

  it("is what the published results say", () => {
    const {
      machine: measured,
      machines,
      results,
    } = readResults(fileURLToPath(new URL("../../../docs/benchmarks/results.json", import.meta.url)));
    expect(withHeadline(readme, headline({ machines: machines ?? { lock: measured }, results }))).toBe(readme);
  });

  it("names the figures beside each other, and every target that is missed", () => {
    const spoiled = good().map((entry) => (entry.workload === "lock-contended" ? { ...entry, p50_ms: 1 } : entry));
    const text = headline({ machines: { lock: machine }, results: spoiled });
    expect(text).toContain("| acquire + release pairs a second, 64 in flight | 50 000 | 2 500 | – |");
    expect(text).toContain("next grant, p50 and p99 | 0.50 ms, 900 ms | – | – |");
    expect(text).toContain("7 are met, 1 missed, 0 not measured in full. Missed are ([by how much](docs/benchmarks.md#targets)):");
    expect(text).toContain("\n- Locks:\n  - contended hand-off, 16 clients on one name, p50\n");
    expect(headline({ machines: { lock: machine }, results: good() })).not.toContain("Missed");
  });

  it("needs its place", () => {
    expect(() => withHeadline("# Trivet\n", "x")).toThrow("speed:begin");
  });
});

function countOf(tags: readonly (string | undefined)[]): Map<string | undefined, number> {
  const counts = new Map<string | undefined, number>();
  for (const tag of tags) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  return counts;
}

describe("the charts", () => {
  it("are well-formed and hold no figure that is not a number", () => {
    const results = [...good(), result({ p50_ms: null, p99_ms: null, p999_ms: null, ops_per_s: null, subject: "redis" })];
    for (const { svg } of charts(results)) {
      expect(svg).not.toMatch(/NaN|Infinity|undefined|null/);
      const opened = [...svg.matchAll(/<([a-z]+)[^>]*?(\/?)>/g)].filter(([, , selfClosed]) => selfClosed === "").map(([, tag]) => tag);
      const closed = [...svg.matchAll(/<\/([a-z]+)>/g)].map(([, tag]) => tag);
      expect(countOf(opened)).toEqual(countOf(closed));
    }
  });

  it("escape what they print and say when there is nothing to print", () => {
    expect(barChart("a < b & c", "x", [[{ label: '"<>"', subject: "floor", value: 1 }]], false)).toContain("a &lt; b &amp; c");
    expect(barChart("empty", "x", [], true)).toContain("nothing was measured");
  });

  it("have axes that hold all values", () => {
    expect(niceTicks(97, 5)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(niceTicks(0, 5)).toEqual([0, 1]);
    expect(linearScale(100, 0, 500).at(50)).toBe(250);
    const log = logScale([0.3, 80], 0, 300);
    expect(log.ticks).toEqual([0.1, 1, 10, 100]);
    expect(log.at(1)).toBeCloseTo(100);
    expect(logScale([10], 0, 100).ticks).toEqual([10, 100]);
  });
});

describe("figures for people", () => {
  it("have three digits and a dash for what is unknown", () => {
    expect([null, 0, 0.01234, 1.234, 12.34, 123.4, 1234.5, 1_234_567].map((value) => figure(value))).toEqual([
      "–",
      "0",
      "0.012",
      "1.23",
      "12.3",
      "123",
      "1 235",
      "1 234 567",
    ]);
  });
});

describe("result files", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trivet-report-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it("come back as they were written, and make the report", () => {
    const reportOptions = { root: folder, resultsFolder: join(folder, "results"), files: [], quick: false };
    expect(() => writeReport(reportOptions)).toThrow("no results yet");
    writeResults(join(folder, "a.json"), { machine, versions: { trivet: "0.1.0" }, results: [...good(), missing({})] });
    expect(readResults(join(folder, "a.json")).results).toEqual([...good(), missing({})]);
    expect(() => writeReport({ ...reportOptions, files: [join(folder, "a.json")] })).toThrow("README.md");
    const marks = headline({ machines: {}, results: [] });
    writeFileSync(join(folder, "README.md"), `# Trivet\n\n${marks}\n\nMore.\n`);
    const { written, selection: chosen } = writeReport({ ...reportOptions, files: [join(folder, "a.json")] });
    expect(written).toContain(join(folder, "docs", "benchmarks.md"));
    expect(readFileSync(join(folder, "README.md"), "utf8")).toBe(`# Trivet\n\n${headline(chosen)}\n\nMore.\n`);
    // Without new results the report is made again from its own raw data, byte for byte.
    const before = readFileSync(join(folder, "docs", "benchmarks.md"), "utf8");
    writeReport(reportOptions);
    expect(readFileSync(join(folder, "docs", "benchmarks.md"), "utf8")).toBe(before);
  });

  it.each([
    ["", "not a result file"],
    ["[]", "no machine"],
    ["{}", "no machine"],
    ['{"machine":{"cpu":"x","cores":2}}', "no results"],
    ['{"machine":{"cpu":"x","cores":2},"results":[{"workload":"w"}]}', "results[0]"],
    ['{"machine":{"cpu":"x","cores":2},"results":[{"workload":"w","subject":"etcd","run":"1"}]}', "lacks clients"],
  ])("are refused when they are none: %s", (text, reason) => {
    const path = join(folder, "bad.json");
    writeFileSync(path, text);
    expect(() => readResults(path)).toThrow(reason);
  });
});
