import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createCluster, startCluster, type TestCluster } from "./support/cluster.ts";
import { startCutProxy } from "./support/cut-proxy.ts";
import { expectStatus, textOf, type Json } from "./support/http.ts";
import { freePorts, run, start, trivet, type Started } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

type Env = Readonly<Record<string, string>>;

/** `trivet` against these nodes. */
function begin(folder: string, urls: readonly string[], words: readonly string[], env: Env = {}): Started {
  return start(process.execPath, ["--", trivet, ...words], { cwd: folder, env: { TRIVET_URL: urls.join(","), ...env } });
}

/** A command of the tests: a program of Node, which has the modules of Node as variables. */
const node = (program: string): readonly string[] => ["--", process.execPath, "-e", program];

async function exitOf(started: Started): Promise<number | null> {
  const { code, signal } = await started.exited;
  expect(signal, started.output()).toBeNull();
  return code;
}

const fileThere = (path: string, started: Started): Promise<boolean> =>
  waitFor(path, () => {
    if (started.hasExited()) throw new Error(`it ended: ${started.output()}`);
    return existsSync(path) ? ready(true) : started.output();
  });

async function holdersOf(url: string, name: string): Promise<readonly Json[]> {
  const { body } = await expectStatus(200, `${url}/v1/locks/${encodeURIComponent(name)}`);
  return body["holders"] as readonly Json[];
}

const untilFree = (url: string, name: string): Promise<boolean> =>
  waitFor(`${name} to be free`, async () => {
    const holders = await holdersOf(url, name);
    return holders.length === 0 ? ready(true) : JSON.stringify(holders);
  });

describe("trivet lock NAME -- COMMAND, on three nodes", () => {
  let cluster: TestCluster;
  let urls: readonly string[];
  let tests = 0;
  /** A name, and a file, of this test's own. */
  let name: string;
  let file: string;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
    urls = cluster.nodes.map(({ url }) => url);
  });
  afterAll((): Promise<void> => cluster.destroy());
  const begun = (words: readonly string[], env: Env = {}): Started => begin(cluster.folder, urls, ["lock", ...words], env);
  beforeEach(() => {
    name = `test/${++tests}`;
    file = join(cluster.folder, `file-${tests}`);
  });

  const first = (): string => urls[0] ?? "";
  const touched = (): string => `fs.writeFileSync(${JSON.stringify(file)}, process.env.TRIVET_FENCE ?? "")`;

  it("the command has the lock, its fence, and our standard streams; then the lock is free, and the exit code is its own", async () => {
    const program = `
      fetch(process.env.TRIVET_URL.split(",")[0] + "/v1/locks/" + encodeURIComponent(process.env.TRIVET_LOCK_NAME)).then((answer) => answer.json()).then(({ holders }) => {
        const { TRIVET_FENCE: fence, TRIVET_OWNER: owner, TRIVET_SESSION: session_id } = process.env;
        console.log(holders.length === 1 && holders[0].fence === fence && holders[0].owner === owner && holders[0].session_id === session_id);
        process.exit(7);
      })`;
    const ran = begun([name, ...node(program)]);
    expect(await exitOf(ran), ran.output()).toBe(7);
    expect(ran.output()).toBe("true\n");
    expect(await holdersOf(first(), name)).toEqual([]);
    const line = `printf in | ${process.execPath} -- ${trivet} lock ${name} -- cat`;
    expect(await run("bash", ["-c", line], { cwd: cluster.folder, env: { TRIVET_URL: first() } })).toEqual({ code: 0, output: "in" });
  });

  it.each([
    ["a signal ended the command", [...node("process.kill(process.pid, 'SIGTERM')")], 143],
    ["there is no such command", ["--", "no-such-command"], 127],
    ["the command cannot be run", ["--", "/etc/passwd"], 126],
    ["no command is named", ["--"], 64],
  ] as const)("exit code: %s", async (_what, words, code) => {
    const ran = begun([name, ...words]);
    expect(await exitOf(ran), ran.output()).toBe(code);
    expect(await holdersOf(first(), name)).toEqual([]);
  });

  it("exit code 10 where it is held and nobody waits, or no longer; 11 where it would wait for itself; 69 where no node is", async () => {
    await expectStatus(200, `${first()}/v1/locks/${encodeURIComponent(name)}/acquire`, { body: { owner: "other", ttl_ms: 60_000 } });
    for (const wait of [["--no-wait"], ["--wait", "0.2"]]) {
      const refused = begun([name, ...wait, ...node(touched())]);
      expect(await exitOf(refused), refused.output()).toBe(10);
      expect(refused.output()).toMatch(/held by owner "other"[^]*next: /);
    }
    const inner = [process.execPath, "--", trivet, "lock", `${name}/self`, ...node(touched())];
    const itself = begun([`${name}/self`, "--", ...inner]);
    expect(await exitOf(itself), itself.output()).toBe(11);
    const [port = 0] = await freePorts(1);
    const nowhere = begin(cluster.folder, [`http://127.0.0.1:${port}`], ["--timeout", "1", "lock", name, ...node(touched())]);
    expect(await exitOf(nowhere), nowhere.output()).toBe(69);
    expect(existsSync(file)).toBe(false);
  });

  it("waits in line, says where it stands, and has its turn with a higher fence", async () => {
    const held = begun([
      name,
      "--owner",
      "holder",
      ...node(`${touched()}; setInterval(() => fs.existsSync(${JSON.stringify(`${file}.go`)}) && process.exit(0), 20)`),
    ]);
    await fileThere(file, held);
    const fence = BigInt(readFileSync(file, "utf8"));
    const second = begun([name, "--owner", "second", ...node("console.log(`fence ${process.env.TRIVET_FENCE}`)")]);
    await waitFor("the place of the second", () =>
      second.output().includes("place 1 of 1; held by holder") ? ready(true) : second.output(),
    );
    const third = begun([name, "--owner", "third", "--json", ...node("")]);
    await waitFor("the place of the third", () => (third.output().includes('"place":2') ? ready(true) : third.output()));
    // Who does not want to wait any more leaves the line.
    third.signal("SIGINT");
    expect(await exitOf(third)).toBe(130);
    writeFileSync(`${file}.go`, "");
    expect(await exitOf(held), held.output()).toBe(0);
    expect(await exitOf(second), second.output()).toBe(0);
    expect(BigInt(/^fence (\d+)$/m.exec(second.output())?.[1] ?? "0") > fence).toBe(true);
    expect(second.output()).toMatch(/^Holding test\/\d+, fence \d+, after/m);
    await untilFree(first(), name);
  });

  it("several names are taken together; a semaphore has so many holders; a lock may be called as a verb is", async () => {
    const program = "console.log(JSON.parse(process.env.TRIVET_LOCKS).map(({ name, mode }) => `${name} ${mode}`).join())";
    const both = begun([`${name}/a`, `${name}/b`, "--mode", "shared", ...node(program)]);
    expect(await exitOf(both), both.output()).toBe(0);
    expect(both.output()).toBe(`${name}/a shared,${name}/b shared\n`);
    const waiting = `${touched()}; setInterval(() => fs.existsSync(${JSON.stringify(`${file}.go`)}) && process.exit(0), 20)`;
    const one = begun([name, "--permits", "2", ...node(waiting)]);
    await fileThere(file, one);
    const two = begun([name, "--permits", "2", "--no-wait", ...node(`fs.writeFileSync(${JSON.stringify(`${file}.go`)}, "")`)]);
    expect(await exitOf(two), two.output()).toBe(0);
    expect(await exitOf(one), one.output()).toBe(0);
    const verb = begun(["--", "ls", "--", process.execPath, "-e", "console.log(process.env.TRIVET_LOCK_NAME)"]);
    expect(await exitOf(verb), verb.output()).toBe(0);
    expect(verb.output()).toBe("ls\n");
    const list = begun(["ls", "--json"]);
    expect(await exitOf(list)).toBe(0);
    expect(JSON.parse(list.output())).toMatchObject({ kind: "locks" });
  });

  it("passes signals on: the command decides; a second one is stronger, and reaches what the command started", async () => {
    const polite = begun([name, ...node(`process.on("SIGTERM", () => process.exit(9)); ${touched()}; setInterval(() => {}, 1000)`)]);
    await fileThere(file, polite);
    polite.signal("SIGTERM");
    expect(await exitOf(polite), polite.output()).toBe(9);

    const child = `process.on("SIGINT", () => {}); process.on("SIGTERM", () => {}); fs.writeFileSync(${JSON.stringify(`${file}.child`)}, String(process.pid)); setInterval(() => {}, 1000)`;
    const parent = `process.on("SIGINT", () => {}); process.on("SIGTERM", () => {}); child_process.spawn(process.execPath, ["-e", ${JSON.stringify(child)}]); setInterval(() => {}, 1000)`;
    const stubborn = begun([name, ...node(parent)]);
    await fileThere(`${file}.child`, stubborn);
    stubborn.signal("SIGINT");
    await waitFor("the first", () => (stubborn.output().includes("SIGINT: the command is sent SIGINT") ? ready(true) : stubborn.output()));
    stubborn.signal("SIGTERM");
    await waitFor("the second", () =>
      stubborn.output().includes("SIGTERM: the command is sent SIGTERM") ? ready(true) : stubborn.output(),
    );
    stubborn.signal("SIGINT");
    expect(await exitOf(stubborn), stubborn.output()).toBe(137);
    await waitFor("its child to be gone", () => (isRunning(Number(readFileSync(`${file}.child`, "utf8"))) ? "still there" : ready(true)));
    await untilFree(first(), name);
  });

  it("an operator takes the lock away: the command is ended, the exit code is 12, and who waits has it", async () => {
    const robbed = begun([
      name,
      "--ttl",
      "3",
      ...node(`process.on("SIGTERM", () => process.exit(0)); ${touched()}; setInterval(() => {}, 1000)`),
    ]);
    await fileThere(file, robbed);
    const next = begun([name, ...node("")]);
    await waitFor("the next one in line", () => (next.output().includes("place 1") ? ready(true) : next.output()));
    const forced = begun(["force-release", name, "--reason", "test", "--yes"]);
    expect(await exitOf(forced), forced.output()).toBe(0);
    expect(await exitOf(robbed), robbed.output()).toBe(12);
    expect(robbed.output()).toMatch(/was taken away \(trivet lock force-release\)[^]*error: Lock .* was lost before the command had ended/);
    expect(await exitOf(next), next.output()).toBe(0);
  });

  it("kill -9 of the leader while the command runs: it keeps its lock, with the same fence, and ends as if nothing had been", async () => {
    const running = begun([
      name,
      ...node(`${touched()}; setInterval(() => fs.existsSync(${JSON.stringify(`${file}.go`)}) && process.exit(5), 20)`),
    ]);
    await fileThere(file, running);
    const fence = readFileSync(file, "utf8");
    const leader = await cluster.leader();
    await leader.kill();
    const other = await cluster.leader();
    expect((await holdersOf(other.url, name)).map((holder) => textOf(holder["fence"]))).toEqual([fence]);
    // Renewed at the new leader: else the warden would end the command.
    writeFileSync(`${file}.go`, "");
    expect(await exitOf(running), running.output()).toBe(5);
    await untilFree(other.url, name);
    leader.start();
    await leader.waitUntilHealthy();
  });
});

const isRunning = (pid: number): boolean => {
  try {
    // A process that has ended and was not asked after yet is no more than a line in a table.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || (error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
};

describe("trivet lock NAME -- COMMAND, cut off from the cluster", () => {
  it("the command, which will not end by itself, is dead while the cluster still keeps its lock; the exit code is 12", async (test) => {
    const cluster = await createCluster({ nodes: 1 });
    const [lone] = cluster.nodes;
    if (lone === undefined) throw new Error("a node is needed");
    // The only way that the node tells anybody.
    const proxy = await startCutProxy(lone.port);
    try {
      lone.start({ ADVERTISE_URL: proxy.url, PEERS: "" });
      await lone.waitUntilHealthy();
      const direct = lone.url;
      const file = join(cluster.folder, "pid");
      const program = `process.on("SIGTERM", () => console.log("told")); fs.writeFileSync(${JSON.stringify(file)}, process.pid + " " + process.env.TRIVET_FENCE); setInterval(() => {}, 1000)`;
      const running = begin(cluster.folder, [proxy.url], ["lock", "cut", "--ttl", "6", ...node(program)]);
      await fileThere(file, running);
      const [pid = "", fence = ""] = readFileSync(file, "utf8").split(" ");
      proxy.cut();
      await waitFor("the command to be dead", () => (isRunning(Number(pid)) ? running.output() : ready(true)), { everyMs: 10 });
      expect((await holdersOf(direct, "cut")).map((holder) => holder["fence"])).toEqual([fence]);
      expect(await exitOf(running), running.output()).toBe(12);
      expect(running.output()).toMatch(/may soon be lost[^]*told[^]*error: Lock cut was lost/);
      await untilFree(direct, "cut");
    } finally {
      await cluster.destroy(test);
      await proxy.close();
    }
  });
});

describe("trivet lock NAME -- COMMAND and trivet bench, where a key is asked for", () => {
  const env = {
    AUTH_MODE: "keys",
    API_KEYS: "writer=writer-key-0123456789,admin=admin-key-01234567890",
    SHARED_MAC_KEY: "a-key-between-nodes-0123456789abcdef",
  };
  let cluster: TestCluster;
  let urls: readonly string[];
  beforeAll(async () => {
    cluster = await createCluster({ nodes: 1, env });
    cluster.startAll();
    await Promise.all(cluster.nodes.map((one) => one.waitUntilHealthy()));
    urls = cluster.nodes.map(({ url }) => url);
  });
  afterAll((): Promise<void> => cluster.destroy());

  it("TRIVET_TOKEN is shown as by every verb; without it the exit code is 77, and nothing is run", async () => {
    const words = ["lock", "orders/42", ...node("console.log(process.env.TRIVET_LOCK_NAME)")];
    const refused = begin(cluster.folder, urls, words);
    expect(await exitOf(refused), refused.output()).toBe(77);
    expect(refused.output()).not.toMatch(/^orders/m);
    const allowed = begin(cluster.folder, urls, words, { TRIVET_TOKEN: "writer-key-0123456789" });
    expect(await exitOf(allowed), allowed.output()).toBe(0);
    expect(allowed.output()).toBe("orders/42\n");
  });

  it("trivet bench measures all services, and nothing of it is left, also after Ctrl-C", async () => {
    const admin = { TRIVET_TOKEN: "admin-key-01234567890" };
    const words = ["bench", "--seconds", "1", "--in-flight", "8", "--size", "100"];
    const ran = begin(cluster.folder, urls, [...words, "--json"], admin);
    expect(await exitOf(ran), ran.output()).toBe(0);
    const answer = JSON.parse(/^\{"version".*$/m.exec(ran.output())?.[0] ?? "") as { readonly figures: readonly Json[] };
    expect(answer.figures.map((figure) => `${textOf(figure["service"])}: ${textOf(figure["operation"])}`)).toEqual([
      "locks: acquire + release",
      "queue: produce 100 B",
      "queue: consume + ack",
      "cache: set 100 B",
      "cache: get, no copies kept",
    ]);
    for (const figure of answer.figures) {
      expect(figure["operations"], JSON.stringify(figure)).toBeGreaterThan(0);
      expect(figure["errors"]).toEqual({});
    }
    // Once a second, of whatever is measured then.
    expect(ran.output()).toMatch(/^(?:locks|queue|cache), .+: 1 of 1 s, \d+ done$/m);

    const stopped = begin(cluster.folder, urls, ["bench", "queue", "--seconds", "60"], admin);
    await waitFor("the load", () => (/produce 1024 B: \d+ of 60 s/.test(stopped.output()) ? ready(true) : stopped.output()));
    stopped.signal("SIGINT");
    expect(await exitOf(stopped), stopped.output()).toBe(130);
    for (const [path, field] of [
      ["/v1/queues", "queues"],
      ["/v1/cache-namespaces", "namespaces"],
      ["/v1/locks", "locks"],
    ] as const) {
      const { body } = await expectStatus(200, `${urls[0]}${path}`, { headers: { authorization: `Bearer ${admin.TRIVET_TOKEN}` } });
      const names = (body[field] as readonly Json[]).map((one) => textOf(one["name"]));
      expect(names.filter((one) => one.startsWith("trivet-bench"))).toEqual([]);
    }
  });
});
