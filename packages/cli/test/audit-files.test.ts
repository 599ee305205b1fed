import { describe, expect, test } from "vitest";
import { readLog, type LogReader } from "../src/commands/audit-files.ts";
import { anchorsIn } from "../src/commands/audit-printed.ts";
import { CliError } from "../src/output/errors.ts";

/** A folder that changes while it is read: `afterwards` is what happens behind each reading of a file. */
class Folder implements LogReader {
  readonly files: Map<string, string>;
  readonly waits: number[] = [];
  reads = 0;
  afterwards: (folder: Folder, path: string) => void = () => undefined;

  constructor(files: Readonly<Record<string, string>>) {
    this.files = new Map(Object.entries(files));
  }
  readonly list = (): readonly string[] => [...this.files.keys()].filter((path) => path !== "log").concat("log");
  readonly read = (path: string): string => {
    this.reads += 1;
    const text = this.files.get(path);
    if (text === undefined) throw new CliError({ code: "configuration", exitCode: 78, what: `${path} cannot be read.`, why: "", next: "" });
    this.afterwards(this, path);
    return text;
  };
  readonly wait = async (ms: number): Promise<void> => {
    this.waits.push(ms);
    this.afterwards(this, "");
  };
}

const listing = ({ read, wait }: Folder, list: LogReader["list"]): LogReader => ({ list, read, wait });

describe("a log that is written while it is read", () => {
  test("is read again where a file was put aside meanwhile", async () => {
    const folder = new Folder({ "log.1-2": "1\n2\n", log: "3\n" });
    folder.afterwards = ({ files }, path) => {
      if (path !== "log.1-2" || files.has("log.3-3")) return;
      files.set("log.3-3", "3\n");
      files.set("log", "4\n");
    };
    const { paths, texts } = await readLog(folder);
    expect([paths, texts]).toEqual([
      ["log.1-2", "log.3-3", "log"],
      ["1\n2\n", "3\n", "4\n"],
    ]);
  });

  test("is read again where its name is on its way", async () => {
    const folder = new Folder({ "log.1-2": "1\n2\n", log: "3\n" });
    folder.afterwards = ({ files }, path) => {
      if (path !== "log.1-2" || files.has("log.3-3")) return;
      files.set("log.3-3", "3\n");
      files.delete("log");
    };
    const { list } = folder;
    // The new file is there when the folder is looked at the third time.
    let listed = 0;
    const late = (): readonly string[] => {
      listed += 1;
      if (listed === 3) folder.files.set("log", "4\n");
      return list();
    };
    expect((await readLog(listing(folder, late))).texts).toEqual(["1\n2\n", "3\n", "4\n"]);
  });

  test("is looked at a second time where its last line has no end; then it has none", async () => {
    const folder = new Folder({ log: "1\n{" });
    folder.afterwards = ({ files }, path) => void (path === "" && files.set("log", "1\n2\n"));
    expect((await readLog(folder)).texts).toEqual(["1\n2\n"]);
    expect([folder.reads, folder.waits]).toEqual([2, [100]]);
    const cut = new Folder({ log: "1\n{" });
    expect((await readLog(cut)).texts).toEqual(["1\n{"]);
    expect(cut.reads).toBe(2);
  });

  test("is given up on in the end: what was read last counts, and a file that is not there is said", async () => {
    const folder = new Folder({ log: "1\n" });
    folder.afterwards = ({ files, reads }) => void files.set(`log.${reads}`, "");
    let listed = 0;
    const counted = (): readonly string[] => {
      listed += 1;
      return folder.list();
    };
    expect((await readLog(listing(folder, counted))).paths.at(-1)).toBe("log");
    // Before and after each of five readings.
    expect(listed).toBe(10);
    await expect(readLog(new Folder({ "log.1-2": "" }))).rejects.toThrow("log cannot be read");
  });
});

describe("anchors that a node has printed", () => {
  const mac = "a1".repeat(32);
  const plain = `2026-01-01T00:00:00.000Z INFO  [node1] audit log anchor 7:${mac} of chain c0 event=audit.anchor seq=7 mac=${mac} chain=c0`;
  const json = JSON.stringify({
    level: "info",
    time: "2026-01-01T00:00:00.000Z",
    node: "node1",
    event: "audit.anchor",
    seq: 7,
    mac,
    chain: "c0",
    message: `audit log anchor 7:${mac} of chain c0`,
  });
  const known = { seq: 7, mac, chain: "c0" };

  test.each([
    ["a line for people", plain, known],
    ["a JSON line", json, known],
    ["Compose", `node1-1  | ${plain}`, known],
    ["Compose, of JSON", `node1-1  | ${json}`, known],
    ["JSON with the collector's time", `2026-01-01T00:00:00.123456789Z ${json}`, known],
    ["Compose, of JSON with its time", `node1-1  | 2026-01-01T00:00:00.123Z ${json}`, known],
    ["a journal", `Jan 01 00:00:00 host trivet[812]: ${plain}`, known],
    ["a version without names", plain.replaceAll(/ (?:of chain |chain=)c0/g, ""), { ...known, chain: null }],
    ["Windows", `${plain}\r`, known],
  ])("are read from %s", (_name, line, expected) => {
    expect(anchorsIn(`first\n${line}\nlast`)).toEqual([expected]);
  });

  test.each([
    ["the name of a lock", `[node1] lock audit log anchor 7:${mac} was taken away event=lock.forced lock="audit log anchor 7:${mac}"`],
    [
      "a name that looks like all of the line",
      `[node1] lock [x] audit log anchor 7:${mac} event=audit.anchor was taken away event=lock.forced`,
    ],
    ["a text of another event", `[node1] audit log anchor 7:${mac} event=lock.forced`],
    ["more text", `[node1] audit log anchor 7:${mac} and more event=audit.anchor`],
    ["a journal's mark in a name", `[1] a[2]: x [y] audit log anchor 7:${mac} event=audit.anchor event=lock.forced`],
    ["Compose's mark in a name", `[1] a | x [y] audit log anchor 7:${mac} event=audit.anchor event=lock.forced`],
    ["JSON in a name", `[1] a | ${json}`],
  ])("are not taken from %s", (_name, line) => {
    expect(anchorsIn(`2026-01-01T00:00:00.000Z INFO  ${line}\n`)).toEqual([]);
    const other = JSON.stringify({ event: "lock.forced", message: line, lock: `audit log anchor 7:${mac}` });
    expect(anchorsIn(other)).toEqual([]);
  });
});
